"""The example of docs/several.md, section 7, and what ``check`` says of other splits of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from optimizer.facts.several import SeveralProblem
from optimizer.questions.several import check_several, solve_several
from optimizer.reading.proposal import several_proposal_from_dict
from optimizer.reading.question import load_problem
from optimizer.render.envelope import envelope
from optimizer.results.several import SeveralAnswer
from optimizer.verify.several.check import verify_several

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


def test_the_json_of_an_answer_is_judged_the_same(problem: SeveralProblem, answer: SeveralAnswer) -> None:
    judged = check_several(problem, several_proposal_from_dict(envelope(answer)))
    assert judged.feasible and judged.status == "optimal" and judged.verification.passed
    assert judged.objective == answer.objective


def test_a_split_without_room_and_one_that_breaks_a_rule(problem: SeveralProblem) -> None:
    wide = check_several(
        problem, several_proposal_from_dict({"models": {"llama-70b": {"tp": 8}, "qwen-8b": {"tp": 1, "nodes": 2}}})
    )
    assert wide.feasible is False and wide.placement is None and "placement" in wide.explanation[0]
    slow = check_several(problem, several_proposal_from_dict({"models": {"llama-70b": {"tp": 4, "dp": 1}}}))
    assert slow.feasible is False and slow.verification.passed, slow.verification.mismatches
    assert any("survive_node is broken" in said for said in slow.explanation)


@pytest.mark.parametrize("wrong", ["value", "gpu", "free", "nodes", "optimum"])
def test_the_verifier_denies_a_wrong_answer(problem: SeveralProblem, answer: SeveralAnswer, wrong: str) -> None:
    assert answer.placement is not None
    first, *others = answer.models
    if wrong == "value":
        answer = replace(answer, models=(replace(first, value=first.value - 1), *others))
    elif wrong == "gpu":
        answer = replace(
            answer, placement=(replace(answer.placement[0], gpus=answer.placement[1].gpus), *answer.placement[1:])
        )
    elif wrong == "free":
        answer = replace(answer, free_gpus=(0, 1))
    elif wrong == "nodes":
        answer = replace(answer, models=(replace(first, nodes=1), *others))
    else:
        worse = check_several(problem, several_proposal_from_dict({"models": {"qwen-8b": {"tp": 2, "dp": 4}}}))
        assert worse.objective is not None
        claimed = replace(worse.objective, bound=worse.objective.value, gap=0.0)
        answer = replace(worse, status="optimal", feasible=None, optimum=None, objective=claimed)
    found = verify_several(problem, answer)
    assert not found.passed
    if wrong == "optimum":
        assert found.optimality == "refuted"
