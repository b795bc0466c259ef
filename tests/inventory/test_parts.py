"""Ways to fill a node, what beats what, and the bound of a curve, each against brute force."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from optimizer.reading.inventory_file import inventory_from_dict
from optimizer.search.inventory.candidate import MICRO, nodes_needed
from optimizer.search.inventory.candidates import Candidates
from optimizer.search.inventory.curves import Curves
from optimizer.search.inventory.dominance import dominated_at_each_rate
from optimizer.search.inventory.patterns import patterns
from tests.inventory.generate import random_inventory


@pytest.mark.parametrize(("sizes", "free"), [((1, 2, 4), 7), ((2, 3), 8), ((4, 8), 8), ((5,), 4), ((1, 3, 6), 8)])
def test_fullest_fillings_against_all(sizes: tuple[int, ...], free: int) -> None:
    everything = [
        counts
        for counts in product(*(range(free // size + 1) for size in sizes))
        if sum(c * s for c, s in zip(counts, sizes, strict=True)) <= free
    ]
    full = {
        counts for counts in everything if free - sum(c * s for c, s in zip(counts, sizes, strict=True)) < min(sizes)
    }
    assert set(patterns([(size, 1) for size in sizes], free, free)) == full


def test_tp_groups_stay_in_their_nvlink_domain() -> None:
    """Eight GPUs in pairs hold no TP4, and six GPUs in domains of four hold one TP4 and one TP2."""
    assert patterns([(4, 4)], 8, 2) == [(0,)]
    assert patterns([(4, 4), (2, 2)], 6, 4) == [(1, 1), (0, 3)]


def test_nodes_of_an_instance() -> None:
    assert nodes_needed(4, 1, 8, 4) == 1
    assert nodes_needed(16, 2, 8, 4) == 2
    assert nodes_needed(16, 2, 7, 4) is None, "eight on each of two nodes are more than seven"
    assert nodes_needed(16, 4, 7, 4) == 4
    assert nodes_needed(16, 2, 8, 1) is None, "one node together is not enough"


def test_several_smaller_ones_beat_a_large_one() -> None:
    """Two of half the size that carry as much in no more time; not when they are slower."""
    grid = np.array([0.0, 1.0, 2.0, 4.0])
    carries = np.array([[2, 4]] * 3)
    needs = np.array([[[2, 1, 1]], [[4, 1, 1]]])
    fast = np.array([[10.0, 10, 10, 10], [11, 11, 11, 11]])
    assert dominated_at_each_rate(fast, grid, carries, needs) == {1: (0, 2)}
    assert dominated_at_each_rate(fast[::-1], grid, carries, needs) == {}


@pytest.mark.parametrize("seed", range(12))
def test_the_bound_of_a_curve_is_above_every_rate(seed: int) -> None:
    """Γ(γ) ≥ r · (γ − T(r)) at rates that were not sampled, and close to the best of them."""
    candidates = Candidates(inventory_from_dict(random_inventory(seed)))
    rng = np.random.default_rng(seed)
    for kind in candidates.group_types:
        kind.widen()
        curves = Curves(kind)
        for gamma in (500.0, 3_000.0, 40_000.0):
            bounds = curves.bounds(gamma, 1e-6, range(len(kind.candidates)))
            for one, (winner, many) in kind.dominated.items():
                assert bounds[one] <= many * bounds[winner] * (1 + 2e-6), (
                    "what beats a candidate earns no less in its place"
                )
            for candidate, bound in zip(kind.candidates, bounds, strict=True):
                rates = np.sort(rng.uniform(0, 1, 300)) * candidate.slots_capacity / MICRO
                means = kind.means([candidate], rates[None, :])[0]
                assert (np.diff(means) >= -1e-9 * means[:-1]).all(), "the mean time grows with the rate"
                attained = max(0.0, float((rates * (gamma - means)).max()))
                assert bound >= attained * (1 - 1e-12)
                assert bound <= attained * 1.05 + 1e-6 * gamma


@pytest.mark.parametrize("seed", [3, 6, 8, 13])
def test_what_beats_an_candidate_carries_no_less(seed: int) -> None:
    """In its place, which it fits; and what beats is beaten by none."""
    candidates = Candidates(inventory_from_dict(random_inventory(seed)))
    for kind in candidates.group_types:
        first = kind.candidates
        kind.widen()
        assert kind.candidates[: len(first)] == first, "what is added comes behind"
        assert sorted([*kind.kept, *kind.dominated]) == list(range(len(kind.candidates)))
        for one, (winner, many) in kind.dominated.items():
            dominated, better = kind.candidates[one], kind.candidates[winner]
            assert winner in kind.kept
            assert (
                many * better.capacity >= dominated.capacity
                and many * better.slots_capacity >= dominated.slots_capacity
            )
            assert many * better.gpus <= dominated.gpus
            assert all(a.gpus_per_node <= b.gpus_per_node for a, b in zip(better.parts, dominated.parts, strict=True))
        assert all(candidate.slots_capacity >= candidate.capacity > 0 for candidate in kind.candidates)
