"""Instances over several nodes within racks and NVLink domains: what the model over counts allows, and never forbids."""

from __future__ import annotations

import random
from typing import Any

import pytest

from optimizer.facts.inventory import NodeGroup
from optimizer.reading.inventory_file import inventory_from_dict
from optimizer.search.common.solver import cp_model, new_solver
from optimizer.search.inventory.candidate import StagePart
from optimizer.search.inventory.master import fill_nodes


def group_of(nodes: int, racks: int | None, **more: Any) -> NodeGroup:
    """Nodes of eight H100."""
    group = {"name": "a", "gpu": "h100-sxm-80gb", "nodes": nodes, "gpus_per_node": 8, **more}
    if racks is not None:
        group["racks"] = racks
    workload = {"prompt_tokens": 100, "output_tokens": 100, "requests_per_s": 1}
    return inventory_from_dict(
        {"name": "racks", "cluster": [group], "model": "llama3-70b", "workload": workload}
    ).groups[0]


def most(group: NodeGroup, sizes: list[tuple[int, int]], wanted: list[int] | None = None) -> int | None:
    """The most instances of (nodes, GPUs on each) together, or of so many of each if these are allowed; None where they are not."""
    model = cp_model.CpModel()
    counts = [model.new_int_var(0, 1000, "") for _ in sizes]
    for count, exactly in zip(counts, wanted or [], strict=False):
        model.add(count == exactly)
    fill_nodes(model, group, [(StagePart(1, n, each), 1, c) for (n, each), c in zip(sizes, counts, strict=True)])
    model.maximize(sum(counts))
    solver = new_solver()
    return int(solver.objective_value) if solver.solve(model) == cp_model.OPTIMAL else None


@pytest.mark.parametrize(
    ("nodes", "racks", "sizes", "right"),
    [
        (16, 2, [(3, 8)], 4),  # two in each rack of eight; by nodes alone five
        (16, None, [(3, 8)], 5),
        (14, 2, [(4, 5)], 2),  # five of eight GPUs leave no room for another five
        (14, 2, [(4, 4)], 7),  # two share nodes: only GPUs count
        (21, 3, [(4, 8), (5, 8)], 3),
        (21, 3, [(3, 8), (1, 8)], 21),
    ],
)
def test_instances_over_several_nodes_stand_within_racks(
    nodes: int, racks: int | None, sizes: list[tuple[int, int]], right: int
) -> None:
    assert most(group_of(nodes, racks), sizes) == right


def test_within_nvlink_domains_of_a_rack() -> None:
    # Racks of seven nodes hold a domain of four and one of three.
    group = group_of(14, 2, nvlink_domain_gpus=32)
    assert group.nodes_together == 4
    assert most(group, [(3, 8)]) == 4
    assert most(group, [(4, 8)]) == 2
    assert most(group, [(2, 8)]) == 6


@pytest.mark.parametrize("seed", range(12))
def test_what_stands_in_racks_is_allowed(seed: int) -> None:
    rng = random.Random(seed)
    racks, per_rack = rng.randint(1, 3), rng.randint(2, 9)
    sizes = sorted({(rng.randint(1, per_rack), rng.choice([5, 6, 8])) for _ in range(4)})
    counts = [0] * len(sizes)
    for _ in range(racks):
        left = per_rack
        while fitting := [n for n, (nodes, _) in enumerate(sizes) if nodes <= left]:
            chosen = rng.choice(fitting)
            counts[chosen] += 1
            left -= sizes[chosen][0]
    assert most(group_of(racks * per_rack, racks), sizes, counts) == sum(counts)
