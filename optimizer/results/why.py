"""Typed answers to why-not, why-this and how-sure for inventories and chains: labels, differences and sentences; data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from optimizer.results.answer import Conflict, Verification
from optimizer.results.inventory import InventoryRepair

Verdict = Literal["not allowed", "worse", "tie", "best", "no optimum", "undecided"]


@dataclass(frozen=True, slots=True)
class InventoryWhyNot:
    """Why the instances of an answer are not of another shape.

    ``difference_ms`` is the foil's objective less the optimum's, in whole milliseconds per request; ``difference_terms`` its
    parts. Both are None or empty where one of them has no value.
    """

    problem: str
    verdict: Verdict
    foil: str | None
    optimum: str | None
    difference_ms: float | None
    difference_terms: dict[str, float]
    conflicts: tuple[Conflict, ...]
    repairs: tuple[InventoryRepair, ...]
    sentences: tuple[str, ...]
    verification: Verification | None = None
    """Of every answer that was compared; None where nothing was."""


@dataclass(frozen=True, slots=True)
class GroupWorth:
    """The inventory with another number of nodes in one group: what is best then, and what it gains per request.

    ``gain_ms`` is negative where it is worse, None where nothing works (or nothing worked before).
    ``max_request_rate`` is what all instances carry within every limit, requests/s.
    """

    words: str
    changes: Mapping[str, Any]
    label: str | None
    status: str
    objective_ms: float | None
    gain_ms: float | None
    max_request_rate: float | None


@dataclass(frozen=True, slots=True)
class InventoryWhyThis:
    """What one node more, or less, of each group is worth to the answer."""

    problem: str
    label: str | None
    objective_ms: float | None
    worths: tuple[GroupWorth, ...]
    sentences: tuple[str, ...]
    verification: Verification | None = None
    """Of every answer that was compared; None where nothing was."""


@dataclass(frozen=True, slots=True)
class InventoryRange:
    """Values of one fact that were tried on either side, and how far the choice stayed the same.

    ``low`` and ``high`` are the outermost values tried with the same instances; ``below`` and ``above`` say what was chosen at
    the next value tried, None where none was.
    """

    field: str
    words: str
    unit: str
    value: float
    low: float
    high: float
    below: str | None
    above: str | None


@dataclass(frozen=True, slots=True)
class InventoryHowSure:
    """How far each fact may move before other instances are best."""

    problem: str
    label: str | None
    ranges: tuple[InventoryRange, ...]
    sentences: tuple[str, ...]
    verification: Verification | None = None
    """Of every answer that was compared; None where nothing was."""


@dataclass(frozen=True, slots=True)
class ChainWhyNot:
    """Why nodes of a chain do not hold stated layers.

    ``foil_tokens_per_s`` is the most that was found with them, ``foil_bound_tokens_per_s`` what is proved at most;
    ``lost_tokens_per_s`` is the optimum less the former. None where there is no value.
    """

    problem: str
    verdict: Verdict
    foil: str
    foil_tokens_per_s: float | None
    foil_bound_tokens_per_s: float | None
    optimum_tokens_per_s: float | None
    lost_tokens_per_s: float | None
    sentences: tuple[str, ...]
    verification: Verification | None = None
    """Of every answer that was compared; None where nothing was."""
