"""An infeasible answer with its conflicts and its repairs; each repair is solved again here and verified."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from optimizer.answer import Answer, Fixed, Verification
from optimizer.explain.conflict import find_conflicts
from optimizer.explain.repair import find_repairs
from optimizer.explain.wide import Wide
from optimizer.facts.problem import Problem
from optimizer.facts.stated import Stated, stated_of
from optimizer.search.evaluate import judge_rules, metrics_of, objective_of, strategy_of
from optimizer.search.quantities import Quantities
from optimizer.search.solve import Solver
from optimizer.search.space import build_space
from optimizer.verify import verify_answer

A = TypeVar("A", bound=Answer)


def explained(
    answer: A,
    q: Quantities,
    fixed: Fixed | None = None,
    stated: Stated | None = None,
    *,
    every: bool = False,
    repairs: bool = True,
) -> A:
    """The answer with conflicts, repairs and the conflicts' sentences first.

    Args:
        answer: status infeasible, for ``q.problem`` and ``fixed``.
        q: quantities over everything that was considered.
        stated: the problem file; left out, a statement that resolves to the problem.
        every: all conflicts instead of the plainest.
        repairs: False leaves them out.
    """
    stated = replace(stated, costs=q.problem.costs) if stated is not None else stated_of(q.problem)
    wide = Wide(stated, q.problem, fixed)
    conflicts = find_conflicts(q, fixed, wide, every=every)
    found = find_repairs(wide, lambda changed: solved_again(changed, fixed)) if repairs else ()
    said = [conflict.sentence for conflict in conflicts]
    return replace(answer, conflicts=conflicts, repairs=found, explanation=(*said, *answer.explanation))


def solved_again(problem: Problem, fixed: Fixed | None = None) -> Answer:
    """The best strategy of a problem, every claim about it recomputed; its optimality rests on value = bound."""
    q = Quantities(problem, build_space(problem, fixed))
    none = Verification(False, 0, "not claimed", 0, "")
    found = Solver().best(q, fixed) if q.space.rows else None
    if found is None or found.choice is None:
        status = "infeasible" if found is None else found.outcome
        return Answer(problem.name, status, None, None, None, (), none, ())
    answer = Answer(
        problem=problem.name,
        status=found.outcome,
        strategy=strategy_of(q, found.choice),
        metrics=metrics_of(q, found.choice),
        objective=objective_of(q, found.choice, found.bound if found.outcome != "optimal" else None),
        rules=judge_rules(q, found.choice),
        verification=none,
        explanation=(),
        cost_source=problem.cost_source,
    )
    return replace(answer, verification=verify_answer(problem, answer, fixed or Fixed(), exhaustive=False))
