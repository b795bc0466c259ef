"""``audit``: each claim of a written report judged against what the product derives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from optimizer.facts.errors import ProblemError
from optimizer.reading.question import kind_of

if TYPE_CHECKING:
    from optimizer.facts.inventory import InventoryProblem
    from optimizer.facts.problem import Problem
    from optimizer.reading.question import AnyProblem

INSTEAD = {
    "models": "optimizer check FILE --placement MINE.yaml judges what each of several models is to get, each rule and figure",
    "day": "optimizer solve FILE plans the day and verifies every hour; an hour can be judged by itself with workload.requests_per_s",
    "chain": "optimizer check FILE --placement MINE.yaml judges who holds which layers of a chain, and its tokens/s",
}
"""What answers in its place where instances of several shapes, or layers on named nodes, have no one strategy that a report could mean."""


def audit(report_text: str, problem: AnyProblem) -> Any:
    """The claims of a report on equal nodes or an inventory, each confirmed, refuted, contradicted or unsupported.

    Args:
        report_text: Markdown or plain text.
        problem: what the report is about.

    Raises:
        ProblemError: the problem is neither of equal nodes nor an inventory.
    """
    kind = kind_of(problem)
    if kind == "inventory":
        from optimizer.auditing.inventory.judge import audit_inventory

        return audit_inventory(report_text, cast("InventoryProblem", problem))
    if kind != "uniform":
        raise ProblemError(
            "audit", f"judges written reports on equal nodes (hardware:) and inventories (cluster:); {INSTEAD[kind]}"
        )
    from optimizer.auditing import audit as judged

    return judged(report_text, cast("Problem", problem))
