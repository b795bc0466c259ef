"""Agreement with brute force on hundreds of generated problems, and properties every answer must have.

The brute force is the verifier's exhaustive counterpart: its own formulas over every candidate, with exact rechecks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from optimizer import problem_from_dict, solve
from optimizer.results.answer import Answer
from optimizer.search.uniform.rules import rule_ids
from tests.conftest import changed
from tests.generate import random_problem

SEEDS = range(240)


def answer_of(stated: dict[str, Any]) -> Answer:
    # Repairs have tests of their own (tests/explain).
    answer = solve(problem_from_dict(stated), repairs=False)
    assert answer.verification.passed, answer.verification.mismatches
    return answer


@pytest.mark.parametrize("block", range(0, len(SEEDS), 20))
def test_every_answer_agrees_with_exhaustive_enumeration(block: int, met: Callable[[str], None]) -> None:
    statuses = []
    for seed in SEEDS[block : block + 20]:
        answer = answer_of(random_problem(seed))
        assert answer.verification.optimality == "exhaustive", seed
        statuses.append(answer.status)
        met(answer.status)
    # Both kinds of problems are there, and nothing is left open.
    assert set(statuses) == {"optimal", "infeasible"}


@pytest.mark.parametrize("seed", range(300, 312))
def test_the_same_question_gets_the_same_answer(seed: int) -> None:
    assert answer_of(random_problem(seed)) == answer_of(random_problem(seed))


def better_or_equal(first: Answer, second: Answer) -> bool:
    """Whether the first answer is at least as good as the second, up to the stated resolution."""
    if second.objective is None:
        return True
    return first.objective is not None and first.objective.value <= second.objective.value + 2e-5


@pytest.mark.parametrize("seed", range(400, 430))
def test_switching_a_rule_off_never_worsens_the_optimum(seed: int) -> None:
    stated = changed(random_problem(seed), objective="balanced", search__disabled_rules=[])
    base = answer_of(stated)
    for rule in rule_ids(problem_from_dict(stated))[seed % 3 :: 3]:
        assert better_or_equal(answer_of(changed(stated, search__disabled_rules=[rule])), base), rule


@pytest.mark.parametrize("seed", range(500, 530))
def test_another_node_never_makes_a_feasible_problem_infeasible(seed: int, met: Callable[[str], None]) -> None:
    stated = random_problem(seed)
    stated["requirements"].pop("survive", None)
    status = answer_of(stated).status
    met(status)
    if status == "optimal":
        assert answer_of(changed(stated, hardware__nodes=stated["hardware"]["nodes"] + 1)).status == "optimal"


@pytest.mark.parametrize("seed", range(600, 630))
def test_looser_limits_never_worsen_the_optimum(seed: int) -> None:
    stated = changed(random_problem(seed), objective="balanced")
    limits = [field for field in stated["requirements"] if field.endswith("_ms")]
    looser = changed(stated, **{f"requirements__{field}": stated["requirements"][field] * 1.5 for field in limits})
    assert better_or_equal(answer_of(looser), answer_of(stated))


@pytest.mark.parametrize("seed", range(700, 730))
def test_alternatives_are_feasible_distinct_and_no_better(seed: int, met: Callable[[str], None]) -> None:
    stated = changed(random_problem(seed), objective="balanced")
    answer = answer_of(stated)
    met("with alternatives" if answer.alternatives else "without any")
    labels = [other.strategy.label for other in answer.alternatives]
    assert len(labels) == len(set(labels))
    assert all(other.difference >= 0 for other in answer.alternatives)
    for other in answer.alternatives:
        assert sum(other.difference_terms.values()) == pytest.approx(other.difference, abs=1e-6)


@pytest.mark.parametrize("seed", range(0, 240, 2))
def test_conflicts_alone_make_a_problem_infeasible(seed: int, met: Callable[[str], None]) -> None:
    # That they are minimal, with more GPUs and wider search limits in play, is held in tests/explain.
    stated = random_problem(seed)
    problem = problem_from_dict(stated)
    answer = solve(problem, repairs=False)
    met(answer.status)
    if answer.status != "infeasible":
        return
    assert answer.conflicts and all(conflict.rules for conflict in answer.conflicts)
    for conflict in answer.conflicts:
        others = [rule for rule in rule_ids(problem) if rule not in conflict.rules]
        assert answer_of(changed(stated, search__disabled_rules=others)).status == "infeasible"
