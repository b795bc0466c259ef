"""Claims about two figures of one sentence."""

from __future__ import annotations

from optimizer.auditing.labels import shortened
from optimizer.auditing.measures import Measure
from optimizer.auditing.sentences import Sentence
from optimizer.results.audit import Claim, Parsed, Verdict


def claim_of(
    sentence: Sentence, verdict: Verdict, reason: str, stated: Measure, expected: str | None, quantity: str, relation: str = "="
) -> Claim:  # fmt: skip
    return Claim(
        sentence.statement.line, shortened(sentence.statement.text), verdict, reason, stated.text, expected,
        Parsed(sentence.text[:60], quantity, stated.value, stated.dimension, relation),
    )  # fmt: skip
