"""Checks of one problem share its optimum; nothing else of an answer is shared, and nothing unsettled is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from optimizer.facts.problem import Problem
from optimizer.questions import known_optima, uniform_steps
from optimizer.questions.uniform import check
from optimizer.reading.load import problem_from_dict
from optimizer.results.answer import Answer, Fixed
from tests.conftest import changed


def _counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    searched: list[str] = []
    solved = uniform_steps.solved

    def noted(quantities: Any, *rest: Any, **more: Any) -> Answer:
        searched.append(quantities.problem.name)
        return solved(quantities, *rest, **more)

    monkeypatch.setattr(uniform_steps, "solved", noted)
    return searched


def test_the_optimum_is_proved_once_and_the_same_as_alone(
    example: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = _counted(monkeypatch)
    strategies = (Fixed(2, 4, 1), Fixed(4, 1, 2), Fixed(8, 1, 1))
    together = [check(problem_from_dict(example), one, repairs=False) for one in strategies]
    assert len(searched) == 1
    for one, answer in zip(strategies, together, strict=True):
        known_optima.forget()
        assert check(problem_from_dict(example), one, repairs=False) == answer


def test_another_problem_has_another_optimum(example: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    searched = _counted(monkeypatch)
    slower = changed(example, workload__requests_per_s=2)
    first, second = (check(problem_from_dict(one), Fixed(4, 1, 2), repairs=False) for one in (example, slower))
    assert len(searched) == 2
    assert first.optimum is not None and second.optimum is not None
    assert first.optimum.objective != second.optimum.objective


def test_only_what_is_settled_and_verified_is_kept(example: dict[str, Any]) -> None:
    problem: Problem = problem_from_dict(example)
    found = check(problem, Fixed(4, 1, 2), repairs=False).optimum
    assert found is not None and known_optima.known(problem) is found
    for doubtful in (
        replace(found, status="feasible"),
        replace(found, status="unknown"),
        replace(found, verification=replace(found.verification, passed=False)),
    ):
        known_optima.forget()
        known_optima.keep(problem, doubtful)
        assert known_optima.known(problem) is None


def test_the_longest_unused_is_forgotten(example: dict[str, Any]) -> None:
    problem = problem_from_dict(example)
    found = check(problem, Fixed(4, 1, 2), repairs=False).optimum
    assert found is not None
    for number in range(known_optima.MOST_KEPT):
        known_optima.keep(problem.model_copy(update={"name": f"p{number}"}), found)
        assert known_optima.known(problem.model_copy(update={"name": "p0"})) is found
    assert known_optima.known(problem) is None
    assert known_optima.known(problem.model_copy(update={"name": "p1"})) is found
