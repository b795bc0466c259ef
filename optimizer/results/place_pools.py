"""Where the instances of prefill and decode pools stand: ``docs/disaggregated.md``, section 7."""

from __future__ import annotations

from optimizer.facts.problem import Problem
from optimizer.results.answer import Strategy
from optimizer.results.placement import GpuPlace, PlacedInstance, Placement
from optimizer.results.pools import PoolsStrategy, PoolStrategy

ROLES = ("prefill", "decode")
"""Names of the pools, in the order in which placements and services number them."""


def strategy_of_pool(pool: PoolStrategy, layers: int) -> Strategy:
    """The decisions of a pool as those of joint instances: one stage, all its data-parallel ranks counted.

    Args:
        layers: of the model.
    """
    return Strategy(
        tensor_parallel=pool.tensor_parallel,
        pipeline_parallel=1,
        data_parallel=pool.engine_ranks * pool.instances,
        expert_parallel=pool.expert_parallel,
        max_num_seqs=pool.max_num_seqs,
        layers_per_stage=(layers,),
        weight_precision=pool.weight_precision,
        kv_precision=pool.kv_precision,
    )


def place_pools(problem: Problem, strategy: PoolsStrategy) -> Placement:
    """Every instance of both pools, prefill first: apart where the nodes allow it, else spread over the same ones.

    Raises:
        ValueError: they find no room so.
    """
    nodes, per_node = problem.hardware.nodes, problem.hardware.gpus_per_node
    pools = (strategy.prefill, strategy.decode)
    apart = sum(pool.nodes for pool in pools) <= nodes
    free = [0] * nodes
    found: list[PlacedInstance] = []
    for number, (role, pool) in enumerate(zip(ROLES, pools, strict=True)):
        after = strategy.prefill.nodes if apart and number else 0
        held = strategy_of_pool(pool, problem.model.layers)
        for index, start in enumerate(_starts(pool, nodes if not apart else pool.nodes, per_node, number == 1)):
            first = after + start
            taken = [(first + step, min(pool.instance_gpus, per_node)) for step in range(_whole(pool, per_node))]
            gpus = []
            for node, count in taken:
                if node >= nodes or free[node] + count > per_node:
                    raise ValueError(f"{strategy.label} has no room on {nodes} nodes of {per_node} GPUs")
                gpus += [GpuPlace(f"node-{node}", free[node] + gpu) for gpu in range(count)]
                free[node] += count
            found.append(
                PlacedInstance(f"{role}-{index}", number, held, pool.engine_ranks, 1 / pool.instances, tuple(gpus))
            )
    return Placement(tuple(found))


def _whole(pool: PoolStrategy, per_node: int) -> int:
    """Nodes that one instance stands on."""
    return max(1, pool.instance_gpus // per_node)


def _starts(pool: PoolStrategy, nodes: int, per_node: int, last: bool) -> list[int]:
    """The first node of each instance, counted from the pool's first.

    Args:
        nodes: that the pool is spread over.
        last: what is over goes to the last nodes, where the other pool has put its own on the first.
    """
    each = _whole(pool, per_node)
    if pool.instance_gpus > per_node:
        return [number * each for number in range(pool.instances)]
    every, more = divmod(pool.instances, nodes)
    counts = [every + (node >= nodes - more if last else node < more) for node in range(nodes)]
    return [node for node, count in enumerate(counts) for _ in range(count)]
