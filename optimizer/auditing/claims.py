"""A judged sentence as a claim: about a figure that it states, or about a subject."""

from __future__ import annotations

from typing import Protocol

from optimizer.auditing.labels import shortened
from optimizer.auditing.measures import Measure, shown
from optimizer.auditing.sentences import Sentence
from optimizer.results.audit import Claim, Parsed, Verdict


def verdict_of(right: bool) -> Verdict:
    """Of what is right or wrong."""
    return "confirmed" if right else "refuted"


def figure_claim(
    sentence: Sentence, verdict: Verdict, reason: str, stated: Measure, expected: str | None, quantity: str, relation: str = "="
) -> Claim:  # fmt: skip
    """About a figure of the sentence."""
    return Claim(
        sentence.statement.line, shortened(sentence.statement.text), verdict, reason, stated.text, expected,
        Parsed(sentence.text[:60], quantity, stated.value, stated.dimension, relation),
    )  # fmt: skip


class TitledValue(Protocol):
    """What a figure is of: an entry of a ledger, a topic."""

    @property
    def id(self) -> str:
        """Its key."""

    @property
    def title(self) -> str:
        """How messages call it."""

    @property
    def unit(self) -> str:
        """Base unit of its values."""


def ledger_claim(sentence: Sentence, measure: Measure, of: TitledValue, value: float, right: bool) -> Claim:
    """About a figure that has this value of what it is of, or has not."""
    expected = shown(value, of.unit)
    reason = f"{of.title[0].upper()}{of.title[1:]}: {expected}" + ("." if right else f", not {measure.text}.")
    return figure_claim(sentence, verdict_of(right), reason, measure, expected, of.id)


def subject_claim(
    sentence: Sentence, verdict: Verdict, reason: str, subject: str, quantity: str, relation: str, expected: str | None = None,
    stated: str | None = None,
) -> Claim:  # fmt: skip
    """About what a subject is or does; ``stated`` in the words of the sentence."""
    return Claim(
        sentence.statement.line, shortened(sentence.statement.text), verdict, reason, stated, expected,
        Parsed(subject, quantity, None, "", relation),
    )  # fmt: skip
