"""The least setting of a relaxation that makes a problem feasible, proved at both ends: this setting works, one step less not.

Found by improvement instead of trial steps: the rows that work at the furthest setting are bisected on their own for the
least setting they need, then the whole space is asked about one step less; either nothing works there, which is the
proof, or new rows do and the bracket shrinks.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from optimizer.costs.shapes import Bools
from optimizer.explain.common.patience import Patience
from optimizer.explain.common.relaxations import Changes, Relaxation
from optimizer.explain.uniform.relaxations import make
from optimizer.facts.problem import Problem
from optimizer.reading.stated import Stated
from optimizer.search.uniform.oracle import Oracle, derived, subspace
from optimizer.search.uniform.quantities import Quantities
from optimizer.search.uniform.screen import Screen
from optimizer.search.uniform.space import SpaceTooLargeError

MOST_WITNESSES = 24
STEP_BY_STEP = 8
FACTORS = (1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1000.0)
COLUMNS = {"tensor_parallel": "tp", "pipeline_parallel": "pp", "data_parallel": "dp"}


class Least:
    """Least settings of relaxations of one problem, beside changes that are made in any case."""

    def __init__(self, stated: Stated, oracle: Oracle, patience: Patience | None = None) -> None:
        self.stated, self.oracle, self.patience = stated, oracle, patience or Patience()
        self._known: dict[str, bool] = {}

    def of(self, relaxation: Relaxation, others: list[Changes]) -> int | None:
        """The least setting 1…steps at which the problem with the other changes is feasible; None when none is."""
        if relaxation.kind in ("choice", "candidate"):
            return self._first(relaxation, others)
        if relaxation.kind == "nodes":
            return self._nodes(relaxation, others)
        return self._improve(relaxation, others)

    def together(self, relaxations: tuple[Relaxation, ...], now: list[Any]) -> list[Changes] | None:
        """Changes of several relaxations that are enough together, each about as far from its value now; None when none are.

        Where one can be traded for another (a later deadline for fewer requests), the least of the one takes the most of the
        other. So all are moved by the same factor first; ``of`` then takes back what each can spare.

        Args:
            now: the value of each relaxation's field now.
        """
        for factor in FACTORS:
            changes = [_within(relaxation, factor, value) for relaxation, value in zip(relaxations, now, strict=True)]
            if None not in changes and self.feasible(*[change for change in changes if change is not None]):
                return [change for change in changes if change is not None]
        furthest = [relaxation.full for relaxation in relaxations if relaxation.full is not None]
        return furthest if len(furthest) == len(relaxations) and self.feasible(*furthest) else None

    def feasible(self, *changes: Changes) -> bool:
        """Whether the problem with these changes is feasible; no where the facts refuse them. Raises ``TimeUpError``."""
        key = repr(sorted((field, str(value)) for change in changes for field, value in change.items()))
        if key not in self._known:
            self.patience.ask()
            problem = make(self.stated, *changes)
            try:
                self._known[key] = problem is not None and self.oracle.feasible(problem)
            except SpaceTooLargeError:
                self._known[key] = False
        return self._known[key]

    def _first(self, relaxation: Relaxation, others: list[Changes]) -> int | None:
        for setting in self._settings(relaxation, others):
            if self.feasible(*others, relaxation.at(setting)):
                return setting
        return None

    def _settings(self, relaxation: Relaxation, others: list[Changes]) -> list[int]:
        """Settings worth asking about: for lists of degrees those that some row uses which works with all of them."""
        everything = list(range(1, relaxation.steps + 1))
        column = COLUMNS.get(relaxation.id)
        if column is None or relaxation.full is None:
            return everything
        problem = make(self.stated, *others, relaxation.full)
        seen = self.oracle.survivors(problem) if problem is not None else None
        if seen is None:
            return []
        quantities, viable = seen
        values = (quantities.space.row_dp if column == "dp" else quantities.space.column(column))[viable]
        used = set(values.tolist())
        now = set(self.stated.value(relaxation.field) or ())
        return [k for k in everything if used & (set(relaxation.at(k)[relaxation.field]) - now)]

    def _nodes(self, relaxation: Relaxation, others: list[Changes]) -> int | None:
        """Node counts one by one at first, then by doubling and halving."""
        low, high = 0, 1
        while not self.feasible(*others, relaxation.at(high)):
            low = high
            if high == relaxation.steps:
                return None
            high = min(relaxation.steps, high + 1 if high < STEP_BY_STEP else 2 * high)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.feasible(*others, relaxation.at(middle)) else (middle, high)
        return high

    def _improve(self, relaxation: Relaxation, others: list[Changes]) -> int | None:
        high = relaxation.steps
        while True:
            problem = make(self.stated, *others, relaxation.at(high))
            seen = self.oracle.survivors(problem) if problem is not None else None
            if seen is None:
                return None if high == relaxation.steps else high + 1
            high = self._witnesses(relaxation, others, *seen, high)
            if high == 1:
                return 1
            high -= 1

    def _witnesses(
        self, relaxation: Relaxation, others: list[Changes], quantities: Quantities, viable: Bools, high: int
    ) -> int:
        """The least setting at which some of the rows that work at ``high`` still do."""
        rows = np.flatnonzero(viable)
        rows = rows[np.argsort(quantities.normal.n99[rows], kind="stable")]
        picked = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MOST_WITNESSES)).astype(np.int64))]
        few = Quantities(quantities.problem, subspace(quantities.space, np.sort(picked)))
        few.normal  # noqa: B018 - computed once here, so that every step shares the tables
        low = 0
        while high - low > 1:
            middle = (low + high) // 2
            problem = make(self.stated, *others, relaxation.at(middle))
            works = problem is not None and self._works(few, problem)
            low, high = (low, middle) if works else (middle, high)
        return high

    def _works(self, few: Quantities, problem: Problem) -> bool:
        return bool(Screen(derived(few, problem), self.oracle.fixed).viable.any())


def _within(relaxation: Relaxation, factor: float, now: Any) -> Changes | None:
    """The furthest setting whose value is within a factor of the value now; what is no number is moved as far as it goes."""
    if relaxation.full is None:
        return None
    if relaxation.kind == "candidate" or not isinstance(now, int | float) or isinstance(now, bool):
        return relaxation.full

    def near(setting: int) -> bool:
        value = relaxation.at(setting)[relaxation.field]
        if min(value, now) <= 0:
            return bool(max(value, now) + 1 <= factor)
        return bool(max(value / now, now / value) <= factor)

    low, high = 0, relaxation.steps + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if near(middle) else (low, middle)
    return relaxation.at(low) if low else None
