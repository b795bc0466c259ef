"""Days whose best plan is known without a search, random ones against the dynamic program, and files that are refused."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from optimizer.facts.errors import ProblemError
from optimizer.facts.profile import HOURS
from optimizer.questions.profile import solve_day
from optimizer.questions.uniform import solve as solve_uniform
from optimizer.reading.question import problem_from_dict
from tests.profile.problems import day_with, values_with

ALL_DAY = {"hours": [0, 24], "requests_per_s": 1.0}
FREE = {"engine_start_s": 0, "storage_gb_per_s": 1e6, "drain_s": 0}


def test_without_costs_of_changes_every_hour_is_planned_by_itself() -> None:
    day = day_with(schedule=FREE)
    answer = solve_day(day)
    assert answer.status == "optimal" and answer.verification.optimality == "exhaustive", answer.verification.mismatches
    for rate in day.distinct_rates:
        alone = solve_uniform(
            day.at(rate).model_copy(update={"objective": day.problem.objective.model_copy(update={"preset": "fewest-gpus"})}),
            repairs=False, alternatives=0,
        )  # fmt: skip
        assert alone.strategy is not None
        assert {one.strategy.gpus for one in answer.hours if one.requests_per_s == rate} == {alone.strategy.gpus}


def test_dear_starts_leave_the_day_as_it_is() -> None:
    answer = solve_day(day_with(hardware={"price_per_gpu_hour": 1.0}, schedule={"start_price": 500.0}))
    assert answer.status == "optimal" and answer.cost is not None and answer.cost.changes == 0
    assert answer.cost == answer.fixed and answer.switches == ()


def test_few_changes_are_spread_over_hours() -> None:
    free, bounded = (solve_day(day_with(schedule={**FREE, **more})) for more in ({}, {"most_changes_per_hour": 1}))
    assert bounded.status == "optimal" and bounded.verification.optimality == "exhaustive"
    assert all(one.started + one.stopped <= 1 for one in bounded.hours)
    assert free.cost is not None and bounded.cost is not None and bounded.cost.gpu_hours > free.cost.gpu_hours


def test_time_first_takes_what_is_fastest() -> None:
    fast, cheap = (solve_day(day_with(schedule={"first": first})) for first in ("time", "cost"))
    assert fast.verification.passed and fast.verification.optimality == "exhaustive", fast.verification.mismatches
    assert fast.cost is not None and cheap.cost is not None
    assert fast.cost.request_mean_ms < cheap.cost.request_mean_ms and fast.cost.gpu_hours > cheap.cost.gpu_hours


@pytest.mark.parametrize("seed", [pytest.param(n, marks=() if n < 2 else pytest.mark.long) for n in range(16)])
def test_random_days_agree_with_the_dynamic_program(seed: int) -> None:
    chance = random.Random(seed)
    rates = [round(chance.choice([1.0, 3.0, 6.0, 9.0, 12.0]), 1) for _ in range(HOURS)]
    profile = [{"hours": [hour, hour + 1], "requests_per_s": rate} for hour, rate in enumerate(rates)]
    schedule: dict[str, Any] = {
        "first": chance.choice(["cost", "time"]),
        "engine_start_s": chance.choice([30, 600, 1800]),
        "drain_s": chance.choice([0, 120]),
    }
    if chance.random() < 0.5:
        schedule["most_changes_per_hour"] = chance.choice([1, 2, 3])
    survive = {"survive": {"gpu": chance.choice([0, 1]), "demand_share": 0.8}}
    values = values_with(schedule=schedule, requirements=survive)
    values["workload"]["profile"] = profile
    answer = solve_day(problem_from_dict(values))  # type: ignore[arg-type]
    assert answer.verification.passed, answer.verification.mismatches
    assert answer.verification.optimality == "exhaustive" and answer.status in ("optimal", "infeasible")


def test_an_hour_that_nothing_carries_is_named() -> None:
    values = values_with()
    values["workload"]["profile"][1]["requests_per_s"] = 900.0
    answer = solve_day(problem_from_dict(values))  # type: ignore[arg-type]
    assert answer.status == "infeasible" and answer.verification.passed
    assert "900 requests/s" in answer.explanation[0] and answer.conflicts


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"workload": {"profile": [{"hours": [0, 8], "requests_per_s": 1.0}]}}, "workload.profile"),
        ({"workload": {"profile": [ALL_DAY, {"hours": [3, 4], "requests_per_s": 1.0}]}}, "workload.profile.1.hours"),
        ({"workload": {"profile": [{"hours": [0, 25], "requests_per_s": 1.0}]}}, "workload.profile.0.hours.1"),
        ({"workload": {"requests_per_s": 3.0}}, "workload.requests_per_s"),
        ({"schedule": {"start_price": 1.0}}, "schedule.start_price"),
        ({"schedule": {"often": 1}}, "schedule.often"),
        ({"schedule": {"engine_start_s": 4000}}, "schedule.storage_gb_per_s"),
        ({"objective": "throughput"}, "objective"),
        ({"serving": "any"}, "workload.profile"),
    ],
)
def test_a_file_that_cannot_be_asked_names_its_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(ProblemError) as refused:
        solve_day(problem_from_dict(values_with(**changes)))  # type: ignore[arg-type]
    assert refused.value.field == field


def test_rates_of_a_trace_are_percentiles_of_its_windows(tmp_path: Path) -> None:
    lines = ["arrived_at,num_prefill_tokens,num_decode_tokens"]
    # Two days; each hour one request a minute, and a burst of 60 in one of the windows of hour 9 on the second day.
    for second in range(0, 2 * 86400, 60):
        lines.append(f"{second},1000,200")
    lines += [f"{86400 + 9 * 3600 + i},1000,200" for i in range(1, 61)]
    rows = sorted(lines[1:], key=lambda line: float(line.split(",")[0]))
    (tmp_path / "days.csv").write_text("\n".join([lines[0], *rows]) + "\n")
    values = values_with()
    values["workload"]["profile"] = {"trace": "days.csv", "percentile": 100, "window_s": 300}
    problem = problem_from_dict(values, folder=tmp_path)
    assert problem.rates[9] == pytest.approx(65 / 300, abs=1e-4) and problem.rates[8] == pytest.approx(
        5 / 300, abs=1e-4
    )  # type: ignore[union-attr]
    values["workload"]["profile"]["percentile"] = 90
    assert problem_from_dict(values, folder=tmp_path).rates[9] == pytest.approx(5 / 300, abs=1e-4)  # type: ignore[union-attr]
