"""``report``: everything that can be said of an answer, every figure with its derivation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from optimizer.facts.errors import ProblemError
from optimizer.reading.question import kind_of

if TYPE_CHECKING:
    from optimizer.facts.problem import Problem
    from optimizer.reading.question import AnyProblem
    from optimizer.reading.stated import Stated
    from optimizer.reporting.build import Built


def report(problem: AnyProblem, answer: Any, *, stated: Stated | None = None) -> Built:
    """The report of an answer for equal nodes; ``report.written`` turns it into Markdown, JSON and HTML.

    Args:
        problem: what the answer is for.
        answer: of ``solve`` or ``check``.
        stated: the problem file, by whose fields recommendations speak.

    Raises:
        ProblemError: the problem is of a kind that has no report; the message names what shows it.
    """
    from optimizer.catalog.recovery import recovery_facts
    from optimizer.reading.stated import stated_of
    from optimizer.reporting.build import build_report

    kind = kind_of(problem)
    if kind == "inventory":
        raise ProblemError(
            "cluster", "an inventory has no report yet; solve --full prints its pools, places and losses"
        )
    if kind == "chain":
        raise ProblemError("kind", "chain has no report; optimizer solve FILE --svg chains.svg draws its placement")
    uniform = cast("Problem", problem)
    return build_report(uniform, answer, stated or stated_of(uniform), recovery_facts())
