"""What may be given up or changed to make a problem feasible: one relaxation per field of the problem file.

A relaxation knows the rules it relaxes, its steps from the stated value outward, and its furthest useful value. Steps are
the resolution that "least change" refers to: 0.01 ms, 0.001 requests/s, one KV block of 16 tokens, 0.1 % of memory.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, get_args

from optimizer.catalog import lookup as catalog
from optimizer.explain.common.relaxations import (
    MS_STEPS,
    PERCENT,
    RATE_STEPS,
    Changes,
    Relaxation,
    batches,
    counted,
    more_of_memory,
    offered_formats,
    shorter_sequences,
    switch_off,
)
from optimizer.facts.demand import Percentile
from optimizer.facts.errors import ProblemError
from optimizer.facts.hardware import GpuFacts
from optimizer.facts.problem import Problem
from optimizer.reading.stated import Stated
from optimizer.results.answer import Fixed
from optimizer.search.uniform.space import pipeline_degrees, tensor_degrees

MOST_GPUS, GROWTH, USUAL_GPUS = 1024, 16, 128
LONGEST_MS = 10**9


def relaxations_of(
    stated: Stated, problem: Problem, fixed: Fixed | None, *, gpus: bool = True
) -> tuple[Relaxation, ...]:
    """Every relaxation that can move for this problem, in the order in which repairs are offered.

    Args:
        gpus: whether other GPUs are among them, for which every GPU of the catalog is read.
    """
    off = set(problem.search.disabled_rules)
    found = [
        *_gpus(problem, fixed),
        *_power(problem, fixed),
        *offered_formats(problem, fixed),
        *shorter_sequences(problem),
        *(_gpu_type(stated, problem) if gpus else ()),
        *_degrees(problem, fixed),
        *_latencies(problem),
        *_rate(stated, problem),
        *batches(problem, fixed),
        *more_of_memory(problem),
        *_survive(problem),
        *switch_off(problem),
    ]
    return tuple(relaxation for relaxation in found if not relaxation.rules or set(relaxation.rules) - off)


def most_nodes(problem: Problem, fixed: Fixed | None = None) -> int:
    """Nodes up to which "more GPUs" is tried: at least 128 GPUs or 16 times those there are, at most 1,024 GPUs."""
    hardware = problem.hardware
    each = hardware.gpus_per_node
    wanted = max(GROWTH * hardware.nodes, -(-USUAL_GPUS // each))
    if fixed is not None:
        used = (fixed.tensor_parallel or 1) * (fixed.pipeline_parallel or 1) * (fixed.data_parallel or 1)
        wanted = max(wanted, -(-used // each))
    return max(hardware.nodes, min(wanted, max(1, MOST_GPUS // each)))


def _gpus(problem: Problem, fixed: Fixed | None) -> list[Relaxation]:
    hardware = problem.hardware
    most, nodes = most_nodes(problem, fixed), hardware.nodes
    relaxations: list[Relaxation] = []
    usual = hardware.gpu.gpus_per_node
    if hardware.gpus_per_node < usual and hardware.node_power_limit_watts is None:
        relaxations.append(counted("gpus_per_node", "choice", "hardware.gpus_per_node", ("gpu_count",), 1,
                               hardware.gpus_per_node, usual))  # fmt: skip
    if most > nodes:
        relaxations.append(counted("nodes", "nodes", "hardware.nodes", ("gpu_count",), 1, nodes, most))
    return relaxations


def _power(problem: Problem, fixed: Fixed | None) -> list[Relaxation]:
    """More watts: of all nodes in whole watts, and of each node by the GPUs that it lets work."""
    hardware = problem.hardware
    load, idle = hardware.gpu.tdp_watts or 0.0, hardware.gpu.idle_watts or 0.0
    found = []
    if hardware.power_limit_watts is not None:
        field, first = "hardware.power_limit_watts", math.floor(hardware.power_limit_watts)
        each = hardware.built_in_per_node * load + hardware.host_watts
        steps = math.ceil(most_nodes(problem, fixed) * each) - first

        def at(k: int) -> Changes:
            return {field: first + k}

        if steps > 0:
            found.append(Relaxation("power_total", "limit", field, ("power_total",), 6, steps, at, at(steps)))
    if hardware.node_power_limit_watts is not None:
        node, now, stated = "hardware.node_power_limit_watts", hardware.gpus_per_node, hardware.node_power_limit_watts

        def working(k: int) -> Changes:
            at_work = now + k - 1 if not_one else now + k
            others = hardware.built_in_per_node - at_work
            return {node: math.ceil(at_work * load + others * idle + hardware.host_watts)}

        alone = load + (hardware.built_in_per_node - 1) * idle + hardware.host_watts
        not_one = alone > stated
        more = hardware.idle_gpus_per_node + not_one
        if more:
            # Where not one may work the rule itself breaks; else the others are not among the GPUs there are.
            rules = ("power_node",) if not_one else ("gpu_count",)
            found.append(Relaxation("power_node", "choice", node, rules, 6, more, working, None))
    return found


def _gpu_type(stated: Stated, problem: Problem) -> list[Relaxation]:
    """Other GPUs of the catalog with more memory or bandwidth, the most modest first."""
    now = problem.hardware.gpu
    others: list[tuple[tuple[float, ...], GpuFacts]] = []
    for name in catalog.names("gpus"):
        gpu = catalog.gpu(name)
        more = gpu.process_mib > now.process_mib or gpu.memory_bandwidth_gb_per_s > now.memory_bandwidth_gb_per_s
        no_less = gpu.memory_mib >= now.memory_mib * 0.99 and gpu.gpus_per_node >= problem.hardware.gpus_per_node
        if gpu.name != now.name and more and no_less:
            others.append(((gpu.memory_mib, gpu.memory_bandwidth_gb_per_s), gpu))
    others.sort(key=lambda other: (other[0], other[1].name))
    kept = [gpu for _, gpu in others]
    if not kept:
        return []
    changes = [_with_gpu(stated, gpu) for gpu in kept]
    return [Relaxation("gpu", "choice", "hardware.gpu", (), 4, len(changes), lambda k: changes[k - 1], None)]


def _with_gpu(stated: Stated, gpu: GpuFacts) -> Changes:
    """The changes for another GPU: what the file states about the old one's links gives way to the new one's."""
    changes: dict[str, Any] = {"hardware.gpu": gpu.name}
    for field in ("nvlink_gb_per_s", "nvlink_domain_gpus", "pcie_gb_per_s"):
        value = stated.value(f"hardware.{field}")
        if value is not None and value != getattr(gpu, field):
            changes[f"hardware.{field}"] = None
    return changes


def _degrees(problem: Problem, fixed: Fixed | None) -> list[Relaxation]:
    """Search limits: degrees that were not offered and options that were switched off."""
    search, pinned = problem.search, fixed or Fixed()
    open_search = search.model_copy(update={"tensor_parallel": None, "pipeline_parallel": None})
    wide = problem.model_copy(update={"search": open_search})
    relaxations = []
    for name, value, usual, pin in (
        ("tensor_parallel", search.tensor_parallel, tensor_degrees(wide), pinned.tensor_parallel),
        ("pipeline_parallel", search.pipeline_parallel, pipeline_degrees(wide), pinned.pipeline_parallel),
    ):
        more = [degree for degree in usual if value is not None and degree not in value]
        if value is not None and more and not pin and not (name[0] == "p" and pinned.layers_per_stage):
            relaxations.append(_added(name, value, more))
    if search.data_parallel is not None and not pinned.data_parallel:
        stated_degrees = search.data_parallel
        # As many replicas as the nodes that may be added hold: a limit that more nodes lift together with this one is no conflict.
        largest = max(problem.hardware.gpus, most_nodes(problem, fixed) * problem.hardware.gpus_per_node)
        more = [d for d in range(1, min(largest, MOST_GPUS) + 1) if d not in stated_degrees]
        if more:
            relaxations.append(_added("data_parallel", stated_degrees, more))
    modes = ("off", "replica", "any")
    mode = modes.index(search.expert_parallel)
    if problem.model.experts and mode < 2 and not pinned.expert_parallel:
        field = "search.expert_parallel"
        relaxations.append(
            Relaxation(
                "expert_parallel",
                "candidate",
                field,
                (),
                5,
                2 - mode,
                lambda k: {field: modes[mode + k]},
                {field: "any"},
            )
        )
    if search.layer_imbalance < 2 and not pinned.layers_per_stage:
        relaxations.append(counted("layer_imbalance", "candidate", "search.layer_imbalance", ("layer_split",), 6,
                               search.layer_imbalance, search.layer_imbalance + 1))  # fmt: skip
    return relaxations


def _added(name: str, stated: tuple[int, ...], more: list[int]) -> Relaxation:
    field = f"search.{name}"
    return Relaxation(name, "candidate", field, (), 5, len(more), lambda k: {field: sorted({*stated, more[k - 1]})},
                 {field: sorted({*stated, *more})})  # fmt: skip


def _latencies(problem: Problem) -> list[Relaxation]:
    relaxations = []
    for limit in problem.requirements.latency_limits:
        if limit.metric == "goodput":
            field, most = "requirements.goodput.share", math.ceil((1 - limit.limit_ms) * PERCENT) - 1

            def of(k: int, field: str = field, most: int = most) -> Changes:
                return {field: (most + 1 - k) / PERCENT}

            if most >= 1:
                relaxations.append(Relaxation("goodput", "limit", field, ("goodput",), 7, most, of, of(most)))
            continue
        assert limit.percentile in get_args(Percentile)
        rule, field = limit.rule, f"requirements.{limit.field}"
        rules = (rule, "tpot_full_batch") if rule == "tpot_p99" else (rule,)
        first = math.floor(Fraction(repr(limit.limit_ms)) * MS_STEPS)

        def at(k: int, field: str = field, first: int = first) -> Changes:
            return {field: (first + k) / MS_STEPS}

        steps = LONGEST_MS * MS_STEPS - first
        relaxations.append(Relaxation(rule, "limit", field, rules, 7, steps, at, at(steps)))
    return relaxations


def _rate(stated: Stated, problem: Problem) -> list[Relaxation]:
    users = problem.workload.users
    if users is not None:
        plain = stated.value("workload.concurrency") is not None
        field, most = "workload.concurrency" if plain else "workload.users.concurrent", users.concurrent
        return (
            [Relaxation("rate", "rate", field, (), 8, most - 1, lambda k: {field: most - k}, {field: 1})]
            if most > 1
            else []
        )
    rate, field = problem.workload.requests_per_s, "workload.requests_per_s"
    first = math.ceil(Fraction(repr(rate)) * RATE_STEPS)
    if first < 2:
        return []
    return [
        Relaxation("rate", "rate", field, (), 8, first - 1, lambda k: {field: (first - k) / RATE_STEPS},
              {field: 1 / RATE_STEPS})
    ]  # fmt: skip


def _survive(problem: Problem) -> list[Relaxation]:
    relaxations = []
    for level in ("gpu", "node"):
        losses = getattr(problem.requirements.survive, level)
        if losses:
            rule = f"survive_{level}"
            relaxations.append(counted(rule, "limit", f"requirements.survive.{level}", (rule,), 9, losses, 0))
    return relaxations


def make(stated: Stated, *changes: Changes) -> Problem | None:
    """The problem with the changes made, or None when the facts refuse them."""
    merged: dict[str, Any] = {}
    for change in changes:
        merged.update(change)
    try:
        return stated.changed(merged).problem()
    except ProblemError:
        return None
