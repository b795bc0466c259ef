"""Joint instances beside prefill and decode pools: which splits there are, and the question that each part answers.

``docs/disaggregated.md``, section 14. Search and verifier both read the parts from here: they are part of what is asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from optimizer.facts.errors import ProblemError
from optimizer.facts.problem import Problem

TENTHS = 10
"""Equal parts that the requests are dealt in."""

BY_TIME = ("balanced", "latency", "fault-tolerance")
"""Presets that put nothing before the expected time of a request."""


@dataclass(frozen=True, slots=True, order=True)
class BesideSplit:
    """What the joint instances have; the pools have the rest."""

    tenths: int
    """Of the requests."""
    units: int
    """Nodes, or GPUs where there is one node."""


def units_of(problem: Problem) -> int:
    """Nodes that are shared out, or the GPUs of a single one."""
    return problem.hardware.nodes if problem.hardware.nodes > 1 else problem.hardware.gpus_per_node


def unit_gpus(problem: Problem) -> int:
    """GPUs of one of them."""
    return problem.hardware.gpus_per_node if problem.hardware.nodes > 1 else 1


def splits_of(problem: Problem) -> Iterator[BesideSplit]:
    """Every split: whole tenths of the requests, whole nodes or GPUs, something for either part."""
    for tenths in range(1, TENTHS):
        for units in range(1, units_of(problem)):
            yield BesideSplit(tenths, units)


def tenths_of(share: float) -> int:
    """A stated share of the requests in tenths.

    Raises:
        ProblemError: it is no whole tenth, or leaves one part nothing.
    """
    if not any(abs(share * TENTHS - tenth) <= 1e-9 for tenth in range(1, TENTHS)):
        raise ProblemError("--share", f"{share:g} is not a whole tenth from 0.1 to 0.9 (0.3)")
    return round(share * TENTHS)


def not_split(problem: Problem) -> str | None:
    """Why joint instances and pools are not tried side by side; None: they are."""
    if problem.objective.preset not in BY_TIME:
        return f"with objective {problem.objective.preset}"
    return not_divided(problem)


def not_divided(problem: Problem) -> str | None:
    """Why GPUs and requests are not divided between joint instances and pools, whatever is made least; None: they can be."""
    hardware = problem.hardware
    if hardware.nodes > 1 and hardware.nvlink_domain_gpus > hardware.gpus_per_node:
        return "where NVLink domains span nodes"
    if (
        hardware.nodes == 1
        and 2 < hardware.nvlink_domain_gpus < hardware.gpus
        and hardware.gpus % hardware.nvlink_domain_gpus
    ):
        return "where NVLink domains do not fill a node"
    if problem.workload.users is not None:
        return "with users in place of a request rate"
    if hardware.power_limit_watts is not None:
        return "under a power limit of all nodes"
    return None


def joint_part(problem: Problem, split: BesideSplit) -> Problem:
    """What the joint instances are asked."""
    return _part(problem, split.units, split.tenths, "joint")


def pools_part(problem: Problem, split: BesideSplit) -> Problem:
    """What the pools beside them are asked."""
    return _part(problem, units_of(problem) - split.units, TENTHS - split.tenths, "disaggregated")


def _part(problem: Problem, units: int, tenths: int, serving: str) -> Problem:
    """The same question on some nodes or GPUs with some of the requests; a GPU counts for fewer of them, so for more each."""
    own = "nodes" if problem.hardware.nodes > 1 else "gpus_per_node"
    gpu_ms = problem.objective.gpu_ms
    if gpu_ms is not None:
        gpu_ms = gpu_ms * TENTHS / tenths
    return problem.model_copy(
        update={
            "hardware": problem.hardware.model_copy(update={own: units}),
            "workload": problem.workload.model_copy(
                update={"requests_per_s": problem.workload.requests_per_s * tenths / TENTHS}
            ),
            "objective": problem.objective.model_copy(update={"gpu_ms": gpu_ms}),
            "serving": serving,
        }
    )
