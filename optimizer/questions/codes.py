"""With which exit code a command ends, by what was answered. ``optimizer serve`` sends the same code along."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optimizer.results.answer import Verification
    from optimizer.results.front import ParetoFront

OK, NO, BAD_INPUT, UNDECIDED, DEFECT, INTERRUPTED = 0, 1, 2, 3, 70, 130
"""Every rule holds · proved infeasible, or a rule is broken · bad input · not decided, or the verifier disagrees · a fault of the program ·
a sweep was interrupted."""
OF_STATUS = {"optimal": OK, "feasible": OK, "infeasible": NO, "unknown": UNDECIDED}


def refuted(verification: Verification) -> bool:
    """Whether the verifier came to the answer and disagrees with it."""
    return verification.checks > 0 and not verification.passed


def unverified(answer: Any) -> bool:
    """Whether the verifier did not come to an answer that claims something."""
    return not answer.verification.checks and answer.status != "unknown"


def of_solve(answer: Any) -> int:
    """Of an answer of ``solve``."""
    return _verified(answer, OF_STATUS[answer.status])


def of_check(answer: Any) -> int:
    """Of an answer of ``check``."""
    return _verified(answer, {True: OK, False: NO, None: UNDECIDED}[answer.feasible])


def _verified(answer: Any, code: int) -> int:
    return UNDECIDED if refuted(answer.verification) or unverified(answer) else code


def of_why_not(found: Any) -> int:
    """Of an answer of ``why-not``: a strategy that is worse, a tie or the best is an answer."""
    return _confirmed(found, {"not allowed": NO, "undecided": UNDECIDED}.get(found.verdict, OK))


def of_why_this(found: Any) -> int:
    """Of an answer of ``why-this``."""
    return _confirmed(found, OK if found.objective_ms is not None else NO)


def of_how_sure(found: Any, answered: bool) -> int:
    """Of an answer of ``how-sure``."""
    return _confirmed(found, OK if answered else NO)


def _confirmed(found: Any, code: int) -> int:
    return UNDECIDED if found.verification is not None and found.verification.mismatches else code


def of_front(front: ParetoFront) -> int:
    """Of a Pareto front."""
    return UNDECIDED if front.mismatches else {"infeasible": NO, "unknown": UNDECIDED}.get(front.status, OK)


def of_recommendation(found: Any) -> int:
    """Of an answer of ``recommend``."""
    if not found.verified:
        return UNDECIDED
    return OK if found.point is not None else NO if found.proved else UNDECIDED


def refuted_points(points: Sequence[Any]) -> int:
    """How many points of a sweep the verifier disagrees with."""
    return sum(point.verification is not None and refuted(point.verification) for point in points)


def of_sweep(points: Sequence[Any]) -> int:
    """Of all points of a sweep."""
    if refuted_points(points):
        return UNDECIDED
    return OK if any(point.status in ("optimal", "feasible") for point in points) else NO


def of_report(answer: Any, disagreeing: bool) -> int:
    """Of the answer that a report is about.

    Args:
        disagreeing: some check of the report's own numbers does.
    """
    if disagreeing or refuted(answer.verification):
        return UNDECIDED
    optimum = getattr(answer, "optimum", None)
    if answer.status == "unknown" or (optimum is not None and answer.feasible is None):
        return UNDECIDED
    return NO if answer.status == "infeasible" else OK
