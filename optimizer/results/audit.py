"""What an audit says, as data: one claim with its verdict, and the whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["confirmed", "refuted", "contradicted", "unsupported"]
VERDICTS: tuple[Verdict, ...] = ("refuted", "contradicted", "unsupported", "confirmed")


@dataclass(frozen=True, slots=True)
class Parsed:
    """How a claim was read: ``subject`` has ``quantity`` in ``relation`` to ``value`` ``unit`` (base units)."""

    subject: str
    quantity: str
    value: float | None
    unit: str
    relation: str


@dataclass(frozen=True, slots=True)
class Claim:
    """One judged claim.

    ``line`` counts from 1. ``stated`` is the figure as the report gives it, ``expected`` what it should be, both with
    their units; None where no single figure says it. ``parsed`` is None for what is no figure of something.
    """

    line: int
    text: str
    verdict: Verdict
    reason: str
    stated: str | None = None
    expected: str | None = None
    parsed: Parsed | None = None


@dataclass(frozen=True, slots=True)
class Unrecognised:
    """A statement that no recogniser knows; it is counted, not judged."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class AuditResult:
    """Claims in the order of the report's lines, and what was left unjudged."""

    problem: str
    strategy: str | None
    claims: tuple[Claim, ...]
    unrecognised: tuple[Unrecognised, ...]

    def count(self, verdict: Verdict) -> int:
        """Claims with a verdict."""
        return sum(claim.verdict == verdict for claim in self.claims)

    @property
    def accused(self) -> bool:
        """Whether anything is refuted or contradicted."""
        return any(claim.verdict in ("refuted", "contradicted") for claim in self.claims)
