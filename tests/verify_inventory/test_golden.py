"""Failure states, losses and restarts worked out by hand, or by going through every state of every named part."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest

from optimizer.facts.inventory import InventoryProblem, Losses
from optimizer.results.inventory import RateRange
from optimizer.results.placement import GpuPlace, PlacedInstance
from optimizer.verify.common.arithmetic import sixty_digits
from optimizer.verify.inventory import verify_inventory
from optimizer.verify.inventory.float_times import TimeCurves
from optimizer.verify.inventory.instance import Instances, nodes_needed
from optimizer.verify.inventory.losses import worst_loss
from optimizer.verify.inventory.restarts import Restarts
from optimizer.verify.inventory.sample import sample
from optimizer.verify.inventory.shares import least_split
from optimizer.verify.inventory.simulate import levels_of, simulate
from optimizer.verify.inventory.site import CheckedSite
from optimizer.verify.inventory.states import members_of, rates_of, states_of
from optimizer.verify.inventory.value import InstanceFamily, LoadWeights, Totals, judge, totals
from tests.verify.builders import GPU
from tests.verify_inventory.builders import SLOW_GPU, answer_for, problem, shape

GPU_H, NODE_H, RACK_H, REPAIR_H = 1000.0, 3000.0, 10_000.0, 10.0
FAILURES = {"gpu_mtbf_hours": GPU_H, "node_mtbf_hours": NODE_H, "rack_mtbf_hours": RACK_H, "repair_hours": REPAIR_H}
UP_GPU, UP_NODE, UP_RACK = (mtbf / (mtbf + REPAIR_H) for mtbf in (GPU_H, NODE_H, RACK_H))


def standing(*gpus: list[tuple[str, int]]) -> list[PlacedInstance]:
    """Instances on the named GPUs."""
    strategy: Any = None
    return [
        PlacedInstance(f"i{n}", 0, strategy, 1, 0.0, tuple(GpuPlace(node, index) for node, index in places))
        for n, places in enumerate(gpus)
    ]


def distribution(
    stated: InventoryProblem, placed: list[PlacedInstance], families: list[int]
) -> dict[tuple[int, ...], float]:
    sizes = [families.count(family) for family in range(max(families) + 1)]
    members = members_of(CheckedSite(stated), placed, families, rates_of(stated, stated.failing_levels()))
    found = states_of(stated, members, sizes)
    assert np.isclose(found.probability.sum(), 1, atol=1e-14)
    assert abs(found.leaving.sum()) < 1e-12  # nothing leaves the set of all states
    return {tuple(line): p for line, p in zip(found.down.tolist(), found.probability.tolist(), strict=True)}


def test_one_instance_is_up_when_all_its_parts_are() -> None:
    stated = problem(failures=FAILURES)
    found = distribution(stated, standing([("a-0", 0), ("a-0", 1), ("a-1", 0), ("a-1", 1)]), [0])
    assert found[(0,)] == pytest.approx(UP_GPU**4 * UP_NODE**2 * UP_RACK, rel=1e-13)


def test_two_instances_on_one_node_without_racks() -> None:
    stated = problem(
        cluster=[{"name": "a", "gpu": GPU, "nodes": 1, "gpus_per_node": 4}],
        failures=FAILURES,
        requirements={"max_batch": 32},
    )
    found = distribution(stated, standing([("a-0", 0), ("a-0", 1)], [("a-0", 2), ("a-0", 3)]), [0, 0])
    up = UP_GPU**2
    assert found[(0,)] == pytest.approx(UP_NODE * up * up, rel=1e-13)
    assert found[(1,)] == pytest.approx(UP_NODE * 2 * up * (1 - up), rel=1e-12)
    assert found[(2,)] == pytest.approx(1 - UP_NODE + UP_NODE * (1 - up) ** 2, rel=1e-12)


def test_a_rack_takes_both_its_nodes() -> None:
    stated = problem(failures=FAILURES)
    found = distribution(stated, standing([("a-0", 0)], [("a-1", 0)], [("a-2", 0)]), [0, 0, 1])
    one = UP_GPU * UP_NODE
    assert found[(2, 0)] == pytest.approx((1 - UP_RACK + UP_RACK * (1 - one) ** 2) * UP_RACK * one, rel=1e-12)
    assert found[(0, 1)] == pytest.approx(UP_RACK * one**2 * (1 - UP_RACK * one), rel=1e-12)


LAID_OUT = problem(
    cluster=[
        {"name": "a", "gpu": GPU, "nodes": 2, "gpus_per_node": 2, "rack": "r1", "zone": "east"},
        {"name": "b", "gpu": GPU, "nodes": 2, "gpus_per_node": 2, "rack": "r2"},
    ],
    domains={"switch": {"s1": ["a", "b"], "s2": ["b"]}},
    failures={**FAILURES, "zone_mtbf_hours": 5000, "domain_mtbf_hours": 2500},
    workload={"prompt_tokens": 900, "output_tokens": 128, "requests_per_s": 60.0},
    requirements={"max_batch": 32},
)  # fmt: skip
PLACED = standing([("a-0", 0), ("a-1", 0)], [("a-0", 1)], [("b-0", 0)], [("b-1", 0)])
FAMILY_OF = [1, 0, 0, 0]


@sixty_digits()
def exact_totals() -> tuple[list[InstanceFamily], Totals]:
    """The totals of ``LAID_OUT`` with three instances of TP1 and one of TP2, by the verifier."""
    instances, curves, group = Instances(LAID_OUT), TimeCurves(), LAID_OUT.groups[0]
    families = []
    for t, count, rate in ((1, 3, 15.0), (2, 1, 15.0)):
        one = instances.of(group, shape(t))
        families.append(InstanceFamily(curves.of(one), count, rate, 24.0 if t == 1 else 30.0))
    members = members_of(CheckedSite(LAID_OUT), PLACED, FAMILY_OF, rates_of(LAID_OUT, LAID_OUT.failing_levels()))
    return families, totals(families, 60.0, LoadWeights.of(LAID_OUT.objective), states_of(LAID_OUT, members, [3, 1]))


def test_every_state_of_every_part() -> None:
    """2^14 states of named parts: value, availability, and the frequency of outages part by part."""
    families, found = exact_totals()
    weights = LoadWeights.of(LAID_OUT.objective)
    levels = levels_of(CheckedSite(LAID_OUT), PLACED)
    parts = [(level, part) for level in levels for part in range(level.parts)]
    assert len(parts) == 5 + 4 + 2 + 1 + 2
    victims = [set(level.instance[level.part == part].tolist()) for level, part in parts]
    unavailable = np.array([REPAIR_H / (REPAIR_H + level.mtbf_hours) for level, _ in parts])
    states = np.array(list(product((False, True), repeat=len(parts))))
    p = np.where(states, unavailable, 1 - unavailable).prod(axis=1)
    hit = np.stack([states[:, [i in v for v in victims]].any(axis=1) for i in range(len(PLACED))], axis=1)
    down = np.stack([hit[:, [f == k for f in FAMILY_OF]].sum(axis=1) for k in (0, 1)], axis=1)
    seen = judge(families, 60.0, weights, down.astype(np.int64))
    assert found.availability == pytest.approx(float(p @ seen.served), abs=1e-11)
    assert found.carried == pytest.approx(float(p @ seen.carried), abs=1e-11)
    assert 0.9 < found.carried < found.availability < 1
    value = float(p @ (seen.served_ms + (1 - seen.served) * weights.penalty_ms))
    assert found.served_ms + found.unserved_ms == pytest.approx(value, abs=1e-5)
    frequency = 0.0
    for k, (level, _) in enumerate(parts):
        u, gone = unavailable[k], states[:, k]
        up, lost = (p[seen.carried & ~gone].sum() / (1 - u), p[seen.carried & gone].sum() / u)
        frequency += (1 - u) / level.mtbf_hours * float(up - lost)
    assert found.outages_per_hour == pytest.approx(frequency, rel=1e-9)


def test_simulation_and_sampling_contain_the_exact_value_and_nothing_far_from_it() -> None:
    families, found = exact_totals()
    setting = (
        levels_of(CheckedSite(LAID_OUT), PLACED), REPAIR_H, families, np.array(FAMILY_OF), 60.0,
        LoadWeights.of(LAID_OUT.objective),
    )  # fmt: skip
    for seed in range(1, 6):
        played = simulate(*setting, seed)
        assert abs(played.availability - found.availability) <= played.within < 0.05 * (1 - found.availability) + 1e-3
        assert abs(played.outages - found.outages_per_hour * played.hours) <= played.outages_within
        assert played.outages > 1000
        drawn = sample(*setting, seed)
        assert abs(drawn.availability - found.availability) <= drawn.within < 2e-3
    assert simulate(*setting, 1) == simulate(*setting, 1)


def test_what_a_state_does() -> None:
    """Four instances that carry 10 requests/s of 30 planned 7.5 each: unchanged to three, shed below."""
    stated = problem()
    curve = TimeCurves().of(Instances(stated).of(stated.groups[0], shape(1)))
    families = [InstanceFamily(curve, 4, 7.5, 10.0)]
    weights = LoadWeights(1.0, 1.0, 60_000.0, 0.0)
    seen = judge(families, 30.0, weights, np.array([[0], [1], [2], [4]]))
    assert seen.served.tolist() == [1, 1, 0.5, 0]
    assert seen.carried.tolist() == [True, True, False, False]
    usual, more = curve.mean_ms(np.array([7.5, 10.0]))
    assert seen.served_ms == pytest.approx([usual, more, usual / 2, 0])
    # A penalty so small that serving less costs less: shed even though three could carry all.
    assert judge(families, 30.0, LoadWeights(1.0, 1.0, 0.0, 0.0), np.array([[0], [1]])).carried.tolist() == [
        True,
        False,
    ]


def test_by_capacity_where_the_planned_proportions_do_not_fit() -> None:
    stated = problem()
    instances = Instances(stated)
    fast, slow = (TimeCurves().of(instances.of(stated.groups[0], shape(t))) for t in (2, 1))
    families = [InstanceFamily(fast, 2, 5.0, 20.0), InstanceFamily(slow, 1, 10.0, 10.0)]
    seen = judge(families, 20.0, LoadWeights(1.0, 1.0, 60_000.0, 0.0), np.array([[1, 0]]))
    rates = 20.0 * 20 / 30, 20.0 * 10 / 30
    mean = rates[0] / 20 * fast.mean_ms(np.array(rates[:1])) + rates[1] / 20 * slow.mean_ms(np.array(rates[1:]))
    assert seen.carried[0] and seen.served_ms == pytest.approx(mean)


@pytest.mark.parametrize(
    ("level", "count", "left"),
    [("gpu", 1, 7), ("gpu", 2, 4), ("node", 1, 6), ("node", 2, 3), ("rack", 1, 5), ("switch", 1, 0), ("zone", 1, 6)],
)
def test_worst_losses(level: str, count: int, left: int) -> None:
    """Capacities 4 (over nodes a-0 and a-1), 1 (a-0), 3 (b-0), 3 (b-1), of 11."""
    capacities = [Fraction(c) for c in (4, 1, 3, 3)]
    found = worst_loss(CheckedSite(LAID_OUT), Losses(level=level, count=count), PLACED, capacities, [False] * 4)
    assert found.capacity_left == left


def test_restarts_by_trying_everything() -> None:
    """Against every choice of named GPUs and every choice of instances to bring back."""
    stated = problem(cluster=[{"name": "a", "gpu": GPU, "nodes": 3, "gpus_per_node": 4, "free_gpus": 4}],
                     requirements={"max_batch": 32, "survive": {"gpu": 2, "within_s": 600}})  # fmt: skip
    placed = standing(
        [("a-0", 0), ("a-0", 1)], [("a-0", 2)], [("a-1", 0), ("a-1", 1), ("a-1", 2), ("a-1", 3)], [("a-2", 0)],
        [("a-2", 1), ("a-2", 2)],
    )  # fmt: skip
    for able in product((True, False), repeat=5):
        for costs in ((5, 2, 9, 2, 3), (1, 8, 2, 4, 4)):
            capacities = [Fraction(c) for c in costs]
            for count in (1, 2):
                found = Restarts(CheckedSite(stated), placed, capacities, able).worst(count)
                assert found[0] == _worst_by_hand(placed, costs, able, count)


def _worst_by_hand(placed: list[PlacedInstance], costs: tuple[int, ...], able: tuple[bool, ...], count: int) -> int:
    owner = {place: n for n, instance in enumerate(placed) for place in instance.gpus}
    every = [GpuPlace(f"a-{node}", index) for node in range(3) for index in range(4)]
    worst = 0
    for lost in combinations(every, count):
        hurt = {owner[place] for place in lost if place in owner}
        spare = {
            f"a-{n}": sum(p.node == f"a-{n}" and p not in owner and p not in lost for p in every) for n in range(3)
        }
        least = sum(costs[i] for i in hurt)
        for back in product((True, False), repeat=len(hurt)):
            saved = {i for i, yes in zip(sorted(hurt), back, strict=True) if yes}
            need = [place.node for place in lost if owner.get(place) in saved]
            if all(able[i] for i in saved) and all(need.count(node) <= spare[node] for node in spare):
                least = min(least, sum(costs[i] for i in hurt - saved))
        worst = max(worst, least)
    return worst


def test_nodes_of_an_instance() -> None:
    stated = problem(cluster=[{"name": "a", "gpu": GPU, "nodes": 4, "gpus_per_node": 4, "free_gpus": 3, "racks": 2}])
    group = stated.groups[0]
    assert nodes_needed(group, shape(2)) == 1
    assert nodes_needed(group, shape(2, 2)) == 2  # 4 GPUs, 2 on each node
    assert nodes_needed(group, shape(1, 2)) == 1
    assert nodes_needed(group, shape(4)) is None  # a tensor-parallel group is not cut
    assert nodes_needed(group, shape(2, 7)) is None  # 14 GPUs need more nodes than a rack has


def test_splits() -> None:
    """Two equal families share equally; one that costs more gets less; none is left out."""
    part = np.arange(1001) / 1000
    costs = np.where(part > 0, part * part, np.inf)
    assert least_split([costs, costs]) == (pytest.approx(0.5), (500, 500))
    assert least_split([costs, 4 * costs, np.where(part <= 0.2, costs, np.inf)]) is not None
    best = least_split([costs, 4 * costs, np.where(part <= 0.2, costs, np.inf)])
    assert best is not None and best[1] == (640, 160, 200)
    assert least_split([np.where(part <= 0.4, costs, np.inf)] * 2) is None


def test_another_split_of_the_load() -> None:
    """A thousandth moved between families: the rates agree with the shares, but the split is not the best."""
    stated = problem(
        cluster=[
            *({"name": n, "gpu": g, "nodes": 1, "gpus_per_node": 2} for n, g in (("fast", GPU), ("slow", SLOW_GPU)))
        ],
        requirements={"max_batch": 32},
    )
    good = answer_for(stated, [(0, shape(1), 2), (1, shape(1), 2)], status="feasible")
    assert verify_inventory(stated, good).passed
    moved = []
    for pool, step in zip(good.pools, (-0.05, 0.05), strict=True):
        share = round(pool.share + step, 3)
        moved.append(replace(pool, share=share, planned_rate=share * 20 / 2))
    found = verify_inventory(stated, replace(good, pools=tuple(moved)))
    assert any(mismatch.what == "pools.share" for mismatch in found.mismatches)


def test_the_simulation_catches_what_the_sums_would_let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    stated = problem(failures=FAILURES, requirements={"max_batch": 32})
    good = answer_for(stated, [(0, shape(1), 1)], status="feasible")
    assert good.reliability is not None
    monkeypatch.setattr("optimizer.verify.inventory.check.check_reliability", lambda *_: None)
    for off in (1.3, 0.7):
        availability = 1 - (1 - good.reliability.availability) * off
        false = replace(good, reliability=replace(good.reliability, availability=availability))
        found = verify_inventory(stated, false)
        assert [mismatch.what for mismatch in found.mismatches] == ["simulation of reliability.availability"]
    assert verify_inventory(stated, good).passed and verify_inventory(stated, good, seed=9).passed


def test_too_many_states_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    stated = problem(failures=FAILURES, requirements={"max_batch": 32})
    good = answer_for(stated, [(0, shape(1), 8)], status="feasible")
    monkeypatch.setattr("optimizer.verify.inventory.states.MOST_STATES", 2)
    found = verify_inventory(stated, good)
    assert found.passed and "not recomputed, only simulated" in found.resolution


def test_the_same_choice_at_the_ends_of_the_rates() -> None:
    ranges = {name: {"value": hours, "low": hours / 2, "high": hours * 2} for name, hours in FAILURES.items()}
    stated = problem(failures=ranges, requirements={"max_batch": 32})
    chosen = [(0, shape(1), 2)]
    good = answer_for(stated, chosen, status="feasible")
    ends = []
    for end, factor in (("low", 0.5), ("high", 2.0)):
        rates = {name: hours * (factor if name != "repair_hours" else 1 / factor) for name, hours in FAILURES.items()}
        there = answer_for(problem(failures=rates, requirements={"max_batch": 32}), chosen)
        assert there.reliability is not None
        ends.append(RateRange(end, there.reliability.availability, True, good.label))
    assert verify_inventory(stated, replace(good, ranges=tuple(ends))).passed
    for change in ({"availability": ends[0].availability + 1e-6}, {"end": "middle"}, {"choice": "something else"}):
        found = verify_inventory(stated, replace(good, ranges=(replace(ends[0], **change), ends[1])))
        assert len(found.mismatches) == 1 and found.mismatches[0].what.startswith("ranges.")
