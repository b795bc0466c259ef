"""What joint instances beside pools cost at least, split by split: few splits are left to be solved.

A request at a rank takes no less with more load, and in each failure state what is not lost takes what it takes with every
instance up, so that the most instances of a shape that a part's GPUs hold bound every number of them. ``docs/disaggregated.md``,
section 14.

Other home: ``verify/pools/side_by_side.py``; docs/disaggregated.md,
section 14.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from optimizer.costs.failures import down_states
from optimizer.costs.pools import PoolCosts, PoolLink
from optimizer.costs.shapes import Floats, Ints, Shape
from optimizer.facts.problem import Problem
from optimizer.facts.side_by_side import TENTHS, BesideSplit, unit_gpus, units_of
from optimizer.results.pools import FixedPool
from optimizer.results.rule_groups import STATIC_RULES
from optimizer.search.pools.shapes import shapes_for
from optimizer.search.uniform.quantities import ObjectiveWeights, Quantities
from optimizer.search.uniform.replica_counts import decisive_rows
from optimizer.search.uniform.screen import Screen

ROUNDED = 1 - 1e-9
"""What floats may have added, generously."""


class SplitBounds:
    """Bounds of every split of a problem.

    Args:
        problem: with whatever ``serving``.
        joint: ``considered`` joint instances with all requests and GPUs, which have every shape that rules without a load leave.
    """

    def __init__(self, problem: Problem, joint: Quantities | None = None) -> None:
        self._known = joint
        self.problem, self.rate = problem, problem.workload.requests_per_s
        self.units, self.unit = units_of(problem), unit_gpus(problem)
        self.weights = ObjectiveWeights.of(problem.objective)
        self._joint: dict[tuple[int, int], float] = {}
        self._pools: dict[int, tuple[Floats, Floats]] = {}

    def left(self, known: float) -> list[tuple[float, BesideSplit]]:
        """Splits that may cost less than ``known`` ms, with their bounds, the least first."""
        found: list[tuple[float, BesideSplit]] = []
        for tenths in range(1, TENTHS):
            found += self._within(tenths, 1, self.units - 1, known)
        return sorted(found)

    def _within(self, tenths: int, first: int, last: int, known: float) -> Iterator[tuple[float, BesideSplit]]:
        """Of joint instances on ``first`` to ``last`` units: both parts get the most that any of these splits gives them."""
        if first > last:
            return
        share = tenths / TENTHS
        least = share * self.joint(tenths, last) + (1 - share) * self.pools(TENTHS - tenths, self.units - first)
        if least >= known:
            return
        if first == last:
            yield least, BesideSplit(tenths, first)
            return
        middle = (first + last) // 2
        yield from self._within(tenths, first, middle, known)
        yield from self._within(tenths, middle + 1, last, known)

    def joint(self, tenths: int, units: int) -> float:
        """ms that a request at joint instances takes at least, with so many tenths of them on so many units."""
        if (tenths, units) not in self._joint:
            shapes, size, ranks = self._joint_shapes
            most = units * self.unit // size
            some = np.flatnonzero(most)
            rate = self.rate * tenths / TENTHS
            self._joint[tenths, units] = self._least(
                self._joint_means(shapes[some], rate / (most * ranks)[some], rate / ranks[some]), size[some]
            )
        return self._joint[tenths, units]

    def _joint_means(self, shape: Ints, rate: Floats, most: Floats) -> Floats:
        # Prompts overlap more in a pipeline the more there are: as much as on one instance alone.
        means: Floats = self._quantities.load_of(shape, rate, most, everything=False).mean_ms
        return means

    def _least(self, means: Floats, size: Ints) -> float:
        """The least of the shapes, (Q,) each, the share of the time counted that an instance is up."""
        if not len(means):
            return np.inf
        return float((self.weights.latency * self._up(size) * means).min()) * ROUNDED

    def _up(self, size: Ints) -> Floats:
        """Share of the time that an instance of each size is up at least: it may lie across two nodes."""
        if self.weights.unserved <= 0:
            return np.ones(len(size))
        one = np.ones(len(size), dtype=np.int64)
        up: Floats = 1 - 2 * (1 - down_states(self.problem.hardware, size, one, one).probability[:, 0])
        return up

    @cached_property
    def _quantities(self) -> Quantities:
        if self._known is not None:
            return self._known
        problem = self.problem.model_copy(update={"serving": "joint"})
        return Quantities(problem, decisive_rows(problem))

    @cached_property
    def _joint_shapes(self) -> tuple[Ints, Ints, Ints]:
        """(shape, GPUs of an instance, its ranks) of each that keeps the rules which no load has a part in."""
        space = self._quantities.space
        shapes = np.unique(space.row_shape[Screen(self._quantities, None, STATIC_RULES).viable])
        sizes, ranks = _sizes(space.shapes)
        return shapes, sizes[shapes], ranks[shapes]

    def pools(self, tenths: int, units: int) -> float:
        """The same of pools: the least over what either of them has of the GPUs."""
        if tenths not in self._pools:
            self._pools[tenths] = self._sides(self.rate * tenths / TENTHS)
        first, second = self._pools[tenths]
        total = units * self.unit
        sums = first[1:total] + second[total - 1 : 0 : -1]
        return float(sums.min()) * ROUNDED if len(sums) else np.inf

    def _sides(self, rate: float) -> tuple[Floats, Floats]:
        """Least ms of a request in a prefill and in a decode pool of at most 0, 1, 2 … GPUs."""
        size, ranks = _sizes(self._costs.costs.table.shapes)
        gpus = self.units * self.unit
        most = gpus // size
        shape = np.repeat(np.arange(len(size)), most)
        count = np.concatenate([np.arange(1, one + 1) for one in most]) if len(most) else np.zeros(0, dtype=np.int64)
        each = rate / (count * ranks[shape])
        up = self.weights.latency * self._up(size[shape])
        found = []
        for means in (self._costs.prefill(shape, shape, each).mean_ms, self._costs.decode(shape, each).mean_ms):
            least = np.full(gpus + 1, np.inf)
            np.minimum.at(least, count * size[shape], up * means)
            found.append(np.minimum.accumulate(least))
        return found[0], found[1]

    @cached_property
    def _costs(self) -> PoolCosts:
        # Whatever the link of a part, none is faster than one that takes no time.
        return PoolCosts(self.problem, shapes_for(self.problem, FixedPool()), PoolLink("", 1e30, 0.0))


def _sizes(shapes: tuple[Shape, ...]) -> tuple[Ints, Ints]:
    """(GPUs of an instance, its ranks) of shapes."""
    sizes = np.array([shape.instance_gpus for shape in shapes], dtype=np.int64)
    return sizes, np.array([shape.engine_ranks for shape in shapes], dtype=np.int64)
