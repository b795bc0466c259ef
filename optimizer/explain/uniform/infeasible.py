"""An infeasible answer with its conflicts and its repairs; each repair is solved again here and verified."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import numpy as np

from optimizer.explain.common.numbers import listing
from optimizer.explain.common.patience import EXPLAIN_WITHIN_S, NOT_ALL_TRIED, Patience
from optimizer.explain.uniform.choice import verified_choice
from optimizer.explain.uniform.conflict import find_conflicts
from optimizer.explain.uniform.cuts import cut_of, opened_search, widest_first
from optimizer.explain.uniform.wide import WideSearch
from optimizer.facts.problem import Problem
from optimizer.reading.stated import Stated, stated_of
from optimizer.results.answer import WITHIN_SEARCHED, Answer, Fixed, Repair, unverified
from optimizer.search.uniform.oracle import Oracle, restricted
from optimizer.search.uniform.quantities import Quantities
from optimizer.search.uniform.replica_counts import considered
from optimizer.search.uniform.solve import Solver

A = TypeVar("A", bound=Answer)


def explained(
    answer: A,
    quantities: Quantities,
    fixed: Fixed | None = None,
    stated: Stated | None = None,
    *,
    every: bool = False,
    repairs: bool = True,
    deadline: float | None = None,
) -> A:
    """The answer with conflicts, repairs and the conflicts' sentences first.

    Args:
        answer: status infeasible, for ``q.problem`` and ``fixed``.
        q: quantities over everything that was considered.
        stated: the problem file; left out, a statement that resolves to the problem.
        every: all conflicts instead of the plainest.
        repairs: False leaves them out.
        deadline: on the monotonic clock, for repairs and for what a wider search would find.
    """
    wide = WideSearch(statement(stated, quantities.problem), quantities.problem, fixed, repairs=repairs)
    found: tuple[Repair, ...] = ()
    said_last: tuple[str, ...] = ()
    if repairs:
        from optimizer.explain.uniform.repair import find_repairs

        tried = Patience.within(deadline, EXPLAIN_WITHIN_S)
        found = find_repairs(wide, solved_again, patience=tried)
        said_last = (NOT_ALL_TRIED,) if tried.cut else ()
    whole = fixed in (None, Fixed())
    cut = cut_of(wide, _solved_whole, found, Patience(deadline)) if whole else None
    none = "no strategy exists" if cut is None else "no strategy in the searched space exists"
    conflicts = find_conflicts(quantities, fixed, wide, every=every, repairs=found, none=none)
    said = [conflict.sentence for conflict in conflicts]
    limited = [field for field in opened_search(wide) if wide.stated.value(field) is not None]
    if whole and cut is None and limited:
        said.append(
            f"The figures are those of what was searched: opening {listing(limited)} leaves nothing that keeps every rule either."
        )
    if cut is not None:
        found = widest_first(found, cut)
        if cut.open_question:
            said.append(
                f"Whether opening {listing(list(cut.fields))} helps was not looked at to its end; a longer --time-limit does."
            )
        elif len(cut.fields) == 1:
            said.append(f"{cut.fields[0]} alone keeps every solution out: with it opened there is one.")
        else:
            said.append(f"With {listing(list(cut.fields))} opened together there is a solution.")
    return replace(
        answer,
        conflicts=conflicts,
        repairs=found,
        explanation=(*said, *answer.explanation, *said_last),
        within=WITHIN_SEARCHED if cut is not None else None,
        cut_by=cut.fields if cut is not None else (),
    )


def statement(stated: Stated | None, problem: Problem) -> Stated:
    """What repairs change: the problem file with the problem's source of costs, or one that resolves to the problem."""
    return replace(stated, costs=problem.costs) if stated is not None else stated_of(problem)


def solved_again(problem: Problem, oracle: Oracle) -> Answer:
    """The best strategy of a problem, every claim about it recomputed; its optimality rests on value = bound.

    Args:
        oracle: knows the fixed decisions, and which candidates keep every rule; only among these is there anything to solve.
    """
    seen = oracle.survivors(problem)
    if seen is None:
        return Answer(problem.name, "infeasible", None, None, None, (), unverified(), ())
    return _best(restricted(seen[0], np.flatnonzero(seen[1])), oracle.fixed)


def _solved_whole(problem: Problem) -> Answer:
    """The same over everything that is considered."""
    return _best(considered(problem), None)


def _best(quantities: Quantities, fixed: Fixed | None) -> Answer:
    found = Solver().best(quantities, fixed)
    if found.choice is None:
        return Answer(quantities.problem.name, found.outcome, None, None, None, (), unverified(), ())
    bound = found.bound if found.outcome != "optimal" else None
    return verified_choice(quantities, found.choice, fixed, found.outcome, bound)
