"""What a search of an inventory finds: a plan with its placement and exact value, and what is proved about it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from optimizer.results.answer import Status
from optimizer.search.inventory.plan import Plan, Stand
from optimizer.search.inventory.states import Site
from optimizer.search.inventory.valuation import LoadSplit, PlanValue


@dataclass(frozen=True)
class Placed:
    """A plan with its placement, shares and exact value."""

    plan: Plan
    stands: tuple[Stand, ...]
    split: LoadSplit
    site: Site
    value: PlanValue

    @property
    def whole_ms(self) -> int:
        """The objective, rounded up."""
        return math.ceil(self.value.exact_ms - 1e-9)


@dataclass(frozen=True)
class InventoryFound:
    """Outcome of a search. ``bound_ms`` is in whole milliseconds, rounded up; None where nothing is proved."""

    status: Status
    best: Placed | None
    bound_ms: int | None
    ties_settled: bool
    rounds: int
    seconds: float
    fixed: bool
    """Whether a person fixed decisions."""


@dataclass(frozen=True, slots=True)
class Start:
    """What a search that differs in failure rates only begins with.

    Args:
        plan: the best one there, among the same candidates.
        gammas: multipliers whose bounds mattered there.
    """

    plan: Plan
    gammas: tuple[float, ...]
