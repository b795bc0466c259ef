"""Joint instances with a share of the requests: what a request takes at least where every rule of the load holds, in floats.

Every shape is looked at with the most instances that the GPUs hold, then with every number of them; where they stand is left
out. ``docs/disaggregated.md``, section 14. Callers work inside ``arithmetic.sixty_digits``.

Other home: ``search/pools/joint_share.py``; docs/disaggregated.md, section 14.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from optimizer.facts.problem import Problem
from optimizer.facts.side_by_side import TENTHS
from optimizer.results.answer import Fixed
from optimizer.verify.common.arithmetic import exact
from optimizer.verify.common.budget import budget_bytes
from optimizer.verify.common.candidate import planned
from optimizer.verify.common.corrections import float_times
from optimizer.verify.common.float_cache import FloatCache
from optimizer.verify.common.float_load import Loads, loads
from optimizer.verify.common.float_times import Floats, Ints, ShapeTimes, TimedShapes
from optimizer.verify.common.groups import ReplicaShape, Row
from optimizer.verify.common.load import chain_length
from optimizer.verify.common.objective import weights_of
from optimizer.verify.common.rules import row_findings
from optimizer.verify.common.space import replicas_offered, shapes_offered
from optimizer.verify.common.stage import Stages

BY_COUNT = frozenset({"gpu_count", "nvlink_locality", "expert_groups"})
"""Rules on degrees that the number of replicas has a part in: nothing is left out by them."""
MOST_ROWS = 20_000
"""Numbers of instances of all shapes that are looked at one by one."""
LEFT_OUT = frozenset({"concurrency", "kv_cache"})
"""Rules without which instances may leave requests unserved with nothing down."""
NEAR_MS = 1e-5
NEAR = 1e-9
"""Relative."""
LITTLE = 1e-6
"""By how much of it a load is made smaller where floats cannot tell on which side of an edge it is."""

Bools = NDArray[np.bool_]


def within(problem: Problem, limit_ms: float) -> float:
    """ms from which on a time in floats breaks a limit for certain."""
    most = float(planned(problem.requirements, limit_ms))
    return most * (1 + NEAR) + NEAR_MS


def up_at_least(problem: Problem, gpus: int) -> float:
    """Share of the time that an instance is up at least."""
    rates = problem.hardware.failures
    repair = exact(rates.repair_hours)
    gpu = 1 - repair / (exact(rates.gpu_mtbf_hours) + repair)
    node = 1 - repair / (exact(rates.node_mtbf_hours) + repair)
    # However an instance lies, it touches one node more than it fills, and never more.
    nodes = gpus // problem.hardware.gpus_per_node + 2
    return float(gpu) ** gpus * float(node) ** nodes


class OwnJointShare:
    """Joint instances on nodes of a problem.

    Args:
        timed: every joint shape that may stand on all GPUs; left out, they are worked out.
    """

    def __init__(self, problem: Problem, timed: TimedShapes | None = None) -> None:
        self.problem, self._timed = problem.model_copy(update={"serving": "joint"}), timed
        self._off = set(problem.search.disabled_rules)
        self._most: dict[tuple[int, int], float] = {}
        self._each: dict[int, Floats] = {}

    def least(self, tenths: int, gpus: int, enough: float) -> float:
        """ms that a request takes at least with so many tenths of them on so many GPUs; no closer than it has to be."""
        if (tenths, gpus) not in self._most:
            self._most[tenths, gpus] = self._of_most(tenths, gpus)
        bound = self._most[tenths, gpus]
        if bound >= enough or self._rows > MOST_ROWS:
            return bound
        if tenths not in self._each:
            self._each[tenths] = self._of_each(tenths)
        return max(bound, float(self._each[tenths][gpus]))

    @cached_property
    def _shapes(self) -> Sequence[ReplicaShape]:
        """Shapes that rules on degrees leave."""
        if self._timed is not None:
            return self._timed.shapes
        found, off = [], BY_COUNT | self._off
        for shape in shapes_offered(self.problem, Fixed()):
            counts = replicas_offered(self.problem, Fixed(), shape)
            findings = row_findings(self.problem, Row(shape, counts[0])) if counts else ()
            if counts and all(rule.holds or rule.id in off for rule in findings):
                found.append(shape)
        return found

    @cached_property
    def _stages(self) -> Stages:
        return Stages(self.problem)

    @cached_property
    def _times(self) -> ShapeTimes:
        if self._timed is not None:
            return self._timed.times
        return float_times(self.problem, self._shapes, self._stages, chain_length(self.problem))

    @cached_property
    def _caches(self) -> FloatCache:
        return FloatCache(self.problem, self._shapes, self._stages)

    @cached_property
    def _slots(self) -> Ints:
        """The most sequences of each shape, (S,); 0: none."""
        upto, wanted = self._times.tpot.shape[1], self.problem.requirements
        n = np.arange(1, upto + 1)
        fits = np.ones((len(self._shapes), upto), dtype=np.bool_)
        if "max_batch" not in self._off:
            fits &= n <= self.problem.max_batch
        if wanted.tpot_p99_ms is not None and "tpot_full_batch" not in self._off:
            fits &= self._times.tpot <= within(self.problem, wanted.tpot_p99_ms)
        if "state_blocks" not in self._off:
            fits &= n <= self._states[:, None]
        largest: Ints = np.where(fits, n, 0).max(axis=1)
        return np.where(largest < wanted.min_batch, 0, largest) if "min_batch" not in self._off else largest

    @cached_property
    def _states(self) -> Ints:
        """Sequences of each shape for whose recurrent states there are blocks, (S,)."""
        budget, never = budget_bytes(self.problem), np.iinfo(np.int64).max
        known: dict[int, int | None] = {}
        least = []
        for shape in self._shapes:
            here = [never]
            for stage in self._stages.of(shape.group, shape.layers):
                if id(stage) not in known:  # ``stages`` keeps every stage alive
                    known[id(stage)] = stage.state_sequences(budget)
                blocks = known[id(stage)]
                here += [] if blocks is None else [blocks]
            least.append(min(here))
        return np.array(least)

    @cached_property
    def _size(self) -> Ints:
        return np.array([shape.instance_gpus for shape in self._shapes], dtype=np.int64)

    @cached_property
    def _ranks(self) -> Ints:
        return np.array([shape.group.ranks for shape in self._shapes], dtype=np.int64)

    @cached_property
    def _time(self) -> Floats:
        """The weight of a request's time at an instance of each shape, times the share of the time that it is up at least."""
        weights, sizes = weights_of(self.problem.objective), self._size.tolist()
        up = {size: 1.0 if weights.unserved <= 0 else up_at_least(self.problem, size) for size in set(sizes)}
        return float(weights.latency) * np.array([up[size] for size in sizes])

    @property
    def _rows(self) -> int:
        return int((self.problem.hardware.gpus // self._size).sum())

    def _of_most(self, tenths: int, gpus: int) -> float:
        lines = np.flatnonzero(self._size <= gpus)
        if not len(lines):
            return np.inf
        return float(self._costs(tenths, lines, gpus // self._size[lines], True).min())

    def _of_each(self, tenths: int) -> Floats:
        """By how many GPUs there are."""
        gpus = self.problem.hardware.gpus
        least = np.full(gpus + 1, np.inf)
        lines = np.repeat(np.arange(len(self._size)), gpus // self._size)
        if len(lines):
            count = np.concatenate([np.arange(1, gpus // size + 1) for size in self._size.tolist()])
            np.minimum.at(least, count * self._size[lines], self._costs(tenths, lines, count, False))
        return np.minimum.accumulate(least)

    def _costs(self, tenths: int, line: Ints, count: Ints, fewer: bool) -> Floats:
        """ms of each at least; infinite where a rule of the load is broken.

        Args:
            fewer: of any smaller number of instances too.
        """
        survive, share = self.problem.requirements.survive, float(exact(self.problem.workload.requests_per_s)) / TENTHS
        load, possible = self._carried(tenths * share, line, count, fewer, "concurrency" not in self._off)
        nodes = self.problem.hardware.nodes
        for level, lost in (("gpu", np.full(len(count), survive.gpu)), ("node", -(-survive.node * count // nodes))):
            if getattr(survive, level) and f"survive_{level}" not in self._off:
                left = count - np.maximum(1, lost)
                _, after = self._carried(tenths * share * survive.demand_share, line, left, fewer, True)
                possible &= (left > 0) & after
        # So near saturation that floats do not tell on which side, the rest of the time is still a bound.
        costs = self._time[line] * np.where(load.overloaded & ~load.unsure, 0.0, load.mean)
        weights = weights_of(self.problem.objective)
        if LEFT_OUT & self._off:
            unserved = float(weights.latency * weights.penalty_ms)
            costs = np.where(load.overloaded, unserved, np.minimum(costs, unserved))
        found: Floats = np.where(possible, costs, np.inf)
        return found

    def _carried(self, rate: float, line: Ints, count: Ints, fewer: bool, slots_matter: bool) -> tuple[Loads, Bools]:
        """(load, whether it may be carried within the rules of the load); arguments as for ``_costs``."""
        ranks = self._ranks[line]
        each = np.where(count > 0, rate / np.maximum(1, count * ranks), np.inf)
        at_most = rate / ranks if fewer else each
        load = self._loads(line, each, at_most if fewer else None)
        kept = self._carries(load, line, slots_matter)
        # What is on the edge of something is bounded by a load that is a little smaller.
        edge = np.flatnonzero(load.unsure & kept & np.isfinite(each))
        if len(edge):
            less = self._loads(line[edge], each[edge] * (1 - LITTLE), at_most[edge])
            kept[edge] = self._carries(less, line[edge], slots_matter)
        return load, kept

    def _loads(self, line: Ints, each: Floats, at_most: Floats | None) -> Loads:
        length = chain_length(self.problem)
        return loads(self.problem, self._times, line, each, length, at_most, end_to_end=False)

    def _carries(self, load: Loads, line: Ints, slots_matter: bool) -> Bools:
        """As far as floats can tell."""
        kept = np.ones(len(line), dtype=np.bool_)
        if slots_matter:
            kept &= ~load.overloaded & (load.n99 <= self._slots[line])
        if not self._caches.free:
            kept &= ~load.overloaded & self._caches.holds(load, line)[1]
        for limit in self.problem.requirements.latency_limits:
            if limit.rule not in self._off:
                kept &= ~load.overloaded & (load.latency[limit.rule] <= within(self.problem, limit.limit_ms))
        return (kept | load.unsure) & (self._slots[line] > 0)
