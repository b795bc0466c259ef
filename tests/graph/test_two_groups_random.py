"""Graphs of random instances over two node groups: true ones pass, and take the round of the search or say why not."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from optimizer.graph import build_graph, plan_of_inventory
from optimizer.results.inventory import InventoryAnswer, PoolPart
from optimizer.results.placement import GpuPlace, PlacedInstance, Placement
from optimizer.verify.graph import verify_inventory_graph
from tests.graph.cases import EXPERTS, TINY, strategy
from tests.graph.two_groups import AHEAD, BEHIND, BIG_GPUS, SMALL_GPUS, counted, inventory, placed, uneven


@pytest.fixture(scope="module")
def any_answer() -> InventoryAnswer:
    return placed(inventory(TINY), uneven(7), (AHEAD, BEHIND), BIG_GPUS + SMALL_GPUS)


@pytest.mark.parametrize("seed", range(16))
def test_any_two_groups(seed: int, any_answer: InventoryAnswer) -> None:
    """Parts on one node or several, NVLink domains smaller and larger than nodes, names that could be taken for each other."""
    rng = random.Random(seed)
    tp, names = rng.choice([1, 2, 4]), rng.choice([("a", "b"), ("a-0", "a"), ("a", "a-0")])
    cluster, parts, gpus = [], [], []
    for name in names:
        stages = rng.choice([1, 1, 2, 3, 4])
        nodes = rng.choice([count for count in range(1, stages + 1) if stages % count == 0])
        each, nvlink = tp * stages // nodes, rng.choice([0, 200, 900])
        there = each + rng.choice([0, 0, 1, 3])
        cluster.append(
            {
                "name": name,
                "gpu": rng.choice(["h100-sxm-80gb", "a100-sxm-40gb", "l40s-48gb"]),
                "nodes": nodes + rng.choice([0, 1]),
                "gpus_per_node": there,
                "free_gpus": rng.choice([there, each]),
                "pcie_gb_per_s": rng.choice([16, 64]),
                "internode_gbit_per_s": rng.choice([10, 100, 400]),
                "internode_latency_us": rng.choice([0, 5, 50]),
                "nvlink_gb_per_s": nvlink,
                "nvlink_domain_gpus": rng.choice([1, 2, each, there * nodes, 2 * there * nodes]) if nvlink else 1,
            }
        )
        parts.append(PoolPart(name, stages, nodes))
        gpus += [GpuPlace(f"{name}-{at // each}", at % each) for at in range(tp * stages)]
    model = rng.choice(
        [TINY | {"num_hidden_layers": 12}, EXPERTS | {"num_hidden_layers": 12, "mlp_only_layers": [0, 3]}]
    )
    asked, total = inventory(model, *cluster), sum(part.stages for part in parts)
    cuts = sorted(rng.sample(range(1, 12), total - 1))
    split = tuple(end - start for start, end in zip([0, *cuts], [*cuts, 12], strict=True))
    shape = strategy(tp, total, ep=rng.choice([1, tp]) if asked.model.experts else 1, layers=split)
    pool = replace(any_answer.pools[0], parts=tuple(parts), strategy=shape)
    placement = Placement((PlacedInstance("replica-0", 0, shape, 1, 1.0, tuple(gpus)),))
    answer = replace(any_answer, pools=(pool,), placement=placement)
    running = rng.choice([1, 2, 5, 8])
    graph = build_graph(plan_of_inventory(asked, answer, running), None, "any")
    found = verify_inventory_graph(asked, answer, graph, running)
    assert found.passed, found.mismatches[:5]
    [instance] = graph.instances()
    expected = counted(asked, answer, running)
    if not any("more than the cost model counts" in note for note in graph.notes):
        assert instance.decode_step_ms == pytest.approx(expected, rel=1e-12)
    assert instance.decode_step_ms >= expected * (1 - 1e-12)
