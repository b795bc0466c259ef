"""The distribution of instances down against brute force over the state of every part."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from optimizer.search.inventory.states import Site, Standing, Unavailable

RATES = Unavailable(gpu=0.03, nodes=(0.05, 0.2), rack=0.07, zone=0.11, stated=0.02)


def brute(site: Site, rates: Unavailable) -> dict[tuple[int, ...], float]:
    """Every combination of parts up and down."""
    parts: list[tuple[tuple[object, ...], float]] = []
    known: set[tuple[object, ...]] = set()
    needs: list[set[tuple[object, ...]]] = []
    for number, instance in enumerate(site.instances):
        mine: set[tuple[object, ...]] = set()
        for node, gpus in instance.gpus:
            mine |= {("gpu", number, node, i) for i in range(gpus)} | {("node", node)}
            if site.rack_of_node[node] is not None:
                mine.add(("rack", site.rack_of_node[node]))
            mine |= {("wide", *wide) for wide in site.wide_of_node.get(node, ())}
        needs.append(mine)
        for part in sorted(mine - known, key=repr):
            if part[0] == "node":
                assert isinstance(part[1], int)
                share = rates.nodes[site.kind_of_node[part[1]]]
            else:
                share = rates.of(str(part[1])) if part[0] == "wide" else getattr(rates, str(part[0]))
            parts.append((part, share))
        known |= mine
    found: dict[tuple[int, ...], float] = {}
    for states in product((False, True), repeat=len(parts)):
        weight = float(np.prod([u if down else 1 - u for (_, u), down in zip(parts, states, strict=True)]))
        gone = {part for (part, _), down in zip(parts, states, strict=True) if down}
        vector = [0] * site.pools
        for instance, mine in zip(site.instances, needs, strict=True):
            vector[instance.pool] += bool(mine & gone)
        key = tuple(vector)
        found[key] = found.get(key, 0.0) + weight
    return found


CASES = {
    "two instances on one node": Site(1, [Standing(0, ((0, 2),)), Standing(0, ((0, 1),))], {0: None}, {}, {0: 0}),
    "racks with several nodes": Site(
        2,
        [Standing(0, ((0, 1),)), Standing(1, ((1, 1),)), Standing(0, ((2, 1),)), Standing(1, ((3, 1),))],
        {0: "a", 1: "a", 2: "b", 3: "b"},
        {},
        {0: 0, 1: 1, 2: 0, 3: 0},
    ),
    "one over two nodes, another beside it": Site(
        2,
        [Standing(0, ((0, 2), (1, 2))), Standing(1, ((1, 1),)), Standing(1, ((2, 1),))],
        {0: "a", 1: "a", 2: None},
        {},
        {0: 0, 1: 1, 2: 1},
    ),
    "zones and a switch across them": Site(
        1,
        [Standing(0, ((0, 1),)), Standing(0, ((1, 1),)), Standing(0, ((2, 1),))],
        {0: None, 1: None, 2: "r"},
        {0: (("zone", "x"), ("switch", "s")), 1: (("zone", "y"), ("switch", "s")), 2: (("zone", "y"),)},
        {0: 0, 1: 0, 2: 1},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_against_every_state_of_every_part(name: str) -> None:
    site = CASES[name]
    expected = brute(site, RATES)
    spread = site.spread(RATES)
    found = {tuple(row): p for row, p in zip(spread.down.tolist(), spread.probability.tolist(), strict=True)}
    assert found.keys() == expected.keys()
    for key, probability in expected.items():
        assert found[key] == pytest.approx(probability, rel=1e-9)
    assert spread.probability.sum() + spread.lumped == pytest.approx(1, abs=1e-12)


def test_two_instances_on_one_node_by_hand() -> None:
    """Both down: the node, or with the node up two GPUs' worth and one; u = 0.05, 0.03."""
    site = CASES["two instances on one node"]
    spread = site.spread(RATES)
    both = 0.05 + 0.95 * (1 - 0.97**2) * 0.03
    assert spread.probability[spread.down[:, 0] == 2][0] == pytest.approx(both, rel=1e-12)


def test_what_never_fails_is_never_down() -> None:
    spread = CASES["zones and a switch across them"].spread(Unavailable(0, (0, 0), 0, 0, 0))
    assert spread.down.tolist() == [[0]] and spread.probability.tolist() == [1.0]
