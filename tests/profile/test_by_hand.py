"""The example of docs/profile.md, section 6, and what the verifier denies of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from optimizer.facts.profile import ProfileProblem
from optimizer.questions.profile import solve_day
from optimizer.reading.question import load_problem
from optimizer.results.day import DayAnswer
from optimizer.verify.profile.check import verify_day

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def day() -> ProfileProblem:
    found = load_problem(ROOT / "problems" / "day-profile.yaml")
    assert isinstance(found, ProfileProblem)
    return found


@pytest.fixture(scope="module")
def answer(day: ProfileProblem) -> DayAnswer:
    return solve_day(day)


def test_the_day_of_the_page(answer: DayAnswer) -> None:
    assert answer.status == "optimal" and answer.verification.optimality == "exhaustive"
    assert [one.instances for one in answer.hours] == [2] * 7 + [3] * 2 + [5] * 3 + [4] * 2 + [5] * 4 + [3] * 4 + [
        2
    ] * 2
    assert {one.strategy.tensor_parallel for one in answer.hours} == {4}
    assert answer.cost is not None and answer.fixed is not None
    assert (
        answer.cost.serving_gpu_hours == 316 and round(answer.cost.gpu_hours, 1) == 318.0 and answer.cost.changes == 8
    )
    assert answer.fixed.gpu_hours == 480 and answer.cost.price == pytest.approx(318.0044 * 2.5, abs=0.01)
    (shape,) = answer.shapes
    assert shape.start_s == 331
    assert [one.requests_per_s for one in shape.thresholds] == [9.342, 18.684, 28.026, 37.369]
    assert shape.thresholds[0].add_at_per_s == 7.723
    assert answer.switches[0].startswith("At 06:54:29 start 1 instance of TP4·PP1, which serves by 07:00")


@pytest.mark.parametrize("wrong", ["instances", "within", "cost", "dearer", "start"])
def test_the_verifier_denies_a_wrong_plan(day: ProfileProblem, answer: DayAnswer, wrong: str) -> None:
    assert answer.cost is not None
    hours = list(answer.hours)
    if wrong == "instances":
        hours[10] = replace(hours[10], instances=3, strategy=replace(hours[10].strategy, data_parallel=3))
    elif wrong == "within":
        (shape,) = answer.shapes
        first, *others = shape.thresholds
        more = replace(first, requests_per_s=first.requests_per_s + 0.001)
        answer = replace(answer, shapes=(replace(shape, thresholds=(more, *others)),))
    elif wrong == "cost":
        answer = replace(answer, cost=replace(answer.cost, gpu_hours=answer.cost.gpu_hours - 1))
    elif wrong == "start":
        hours[7] = replace(hours[7], started=0)
    else:
        # One instance more at noon: nothing starts at two, and nothing stops at twelve; what is claimed of it is true.
        five = hours[11]
        hours[12:14] = [replace(five, hour=h, requests_per_s=day.rates[h]) for h in (12, 13)]
    found = verify_day(day, replace(answer, hours=tuple(hours)))
    assert not found.passed
