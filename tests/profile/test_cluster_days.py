"""A day on an inventory: against the verifier's dynamic program, by hand, what is denied and refused."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from optimizer.facts.cluster_day import ClusterDayProblem
from optimizer.facts.errors import ProblemError
from optimizer.questions.cluster_day import solve_cluster_day
from optimizer.reading.cluster_day import cluster_day_from_dict
from optimizer.reading.question import load_problem, problem_from_dict
from optimizer.render.envelope import answer_schema, envelope
from optimizer.results.cluster_day import ClusterDayAnswer
from optimizer.search.common.clock import Clock
from optimizer.search.common.solver import cp_model, new_solver
from optimizer.search.profile.cluster_model import ClusterDayModel
from optimizer.search.profile.cluster_solve import ClusterDaySearch
from optimizer.verify.profile.cluster_check import verify_cluster_day

ROOT = Path(__file__).resolve().parents[2]


def small(**changes: Any) -> dict[str, Any]:
    """A day of three rates on a node of two H100 and two nodes of one L40S."""
    profile = [
        {"hours": [8, 18], "requests_per_s": 14},
        {"hours": [18, 23], "requests_per_s": 6},
        {"hours": [23, 8], "requests_per_s": 1},
    ]
    values: dict[str, Any] = {
        "name": "small",
        "cluster": [
            {"name": "h", "gpu": "h100-sxm-80gb", "nodes": 1, "gpus_per_node": 2, "price_per_gpu_hour": 2.5},
            {"name": "l", "gpu": "l40s-48gb", "nodes": 2, "gpus_per_node": 1, "price_per_gpu_hour": 0.9},
        ],
        "model": "llama3.1-8b",
        "workload": {"prompt_tokens": 500, "output_tokens": 200, "profile": profile},
        "requirements": {"max_batch": 32, "max_sequence_tokens": 2048, "tpot_p99_ms": 60},
        "search": {"pipeline_parallel": [1]},
    }
    return values | changes


def generated(seed: int) -> dict[str, Any]:
    """A random small day."""
    rng = random.Random(seed)
    values = small()
    hours = sorted(rng.sample(range(24), 3))
    pairs = zip(hours, [*hours[1:], hours[0]], strict=True)
    values["workload"]["profile"] = [{"hours": [a, b], "requests_per_s": rng.choice([1, 4, 9, 16])} for a, b in pairs]
    if rng.random() < 0.4:
        values["requirements"]["survive"] = {rng.choice(["gpu", "node"]): 1, "demand_share": rng.choice([0.3, 0.6])}
    values["schedule"] = {"drain_s": rng.choice([0, 120, 1800])}
    if rng.random() < 0.5:
        values["schedule"]["most_changes_per_hour"] = rng.choice([1, 2, 3])
    if rng.random() < 0.3:
        for group in values["cluster"]:
            del group["price_per_gpu_hour"]
    elif rng.random() < 0.4:
        values["schedule"]["start_price"] = rng.choice([0.5, 20.0])
    return values


@pytest.fixture(scope="module")
def day() -> ClusterDayProblem:
    return cluster_day_from_dict(small())


@pytest.fixture(scope="module")
def answer(day: ClusterDayProblem) -> ClusterDayAnswer:
    return solve_cluster_day(day)


@pytest.mark.parametrize("seed", [pytest.param(n, marks=() if n < 3 else pytest.mark.long) for n in range(20)])
def test_no_way_around_the_clock_is_cheaper(seed: int) -> None:
    answer = solve_cluster_day(cluster_day_from_dict(generated(seed)))
    assert answer.status in ("optimal", "infeasible")
    assert answer.verification.passed, answer.verification.mismatches
    # The dynamic program knows nothing of places kept over the day: where a plan is dearer for them, the proof is the search's alone.
    assert answer.verification.optimality in ("exhaustive", "bound")


def test_a_plan_and_what_it_saves(answer: ClusterDayAnswer) -> None:
    assert answer.status == "optimal" and answer.verification.optimality == "exhaustive", answer.verification
    assert sum(one.hours for one in answer.hours) == 24 and answer.cost is not None and answer.fixed is not None
    assert answer.cost.price is not None and answer.fixed.price is not None and answer.cost.price < answer.fixed.price
    assert all(one.requests_per_s <= one.within for one in answer.hours)
    assert answer.switches and "saves" in " ".join(answer.explanation)
    jsonschema.validate(json.loads(json.dumps(envelope(answer))), answer_schema())


@pytest.mark.parametrize("wrong", ["price", "started", "gpus", "start_s", "within", "optimum"])
def test_the_verifier_denies_a_wrong_plan(day: ClusterDayProblem, answer: ClusterDayAnswer, wrong: str) -> None:
    assert answer.cost is not None and answer.cost.price is not None
    first, *others = answer.hours
    if wrong == "price":
        answer = replace(answer, cost=replace(answer.cost, price=answer.cost.price - 0.01))
    elif wrong == "started":
        answer = replace(answer, hours=(replace(first, started=()), *others))
        assert first.started
    elif wrong == "within":
        answer = replace(answer, hours=(replace(first, within=first.within + 1), *others))
    elif wrong == "gpus":
        home = replace(answer.homes[0], gpus=answer.homes[1].gpus)
        answer = replace(answer, homes=(home, *answer.homes[1:]))
    elif wrong == "start_s":
        answer = replace(answer, homes=(replace(answer.homes[0], start_s=1), *answer.homes[1:]))
    else:
        dear = cluster_day_from_dict(small(schedule={"drain_s": 3600 * 24}))
        worse = solve_cluster_day(dear)
        assert worse.cost is not None and worse.cost.price is not None
        # The plan that changes little, claimed where changes cost less: it stays dearer than the best.
        price = sum(one.hours * (one.answer.price_per_hour or 0.0) for one in worse.hours)
        claimed = replace(worse.cost, price=price)
        answer = replace(worse, cost=claimed, bound=price)
    assert not verify_cluster_day(day, answer, exhaustive=wrong == "optimum").passed


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"schedule": {"first": "time"}}, "schedule.first"),
        ({"objective": "cheapest"}, "objective"),
        ({"serving": "any"}, "workload.profile"),
        ({"requirements": {"survive": {"gpu": 1, "within_s": 60}}}, "requirements.survive.within_s"),
        ({"hardware": {"gpu": "h100-sxm-80gb"}}, "cluster"),
    ],
)
def test_what_is_not_planned_names_its_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(ProblemError) as refused:
        problem_from_dict(small(**changes))
    assert refused.value.field == field


def test_a_rate_that_nothing_carries_has_its_conflict() -> None:
    values = small()
    values["workload"]["profile"][0]["requests_per_s"] = 500
    answer = solve_cluster_day(cluster_day_from_dict(values))
    assert answer.status == "infeasible" and answer.verification.passed
    assert "500" in answer.explanation[0]


def test_only_plans_of_the_least_cost_are_compared_by_time() -> None:
    day = cluster_day_from_dict(small())
    search = ClusterDaySearch(day, Clock(None))
    found = search.run()
    assert found.outcome == "optimal" and found.plan is not None and found.plan.cost == found.bound
    compared = {(item.place, item.position) for item in search.model.items}
    everything = ClusterDayModel(day, search.candidates, search.without, found.plan.segments)
    assert {(item.place, item.position) for item, _ in found.plan.homes} <= compared
    for item in everything.items:
        if (item.place, item.position) not in compared:
            number = everything.items.index(item)
            model = ClusterDayModel(day, search.candidates, search.without, found.plan.segments)
            model.model.add(sum(master.items[number].count for master in model.masters) >= 1)
            model.model.add(model.cost <= found.plan.cost)
            assert new_solver().solve(model.model) == cp_model.INFEASIBLE
    assert len(compared) < len(everything.items)


@pytest.mark.long
def test_the_day_of_the_page() -> None:
    """docs/profile.md, section 7."""
    day: Any = load_problem(ROOT / "problems" / "day-on-h100-and-l40s.yaml")
    answer = solve_cluster_day(day)
    assert answer.status == "optimal" and answer.verification.passed, answer.verification.mismatches
    assert answer.cost is not None and answer.fixed is not None and answer.fixed.price == pytest.approx(360.0)
    assert answer.cost.price == pytest.approx(218.56, abs=0.01)
