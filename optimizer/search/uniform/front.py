"""The front of a problem with equal nodes: every candidate that no other beats on all axes, each proved by ε-constraint.

More sequences never lose requests, so a row is at its best with as many as its rules allow, and the front is that of the
rows' exact values. Each of its points is then proved by the one CP-SAT model: with the other axes bounded at the point's
values, the least value of each axis is the point's own (Haimes, Lasdon and Wismer 1971). With two axes the first is bounded
one step below the point before, so that nothing lies between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from optimizer.costs.failures import STATES
from optimizer.costs.shapes import Ints
from optimizer.results.front import Axis
from optimizer.search.common.scale import NEVER_NS, time_ns
from optimizer.search.uniform.build import Model
from optimizer.search.uniform.lost import lost
from optimizer.search.uniform.quantities import Quantities
from optimizer.search.uniform.rule import Choice
from optimizer.search.uniform.screen import Screen
from optimizer.search.uniform.solve import Solver
from optimizer.search.uniform.space import tie_rank

FIRST_BATCH = 64


@dataclass(frozen=True, slots=True)
class Spot:
    """A choice and its values on the axes, smaller is better: ns, parts not served, GPUs (also for the price)."""

    choice: Choice
    values: tuple[int, ...]


class RowFront:
    """The front of one problem over the given axes.

    Args:
        q: quantities over the problem's space.
    """

    def __init__(self, quantities: Quantities, axes: Sequence[Axis]) -> None:
        self.quantities, self.axes = quantities, tuple(axes)
        self.screen = Screen(quantities)
        self.mean_ns = time_ns(quantities.normal.mean_ms)
        carried = (quantities.slots_to_carry[0] <= self.screen.most) & (self.mean_ns < NEVER_NS)
        self.rows: Ints = np.flatnonzero(self.screen.viable & carried)
        self.values: Ints = np.stack([self._column(axis) for axis in self.axes], axis=1)
        self.spots: tuple[Spot, ...] = tuple(self._front())

    def _column(self, axis: Axis) -> Ints:
        """The best value of every row of the space, (R,)."""
        if axis == "latency":
            return self.mean_ns
        if axis == "availability":
            return self.lost
        return self.quantities.space.gpus

    @cached_property
    def lost(self) -> Ints:
        """Parts not served of every row with as many sequences as it may run, (R,)."""
        states, total = lost(self.quantities)
        for down in range(1, STATES):
            carried = self.quantities.slots_to_carry[down] <= self.screen.most
            total = total + np.where(carried, 0, states[:, down])
        return total

    def _front(self) -> list[Spot]:
        """Rows that no row beats, in order of the axes; of equal ones the first in the order of ties."""
        rank = tie_rank(self.quantities.space)
        left = self.rows
        left = left[np.lexsort((rank[left], *self.values[left].T[::-1]))]
        found = []
        while len(left):
            row = int(left[0])
            values = self.values[row]
            found.append(Spot(Choice(row, int(self.screen.most[row])), tuple(values.tolist())))
            left = left[(self.values[left] < values).any(axis=1)]
        return found

    def proved(self, number: int, solver: Solver) -> bool | None:
        """Whether CP-SAT agrees that nothing beats a point of the front; None where time ran out.

        Raises:
            RuntimeError: it found another value, which is a defect and never of the input.
        """
        spot = self.spots[number]
        for position in range(len(self.axes)):
            bounds = list(spot.values)
            if len(self.axes) == 2 and position == 0 and number > 0:
                bounds[1] = self.spots[number - 1].values[1] - 1
            least = self._least(position, bounds, solver)
            if least is None:
                return None
            if least != spot.values[position]:
                raise RuntimeError(f"CP-SAT finds {least} on axis {self.axes[position]}, the rows say {spot.values}")
        return True

    def _least(self, position: int, bounds: Sequence[int], solver: Solver) -> int | None:
        """The least value of an axis with the others bounded, proved; None where time ran out."""
        others = [i for i in range(len(self.axes)) if i != position]
        within = (self.values[self.rows][:, others] <= np.array(bounds)[others]).all(axis=1)
        rows = self.rows[within]
        rows = rows[np.argsort(self.values[rows, position], kind="stable")]
        size = FIRST_BATCH
        while True:
            # A row is never below its own value: rows beyond the batch cannot win once its best is no more than theirs.
            model = Model(self.quantities, rows=rows[:size])
            for other in others:
                bounded = self._expression(model, self.axes[other])
                if not isinstance(bounded, int):
                    model.model.add(bounded <= bounds[other])
            goal = self._expression(model, self.axes[position])
            model.model.add(model.carries(0) == 1)
            if not isinstance(goal, int):
                model.model.minimize(goal)
            found, outcome = solver.run(model.model)
            if outcome == "infeasible":
                raise RuntimeError("CP-SAT finds no candidate where the rows have one")
            if outcome != "optimal":
                return None
            value = goal if isinstance(goal, int) else int(found.value(goal))
            if size >= len(rows) or value <= self.values[rows[size], position]:
                return value
            size *= 2

    def _expression(self, model: Model, axis: Axis) -> Any:
        if axis == "latency":
            return model.quantity(self.mean_ns)
        if axis == "availability":
            return model.lost()
        return model.quantity(self.quantities.space.gpus)
