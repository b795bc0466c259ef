"""Graphs of instances whose stages stand on two node groups: numbers worked out by hand, the round of the search, and lies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from optimizer.facts.inventory import InventoryProblem
from optimizer.graph import DrawnPlan, build_graph, plan_of_inventory
from optimizer.questions.inventory import solve_inventory
from optimizer.reading.inventory_file import inventory_from_dict
from optimizer.render.graph_overview import overview
from optimizer.results.graph import GraphLink, GraphNode, InstanceGraph
from optimizer.results.inventory import InventoryAnswer, PoolPart
from optimizer.results.placement import GpuPlace
from optimizer.verify.graph import verify_inventory_graph
from tests.graph.cases import EXPERTS, TINY, strategy
from tests.graph.test_check import node_lie, renamed, time_lie
from tests.graph.two_groups import AHEAD, BEHIND, BIG, BIG_GPUS, SMALL_GPUS, counted, drawn, inventory, placed, uneven
from tests.inventory.generate import tight_inventory


@pytest.fixture(scope="module", params=[(TINY | {"num_hidden_layers": 7}, 1), (EXPERTS | {"num_hidden_layers": 7}, 2)])
def case(request: pytest.FixtureRequest) -> tuple[InventoryProblem, InventoryAnswer]:
    model, ep = request.param
    asked = inventory(model)
    return asked, placed(asked, uneven(7, ep), (AHEAD, BEHIND), BIG_GPUS + SMALL_GPUS)


def test_every_stage_and_send_is_that_of_its_own_group(case: tuple[InventoryProblem, InventoryAnswer]) -> None:
    """8 sequences in 4 micro-batches of 2: 2 x 1024 x 4 = 8,192 bytes go from stage to stage."""
    graph, instance, found = drawn(*case)
    assert found.passed, found.mismatches[:5]
    sends = [node for node in instance.nodes if node.kind == "send"]
    assert [(node.link, node.gpus) for node in sends] == [
        ("nvlink", ("big-0/gpu-0", "big-0/gpu-1", "big-0/gpu-2", "big-0/gpu-3")),
        ("network", ("big-0/gpu-2", "big-0/gpu-3", "small-0/gpu-0", "small-0/gpu-1")),
        ("network", ("small-0/gpu-0", "small-0/gpu-1", "small-1/gpu-0", "small-1/gpu-1")),
    ]
    # NVLink 100 GB/s; big's 10 GB/s with small's 50 us; small's own 25 GB/s with 50 us.
    lengths = [node.end_ms[0] - node.start_ms[0] for node in sends]
    assert lengths == pytest.approx([8192 / 100e6, 8192 / 10e6 + 0.05, 8192 / 25e6 + 0.05], abs=2e-9)
    assert [gpu.type for gpu in instance.gpus] == ["round-gpu"] * 4 + ["l4-24gb"] * 4
    assert [gpu.memory_bytes for gpu in instance.gpus][3:5] == [
        inventory_gpu.memory_bytes for inventory_gpu in (case[0].groups[0].gpu, case[0].groups[1].gpu)
    ]
    reduces = {(node.stage, node.link) for node in instance.nodes if node.kind == "all_reduce"}
    assert reduces == {(0, "nvlink"), (1, "nvlink"), (2, "pcie"), (3, "pcie")}
    assert GraphLink("network", "round-gpu and l4-24gb", 10.0, 0.05) in graph.links and len(graph.links) == 6
    assert any("different node groups (all engine instances)" in note for note in graph.notes)
    assert not any("more than the cost model counts" in note for note in graph.notes)
    boxes, arrows = overview(instance)
    assert "(round-gpu)" in boxes[1].lines[1] and "(l4-24gb)" in boxes[2].lines[1]
    assert [arrow.words for arrow in arrows] == [f"8,192 bytes over {node.link}" for node in sends]


@pytest.mark.parametrize("running", [1, 3, 5, 8])
def test_the_step_is_the_round_of_the_search(running: int, case: tuple[InventoryProblem, InventoryAnswer]) -> None:
    asked, answer = case
    graph = build_graph(plan_of_inventory(asked, answer, running), None)
    [instance] = graph.instances()
    assert instance.decode_step_ms == pytest.approx(counted(asked, answer, running), rel=1e-12)
    assert verify_inventory_graph(asked, answer, graph, running).passed
    with_default = verify_inventory_graph(asked, answer, graph)
    assert with_default.passed == (running == 8)


def test_the_slow_group_may_come_first() -> None:
    asked = inventory(TINY | {"num_hidden_layers": 7})
    answer = placed(asked, uneven(7), (BEHIND, AHEAD), SMALL_GPUS + BIG_GPUS)
    _, instance, found = drawn(asked, answer)
    assert found.passed, found.mismatches[:5]
    assert instance.decode_step_ms == pytest.approx(counted(asked, answer, 8), rel=1e-12)
    # Three of seven layers on the first two L4: slower than on the large GPUs.
    other = placed(asked, uneven(7), (AHEAD, BEHIND), BIG_GPUS + SMALL_GPUS)
    assert instance.decode_step_ms > drawn(asked, other)[1].decode_step_ms


def test_alike_groups_are_drawn_as_two_nodes_of_one_group() -> None:
    """TP4 fills a node: whether its two stages stand on two groups or on two nodes of one makes no difference in time."""
    model = TINY | {"num_hidden_layers": 4}
    alike = inventory(model, BIG, BIG | {"name": "alike"})
    shape = strategy(4, 2, layers=(3, 1))
    gpus = [GpuPlace("alike-0", index) for index in range(4)]
    apart = placed(alike, shape, (PoolPart("big", 1, 1), PoolPart("alike", 1, 1)), BIG_GPUS + gpus)
    pair = inventory(model, BIG | {"nodes": 2})
    gpus = [GpuPlace("big-1", index) for index in range(4)]
    together = placed(pair, shape, (PoolPart("big", 2, 2),), BIG_GPUS + gpus)
    (one, mine, passed), (other, theirs, also) = drawn(alike, apart), drawn(pair, together)
    assert passed.passed and also.passed, (passed.mismatches[:3], also.mismatches[:3])
    assert set(one.links) == set(other.links)

    def plain(nodes: tuple[GraphNode, ...]) -> list[Any]:
        return [(node.id, node.start_ms, node.end_ms, node.link, node.memory_bytes) for node in nodes]

    assert plain(mine.nodes) == plain(theirs.nodes)


@pytest.mark.heavy(9)
@pytest.mark.parametrize("seed", [7, 9])
def test_answers_of_the_search(seed: int) -> None:
    """Memory of each stage is the answer's, and the step the search's round."""
    asked = inventory_from_dict(tight_inventory(seed))
    answer = solve_inventory(asked, ranges=False)
    (pool,) = answer.pools
    assert len(pool.parts) == 2
    graph = build_graph(plan_of_inventory(asked, answer), None, answer.label)
    found = verify_inventory_graph(asked, answer, graph)
    assert found.passed, found.mismatches[:5]
    for instance in graph.instances():
        running = instance.sequences_in_progress
        assert instance.decode_step_ms == pytest.approx(counted(asked, answer, running), rel=1e-12)
        for gpu in instance.gpus:
            held = sum(node.memory_bytes for node in instance.nodes if node.gpus == (gpu.name,))
            assert held + sum(gpu.rest_bytes.values()) == pool.metrics.memory_bytes_per_stage[gpu.stage]


def _gpu_moved(instance: InstanceGraph) -> InstanceGraph:
    """A stage of the first group with a GPU of the second one, and the other way about."""
    there = renamed("small-0/gpu-0", "waiting")(instance)
    return renamed("waiting", "big-0/gpu-2")(renamed("big-0/gpu-2", "small-0/gpu-0")(there))


def _all_sends(**changes: object) -> Callable[[InstanceGraph], InstanceGraph]:
    def lie(instance: InstanceGraph) -> InstanceGraph:
        for stage in (0, 1, 2):
            instance = node_lie(f"s{stage}/send", **changes)(instance)
        return instance

    return lie


LIES: dict[str, tuple[Callable[[InstanceGraph], InstanceGraph], str]] = {
    "a GPU of the other group": (_gpu_moved, "GPU small-0/gpu-0 of stage 1"),
    "sends over another link": (_all_sends(link="pcie"), "r0/s1/send link"),
    "no link": (_all_sends(link=None), "r0/s1/send link"),
    "a faster send": (time_lie("s1/send", "end_ms", -0.02), "r0/s1/send length"),
    "a longer send": (time_lie("s1/send", "end_ms", 0.02), "r0/s1/send length"),
    "a shorter step": (lambda true: replace(true, decode_step_ms=true.decode_step_ms - 0.001), "decode step"),
    "memory of the other GPU": (
        lambda true: replace(
            true, gpus=tuple(replace(gpu, memory_bytes=true.gpus[0].memory_bytes) for gpu in true.gpus)
        ),
        "small-0/gpu-0 memory",
    ),
    "the other GPU's name": (
        lambda true: replace(true, gpus=tuple(replace(gpu, type=true.gpus[0].type) for gpu in true.gpus)),
        "small-0/gpu-0 type",
    ),
}


@pytest.mark.parametrize("name", LIES)
def test_lies_about_an_instance_are_found(name: str, case: tuple[InventoryProblem, InventoryAnswer]) -> None:
    asked, answer = case
    graph, instance, _ = drawn(asked, answer)
    lie, said = LIES[name]
    lied = lie(instance)
    found = verify_inventory_graph(asked, answer, replace(graph, instances=lambda: iter([lied])))
    assert any(said in mismatch.what for mismatch in found.mismatches), found.mismatches[:5]


def test_times_of_the_other_gpu_are_found(case: tuple[InventoryProblem, InventoryAnswer]) -> None:
    """Each stage in turn drawn as if it had the GPUs of the other group."""
    asked, answer = case
    plan = plan_of_inventory(asked, answer)
    (true,) = plan.instances
    for stage in range(4):
        stages = list(true.stages)
        other = stages[stage].hardware.model_copy(update={"gpu": stages[-1 - stage].hardware.gpu})
        stages[stage] = replace(stages[stage], hardware=other)
        wrong = replace(plan, instances=(replace(true, stages=tuple(stages)),))
        found = verify_inventory_graph(asked, answer, build_graph(wrong, None))
        assert any(f"replica 0, stage {stage}" in mismatch.what for mismatch in found.mismatches)


def test_what_the_graph_must_be_of(case: tuple[InventoryProblem, InventoryAnswer]) -> None:
    """The same graph against other claims: groups swapped, stages moved, one group only, another network, links left out."""
    asked, answer = case
    graph, _, _ = drawn(asked, answer)
    for parts in (
        (BEHIND, AHEAD),
        (replace(AHEAD, stages=1), replace(BEHIND, stages=3)),
        (AHEAD, replace(BEHIND, stages=3)),
        (replace(AHEAD, stages=4),),
        (replace(BEHIND, stages=4),),
    ):
        claim = replace(answer, pools=(replace(answer.pools[0], parts=parts),))
        assert not verify_inventory_graph(asked, claim, graph).passed, parts
    for change in ({"internode_gbit_per_s": 90}, {"internode_gbit_per_s": 60}, {"internode_latency_us": 60}):
        groups = [group.model_copy(update=change) for group in asked.groups]
        for other in ((groups[0], asked.groups[1]), (asked.groups[0], groups[1])):
            found = verify_inventory_graph(asked.model_copy(update={"groups": other}), answer, graph)
            assert not found.passed, change
    for links in (graph.links[:-1], (*graph.links, graph.links[-1]), graph.links[1:]):
        assert not verify_inventory_graph(asked, answer, replace(graph, links=links)).passed


def test_slower_sends_than_counted_are_told(case: tuple[InventoryProblem, InventoryAnswer]) -> None:
    """Stages on the big node's two halves in separate NVLink domains: PCIe in place of the NVLink that is counted."""
    asked, answer = case
    plan = plan_of_inventory(asked, answer)
    places = {name: replace(place, domain=f"{place.domain}/{name}") for name, place in plan.places.items()}
    graph = build_graph(DrawnPlan(plan.name, plan.instances, places), None)
    assert any("take up to" in note and "all engine instances" in note for note in graph.notes)
