"""What nodes are worth: a bound that no choice of instances is below, whatever the multiplier, and that proves ordinary optima."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

from optimizer.questions.inventory import solve_inventory, without_tolerance
from optimizer.reading.inventory_file import inventory_from_dict, load_inventory
from optimizer.results.answer import Fixed
from optimizer.search.inventory.candidates import Candidates
from optimizer.search.inventory.solve import InventorySolver
from optimizer.verify.common.arithmetic import sixty_digits
from optimizer.verify.inventory import verify_inventory
from optimizer.verify.inventory.float_times import TimeCurves
from optimizer.verify.inventory.instance import Instances
from optimizer.verify.inventory.priced_pairs import Across
from optimizer.verify.inventory.prices import CheckedPrices
from optimizer.verify.inventory.site import CheckedSite
from optimizer.verify.inventory.worth import filled
from tests.conftest import ROOT
from tests.inventory.generate import random_inventory, tight_inventory

PLAIN = ROOT / "problems" / "four-plain-groups.yaml"


@pytest.mark.parametrize("seed", range(0, 24, 3))
@pytest.mark.parametrize("make", [random_inventory, tight_inventory])
def test_no_multiplier_puts_the_bound_above_the_best_plan(make: object, seed: int) -> None:
    """Against the search's own valuation of its plan: a bound above it would be wrong, whoever is right about the optimum."""
    assert callable(make)
    stated = make(seed)
    stated["objective"] = {"gpu_ms": 20.0} if seed % 5 == 4 else ("latency" if seed % 5 == 3 else "balanced")
    problem = inventory_from_dict(stated)
    found = InventorySolver(problem, Candidates(problem)).run()
    if found.best is None:
        pytest.skip("nothing works there")
    with sixty_digits():
        prices = CheckedPrices(CheckedSite(problem), Instances(problem), TimeCurves(), Fixed())
        exact = found.best.value.exact_ms
        for factor in (0.5, 0.9, 1.0, 1.1, 1.3, 2.0, 5.0, 30.0):
            assert not prices.proves([exact * factor], exact), factor


def test_nodes_are_filled_as_well_as_they_can_be() -> None:
    """Against every multiset of parts."""
    rng = np.random.default_rng(3)
    for _ in range(50):
        free = int(rng.integers(1, 9))
        pieces = {int(size): float(rng.integers(0, 20)) for size in rng.integers(1, 9, size=3)}
        best = [0.0] * (free + 1)
        for g in range(free + 1):
            best[g] = max([best[g - 1] if g else 0.0, *(best[g - s] + v for s, v in pieces.items() if s <= g)])
        assert filled(pieces, free).tolist() == best


def test_four_plain_groups_are_proved_by_price() -> None:
    """No racks stated, so that a pipeline may stand on any two groups: none has to be built or looked at."""
    problem = without_tolerance(load_inventory(PLAIN))
    answer = solve_inventory(problem, ranges=False)
    assert answer.status == "optimal" and answer.verification.passed
    assert answer.verification.optimality == "exhaustive" and answer.verification.compared == 0
    # All 304 GPUs reach the same whole millisecond as 288, and of equals the fewer are taken.
    assert {pool.strategy.tensor_parallel for pool in answer.pools} == {8} and answer.gpus_used == 288


def test_a_value_that_is_too_high_by_a_few_milliseconds_is_not_proved() -> None:
    """The price of the true optimum does not carry a claim above it: the enumeration, or nobody, decides."""
    problem = load_inventory(ROOT / "problems" / "h100-and-a100.yaml")
    answer = solve_inventory(problem, ranges=False)
    assert answer.objective is not None and answer.verification.optimality == "exhaustive"
    worse = replace(answer.objective, value=answer.objective.value + 5, bound=answer.objective.value + 5)
    told = verify_inventory(problem, replace(answer, objective=worse))
    assert not told.passed


def test_layers_that_cost_nothing_bound_nothing_and_warn_of_nothing() -> None:
    """Of this model some layers have no attention: a bound over stages of these alone divided by zero."""
    stated = inventory_from_dict(
        {
            "cluster": [
                {"gpu": "a100-pcie-80gb", "nodes": 2, "gpus_per_node": 2},
                {"gpu": "h100-nvl-94gb", "nodes": 2, "gpus_per_node": 2},
            ],
            "model": "nemotron-super-49b",
            "workload": {"prompt_tokens": 68, "output_tokens": 11, "requests_per_s": 1.1},
            "requirements": {"max_batch": 32, "max_sequence_tokens": 8192},
            "engine": "sglang",
        }
    )
    across = Across(stated, Instances(stated), Fixed())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = across.parts((stated.groups[0], stated.groups[1]), 5_000.0)
    assert found and all(np.isfinite(one.gains).all() for one in found)


def test_answers_that_take_longer_than_a_lost_request_counts_are_proved() -> None:
    """Long answers on slow GPUs: bounds ended at what an unserved request counts, and a gap of a third was left."""
    stated = {
        "model": "qwen2.5-32b",
        "engine": "sglang",
        "workload": {"prompt_tokens": 342, "output_tokens": 1530, "requests_per_s": 0.7},
        "cluster": [
            {"name": "a", "gpu": "a40-48gb", "nodes": 2, "gpus_per_node": 4},
            {"name": "b", "gpu": "l20-48gb", "nodes": 1, "gpus_per_node": 2},
        ],
        "requirements": {"survive": {"gpu": 1}, "max_batch": 64},
        "objective": {"unserved_penalty_ms": 20_000},
    }
    answer = solve_inventory(inventory_from_dict(stated), ranges=False)
    assert answer.status == "optimal" and answer.verification.optimality == "exhaustive"
    assert answer.objective is not None and answer.objective.value > 20_000
    said = " ".join(answer.explanation)
    assert "objective.unserved_penalty_ms" in said
