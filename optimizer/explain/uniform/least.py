"""The least setting of a lever that makes a problem feasible, proved at both ends: this setting works, one step less not.

Found by improvement instead of trial steps: the rows that work at the furthest setting are bisected on their own for the
least setting they need, then the whole space is asked about one step less; either nothing works there, which is the
proof, or new rows do and the bracket shrinks.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from optimizer.costs.shapes import Bools
from optimizer.explain.uniform.levers import Changes, Lever, make
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
    """Least settings of levers of one problem, beside changes that are made in any case."""

    def __init__(self, stated: Stated, oracle: Oracle) -> None:
        self.stated, self.oracle = stated, oracle
        self._known: dict[str, bool] = {}

    def of(self, lever: Lever, others: list[Changes]) -> int | None:
        """The least setting 1…steps at which the problem with the other changes is feasible; None when none is."""
        if lever.kind in ("choice", "offer"):
            return self._first(lever, others)
        if lever.kind == "nodes":
            return self._nodes(lever, others)
        return self._improve(lever, others)

    def together(self, levers: tuple[Lever, ...], now: list[Any]) -> list[Changes] | None:
        """Changes of several levers that are enough together, each about as far from its value now; None when none are.

        Where one can be traded for another (a later deadline for fewer requests), the least of the one takes the most of the
        other. So all are moved by the same factor first; ``of`` then takes back what each can spare.

        Args:
            now: the value of each lever's field now.
        """
        for factor in FACTORS:
            changes = [_within(lever, factor, value) for lever, value in zip(levers, now, strict=True)]
            if None not in changes and self.feasible(*[change for change in changes if change is not None]):
                return [change for change in changes if change is not None]
        furthest = [lever.full for lever in levers if lever.full is not None]
        return furthest if len(furthest) == len(levers) and self.feasible(*furthest) else None

    def feasible(self, *changes: Changes) -> bool:
        """Whether the problem with these changes is feasible; no where the facts refuse them."""
        key = repr(sorted((field, str(value)) for change in changes for field, value in change.items()))
        if key not in self._known:
            problem = make(self.stated, *changes)
            try:
                self._known[key] = problem is not None and self.oracle.feasible(problem)
            except SpaceTooLargeError:
                self._known[key] = False
        return self._known[key]

    def _first(self, lever: Lever, others: list[Changes]) -> int | None:
        for setting in self._settings(lever, others):
            if self.feasible(*others, lever.at(setting)):
                return setting
        return None

    def _settings(self, lever: Lever, others: list[Changes]) -> list[int]:
        """Settings worth asking about: for lists of degrees those that some row uses which works with all of them."""
        everything = list(range(1, lever.steps + 1))
        column = COLUMNS.get(lever.id)
        if column is None or lever.full is None:
            return everything
        problem = make(self.stated, *others, lever.full)
        seen = self.oracle.survivors(problem) if problem is not None else None
        if seen is None:
            return []
        q, viable = seen
        values = (q.space.row_dp if column == "dp" else q.space.column(column))[viable]
        used = set(values.tolist())
        now = set(self.stated.value(lever.field) or ())
        return [k for k in everything if used & (set(lever.at(k)[lever.field]) - now)]

    def _nodes(self, lever: Lever, others: list[Changes]) -> int | None:
        """Node counts one by one at first, then by doubling and halving."""
        low, high = 0, 1
        while not self.feasible(*others, lever.at(high)):
            low = high
            if high == lever.steps:
                return None
            high = min(lever.steps, high + 1 if high < STEP_BY_STEP else 2 * high)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.feasible(*others, lever.at(middle)) else (middle, high)
        return high

    def _improve(self, lever: Lever, others: list[Changes]) -> int | None:
        high = lever.steps
        while True:
            problem = make(self.stated, *others, lever.at(high))
            seen = self.oracle.survivors(problem) if problem is not None else None
            if seen is None:
                return None if high == lever.steps else high + 1
            high = self._witnesses(lever, others, *seen, high)
            if high == 1:
                return 1
            high -= 1

    def _witnesses(self, lever: Lever, others: list[Changes], q: Quantities, viable: Bools, high: int) -> int:
        """The least setting at which some of the rows that work at ``high`` still do."""
        rows = np.flatnonzero(viable)
        rows = rows[np.argsort(q.normal.n99[rows], kind="stable")]
        picked = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MOST_WITNESSES)).astype(np.int64))]
        few = Quantities(q.problem, subspace(q.space, np.sort(picked)))
        few.normal  # noqa: B018 - computed once here, so that every step shares the tables
        low = 0
        while high - low > 1:
            middle = (low + high) // 2
            problem = make(self.stated, *others, lever.at(middle))
            works = problem is not None and self._works(few, problem)
            low, high = (low, middle) if works else (middle, high)
        return high

    def _works(self, few: Quantities, problem: Problem) -> bool:
        return bool(Screen(derived(few, problem), self.oracle.fixed).viable.any())


def _within(lever: Lever, factor: float, now: Any) -> Changes | None:
    """The furthest setting whose value is within a factor of the value now; what is no number is moved as far as it goes."""
    if lever.full is None:
        return None
    if lever.kind == "offer" or not isinstance(now, int | float) or isinstance(now, bool):
        return lever.full

    def near(setting: int) -> bool:
        value = lever.at(setting)[lever.field]
        if min(value, now) <= 0:
            return bool(max(value, now) + 1 <= factor)
        return bool(max(value / now, now / value) <= factor)

    low, high = 0, lever.steps + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if near(middle) else (low, middle)
    return lever.at(low) if low else None
