"""Joint instances with a share of the requests on some of the GPUs: what a request takes at least within every rule of the load.

Rows have GPUs in number alone: where they stand is left out, and of losses no more is counted than the fullest of all nodes
takes. ``docs/disaggregated.md``, section 14.

Other home: ``verify/pools/joint_share.py``; docs/disaggregated.md, section 14.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from optimizer.costs.distinct import distinct
from optimizer.costs.failures import down_states
from optimizer.costs.load import LoadPoints
from optimizer.costs.shapes import Bools, Floats, Ints
from optimizer.facts.problem import Problem
from optimizer.facts.side_by_side import TENTHS
from optimizer.results.rule_groups import STATIC_RULES
from optimizer.search.uniform.quantities import ObjectiveWeights, Quantities
from optimizer.search.uniform.replica_counts import (
    PLACEMENT,
    CountBlock,
    decisive_rows,
    of_same_shapes,
    take_tables,
)
from optimizer.search.uniform.rules import rules_of
from optimizer.search.uniform.screen import Screen

MOST_COUNTS = 20_000
"""Rows of every number of instances that are worked out for a share; of more the most instances alone bound them."""
UNCARRIED = frozenset({"concurrency", "kv_cache"})
"""Rules without which a row may leave the demand unserved with all instances up."""


class JointShare:
    """Joint instances on nodes of a problem.

    Args:
        problem: with whatever ``serving``.
        known: ``considered`` joint instances of the problem, which have every shape that rules without a load leave.
    """

    def __init__(self, problem: Problem, known: Quantities | None = None) -> None:
        self.problem, self._known = problem, known
        self._every: dict[int, Floats] = {}
        self._most: dict[tuple[int, int], float] = {}

    def least(self, tenths: int, gpus: int, enough: float) -> float:
        """ms that a request takes at least with so many tenths of them on at most so many GPUs.

        Args:
            enough: a bound of so many ms is looked at no closer.
        """
        if (tenths, gpus) not in self._most:
            self._most[tenths, gpus] = self._of_most(tenths, gpus)
        bound = self._most[tenths, gpus]
        if bound >= enough or self._counts > MOST_COUNTS:
            return bound
        if tenths not in self._every:
            self._every[tenths] = self._of_every(tenths)
        return max(bound, float(self._every[tenths][gpus]))

    @cached_property
    def _quantities(self) -> Quantities:
        if self._known is not None:
            return self._known
        problem = self.problem.model_copy(update={"serving": "joint"})
        return Quantities(problem, decisive_rows(problem))

    @cached_property
    def _shapes(self) -> tuple[Ints, Ints, Ints]:
        """(shape, GPUs of an instance, its ranks) of each that keeps the rules which no load has a part in."""
        space = self._quantities.space
        viable = space.row_shape[Screen(self._quantities, None, STATIC_RULES).viable]
        shapes = np.array(sorted(set(viable.tolist())), dtype=np.int64)
        sizes = np.array([shape.instance_gpus for shape in space.shapes], dtype=np.int64)
        ranks = np.array([shape.engine_ranks for shape in space.shapes], dtype=np.int64)
        return shapes, sizes[shapes], ranks[shapes]

    @cached_property
    def _counts(self) -> int:
        return int((self.problem.hardware.gpus // self._shapes[1]).sum())

    def _of_most(self, tenths: int, gpus: int) -> float:
        """With the most instances that the GPUs hold: fewer have more load each."""
        shapes, size, ranks = self._shapes
        some = np.flatnonzero(gpus // size)
        if not len(some):
            return np.inf
        count = gpus // size[some]
        rows = _ShareOfMost(of_same_shapes(self._quantities, shapes[some], count * ranks[some]), tenths)
        return float(self._costs(rows).min())

    def _of_every(self, tenths: int) -> Floats:
        """With every number of instances, by how many GPUs there are at most."""
        shapes, size, ranks = self._shapes
        gpus = self.problem.hardware.gpus
        line = np.repeat(np.arange(len(shapes)), gpus // size)
        count = np.concatenate([np.arange(1, gpus // one + 1) for one in size]) if len(size) else line
        least = np.full(gpus + 1, np.inf)
        if len(line):
            rows = _ShareOfEach(of_same_shapes(self._quantities, shapes[line], count * ranks[line]), tenths)
            np.minimum.at(least, count * size[line], self._costs(rows))
        return np.minimum.accumulate(least)

    def _costs(self, rows: Quantities) -> Floats:
        """ms of each row at least; infinite where it breaks a rule of the load."""
        active = {rule.id for rule in rules_of(rows)} - PLACEMENT
        viable: Bools = Screen(rows, None, active).viable
        weights, size = ObjectiveWeights.of(self.problem.objective), rows.space.column("instance_gpus")
        costs = weights.latency * up_at_least(self.problem, size, weights) * rows.normal.mean_ms
        if UNCARRIED & set(self.problem.search.disabled_rules):
            costs = np.minimum(costs, weights.latency * weights.penalty_ms)
        found: Floats = np.where(viable, costs, np.inf)
        return found


def up_at_least(problem: Problem, size: Ints, weights: ObjectiveWeights) -> Floats:
    """Share of the time that an instance of each size is up at least: it may lie across two nodes."""
    if weights.unserved <= 0:
        return np.ones(len(size))
    first, back = distinct(size)
    one = np.ones(len(first), dtype=np.int64)
    up: Floats = 1 - 2 * (1 - down_states(problem.hardware, size[first], one, one).probability[:, 0])
    return up[back]


class _ShareOfMost(CountBlock):
    """Rows with a share of the requests; what is said holds of every smaller number of instances too."""

    def __init__(self, rows: Quantities, tenths: int) -> None:
        super().__init__(rows, np.ones(rows.space.rows, dtype=np.int64))
        self._share = tenths / TENTHS

    def load_with(self, alive: Ints, share: float = 1.0) -> LoadPoints:
        """As in ``CountBlock``, for the share of the requests."""
        return super().load_with(alive, share * self._share)

    def survivors(self, level: str, losses: int) -> Ints:
        """Instances left at most."""
        return _left(self, level, losses)


class _ShareOfEach(Quantities):
    """Rows with a share of the requests, each with its own number of instances."""

    def __init__(self, rows: Quantities, tenths: int) -> None:
        super().__init__(rows.problem, rows.space, rows.costs)
        take_tables(self, rows)
        self._share = tenths / TENTHS

    def load_with(self, alive: Ints, share: float = 1.0) -> LoadPoints:
        """As in ``Quantities``, for the share of the requests."""
        return super().load_with(alive, share * self._share)

    def survivors(self, level: str, losses: int) -> Ints:
        """Instances left at most."""
        return _left(self, level, losses)


def _left(rows: Quantities, level: str, losses: int) -> Ints:
    """Instances left of each row at most: the fullest nodes hold no fewer than the mean."""
    instances, nodes = rows.space.instances, rows.problem.hardware.nodes
    lost = np.full(rows.space.rows, losses, dtype=np.int64) if level == "gpu" else -(-losses * instances // nodes)
    left: Ints = instances - np.maximum(1, lost)
    return left
