"""Power limits of inventories: equal to a model with every GPU by name, named in conflicts, mended by repairs."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from optimizer.facts.errors import ProblemError
from optimizer.questions.inventory import solve_inventory
from optimizer.reading.inventory_file import inventory_from_dict
from tests.conftest import changed
from tests.inventory.naive import naive_optimum
from tests.inventory.test_naive import small_inventory
from tests.verify.builders import GPU
from tests.verify_inventory.builders import SLOW_GPU

LOAD_W, IDLE_W = 700, 70
FAST = {**GPU, "tdp_watts": LOAD_W, "idle_watts": IDLE_W}
SLOW = {**SLOW_GPU, "tdp_watts": 400, "idle_watts": 62.5}


def limited(seed: int) -> dict[str, Any]:
    """A small inventory on one feed or two, with room for some of its GPUs."""
    rng, values = random.Random(seed), small_inventory(seed)
    for group in values["cluster"]:
        group["gpu"] = FAST if group["name"] == "a" else SLOW
        group["zone"] = rng.choice(["east", "west"])
        group["host_watts"] = rng.choice([0, 250])
    gpus = {g["name"]: g["nodes"] * g["gpus_per_node"] for g in values["cluster"]}
    whole = sum(700 * n + 250 for n in gpus.values())
    names = sorted({g["zone"] for g in values["cluster"]})
    values["power_limits_watts"] = {
        "total": rng.choice([0.5, 0.8, 1.2]) * whole,
        "zone": {names[0]: rng.choice([0.4, 0.7]) * whole},
    }
    return values


@pytest.mark.parametrize("seed", [0, 3, 5, 6])
def test_equal_to_every_gpu_by_name(seed: int) -> None:
    problem = inventory_from_dict(limited(seed))
    answer, naive = solve_inventory(problem, ranges=False), naive_optimum(problem)
    assert answer.verification.passed, answer.verification.mismatches
    if naive is None:
        assert answer.status == "infeasible"
        return
    assert answer.status == "optimal" and answer.objective is not None
    assert math.ceil(naive - 0.05) <= answer.objective.value <= math.ceil(naive + 0.05)
    drawn = {rule.id: rule for rule in answer.rules}["power_total"]
    assert drawn.holds and isinstance(drawn.actual, float) and drawn.actual <= problem.power_limits[0].watts


def one_feed(**stated: Any) -> dict[str, Any]:
    return {
        "cluster": [{"name": "a", "gpu": FAST, "nodes": 2, "gpus_per_node": 4, "zone": "east"}],
        "model": small_inventory(0)["model"],
        "workload": {"prompt_tokens": 900, "output_tokens": 300, "requests_per_s": 20.0},
        "requirements": {"max_batch": 16, "tpot_p99_ms": 40},
        "search": {"tensor_parallel": [1, 2, 4], "pipeline_parallel": [1]},
        **stated,
    }


def test_a_feed_that_is_too_weak_is_named_with_what_would_be_enough() -> None:
    answer = solve_inventory(inventory_from_dict(one_feed(power_limits_watts={"zone": {"east": 600}})))
    assert answer.status == "infeasible" and "power_zone" in answer.conflicts[0].rules
    assert "zone east may draw at most 600 W" in answer.conflicts[0].sentence.replace("Zone", "zone")
    by_field = {repair.changes[0].field: repair.changes[0].new for repair in answer.repairs if len(repair.changes) == 1}
    enough = by_field["power_limits_watts.zone.east"]
    again = solve_inventory(inventory_from_dict(one_feed(power_limits_watts={"zone": {"east": enough}})), ranges=False)
    assert again.status == "optimal" and again.verification.passed


def test_nodes_let_as_many_gpus_work_as_their_limit_allows() -> None:
    # A GPU that others hold counts at board power: 700 + 3 · 70 + 630 · 2 = 2,170 W let two of the other three work.
    values = one_feed()
    values["cluster"][0] |= {"free_gpus": 3, "node_power_limit_watts": 2170}
    problem = inventory_from_dict(values)
    assert (problem.groups[0].free_gpus, problem.groups[0].idle_gpus) == (2, 1)
    answer = solve_inventory(problem, ranges=False)
    assert answer.verification.passed and answer.gpus_free == 4
    rule = {one.id: one for one in answer.rules}["power_node"]
    assert rule.holds and rule.limit == 2170


def test_the_rule_can_be_switched_off() -> None:
    values = one_feed(
        power_limits_watts={"total": 600},
        search={"tensor_parallel": [1], "pipeline_parallel": [1], "disabled_rules": ["power_total"]},
    )
    answer = solve_inventory(inventory_from_dict(values), ranges=False)
    rule = {one.id: one for one in answer.rules}["power_total"]
    assert answer.status == "optimal" and not rule.holds and not rule.enabled and answer.verification.passed


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"rack": {"r1": 1000}}, "no such level"),
        ({"zone": {"west": 1000}}, "power_limits_watts.zone.west"),
        ({"zone": 1000}, "states names"),
        ({"total": {"x": 1000}}, "one figure"),
        ({"node": 1000}, "node_power_limit_watts"),
    ],
)
def test_limits_of_what_is_not_there(stated: dict[str, Any], said: str) -> None:
    with pytest.raises(ProblemError, match=said):
        inventory_from_dict(one_feed(power_limits_watts=stated))


def test_watts_that_are_not_known_are_asked_for() -> None:
    values = one_feed(power_limits_watts={"total": 5000})
    values["cluster"][0]["gpu"] = GPU
    with pytest.raises(ProblemError, match=r"cluster\.0"):
        inventory_from_dict(values)
    assert inventory_from_dict(changed(one_feed())).power_limits == ()
