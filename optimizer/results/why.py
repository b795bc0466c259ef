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
    """Name of the problem."""
    verdict: Verdict
    """What came of it in a word."""
    foil: str | None
    """Short name of the instances asked about; None where there are none."""
    optimum: str | None
    """Short name of the answer's instances."""
    difference_ms: float | None
    """Foil less optimum, ms per request."""
    difference_terms: dict[str, float]
    """The same by term, ms per request."""
    conflicts: tuple[Conflict, ...]
    """Rules that keep the foil out."""
    repairs: tuple[InventoryRepair, ...]
    """Changes that would allow it."""
    sentences: tuple[str, ...]
    """The answer in words."""
    verification: Verification | None = None
    """Of every answer that was compared; None where nothing was."""


@dataclass(frozen=True, slots=True)
class GroupWorth:
    """The inventory with another number of nodes in one group: what is best then, and what it gains per request.

    ``gain_ms`` is negative where it is worse, None where nothing works (or nothing worked before).
    ``max_request_rate`` is what all instances carry within every limit, requests/s.
    """

    words: str
    """The change in words, such as ``one node more of h100``."""
    changes: Mapping[str, Any]
    """Dotted field of the problem file → its changed value."""
    label: str | None
    """Short name of what is best then; None where nothing works."""
    status: str
    """Of the answer then: ``optimal``, ``feasible``, ``infeasible`` or ``unknown``."""
    objective_ms: float | None
    """Its objective, ms per request."""
    gain_ms: float | None
    """Objective before less after, ms per request."""
    max_request_rate: float | None
    """Requests/s that all instances then carry within every limit."""


@dataclass(frozen=True, slots=True)
class InventoryWhyThis:
    """What one node more, or less, of each group is worth to the answer."""

    problem: str
    """Name of the problem."""
    label: str | None
    """Short name of the answer's instances."""
    objective_ms: float | None
    """Its objective, ms per request."""
    worths: tuple[GroupWorth, ...]
    """One for each group and direction that was tried."""
    sentences: tuple[str, ...]
    """The answer in words."""
    verification: Verification | None = None
    """Of every answer that was compared; None where nothing was."""


@dataclass(frozen=True, slots=True)
class InventoryRange:
    """Values of one fact that were tried on either side, and how far the choice stayed the same.

    ``low`` and ``high`` are the outermost values tried with the same instances; ``below`` and ``above`` say what was chosen at
    the next value tried, None where none was.
    """

    field: str
    """Dotted name in the problem file."""
    words: str
    """What people call it."""
    unit: str
    """Of the values."""
    value: float
    """As stated."""
    low: float
    """Smallest value tried with the same instances, in ``unit``."""
    high: float
    """Largest value tried with the same instances, in ``unit``."""
    below: str | None
    """Short name of what was chosen below ``low``."""
    above: str | None
    """Short name of what was chosen above ``high``."""


@dataclass(frozen=True, slots=True)
class InventoryHowSure:
    """How far each fact may move before other instances are best."""

    problem: str
    """Name of the problem."""
    label: str | None
    """Short name of the answer's instances; None where nothing works."""
    ranges: tuple[InventoryRange, ...]
    """One for each fact that was moved."""
    sentences: tuple[str, ...]
    """The answer in words."""
    verification: Verification | None = None
    """Of every answer that was compared; None where nothing was."""


@dataclass(frozen=True, slots=True)
class ChainWhyNot:
    """Why nodes of a chain do not hold stated layers.

    ``foil_tokens_per_s`` is the most that was found with them, ``foil_bound_tokens_per_s`` what is proved at most;
    ``lost_tokens_per_s`` is the optimum less the former. None where there is no value.
    """

    problem: str
    """Name of the problem."""
    verdict: Verdict
    """What came of it in a word."""
    foil: str
    """The stated layers in words."""
    foil_tokens_per_s: float | None
    """Most that was found with them, tokens/s."""
    foil_bound_tokens_per_s: float | None
    """Most that is proved possible with them, tokens/s."""
    optimum_tokens_per_s: float | None
    """Of the answer without them, tokens/s."""
    lost_tokens_per_s: float | None
    """What they cost, tokens/s."""
    sentences: tuple[str, ...]
    """The answer in words."""
    verification: Verification | None = None
    """Of every answer that was compared; None where nothing was."""
