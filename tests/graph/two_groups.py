"""One instance over two node groups, placed by hand, and what the search counts for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from optimizer.costs.shapes import Shape
from optimizer.costs.two_groups import TwoGroupCosts
from optimizer.facts.inventory import InventoryProblem
from optimizer.graph import build_graph, plan_of_inventory
from optimizer.questions.inventory import solve_inventory
from optimizer.reading.inventory_file import inventory_from_dict
from optimizer.results.answer import Strategy
from optimizer.results.graph import Graph, GraphCheck, InstanceGraph
from optimizer.results.inventory import InventoryAnswer, PoolPart
from optimizer.results.placement import GpuPlace, PlacedInstance, Placement
from optimizer.verify.graph import verify_inventory_graph
from tests.graph.cases import GPU, strategy

BIG: dict[str, Any] = {
    "name": "big",
    "gpu": GPU,
    "nodes": 1,
    "internode_gbit_per_s": 80,
    "internode_latency_us": 30,
}
SMALL: dict[str, Any] = {
    "name": "small",
    "gpu": "l4-24gb",
    "nodes": 2,
    "gpus_per_node": 2,
    "internode_gbit_per_s": 200,
    "internode_latency_us": 50,
}
BIG_GPUS = [GpuPlace("big-0", index) for index in range(4)]
SMALL_GPUS = [GpuPlace(f"small-{index // 2}", index % 2) for index in range(4)]
AHEAD, BEHIND = PoolPart("big", 2, 1), PoolPart("small", 2, 2)


def inventory(model: dict[str, Any], *cluster: dict[str, Any]) -> InventoryProblem:
    return inventory_from_dict(
        {
            "name": "two groups",
            "cluster": list(cluster or (BIG, SMALL)),
            "model": model,
            "workload": {"prompt_tokens": 100, "output_tokens": 20, "requests_per_s": 1},
            "requirements": {"max_batch": 8, "max_sequence_tokens": 512},
        }
    )


def placed(
    asked: InventoryProblem, shape: Strategy, parts: tuple[PoolPart, ...], gpus: list[GpuPlace], running: int = 8
) -> InventoryAnswer:
    """One instance on these GPUs, whatever is best."""
    answer = solve_inventory(asked, ranges=False)
    metrics = replace(answer.pools[0].metrics, concurrency_p50=running)
    pool = replace(answer.pools[0], parts=parts, strategy=shape, instances=1, share=1.0, metrics=metrics)
    instance = PlacedInstance("replica-0", 0, shape, shape.data_parallel, 1.0, tuple(gpus))
    return replace(answer, pools=(pool,), placement=Placement((instance,)))


def drawn(asked: InventoryProblem, answer: InventoryAnswer) -> tuple[Graph, InstanceGraph, GraphCheck]:
    graph = build_graph(plan_of_inventory(asked, answer), None, answer.label)
    [instance] = graph.instances()
    return graph, instance, verify_inventory_graph(asked, answer, graph)


def counted(asked: InventoryProblem, answer: InventoryAnswer, running: int) -> float:
    """The round that the search has for an answer's first pool."""
    pool = answer.pools[0]
    s = pool.strategy
    first, last = (asked.instance_problem(asked.group(part.group), part.nodes) for part in pool.parts)
    formats = s.weight_precision, s.kv_precision
    stages = tuple(part.stages for part in pool.parts)
    shape = Shape(s.tensor_parallel, s.pipeline_parallel, s.expert_parallel, *formats, s.layers_per_stage, stages)
    return float(TwoGroupCosts((first, last), [shape]).service(running).round_ms[0, running - 1])


def uneven(total: int, ep: int = 1) -> Strategy:
    """TP2·PP4 with most layers ahead."""
    return strategy(2, 4, ep=ep, layers=(total - 4, 2, 1, 1))
