"""Graphs of inventories: instances of several shapes on the GPUs that the answer names, each checked on its own ground."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from optimizer.facts.inventory import InventoryProblem
from optimizer.graph import build_graph, plan_of_inventory
from optimizer.questions.inventory import solve_inventory
from optimizer.reading.inventory_file import inventory_from_dict
from optimizer.results.graph import Graph
from optimizer.results.inventory import InventoryAnswer, PoolPart
from optimizer.results.placement import GpuPlace, PlacedInstance, Placement
from optimizer.verify.graph import verify_inventory_graph
from tests.graph.cases import EXPERTS, GPU, TINY, strategy


def inventory(model: dict[str, Any]) -> InventoryProblem:
    """Five free GPUs of a node of NVLink fours, and two nodes of two without NVLink."""
    return inventory_from_dict(
        {
            "name": "mixed",
            "cluster": [
                {"name": "big", "gpu": GPU | {"gpus_per_node": 8}, "nodes": 1, "free_gpus": 7, "nvlink_domain_gpus": 4},
                {"name": "small", "gpu": "l4-24gb", "nodes": 2, "gpus_per_node": 2},
            ],
            "model": model,
            "workload": {"prompt_tokens": 100, "output_tokens": 20, "requests_per_s": 1},
            "requirements": {"max_batch": 8, "max_sequence_tokens": 512},
        }
    )


def unlike(asked: InventoryProblem) -> InventoryAnswer:
    """TP4, TP2 and TP1 on the seven GPUs, and two stages on two small nodes: nobody's optimum, but four shapes."""
    answer = solve_inventory(asked, ranges=False)
    total = asked.model.layers
    shapes = [strategy(4, total=total), strategy(2, total=total), strategy(1, total=total), strategy(2, 2, total=total)]
    gpus = [
        [GpuPlace("big-0", i) for i in range(4)],
        [GpuPlace("big-0", i) for i in (4, 5)],
        [GpuPlace("big-0", 6)],
        [GpuPlace(f"small-{i // 2}", i % 2) for i in range(4)],
    ]
    model_pool = answer.pools[0]
    pools = tuple(
        replace(
            model_pool,
            parts=(PoolPart("big" if number < 3 else "small", shape.pipeline_parallel, 1 + number // 3),),
            strategy=shape,
        )
        for number, shape in enumerate(shapes)
    )
    placed = tuple(
        PlacedInstance(f"instance-{number}", number, shape, 1, 0.25, tuple(places))
        for number, (shape, places) in enumerate(zip(shapes, gpus, strict=True))
    )
    return replace(answer, pools=pools, placement=Placement(placed))


@pytest.fixture(scope="module", params=[TINY, EXPERTS], ids=["dense", "experts"])
def drawn(request: pytest.FixtureRequest) -> tuple[InventoryProblem, InventoryAnswer, Graph]:
    asked = inventory(request.param)
    answer = unlike(asked)
    return asked, answer, build_graph(plan_of_inventory(asked, answer), None, answer.label)


def test_unlike_instances_stand_side_by_side(drawn: tuple[InventoryProblem, InventoryAnswer, Graph]) -> None:
    asked, answer, graph = drawn
    found = verify_inventory_graph(asked, answer, graph)
    assert found.passed, found.mismatches[:5]
    instances = list(graph.instances())
    assert [instance.strategy.tensor_parallel for instance in instances] == [4, 2, 1, 2]
    assert [len(instance.gpus) for instance in instances] == [4, 2, 1, 4]
    sends = [node for instance in instances for node in instance.nodes if node.kind == "send"]
    assert [(node.link, node.gpus[0], node.gpus[-1]) for node in sends] == [
        ("network", "small-0/gpu-0", "small-1/gpu-1")
    ]
    assert {instance.gpus[0].type for instance in instances} == {"round-gpu", "l4-24gb"}
    reduces = {node.link for node in instances[3].nodes if node.kind == "all_reduce"}
    assert reduces == {"pcie"} and instances[1].nodes[2].link == "nvlink"


def test_a_graph_of_another_placement_is_refused(drawn: tuple[InventoryProblem, InventoryAnswer, Graph]) -> None:
    asked, answer, graph = drawn
    assert answer.placement is not None
    one, two, *rest = answer.placement.instances
    moved = replace(two, gpus=tuple(reversed(two.gpus)))
    for placement in (Placement((two, one, *rest)), Placement((one, moved, *rest)), Placement((one, two))):
        assert not verify_inventory_graph(asked, replace(answer, placement=placement), graph).passed
    assert not verify_inventory_graph(asked, answer, graph, running=7).passed


def test_the_answers_own_placement() -> None:
    asked = inventory(TINY)
    answer = solve_inventory(asked, ranges=False)
    graph = build_graph(plan_of_inventory(asked, answer), None, answer.label)
    assert verify_inventory_graph(asked, answer, graph).passed
    with pytest.raises(ValueError, match="without a placement"):
        plan_of_inventory(asked, replace(answer, placement=None))
