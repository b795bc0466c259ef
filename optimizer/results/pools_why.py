"""Typed answers to why-not, why-this and how-sure for prefill and decode pools; data only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from optimizer.results.answer import Conflict, Verification
from optimizer.results.pools import PoolsRepair
from optimizer.results.why import GroupWorth, InventoryRange, Verdict

PoolsKind = Literal["pools", "cluster_pools"]


@dataclass(frozen=True, slots=True)
class PoolsWhyNot:
    """Why other pools, or joint instances, are not the answer. Differences are the foil's less the answer's: positive is worse."""

    problem: str
    """Name of the problem."""
    kind: PoolsKind
    """``pools`` on equal nodes, ``cluster_pools`` on an inventory."""
    verdict: Verdict
    """What came of it in a word."""
    foil: str | None
    """Short name of what was asked about; None where it keeps no rule set."""
    optimum: str | None
    """Short name of the answer; None where there is none."""
    difference_ms: float | None
    """Foil less answer, ms per request."""
    difference_terms: dict[str, float]
    """The same by term, ms per request."""
    decided_by: str | None
    """The term, or what the preset puts before the objective, that decides; None where nothing was compared."""
    conflicts: tuple[Conflict, ...]
    """Rules that keep the foil out."""
    repairs: tuple[PoolsRepair, ...]
    """Changes that would allow it."""
    wins_at: float | None
    """Nearest request rate tried at which the foil is the answer, requests/s; None: at none that was tried."""
    sentences: tuple[str, ...]
    """The answer in words."""
    verification: Verification | None = None
    """Of what was compared; None where nothing was."""


@dataclass(frozen=True, slots=True)
class PoolsAgainst:
    """What stands against strictly better pools."""

    tier: str
    """What would be better."""
    rules: tuple[str, ...]
    """Rules that nothing better keeps together; empty: the costs themselves decide."""
    sentence: str
    """The same in words."""


@dataclass(frozen=True, slots=True)
class PoolsWhyThis:
    """Why the answer cannot be improved, and what each limit and node is worth."""

    problem: str
    """Name of the problem."""
    kind: PoolsKind
    """``pools`` on equal nodes, ``cluster_pools`` on an inventory."""
    label: str | None
    """Short name of the answer."""
    objective_ms: float | None
    """Its objective, ms per request."""
    against: tuple[PoolsAgainst, ...]
    """What stands against anything better; empty on an inventory, where it is not looked for."""
    worths: tuple[GroupWorth, ...]
    """One for each change that was tried."""
    sentences: tuple[str, ...]
    """The answer in words."""
    verification: Verification | None = None
    """Of every answer that was compared; None where nothing was."""


@dataclass(frozen=True, slots=True)
class PoolsHowSure:
    """How far each fact may move before something else is best."""

    problem: str
    """Name of the problem."""
    kind: PoolsKind
    """``pools`` on equal nodes, ``cluster_pools`` on an inventory."""
    label: str | None
    """Short name of the answer; None where nothing works."""
    ranges: tuple[InventoryRange, ...]
    """One for each fact that was moved."""
    sentences: tuple[str, ...]
    """The answer in words."""
    verification: Verification | None = None
    """Of the answer; None where there is none."""
