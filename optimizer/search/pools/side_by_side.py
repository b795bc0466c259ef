"""What joint instances beside pools cost at least, split by split: few splits are left to be solved.

A request at a rank takes no less with more load, and in each failure state what is not lost takes what it takes with every
instance up, so that what a part's GPUs hold at most bounds every number of them. Where no number of instances keeps every rule
of the load, the split is none. ``docs/disaggregated.md``, section 14.

Other home: ``verify/pools/side_by_side.py``; docs/disaggregated.md,
section 14.
"""

from __future__ import annotations

from collections.abc import Iterator

from optimizer.costs.pools import PoolLink, link_between
from optimizer.facts.problem import Problem
from optimizer.facts.side_by_side import TENTHS, BesideSplit, unit_gpus, units_of
from optimizer.search.pools.joint_share import JointShare
from optimizer.search.pools.pools_share import PoolsShare
from optimizer.search.uniform.quantities import Quantities

ROUNDED = 1 - 1e-9
"""What floats may have added, generously."""


class SplitBounds:
    """Bounds of every split of a problem.

    Args:
        problem: with whatever ``serving``.
        joint: ``considered`` joint instances with all requests and GPUs, which have every shape that rules without a load leave.
    """

    def __init__(self, problem: Problem, joint: Quantities | None = None) -> None:
        self.units, self.unit = units_of(problem), unit_gpus(problem)
        alone = _on_nodes(problem, 1)
        # A single node has links of its own between stages and between pools.
        self._several = problem.hardware.nodes > 1
        self._joint, self._joint_alone = JointShare(problem, joint), JointShare(alone)
        link = link_between(problem.hardware) if self._several else _fastest(problem)
        self._pools, self._pools_alone = PoolsShare(problem, link), PoolsShare(alone, link_between(alone.hardware))

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
        least = (1 - share) * self.pools(TENTHS - tenths, self.units - first)
        if least < known:
            least += share * self.joint(tenths, last, (known - least) / share)
        if least >= known:
            return
        if first == last:
            yield least, BesideSplit(tenths, first)
            return
        middle = (first + last) // 2
        yield from self._within(tenths, first, middle, known)
        yield from self._within(tenths, middle + 1, last, known)

    def joint(self, tenths: int, units: int, enough: float = float("inf")) -> float:
        """ms that a request at joint instances takes at least, with so many tenths of them on at most so many units.

        Args:
            enough: a bound of so many ms is looked at no closer.
        """
        gpus = units * self.unit
        if not self._several:
            return self._joint.least(tenths, gpus, enough) * ROUNDED
        found = self._joint_alone.least(tenths, self.unit, enough)
        if units > 1:
            found = min(found, self._joint.least(tenths, gpus, enough))
        return found * ROUNDED

    def pools(self, tenths: int, units: int) -> float:
        """The same of pools: the least over what either of them has of the GPUs."""
        gpus = units * self.unit
        if not self._several:
            return self._pools.least(tenths, gpus) * ROUNDED
        found = self._pools_alone.least(tenths, self.unit)
        if units > 1:
            found = min(found, self._pools.least(tenths, gpus))
        return found * ROUNDED


def _on_nodes(problem: Problem, nodes: int) -> Problem:
    return problem.model_copy(update={"hardware": problem.hardware.model_copy(update={"nodes": nodes})})


def _fastest(problem: Problem) -> PoolLink:
    """A link no slower than that of any GPUs of a node: some may lie in one NVLink domain where all do not."""
    few = problem.hardware.model_copy(update={"gpus_per_node": 2})
    links = link_between(problem.hardware), link_between(few)
    return PoolLink("", max(one.bytes_per_ms for one in links), min(one.latency_ms for one in links))
