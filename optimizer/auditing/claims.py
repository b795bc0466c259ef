"""A judged sentence as a claim: about a figure that it states, or about a subject."""

from __future__ import annotations

from optimizer.auditing.labels import shortened
from optimizer.auditing.measures import Measure
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


def subject_claim(
    sentence: Sentence, verdict: Verdict, reason: str, subject: str, quantity: str, relation: str, expected: str | None = None,
    stated: str | None = None,
) -> Claim:  # fmt: skip
    """About what a subject is or does; ``stated`` in the words of the sentence."""
    return Claim(
        sentence.statement.line, shortened(sentence.statement.text), verdict, reason, stated, expected,
        Parsed(subject, quantity, None, "", relation),
    )  # fmt: skip
