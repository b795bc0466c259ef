"""Sharing work changes no answer: ``solve_many`` against ``solve``, and the shared enumeration against the plain one."""

from __future__ import annotations

import dataclasses
import os
import random
from typing import Any

import pytest

from optimizer import problem_from_dict, solve
from optimizer.explain.uniform.conflict import satisfiable
from optimizer.facts.errors import ProblemError
from optimizer.facts.problem import Problem
from optimizer.questions import many
from optimizer.questions.many import solve_many
from optimizer.results.answer import Answer, Fixed, Verification
from optimizer.search.uniform import space
from optimizer.search.uniform.quantities import Quantities
from optimizer.search.uniform.rules import rule_ids
from optimizer.search.uniform.space import build_space
from optimizer.verify.common.space import rows
from optimizer.verify.common.stage import Stages
from optimizer.verify.uniform.check import verify_answer
from optimizer.verify.uniform.float_candidate import FloatBar, survey
from optimizer.verify.uniform.shared import SharedSurvey
from tests.conftest import changed
from tests.generate import random_problem

SEEDS = range(100 if os.environ.get("OPTIMIZER_LONG_TESTS") else 4)


def family(seed: int) -> list[Problem]:
    """Variants of one problem that share tables: nodes, rate, limits, failures, weights."""
    values, rng, made = random_problem(seed), random.Random(seed), []
    for nodes in (1, 2, 3, 5):
        changes: dict[str, Any] = {"hardware__nodes": nodes}
        if rng.random() < 0.5:
            changes["workload__requests_per_s"] = values["workload"]["requests_per_s"] * rng.choice([0.3, 0.7, 2.0])
        if rng.random() < 0.3:
            changes["requirements__survive"] = {rng.choice(["gpu", "node"]): 1, "demand_share": rng.choice([0.5, 1.0])}
        if rng.random() < 0.3:
            preset = rng.choice(["latency", "throughput", "fewest-gpus", "fault-tolerance"])
            changes["objective"] = {"preset": preset, "gpu_ms": rng.choice([0, 3.5])}
        if rng.random() < 0.3:
            changes["hardware__failures"] = {"gpu_mtbf_hours": 500, "repair_hours": 30}
        try:
            made.append(problem_from_dict(changed(values, **changes)))
        except ProblemError:
            continue
    return made


@pytest.mark.parametrize("seed", SEEDS)
def test_same_answers_as_solve(seed: int) -> None:
    problems = family(seed)
    found = dict(solve_many(problems))
    assert sorted(found) == list(range(len(problems)))
    for position, problem in enumerate(problems):
        alone, together = solve(problem, repairs=False), found[position]
        assert isinstance(together, Answer)
        assert together.status == alone.status
        for name in ("strategy", "metrics", "objective", "rules", "search_limits", "cost_source"):
            assert getattr(together, name) == getattr(alone, name), name
        assert together.verification.passed and together.verification.optimality == "exhaustive"
        if alone.verification.optimality == "exhaustive":
            assert together.verification.candidates == alone.verification.candidates
        if together.status == "infeasible":
            _check_conflict(problem, together)


def _check_conflict(problem: Problem, answer: Answer) -> None:
    """The rules cannot hold together, and without any one of them the rest can."""
    quantities = Quantities(problem, build_space(problem))
    (conflict,) = answer.conflicts
    if not quantities.space.rows:
        assert conflict.rules == ()
        return
    if "gpu_count" in conflict.rules:
        return  # of ``solve`` itself, which also looks at more GPUs
    assert set(conflict.rules) <= set(rule_ids(problem))
    assert not satisfiable(quantities, None, set(conflict.rules))
    for rule in conflict.rules:
        assert satisfiable(quantities, None, set(conflict.rules) - {rule})
    assert conflict.sentence in answer.explanation


def test_answers_are_both_feasible_and_not() -> None:
    """The generator proves something only if both kinds occur."""
    found = [answer for seed in SEEDS for _, answer in solve_many(family(seed))]
    statuses = [answer.status for answer in found if isinstance(answer, Answer)]
    assert statuses.count("optimal") >= 2 and statuses.count("infeasible") >= 2


@pytest.mark.parametrize("seed", SEEDS)
def test_shared_enumeration_sees_every_candidate(seed: int) -> None:
    """Row by row, what may be feasible is the same, and so is the best that it reaches."""
    problems = family(seed)
    shared = SharedSurvey([p for p in problems if _alike(p, problems[-1])])
    for problem in problems:
        if not shared.serves(problem):
            continue
        plain = survey(problem, Fixed(), list(rows(problem, Fixed())), Stages(problem), None, most_rivals=10**9)
        seen = shared.survey(problem, None, most_rivals=10**9)
        assert seen.candidates == plain.candidates
        mine, theirs = _best(seen.rivals), _best(plain.rivals)
        assert mine.keys() == theirs.keys()
        for row, (tier, value) in theirs.items():
            assert mine[row] == (tier, pytest.approx(value, rel=1e-9, abs=1e-6))


@pytest.mark.parametrize("seed", SEEDS)
def test_shared_enumeration_finds_every_rival(seed: int) -> None:
    """Whatever bar is set, the rows that may beat it are those that the plain enumeration finds."""
    problem = family(seed)[-1]
    shared, stages, offered = SharedSurvey([problem]), Stages(problem), list(rows(problem, Fixed()))
    every = survey(problem, Fixed(), offered, stages, None, most_rivals=10**9).rivals
    best = [(*found[:2], row, found[2]) for row, found in _best_slots(every).items() if found[1] > -1e300]
    best.sort(key=lambda entry: entry[:2])
    for tier, value, row, slots in best[:: max(1, len(best) // 6)]:
        bar = FloatBar(tier, value, 0.002, 2e-5, row, slots)
        plain = survey(problem, Fixed(), offered, stages, bar, most_rivals=10**9)
        seen = shared.survey(problem, bar, most_rivals=10**9)
        assert {rival[3] for rival in seen.rivals} == {rival[3] for rival in plain.rivals}
        assert seen.claimed == pytest.approx(plain.claimed)


def _best_slots(rivals: list[Any]) -> dict[Any, tuple[float, float, int]]:
    best: dict[Any, tuple[float, float, int]] = {}
    for tier, value, _, row, slots in rivals:
        best[row] = min(best.get(row, (float("inf"), float("inf"), 0)), (tier, value, slots))
    return best


def _alike(one: Problem, other: Problem) -> bool:
    return SharedSurvey([max(one, other, key=lambda p: p.hardware.gpus)]).serves(one if one is not other else other)


def _best(rivals: list[Any]) -> dict[Any, tuple[float, float]]:
    """Best tier, and best value at it, by row."""
    best: dict[Any, tuple[float, float]] = {}
    for tier, value, _, row, _ in rivals:
        best[row] = min(best.get(row, (float("inf"), float("inf"))), (tier, value))
    return best


@pytest.mark.parametrize("seed", SEEDS)
def test_shared_verification_refutes_what_is_not_the_best(seed: int) -> None:
    """A claim that is not the optimum, and a claimed infeasibility of a feasible problem, are found out."""
    problems = family(seed)
    for position, answer in solve_many(problems):
        problem = problems[position]
        if not isinstance(answer, Answer) or answer.status != "optimal" or answer.strategy is None:
            continue
        shared = SharedSurvey([problem])
        none = Verification(False, 0, "not claimed", 0, "")
        denied = Answer(problem.name, "infeasible", None, None, None, (), none, (), cost_source=problem.cost_source)
        assert verify_answer(problem, denied, shared=shared).optimality == "refuted"
        alternatives = solve(problem, repairs=False).alternatives
        for other in alternatives[:1]:
            if other.difference <= 1e-3 or problem.objective.preset in ("throughput", "fewest-gpus"):
                continue
            claimed = dataclasses.replace(answer, strategy=other.strategy, metrics=other.metrics)
            assert verify_answer(problem, claimed, shared=shared).optimality == "refuted"


def test_tables_of_other_problems_are_refused(example: dict[str, Any]) -> None:
    problem = problem_from_dict(example)
    other = problem_from_dict(changed(example, workload__prompt_tokens=100))
    with pytest.raises(ValueError, match="other problems"):
        verify_answer(problem, solve(problem), shared=SharedSurvey([other]))


def test_spaces_that_are_too_large_are_errors_of_their_own(
    example: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The counts below still get their answers."""
    monkeypatch.setattr(space, "LARGEST_SPACE_ROWS", 300)
    problems = [problem_from_dict(changed(example, hardware__nodes=nodes)) for nodes in (2, 3, 5, 8)]
    found = dict(solve_many(problems))
    large = [isinstance(found[i], ProblemError) for i in range(4)]
    assert large[0] is False and large[-1] is True and large == sorted(large)
    assert "narrow search" in str(found[3])


def test_spaces_beyond_shared_tables_are_solved_alone(example: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "MOST_SHAPES", 0)
    problem = problem_from_dict(example)
    ((_, found),) = solve_many([problem])
    alone = solve(problem)
    assert isinstance(found, Answer) and found.strategy == alone.strategy and found.metrics == alone.metrics
    assert found.verification.optimality == "exhaustive" and not found.alternatives
