"""The verdict on the strategy, as it stands at the head of every launch file."""

from __future__ import annotations

from optimizer.answer import Answer, CheckAnswer


def verdict(answer: Answer, broken: bool) -> str:
    """A few words without a full stop."""
    if broken or answer.status == "infeasible":
        return "NOT FEASIBLE, written on request"
    if answer.status == "optimal":
        return "proved best"
    gap = f", at most {answer.objective.gap:.2%} above the best" if answer.objective is not None else ""
    if isinstance(answer, CheckAnswer):
        return f"keeps every rule{gap}"
    return f"the best found in time{gap}"
