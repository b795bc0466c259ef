"""A bound by what is spent, at multipliers that the search names: above no set of instances, and what it proves and does not."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from optimizer.facts.inventory import InventoryProblem
from optimizer.questions.inventory import solve_inventory
from optimizer.reading.inventory_file import inventory_from_dict
from optimizer.results.answer import Fixed
from optimizer.results.inventory import InventoryAnswer
from optimizer.search.inventory.candidates import Candidates
from optimizer.search.inventory.placer import Placer
from optimizer.search.inventory.plan import parts_of
from optimizer.search.inventory.valuation import Valuation
from optimizer.verify.common.arithmetic import sixty_digits
from optimizer.verify.inventory import verify_inventory
from optimizer.verify.inventory.float_times import TimeCurves
from optimizer.verify.inventory.instance import Instances
from optimizer.verify.inventory.prices import CheckedPrices
from optimizer.verify.inventory.site import CheckedSite
from optimizer.verify.inventory.spent_bound import spends_least, taken_off, together
from tests.inventory.every_plan import every_plan
from tests.inventory.generate import random_inventory


def two_groups(**more: Any) -> InventoryProblem:
    """22 nodes of H100 and A100 without racks: too many GPUs for going through sets."""
    cluster = [
        {"name": "h", "gpu": "h100-sxm-80gb", "nodes": 12, "gpus_per_node": 8, **more},
        {"name": "a", "gpu": "a100-sxm-80gb", "nodes": 10, "gpus_per_node": 8, **more},
    ]
    workload = {"prompt_tokens": 1155, "output_tokens": 211, "requests_per_s": 6}
    requirements = {"ttft_p99_ms": 5000, "tpot_p99_ms": 150, "max_batch": 64, "max_sequence_tokens": 8192}
    return inventory_from_dict(
        {
            "name": "two",
            "cluster": cluster,
            "model": "llama3-70b",
            "workload": workload,
            "requirements": requirements,
            "search": {"pipeline_parallel": [1]},
        }
    )


@pytest.fixture(scope="module")
def problem() -> InventoryProblem:
    return two_groups()


@pytest.fixture(scope="module")
def answer(problem: InventoryProblem) -> InventoryAnswer:
    return solve_inventory(problem, ranges=False)


def proved(problem: InventoryProblem, answer: InventoryAnswer, gammas: tuple[float, ...]) -> bool:
    """By these multipliers alone."""
    with sixty_digits():
        site = CheckedSite(problem)
        prices = CheckedPrices(site, Instances(problem), TimeCurves(), Fixed())
        return spends_least(site, prices, gammas, answer)


def test_an_answer_that_spends_less_is_proved_by_its_certificate(
    problem: InventoryProblem, answer: InventoryAnswer
) -> None:
    assert answer.status == "optimal" and answer.least is not None and answer.multipliers
    assert answer.verification.passed and answer.verification.optimality == "exhaustive"
    assert answer.verification.compared == 0
    assert proved(problem, answer, answer.multipliers)


def test_multipliers_that_prove_nothing_prove_nothing(problem: InventoryProblem, answer: InventoryAnswer) -> None:
    assert not proved(problem, answer, ())
    assert not proved(problem, answer, (answer.multipliers[0] * 50, 1e-3))
    without = verify_inventory(problem, replace(answer, multipliers=(-1.0, 0.0)))
    assert without.passed  # a certificate that is worth nothing makes no claim wrong


@pytest.mark.parametrize("more", [5, 100])
def test_what_spends_less_than_is_claimed_is_never_ruled_out(
    problem: InventoryProblem, answer: InventoryAnswer, more: int
) -> None:
    """What has the least objective is there: no multiplier proves that nothing has so little."""
    assert answer.least is not None
    wrong = replace(answer, least=replace(answer.least, value_ms=answer.least.value_ms + more))
    assert not proved(problem, wrong, answer.multipliers)


def test_more_gpus_than_are_needed_are_not_proved(problem: InventoryProblem, answer: InventoryAnswer) -> None:
    """The answer's own set spends less than one of all GPUs would."""
    assert answer.objective is not None and answer.placement is not None
    first = answer.placement.instances[0]
    wider = replace(first, gpus=(*first.gpus, *first.gpus))  # as if it used them twice
    wrong = replace(
        answer,
        gpus_used=answer.gpus_used + len(first.gpus),
        placement=replace(answer.placement, instances=(wider, *answer.placement.instances[1:])),
    )
    assert not proved(problem, wrong, answer.multipliers)


@pytest.mark.parametrize("seed", range(0, 24, 8))
def test_no_set_of_instances_is_below_the_bound(seed: int) -> None:
    stated = random_inventory(seed)
    stated["objective"] = "balanced"
    problem = inventory_from_dict(stated)
    candidates = Candidates(problem)
    placer = Placer(problem, candidates, Valuation(problem, candidates))
    placed = [one for one in map(placer.place, (every_plan(candidates) or [])[:40]) if one is not None]
    with sixty_digits():
        prices = CheckedPrices(CheckedSite(problem), Instances(problem), TimeCurves(), Fixed())
        for one, factor in itertools.product(placed[:5], (0.7, 1.0, 1.4)):
            found = prices.refined(one.value.exact_ms * factor, every_size=True)
            assert found is not None
            constant, groups = found
            used = dict.fromkeys(range(len(problem.groups)), 0)
            for entry in one.plan.entries:
                for group, part in parts_of(candidates, entry):
                    used[group] += part.gpus * entry.count
            off = sum(float(taken_off(priced)[used[number]]) for number, priced in enumerate(groups))
            assert constant - off <= one.value.exact_ms + 1e-6


def test_nodes_together_take_off_the_largest_sum() -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        one, other = (np.sort(rng.uniform(0, 9, size=n)) for n in rng.integers(1, 7, size=2))
        right = [
            max(one[i] + other[n - i] for i in range(len(one)) if 0 <= n - i < len(other))
            for n in range(len(one) + len(other) - 1)
        ]
        assert together(one, other).tolist() == pytest.approx(right)
