"""Optima that this process has proved and verified already: checks of one problem after another need no second proof of it.

A command asks once and gains nothing; ``optimizer serve`` and programs that try several strategies of a problem do.
"""

from __future__ import annotations

from optimizer.facts.problem import Problem
from optimizer.results.answer import Answer

MOST_KEPT = 8
_kept: list[tuple[Problem, Answer]] = []


def known(problem: Problem) -> Answer | None:
    """The optimum of an equal problem; None where it is not known."""
    if problem.costs is not None:
        return None  # tables of times are compared by no one
    for place, (other, answer) in enumerate(_kept):
        if other == problem:
            _kept.insert(0, _kept.pop(place))
            return answer
    return None


def forget() -> None:
    """Forget all of them."""
    _kept.clear()


def keep(problem: Problem, answer: Answer) -> None:
    """Keep what is settled and verified, whatever time it had; the longest unused is forgotten."""
    if problem.costs is None and answer.status in ("optimal", "infeasible") and answer.verification.passed:
        _kept.insert(0, (problem, answer))
        del _kept[MOST_KEPT:]
