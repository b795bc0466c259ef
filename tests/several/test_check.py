"""What ``check`` says of proposed splits, and what the verifier denies of answers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from optimizer.facts.errors import ProblemError
from optimizer.facts.several import SeveralProblem
from optimizer.questions.several import check_several, solve_several
from optimizer.reading.proposal import several_proposal_from_dict
from optimizer.render.envelope import envelope
from optimizer.results.several import SeveralAnswer
from optimizer.verify.several.check import verify_several
from tests.several.problems import problem_with


@pytest.fixture(scope="module")
def problem() -> SeveralProblem:
    return problem_with({"workload": {"requests_per_s": 5}})


@pytest.fixture(scope="module")
def answer(problem: SeveralProblem) -> SeveralAnswer:
    return solve_several(problem)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, answer: SeveralAnswer) -> None:
    """The optimum beside a judged split is the one that is known already."""
    monkeypatch.setattr("optimizer.questions.several.solve_several", lambda *_, **__: answer)


def judged(problem: SeveralProblem, **models: dict[str, int]) -> SeveralAnswer:
    return check_several(problem, several_proposal_from_dict({"models": models}))


@pytest.mark.usefixtures("quick")
def test_the_json_of_an_answer_is_judged_the_same(problem: SeveralProblem, answer: SeveralAnswer) -> None:
    assert answer.status == "optimal" and answer.verification.optimality == "exhaustive"
    again = check_several(problem, several_proposal_from_dict(envelope(answer)))
    assert again.feasible and again.status == "optimal" and again.verification.passed
    assert again.objective == answer.objective


@pytest.mark.usefixtures("quick")
def test_a_split_without_room_and_one_that_breaks_a_rule(problem: SeveralProblem) -> None:
    wide = judged(problem, first={"tp": 2, "dp": 4}, second={"tp": 1})
    assert wide.feasible is False and wide.placement is None and "placement" in wide.explanation[0]
    assert wide.verification.passed, wide.verification.mismatches
    slow = judged(problem, first={"tp": 1, "dp": 1})
    assert slow.feasible is False and slow.verification.passed, slow.verification.mismatches
    assert any("tpot_p99 is broken" in said for said in slow.explanation)
    with pytest.raises(ProblemError, match="one at least stands on each"):
        judged(problem, first={"tp": 1, "dp": 1, "nodes": 2})


@pytest.mark.parametrize("wrong", ["value", "gpu", "free", "nodes", "optimum"])
@pytest.mark.usefixtures("quick")
def test_the_verifier_denies_a_wrong_answer(problem: SeveralProblem, answer: SeveralAnswer, wrong: str) -> None:
    assert answer.placement is not None
    first, *others = answer.models
    if wrong == "value":
        answer = replace(answer, models=(replace(first, value=first.value - 1), *others))
    elif wrong == "gpu":
        there = replace(answer.placement[0], gpus=answer.placement[1].gpus)
        answer = replace(answer, placement=(there, *answer.placement[1:]))
    elif wrong == "free":
        answer = replace(answer, free_gpus=(0, 1))
    elif wrong == "nodes":
        answer = replace(answer, models=(replace(first, nodes=3 - first.nodes), *others))
    else:
        worse = judged(problem, second={"tp": 1, "dp": 1})
        assert worse.objective is not None
        claimed = replace(worse.objective, bound=worse.objective.value, gap=0.0)
        answer = replace(worse, status="optimal", feasible=None, optimum=None, objective=claimed)
    found = verify_several(problem, answer, exhaustive=wrong == "optimum")
    assert not found.passed
    if wrong == "optimum":
        assert found.optimality == "refuted"
