"""GPUs for a strategy, as engines take them: TP innermost inside a node, then PP, then DP, consecutive GPUs on
consecutive nodes.

TP groups do not straddle NVLink domains, so some GPUs of a domain may stay idle. Where replicas are coupled by their
experts, the GPUs that hold one stage's experts stand side by side, because they exchange the most.
"""

from __future__ import annotations

from collections.abc import Iterator

from optimizer.answer import Strategy
from optimizer.costs.shapes import Shape
from optimizer.facts.errors import ProblemError
from optimizer.facts.hardware import HardwareFacts
from optimizer.facts.problem import Problem
from optimizer.graph.plan import InstancePlan, Place, Plan, StagePlan


def plan_of(problem: Problem, strategy: Strategy, sequences_in_progress: int) -> Plan:
    """The plan of a strategy on equal nodes.

    Args:
        sequences_in_progress: n of ``docs/model.md`` at each replica, at least 1.

    Raises:
        ProblemError: the strategy needs more GPUs than there are.
    """
    hardware, s = problem.hardware, strategy
    if s.gpus > hardware.gpus:
        raise ProblemError(
            "graph",
            f"{s.label} needs {s.gpus:,} GPUs, there are {hardware.gpus:,}; its GPUs cannot be named. "
            "Use fewer replicas or stages, or set hardware.nodes higher",
        )
    shape = Shape(
        s.tensor_parallel,
        s.pipeline_parallel,
        s.expert_parallel,
        s.weight_precision,
        s.kv_precision,
        s.layers_per_stage,
    )
    ranks = shape.engine_ranks
    groups, straddled = _groups(hardware, shape.tp, ranks, s.gpus // shape.tp)
    instances, places = [], {}
    for number in range(s.data_parallel // ranks):
        stages = []
        for stage in range(shape.pp):
            taken = [groups[(number * shape.pp + stage) * ranks + rank] for rank in range(ranks)]
            places.update({_name(hardware, i): _place(hardware, i) for group in taken for i in group})
            gpus = tuple(tuple(_name(hardware, i) for i in group) for group in taken)
            stages.append(StagePlan(hardware, gpus))
        replicas = tuple(range(number * ranks, (number + 1) * ranks))
        instances.append(
            InstancePlan(f"i{number}", shape, s.max_num_seqs, sequences_in_progress, replicas, tuple(stages))
        )
    straddles = (
        f"{s.label} does not fit whole TP groups into the NVLink domains or nodes (rule nvlink_locality); "
        "its GPUs are simply consecutive."
    )
    return Plan(problem, tuple(instances), places, (straddles,) if straddled else ())


def _groups(hardware: HardwareFacts, tp: int, ranks: int, wanted: int) -> tuple[list[range], bool]:
    """TP groups in order, whole blocks of ``ranks`` of them inside a domain where that leaves enough; else groups
    inside domains; else just consecutive GPUs (True)."""
    for together in dict.fromkeys((ranks, 1)):
        found = list(_inside_domains(hardware, tp, together))
        if len(found) >= wanted:
            return found[:wanted], False
    return [range(i * tp, (i + 1) * tp) for i in range(wanted)], tp > 1


def _inside_domains(hardware: HardwareFacts, tp: int, together: int) -> Iterator[range]:
    for start, end in _cells(hardware):
        blocks = (end - start) // (tp * together)
        for position in range(blocks * together):
            yield range(start + position * tp, start + (position + 1) * tp)


def _cells(hardware: HardwareFacts) -> Iterator[tuple[int, int]]:
    """First and past-last GPU of each NVLink domain, or node where there is no NVLink."""
    per_node = hardware.gpus_per_node
    size = hardware.nvlink_domain_gpus if hardware.nvlink_gb_per_s > 0 else per_node
    if size > per_node:
        for start in range(0, hardware.gpus, size):
            yield start, min(start + size, hardware.gpus)
        return
    for node in range(hardware.nodes):
        for start in range(0, per_node, size):
            yield node * per_node + start, node * per_node + min(start + size, per_node)


def _name(hardware: HardwareFacts, index: int) -> str:
    node, gpu = divmod(index, hardware.gpus_per_node)
    return f"node-{node}/gpu-{gpu}"


def _place(hardware: HardwareFacts, index: int) -> Place:
    node, gpu = divmod(index, hardware.gpus_per_node)
    size = hardware.nvlink_domain_gpus if hardware.nvlink_gb_per_s > 0 else 1
    spans_nodes = size > hardware.gpus_per_node
    return Place(f"node-{node}", f"domain-{index // size}" if spans_nodes else f"node-{node}/domain-{gpu // size}")
