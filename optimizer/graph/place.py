"""From a placement, every instance with its GPUs by name, to the plan that a graph is built from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optimizer.facts.errors import ProblemError
from optimizer.facts.hardware import HardwareFacts
from optimizer.facts.problem import Problem
from optimizer.graph.plan import DrawnPlan, InstancePlan, LinkPlace, StagePlan
from optimizer.results.answer import Strategy
from optimizer.results.inventory import stage_problems
from optimizer.results.placement import GpuPlace, PlacedInstance, place_evenly

if TYPE_CHECKING:
    from optimizer.facts.inventory import InventoryProblem
    from optimizer.results.inventory import InventoryAnswer


def plan_of(problem: Problem, strategy: Strategy, sequences_in_progress: int) -> DrawnPlan:
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
    placed = place_evenly(problem, strategy).instances
    judged = (problem,) * strategy.pipeline_parallel
    return _plan(problem.name, [(judged, (), sequences_in_progress, instance) for instance in placed])


def plan_of_inventory(
    inventory: InventoryProblem, answer: InventoryAnswer, sequences_in_progress: int | None = None
) -> DrawnPlan:
    """The plan of an answer to an inventory: instances of several shapes on the GPUs that the answer names.

    Args:
        sequences_in_progress: at each replica; left out, each pool's own median.

    Raises:
        ValueError: the answer places nothing.
    """
    if answer.placement is None:
        raise ValueError("an answer without a placement has no graph")
    judged = [stage_problems(inventory, pool) for pool in answer.pools]
    parts = [tuple(part.stages for part in pool.parts) if len(pool.parts) > 1 else () for pool in answer.pools]
    medians = [pool.metrics.concurrency_p50 or pool.strategy.max_num_seqs for pool in answer.pools]
    running = [min(median, pool.strategy.max_num_seqs) for median, pool in zip(medians, answer.pools, strict=True)]
    placed = [
        (judged[instance.pool], parts[instance.pool], sequences_in_progress or running[instance.pool], instance)
        for instance in answer.placement.instances
    ]
    return _plan(inventory.name, placed)


def _plan(name: str, placed: list[tuple[tuple[Problem, ...], tuple[int, ...], int, PlacedInstance]]) -> DrawnPlan:
    """Placed instances, each with the problem in which each of its stages is judged, its stages on each of two groups (none: all
    on one) and the sequences at each replica.
    """
    instances: list[InstancePlan] = []
    places: dict[str, LinkPlace] = {}
    replicas = 0
    for problems, parts, sequences, instance in placed:
        instances.append(_instance(problems, parts, instance, replicas, sequences))
        replicas += instance.replicas
        for rank, gpu in enumerate(instance.gpus):
            stage = rank // instance.strategy.tensor_parallel % instance.strategy.pipeline_parallel
            places[gpu.name] = link_place(problems[stage].hardware, gpu)
    return DrawnPlan(name, tuple(instances), places)


def _instance(
    problems: tuple[Problem, ...], parts: tuple[int, ...], placed: PlacedInstance, first_replica: int, sequences: int
) -> InstancePlan:
    s = placed.strategy
    stages = tuple(
        StagePlan(
            problems[stage].hardware,
            tuple(
                tuple(placed.gpu(replica, stage, shard).name for shard in range(s.tensor_parallel))
                for replica in range(placed.replicas)
            ),
        )
        for stage in range(s.pipeline_parallel)
    )
    replicas = tuple(range(first_replica, first_replica + placed.replicas))
    return InstancePlan(placed.name, problems[0], s, sequences, replicas, stages, parts)


def link_place(hardware: HardwareFacts, gpu: GpuPlace) -> LinkPlace:
    """NVLink domains are runs of GPUs inside a node, or of a group's nodes where they are larger than a node."""
    size = hardware.nvlink_domain_gpus if hardware.nvlink_gb_per_s > 0 else 1
    per_node = hardware.gpus_per_node
    if size <= per_node:
        return LinkPlace(gpu.node, f"{gpu.node}/domain-{gpu.index // size}")
    group, _, number = gpu.node.rpartition("-")
    # No node is called so, whatever the groups are called.
    return LinkPlace(gpu.node, f"{group}-*/domain-{(int(number) * per_node + gpu.index) // size}")
