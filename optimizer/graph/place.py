"""From a placement, every instance with its GPUs by name, to the plan that a graph is built from."""

from __future__ import annotations

from optimizer.answer import Strategy
from optimizer.costs.shapes import Shape
from optimizer.facts.errors import ProblemError
from optimizer.facts.hardware import HardwareFacts
from optimizer.facts.problem import Problem
from optimizer.graph.plan import InstancePlan, Place, Plan, StagePlan
from optimizer.placement import GpuPlace, PlacedInstance, Placement, place_evenly


def plan_of(problem: Problem, strategy: Strategy, sequences_in_progress: int) -> Plan:
    """The plan of a strategy on equal nodes.

    Args:
        sequences_in_progress: n of ``docs/model.md`` at each replica, at least 1.

    Raises:
        ProblemError: the strategy needs more GPUs than there are.
    """
    there = problem.hardware.gpus
    if strategy.gpus > there:
        raise ProblemError(
            "hardware.nodes",
            f"{strategy.label} needs {strategy.gpus:,} GPUs and there are {there:,}, so its GPUs cannot be named; "
            "use fewer replicas or stages, or more nodes",
        )
    return plan_of_placement(problem, place_evenly(problem, strategy), sequences_in_progress)


def plan_of_placement(problem: Problem, placement: Placement, sequences_in_progress: int) -> Plan:
    """The plan of a placement on equal nodes, every replica with so many sequences in progress."""
    instances, replicas = [], 0
    for placed in placement.instances:
        instances.append(_instance(problem.hardware, placed, replicas, sequences_in_progress))
        replicas += placed.replicas
    places = {gpu.name: _place(problem.hardware, gpu) for placed in placement.instances for gpu in placed.gpus}
    return Plan(problem, tuple(instances), places)


def _instance(hardware: HardwareFacts, placed: PlacedInstance, first_replica: int, sequences: int) -> InstancePlan:
    s = placed.strategy
    shape = Shape(
        s.tensor_parallel,
        s.pipeline_parallel,
        s.expert_parallel,
        s.weight_precision,
        s.kv_precision,
        s.layers_per_stage,
    )
    stages = tuple(
        StagePlan(
            hardware,
            tuple(
                tuple(placed.gpu(replica, stage, shard).name for shard in range(shape.tp))
                for replica in range(placed.replicas)
            ),
        )
        for stage in range(shape.pp)
    )
    replicas = tuple(range(first_replica, first_replica + placed.replicas))
    return InstancePlan(placed.name, shape, s.max_num_seqs, sequences, replicas, stages)


def _place(hardware: HardwareFacts, gpu: GpuPlace) -> Place:
    """NVLink domains are runs of GPUs inside a node, or of whole nodes where they are larger than a node."""
    size = hardware.nvlink_domain_gpus if hardware.nvlink_gb_per_s > 0 else 1
    per_node = hardware.gpus_per_node
    if size <= per_node:
        return Place(gpu.node, f"{gpu.node}/domain-{gpu.index // size}")
    number = int(gpu.node.rsplit("-", 1)[1])
    return Place(gpu.node, f"domain-{(number * per_node + gpu.index) // size}")
