"""From a file with ``models:`` to a checked ``SeveralProblem``: each entry is a problem of its own on the nodes that all share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from optimizer.catalog.instances import nodes_stated
from optimizer.facts.errors import ProblemError
from optimizer.facts.several import MOST_MODELS, WEIGHT_STEPS, ModelEntry, SeveralFile, SeveralProblem
from optimizer.facts.text import name_from_path
from optimizer.reading.load import first_error, problem_from_dict

MOST_GPUS = 256
"""More GPUs are not searched for several models."""
OF_ENTRY = ("model", "engine", "engine_version", "engine_overhead", "workload", "requirements", "search")


def several_from_dict(
    values: Mapping[str, Any], *, default_name: str = "problem", folder: Path | None = None
) -> SeveralProblem:
    """Check and resolve several models on equal nodes.

    Args:
        values: the contents of a problem file.
        default_name: the name when the file states none.
        folder: where relative model paths start.

    Raises:
        ProblemError: with the dotted field, the value and what would be right.
    """
    _refuse_other_kinds(values)
    values = nodes_stated(values)
    try:
        stated = SeveralFile.model_validate(values)
    except ValidationError as error:
        raise first_error(error, values, SeveralFile) from None
    served = []
    for number, entry in enumerate(stated.models):
        own = values["models"][number]
        asked = {field: own[field] for field in OF_ENTRY if field in own}
        asked = {
            "engine": stated.engine,
            **asked,
            "hardware": values["hardware"],
            "objective": values.get("objective", "balanced"),
        }
        try:
            problem = problem_from_dict(asked, default_name=default_name, folder=folder)
        except ProblemError as error:
            section = error.field.split(".")[0]
            where = error.field if section in ("hardware", "objective") else f"models.{number}.{error.field}"
            raise ProblemError(where, error.message) from None
        refuse_fine_weight(number, entry.weight)
        name = entry.name or problem.model.name
        served.append(ModelEntry(name=name, weight=entry.weight, problem=problem.model_copy(update={"name": name})))
    first = served[0].problem
    try:
        several = SeveralProblem(
            name=stated.name or name_from_path(default_name, "problem"),
            hardware=first.hardware, models=tuple(served), objective=first.objective,
        )  # fmt: skip
    except ValidationError as error:
        raise first_error(error, values, SeveralFile) from None
    _refuse_what_is_not_searched(several)
    return several


def _refuse_other_kinds(values: Mapping[str, Any]) -> None:
    if "cluster" in values:
        raise ProblemError("cluster", "stands beside hardware; state one of them")
    if values.get("kind") == "chain":
        raise ProblemError("models", "are for equal nodes (hardware:), not for kind: chain")
    refuse_of_one_model(values)
    if "serving" in values and values["serving"] != "joint":
        raise ProblemError("serving", f"{values['serving']} is not modelled with models; leave it out")
    if "hardware" not in values:
        raise ProblemError("hardware", "is missing")


def refuse_of_one_model(values: Mapping[str, Any]) -> None:
    """What a file for one model states at its top belongs to an entry where there are several."""
    for field in ("model", "workload", "requirements", "search", "engine_version", "engine_overhead"):
        if field in values:
            raise ProblemError(field, "stands beside models; state it in each entry of models")


def refuse_fine_weight(number: int, weight: float) -> None:
    """Weights are whole numbers of steps."""
    steps = weight * WEIGHT_STEPS
    if abs(steps - round(steps)) > 1e-9 * steps or round(steps) < 1:
        raise ProblemError(
            f"models.{number}.weight", f"{weight} has more than three decimals; weights count in thousandths"
        )


def _refuse_what_is_not_searched(problem: SeveralProblem) -> None:
    hardware = problem.hardware
    if problem.objective.preset == "cheapest":
        raise ProblemError(
            "objective", "cheapest is for one model so far; with several say fewest-gpus, or weigh GPUs by gpu_ms"
        )
    if problem.objective.preset == "capacity":
        raise ProblemError(
            "objective", "capacity is not defined for several models: which of them should carry more is not stated; use throughput, "
            "or raise a model's rate until optimizer solve finds no room"
        )  # fmt: skip
    if hardware.power_limit_watts is not None:
        raise ProblemError(
            "hardware.power_limit_watts", "is for one model so far; node_power_limit_watts holds for several too"
        )
    if hardware.gpus > MOST_GPUS:
        raise ProblemError(
            "hardware.nodes", f"{hardware.gpus:,} GPUs are not searched with models; at most {MOST_GPUS:,}"
        )
    if hardware.nvlink_gb_per_s > 0 and hardware.gpus_per_node < hardware.nvlink_domain_gpus < hardware.gpus:
        raise ProblemError(
            "hardware.nvlink_domain_gpus", f"{hardware.nvlink_domain_gpus} GPUs over several nodes, and more than one such domain, are not "
            f"searched with models; state the nodes of one domain ({hardware.nvlink_domain_gpus // hardware.gpus_per_node})"
        )  # fmt: skip


__all__ = ["MOST_GPUS", "MOST_MODELS", "several_from_dict"]
