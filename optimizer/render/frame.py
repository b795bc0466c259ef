"""What stands around the tables of an answer of any kind: its headline and sentences before them, how it was confirmed after them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.text import Text

from optimizer.render.text import STATUS_WORDS, costs_sentence, verification_lines
from optimizer.results.answer import Status, Verification

STYLES = {"optimal": "bold green", "feasible": "bold yellow", "infeasible": "bold red", "unknown": "bold yellow"}
"""Of a headline, by status."""


def status_words(answer: Any) -> str:
    """The status of an answer of ``solve``, or the verdict of one of ``check``, which has an optimum beside it."""
    if answer.optimum is not None:
        return {True: "feasible", False: "not feasible", None: "not decided"}[answer.feasible]
    return STATUS_WORDS[answer.status]


def print_head(out: Console, answer: Any, what: str, words: str) -> None:
    """The headline, and the explanation."""
    out.print(Text(f"{answer.problem}: {what} — {words}", STYLES[answer.status]))
    print_sentences(out, answer.explanation)


def print_repairs(out: Console, answer: Any) -> None:
    """The repairs by number, as ``--apply-repair`` takes them."""
    print_sentences(out, (f"Repair {number}. {one.sentence}" for number, one in enumerate(answer.repairs, start=1)))


def print_sentences(out: Console, sentences: Iterable[str], style: str = "") -> None:
    """A line each."""
    for sentence in sentences:
        out.print(Text("  " + sentence, style))


def print_foot(
    out: Console, sentences: Iterable[str], verification: Verification, status: Status, *, sets: bool = False
) -> None:
    """What the answer rests on.

    Args:
        sentences: of what was searched and of models.
        sets: what was compared are sets of instances, not strategies.
    """
    print_sentences(out, sentences, "dim")
    verification_lines(out, verification, status, sets=sets)
    out.print(Text(costs_sentence("analytic"), "dim"))
