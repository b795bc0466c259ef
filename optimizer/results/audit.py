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
    """What the claim is about."""
    quantity: str
    """Name of the quantity, with what it is per (``weights/gpu``)."""
    value: float | None
    """In ``unit``; None where none is stated."""
    unit: str
    """Base unit (bytes, s, tokens/s); "" for counts."""
    relation: str
    """``=``, ``≤``, ``>`` …"""


@dataclass(frozen=True, slots=True)
class Claim:
    """One judged claim.

    ``line`` counts from 1. ``stated`` is the figure as the report gives it, ``expected`` what it should be, both with
    their units; None where no single figure says it. ``parsed`` is None for what is no figure of something.
    """

    line: int
    """Of the report, from 1."""
    text: str
    """The statement as written."""
    verdict: Verdict
    """What came of it."""
    reason: str
    """Why, with the figures."""
    stated: str | None = None
    """The figure as written, with its unit."""
    expected: str | None = None
    """What it should be, with its unit."""
    parsed: Parsed | None = None
    """How it was read."""


@dataclass(frozen=True, slots=True)
class Unrecognised:
    """A statement that no recogniser knows; it is counted, not judged."""

    line: int
    """Of the report, from 1."""
    text: str
    """The statement as written."""


@dataclass(frozen=True, slots=True)
class AuditResult:
    """Claims in the order of the report's lines, and what was left unjudged."""

    problem: str
    """Name of the problem."""
    strategy: str | None
    """Short name of the strategy that figures were judged for; None: none is known."""
    claims: tuple[Claim, ...]
    """In the order of the lines."""
    unrecognised: tuple[Unrecognised, ...]
    """What was counted and not judged."""

    def count(self, verdict: Verdict) -> int:
        """Claims with a verdict."""
        return sum(claim.verdict == verdict for claim in self.claims)

    @property
    def accused(self) -> bool:
        """Whether anything is refuted or contradicted."""
        return any(claim.verdict in ("refuted", "contradicted") for claim in self.claims)
