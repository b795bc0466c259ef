"""``audit``: each claim of a written report judged against what the product derives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from optimizer.facts.errors import ProblemError
from optimizer.reading.question import kind_of

if TYPE_CHECKING:
    from optimizer.facts.problem import Problem
    from optimizer.reading.question import AnyProblem


def audit(report_text: str, problem: AnyProblem) -> Any:
    """The claims of a report on equal nodes, each confirmed, refuted, contradicted or unsupported.

    Args:
        report_text: Markdown or plain text.
        problem: what the report is about.

    Raises:
        ProblemError: the problem is not one of equal nodes.
    """
    if kind_of(problem) != "uniform":
        raise ProblemError(
            "audit", "judges reports on equal nodes; state the part that the report is about as hardware:"
        )
    from optimizer.auditing import audit as judged

    return judged(report_text, cast("Problem", problem))
