"""The enumeration: what it lists, what it bounds, and what it refutes."""

from __future__ import annotations

import random
from itertools import islice, product
from typing import Any

import numpy as np
import pytest

from optimizer.facts.inventory import InventoryProblem
from optimizer.questions.inventory import solve_inventory
from optimizer.reading.inventory_file import inventory_from_dict
from optimizer.verify.common.arithmetic import sixty_digits
from optimizer.verify.inventory import verify_inventory
from optimizer.verify.inventory.bound import Gains
from optimizer.verify.inventory.candidates import MILLION, candidates_of
from optimizer.verify.inventory.choices import TooMany, choices
from optimizer.verify.inventory.float_times import TimeCurves
from optimizer.verify.inventory.instance import Instances
from optimizer.verify.inventory.prices import CheckedPrices
from optimizer.verify.inventory.site import CheckedSite
from optimizer.verify.inventory.spread import placements
from tests.generate import MOE
from tests.inventory.generate import random_inventory
from tests.verify.builders import GPU
from tests.verify_inventory.builders import SLOW_GPU, answer_for, candidate, no_answer, problem, shape

SMALL: dict[str, Any] = {
    "cluster": [{"name": "a", "gpu": GPU, "nodes": 1, "gpus_per_node": 4}],
    "requirements": {"max_batch": 32, "tpot_p99_ms": 40},
}


@pytest.mark.parametrize("seed", range(60))
def test_every_choice_is_listed_once(seed: int) -> None:
    rng = random.Random(seed)
    count, lines = rng.randint(0, 5), rng.randint(1, 3)
    pool = np.array(sorted(rng.randint(0, 1) for _ in range(count)), dtype=np.int64)
    pool -= pool.min(initial=pool[0] if count else 0)
    sizes = np.array([rng.randint(1, 4) for _ in range(count)], dtype=np.int64)
    room = [rng.randint(1, 7), rng.randint(1, 6)]
    gain = np.array([[rng.choice([0.0, 1, 2, 5, -1]) for _ in range(count)] for _ in range(lines)]).reshape(
        lines, count
    )
    need = np.array([rng.choice([-2.0, 0, 3, 6, 9]) for _ in range(lines)])
    wanted = []
    for x in product(*(range(room[p] // s + 1) for p, s in zip(pool, sizes, strict=True))):
        counts = np.array(x, dtype=np.int64)
        fits = all((counts * sizes)[pool == k].sum() <= room[k] for k in (0, 1))
        if fits and (gain @ counts >= need).all():
            wanted.append(x)
    assert sorted(choices(sizes, pool, room, gain, need, 10**6, 10**6)) == wanted
    if len(wanted) > 1:
        with pytest.raises(TooMany):
            list(choices(sizes, pool, room, gain, need, 10**6, 1))


def inventories() -> list[InventoryProblem]:
    """A mixed one with busy GPUs, and a mixture of experts over nodes."""
    mixed = problem(
        cluster=[
            {"name": "a", "gpu": GPU, "nodes": 3, "gpus_per_node": 8, "free_gpus": 7, "nvlink_domain_gpus": 4},
            {"name": "b", "gpu": SLOW_GPU, "nodes": 2, "gpus_per_node": 2, "rack": "r"},
        ],
        requirements={"max_batch": 16, "ttft_p99_ms": 400, "tpot_p99_ms": 40},
    )
    experts = problem(model=MOE, cluster=[{"gpu": GPU, "nodes": 2, "gpus_per_node": 2}], requirements={"max_batch": 8})
    return [mixed, experts]


@pytest.mark.parametrize("number", [0, 1])
@sixty_digits()
def test_candidates_are_what_exact_arithmetic_says(number: int) -> None:
    stated = inventories()[number]
    for group in candidates_of(CheckedSite(stated), Instances(stated)):
        assert group
        for one in random.Random(number).sample(group, min(8, len(group))):
            assert one.slots == one.instance.most_slots()
            assert one.capacity == one.instance.capacity(one.slots) * MILLION
            assert one.slots_capacity == one.instance.slots_capacity(one.slots) * MILLION
            assert one.completes == pytest.approx(float(one.instance.completes(one.slots)), rel=1e-12)


@pytest.mark.parametrize("number", [0, 1])
@sixty_digits()
def test_gains_are_never_too_low(number: int) -> None:
    """At any rate up to k a request/s is worth at most Γ, and Γ is nearly reached."""
    stated, curves = inventories()[number], TimeCurves()
    candidates = [one for group in candidates_of(CheckedSite(stated), Instances(stated)) for one in group][::7]
    gains, rng = Gains(candidates, curves), np.random.default_rng(1)
    for gamma in (50.0, 400.0, 3000.0, 60_000.0):
        found = gains.of(gamma)
        for i, one in enumerate(candidates):
            rates = rng.uniform(0, 1, 400) * one.slots_capacity / MILLION
            worth = rates * (gamma - curves.of(one.instance).mean_ms(rates))
            assert worth.max() <= found[i] + 1e-9
            assert found[i] - max(0.0, worth.max()) <= 0.02 * gamma * one.slots_capacity / MILLION


@pytest.mark.parametrize("number", [0, 1])
def test_places_are_legal(number: int) -> None:
    stated = inventories()[number]
    site, instances = CheckedSite(stated), Instances(stated)
    sets = [[(0, shape(4), 2), (0, shape(2), 3), (1, shape(2), 1)], [(0, shape(2, 2, layers=10), 1)]]
    chosen = [(candidate(stated, instances, g, what), n) for g, what, n in sets[number]]
    seen = set()
    for placed, stood in islice(placements(site, chosen, {one.group: (one.group,) for one, _ in chosen}, 2000), 50):
        for instance, one in zip(placed, stood, strict=True):
            assert all(site.free(place) for place in instance.gpus)
            assert len(instance.gpus) == one.gpus and len(instance.nodes) == one.nodes
            t, width = one.instance.shape.group.tensor, 4 if number == 0 and one.group == 0 else 8
            for start in range(0, len(instance.gpus), t):
                ranks = instance.gpus[start : start + t]
                assert len({(place.node, place.index // width) for place in ranks}) == 1
        every = [place for instance in placed for place in instance.gpus]
        assert len(set(every)) == len(every)
        seen.add(tuple(sorted(tuple(sorted(place.name for place in i.gpus)) for i in placed)))
    assert len(seen) > 1 - number


def test_a_worse_choice_is_refuted_and_the_best_is_not() -> None:
    stated = problem(**SMALL, objective={"preset": "balanced", "tolerance": 0})
    best = solve_inventory(stated, ranges=False)
    assert best.objective is not None and best.status == "optimal"
    assert verify_inventory(stated, best).optimality == "exhaustive"
    refuted = 0
    for t, count in ((1, 1), (1, 3), (1, 4), (2, 2), (4, 1)):
        other = answer_for(stated, [(0, shape(t), count)])
        assert other.objective is not None
        found = verify_inventory(stated, other)
        worse = other.objective.value > best.objective.value
        assert (found.optimality == "refuted") == worse, (t, count)
        assert [m.what for m in found.mismatches] == (["optimality"] if worse else [])
        refuted += worse
    assert refuted >= 3


@pytest.mark.parametrize("preset", ["fewest-gpus", "throughput"])
def test_tiers_come_before_the_value(preset: str) -> None:
    stated = problem(
        **SMALL, objective=preset, workload={"prompt_tokens": 900, "output_tokens": 128, "requests_per_s": 3.0}
    )
    best = solve_inventory(stated, ranges=False)
    assert verify_inventory(stated, best).passed
    many, few = (answer_for(stated, [(0, shape(1), n)]) for n in (3, 1))
    expected = {"fewest-gpus": (False, True), "throughput": (False, False)}[preset]
    assert (verify_inventory(stated, many).passed, verify_inventory(stated, few).passed) == expected


@pytest.mark.parametrize("preset", ["fewest-gpus", "throughput"])
def test_what_nodes_are_worth_says_nothing_about_a_first_tier(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CheckedPrices, "proves", lambda *arguments: True)
    stated = problem(
        **SMALL, objective=preset, workload={"prompt_tokens": 900, "output_tokens": 128, "requests_per_s": 3.0}
    )
    assert not verify_inventory(stated, answer_for(stated, [(0, shape(1), 3)])).passed


def test_a_rival_that_carries_just_enough_refutes() -> None:
    """One instance carries a fifth more than what arrives: two of them are not the fewest GPUs."""
    alone = problem(**SMALL)
    carried = answer_for(alone, [(0, shape(1), 1)]).pools[0].capacity
    load = {"prompt_tokens": 900, "output_tokens": 128, "requests_per_s": round(carried / 1.2, 3)}
    stated = problem(**SMALL, objective="fewest-gpus", workload={**load})
    assert not verify_inventory(stated, answer_for(stated, [(0, shape(1), 2)])).passed
    assert verify_inventory(stated, answer_for(stated, [(0, shape(1), 1)])).passed


def test_a_rival_that_outlives_the_loss_with_just_enough_refutes() -> None:
    """Either of two nodes carries a fiftieth more than what arrives: two instances are enough, three are not the fewest."""
    needs = {"max_batch": 32, "tpot_p99_ms": 40, "survive": {"node": 1}}
    two_nodes = {**SMALL, "cluster": [{"name": "a", "gpu": GPU, "nodes": 2, "gpus_per_node": 4}], "requirements": needs}
    carried = answer_for(problem(**two_nodes), [(0, shape(1), 2)]).pools[0].capacity
    load = {"prompt_tokens": 900, "output_tokens": 128, "requests_per_s": round(carried / 1.02, 3)}
    stated = problem(**two_nodes, objective="fewest-gpus", workload=load)
    assert not verify_inventory(stated, answer_for(stated, [(0, shape(1), 3)])).passed
    assert verify_inventory(stated, answer_for(stated, [(0, shape(1), 2)])).passed


def test_infeasible_is_believed_only_when_nothing_fits() -> None:
    stated = problem(**SMALL)
    assert verify_inventory(stated, no_answer(stated)).optimality == "refuted"
    impossible = problem(**{**SMALL, "requirements": {"max_batch": 32, "survive": {"node": 1}}})
    found = verify_inventory(impossible, no_answer(impossible))
    assert found.passed and found.optimality == "exhaustive"


@pytest.mark.parametrize("seed", [2, 6])
def test_the_product_agrees(seed: int) -> None:
    """Small random inventories: every claim of the product's answers holds, and adding nothing is found that beats them."""
    stated = inventory_from_dict(random_inventory(500 + seed))
    answer = solve_inventory(stated, ranges=False, time_limit_s=20)
    found = verify_inventory(stated, answer)
    assert found.mismatches == ()
    assert verify_inventory(stated, answer) == found
