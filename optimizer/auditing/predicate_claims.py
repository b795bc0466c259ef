"""Claims about what is said without a figure to compare."""

from __future__ import annotations

from optimizer.auditing.labels import shortened
from optimizer.auditing.sentences import Sentence
from optimizer.results.audit import Claim, Parsed, Verdict


def claim_of(
    sentence: Sentence,
    verdict: Verdict,
    reason: str,
    subject: str,
    quantity: str,
    relation: str,
    expected: str | None = None,
) -> Claim:
    return Claim(
        sentence.statement.line, shortened(sentence.statement.text), verdict, reason, None, expected,
        Parsed(subject, quantity, None, "", relation),
    )  # fmt: skip
