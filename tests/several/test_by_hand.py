"""The example of docs/several.md, section 7."""

from __future__ import annotations

from pathlib import Path

import pytest

from optimizer.facts.several import SeveralProblem
from optimizer.questions.several import solve_several
from optimizer.reading.question import load_problem
from optimizer.results.several import SeveralAnswer

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def problem() -> SeveralProblem:
    found = load_problem(ROOT / "problems" / "two-models.yaml")
    assert isinstance(found, SeveralProblem)
    return found


@pytest.fixture(scope="module")
def answer(problem: SeveralProblem) -> SeveralAnswer:
    return solve_several(problem)


def test_the_split_of_the_page(answer: SeveralAnswer) -> None:
    assert answer.status == "optimal" and answer.verification.optimality == "exhaustive"
    assert [one.strategy.label for one in answer.models] == ["TP4·PP1·DP2", "TP4·PP1·DP2"]
    assert [round(one.value, 2) for one in answer.models] == [7179.58, 1063.70]
    assert answer.objective is not None and round(answer.objective.value, 2) == 8243.27
    assert answer.free_gpus == (0, 0) and [one.nodes for one in answer.models] == [2, 2]
    fewer = next(one for one in answer.exchange if one.model == "qwen-8b" and one.direction == "fewer")
    assert fewer.difference is not None and round(fewer.difference, 2) == 340.53
    assert fewer.gpus == {"llama-70b": 8, "qwen-8b": 6}
    none = next(one for one in answer.exchange if one.model == "llama-70b" and one.direction == "more")
    assert none.difference is None and "No split" in none.sentence
