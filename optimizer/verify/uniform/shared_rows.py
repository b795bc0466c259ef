"""Rows of one problem judged together: what fits, what bounds hold, and what each is worth. Part of ``shared``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from optimizer.facts.demand import FEWEST
from optimizer.facts.problem import Problem
from optimizer.verify.common.budget import budget_bytes
from optimizer.verify.common.candidate import planned
from optimizer.verify.common.failures import COUNTED
from optimizer.verify.common.float_cache import FloatCache, completed
from optimizer.verify.common.float_failures import FloatDown
from optimizer.verify.common.float_load import Loads
from optimizer.verify.common.float_times import Floats, Ints, ShapeTimes
from optimizer.verify.common.groups import ReplicaShape
from optimizer.verify.common.objective import weights_of
from optimizer.verify.common.stage import Stages
from optimizer.verify.uniform.float_candidate import NEAR_MS, NEAR_RELATIVE, Bools, FloatBar, state_slots
from optimizer.verify.uniform.float_capacity import capacity_tier, most_per_replica


@dataclass(frozen=True, slots=True)
class SharedColumns:
    """What rows hold, (R,) each."""

    shape: Ints
    tensor: Ints
    stages: Ints
    replicas: Ints
    instances: Ints
    instance_gpus: Ints

    @property
    def gpus(self) -> Ints:
        used: Ints = self.tensor * self.stages * self.replicas
        return used

    def of(self, kept: Ints) -> SharedColumns:
        return SharedColumns(*(getattr(self, name)[kept] for name in SharedColumns.__dataclass_fields__))


class Fits:
    """Numbers of sequences 1 … upto by shape: which fit, and what a replica completes with them."""

    def __init__(
        self, problem: Problem, shapes: Sequence[ReplicaShape], stages: Stages, times: ShapeTimes, upto: int
    ) -> None:
        wanted, off = problem.requirements, problem.search.disabled_rules
        n = np.arange(1, upto + 1)
        self.fits: Bools = np.ones((len(shapes), upto), dtype=np.bool_)
        if "max_batch" not in off:
            self.fits &= n <= problem.max_batch
        if "min_batch" not in off:
            self.fits &= n >= wanted.min_batch
        if "memory" not in off:
            self.fits &= n <= memory_slots(problem, shapes, stages, upto)[:, None]
        if "state_blocks" not in off:
            self.fits &= n <= state_slots(problem, shapes, stages, upto)[:, None]
        if wanted.tpot_p99_ms is not None and "tpot_full_batch" not in off:
            limit = float(planned(wanted, wanted.tpot_p99_ms))
            self.fits &= times.tpot <= limit + max(NEAR_MS, NEAR_RELATIVE * 1e-2 * limit)
        self.caches = FloatCache(problem, shapes, stages)
        self.completed: Floats = completed(n * 1000 / times.residence, self.caches.slots(upto))
        self._problem, self._times = problem, times
        self.last: Ints = np.maximum.accumulate(np.where(self.fits, n, 0), axis=1)
        """The largest fitting number up to each, 0: none, (S, upto)."""

    @cached_property
    def carried(self) -> Floats:
        """The most requests/s that a replica carries within every limit with the most sequences that fit, (S,)."""
        return most_per_replica(self._problem, self._times, self.last[:, -1], self.caches)


def memory_slots(problem: Problem, shapes: Sequence[ReplicaShape], stages: Stages, upto: int) -> Ints:
    """The most sequences, up to a number, that memory has room for at every stage of a replica, (S,)."""
    budget, most = budget_bytes(problem), np.full(len(shapes), upto)
    known: dict[int, int] = {}
    for i, shape in enumerate(shapes):
        for stage in stages.of(shape.group, shape.layers):
            if id(stage) not in known:  # ``stages`` keeps every stage alive
                left, each = budget - stage.memory_bytes(0), stage.memory_bytes(1) - stage.memory_bytes(0)
                known[id(stage)] = min(upto, left // each if each else upto) if left >= 0 else 0
            most[i] = min(most[i], known[id(stage)])
    return most


class Bounds:
    """Tier and value that no number of sequences and no spread over nodes can better, by row.

    A failure state that is carried is worth the time at its own load; one that is not, at least the time with nothing down where
    an unserved request counts that much. The mean over states is no less than the least of these. That takes rule
    ``concurrency``: without it the state with nothing down may be unserved.

    Args:
        loads: of every row with 0 … COUNTED instances down.
    """

    def __init__(self, problem: Problem, columns: SharedColumns, loads: Sequence[Loads], fits: Fits) -> None:
        weights, normal = weights_of(problem.objective), loads[0]
        usual = np.where(normal.overloaded, 0.0, float(weights.latency) * normal.mean)
        least, unsure = usual, normal.unsure
        for load in loads[1:]:
            least = np.where(load.overloaded, least, np.minimum(least, float(weights.latency) * load.mean))
            unsure = unsure | load.unsure
        holds = (usual <= float(weights.unserved * weights.penalty_ms)) | (weights.unserved == 0)
        holds &= ~unsure & ("concurrency" not in problem.search.disabled_rules)
        self._value: Floats = np.where(holds, least + float(weights.gpu_ms) * columns.gpus, -np.inf)
        self._tier: Floats = np.zeros(len(usual))
        if problem.objective.preset == "throughput":
            most = np.maximum(1, fits.last[columns.shape, -1])
            self._tier = peak_tier(problem, columns, fits, most[:, None])[:, 0]
        elif problem.objective.preset == "capacity":
            self._tier = capacity_tier(fits.carried[columns.shape], columns.replicas)
        elif problem.objective.preset in FEWEST:
            self._tier = columns.gpus.astype(np.float64)

    def pruned(self, bar: FloatBar) -> Bools:
        """Rows of which no candidate can beat the bar."""
        behind = self._tier > bar.tier + bar.tier_resolution
        never_ahead = self._tier >= bar.tier - bar.tier_resolution
        result: Bools = behind | (never_ahead & (self._value >= bar.value_ms - bar.resolution_ms / 2))
        return result


def peak_tier(problem: Problem, columns: SharedColumns, fits: Fits, slots: Ints) -> Floats:
    """Tier of preset ``throughput`` of rows with so many sequences, (R, M): tokens/s at most, floored and negative."""
    done = fits.completed[columns.shape[:, None], slots - 1] * columns.replicas[:, None]
    tier: Floats = -np.floor(done * problem.workload.output_tokens * 1000) / 1000
    return tier


class LoadsAt(Protocol):
    """Loads at one rate of the whole service."""

    def at(self, shape: Ints, instances: Ints) -> Loads:
        """Loads of lines of shapes with so many instances left, (Q,) each."""
        ...


class RowJudged:
    """The rows of one problem: which may be feasible with how many sequences, and what they are worth."""

    def __init__(self, problem: Problem, columns: SharedColumns, fits: Fits, loads: Callable[[float], LoadsAt]) -> None:
        self.problem, self.columns, self.upto = problem, columns, fits.fits.shape[1]
        self.off = problem.search.disabled_rules
        self.fits, demand = fits, problem.workload.requests_per_s
        self.down = FloatDown(problem.hardware, columns.instance_gpus, columns.instances)
        table = loads(demand)
        self._cached: dict[int, tuple[Bools, Bools]] = {}
        self.states = [table.at(columns.shape, columns.instances - j) for j in range(COUNTED + 1)]
        self.possible: Bools = np.ones(len(columns.shape), dtype=np.bool_)
        self.least: Ints = np.ones(len(columns.shape), dtype=np.int64)
        self._carry(self.states[0], "concurrency" not in self.off)
        if "request_rate" not in self.off:
            self._complete(demand)
        survive = problem.requirements.survive
        for name, losses, killed in (
            ("gpu", survive.gpu, survive.gpu),
            ("node", survive.node, self.down.killed[survive.node]),
        ):
            if losses and f"survive_{name}" not in self.off:
                left = columns.instances - killed
                self._carry(loads(demand * survive.demand_share).at(columns.shape, left), True)

    def _carry(self, load: Loads, slots_matter: bool) -> None:
        """Enough sequences, not overloaded, and every latency limit that is on."""
        if not self.fits.caches.free:
            _, cached = self.fits.caches.holds(load, self.columns.shape)
            self.possible &= (cached & ~load.overloaded) | load.unsure
        if slots_matter:
            self.possible &= ~load.overloaded | load.unsure
            self.least = np.maximum(self.least, np.where(load.unsure, 1, load.n99))
        wanted = self.problem.requirements
        for limit in wanted.latency_limits:
            rule = limit.rule
            if rule not in self.off:
                most = float(planned(wanted, limit.limit_ms))
                actual = np.where(load.overloaded, np.inf, load.latency[rule])
                within = actual <= most + max(NEAR_MS, NEAR_RELATIVE * 1e-2 * most)
                self.possible &= within | load.unsure

    def _complete(self, demand: float) -> None:
        """Enough sequences for the completions to cover the demand."""
        near = max(demand * NEAR_RELATIVE + 2e-3 * (demand * 1000 % 1 > 0), NEAR_RELATIVE * 1e-2 * demand)
        needed = (demand - near) / self.columns.replicas
        by_shape = np.argsort(self.columns.shape, kind="stable")
        enough = np.empty_like(self.columns.shape)
        ends = np.searchsorted(self.columns.shape[by_shape], np.arange(len(self.fits.completed) + 1))
        for shape, (start, end) in enumerate(zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)):
            if start < end:
                lines = by_shape[start:end]
                enough[lines] = np.searchsorted(self.fits.completed[shape], needed[lines]) + 1
        self.possible &= enough <= self.upto
        self.least = np.maximum(self.least, enough)

    def rivals(self, bar: FloatBar | None) -> tuple[Bools, Ints, Floats, Floats]:
        """(rival, sequences, tier, value) for every row and every number of sequences that stands for others, (R, M)."""
        ends = [np.full(len(self.columns.shape), self.upto)]
        ends += [np.clip(load.n99 - 1, 1, self.upto) for load in self.states]
        columns = np.stack(ends, axis=1)
        slots = self.fits.last[self.columns.shape[:, None], columns - 1]
        maybe = self.possible[:, None] & (slots >= self.least[:, None]) & (slots > 0)
        kept = np.flatnonzero(maybe.any(axis=1))
        tier, value = np.full(slots.shape, np.inf), np.full(slots.shape, np.inf)
        tier[kept], value[kept] = self._worth(kept, np.maximum(slots[kept], 1))
        if bar is None:
            return maybe, slots, tier, value
        ahead = tier < bar.tier - bar.tier_resolution
        with np.errstate(invalid="ignore"):
            level = np.abs(tier - bar.tier) <= bar.tier_resolution
        better = ahead | (level & (value < bar.value_ms - bar.resolution_ms / 2))
        return maybe & better, slots, tier, value

    def one(self, row: int, slots: int) -> tuple[float, float, bool]:
        """(tier, value, may be feasible) of one candidate."""
        tier, value = self._worth(np.array([row]), np.array([[slots]]))
        fits = bool(self.fits.fits[self.columns.shape[row], slots - 1])
        return float(tier[0, 0]), float(value[0, 0]), bool(self.possible[row]) and fits and slots >= self.least[row]

    def _held(self, down: int) -> tuple[Bools, Bools]:
        """Whether caches hold what is in progress with so many instances down: for sure, and perhaps, (R,) each."""
        if down not in self._cached:
            self._cached[down] = self.fits.caches.holds(self.states[down], self.columns.shape)
        return self._cached[down]

    def _worth(self, rows: Ints, slots: Ints) -> tuple[Floats, Floats]:
        """Tier and objective of rows with so many sequences, (Q, M) each; value minus infinity where floats cannot tell."""
        problem, weights = self.problem, weights_of(self.problem.objective)
        latency, penalty = float(weights.latency), float(weights.unserved * weights.penalty_ms)
        columns = self.columns.of(rows)
        instances = columns.instances.astype(np.float64)
        normal = self.states[0]
        overloaded = normal.overloaded[rows]
        usual = np.where(overloaded, 0.0, latency * normal.mean[rows])
        cached, perhaps = (held[rows] for held in self._held(0))
        works = (normal.n99[rows][:, None] <= slots) & (~overloaded & cached)[:, None]
        value, unsure = np.zeros(slots.shape), cached != perhaps
        for j in range(COUNTED + 1 if weights.unserved else 1):
            load = self.states[j]
            p = self.down.probabilities[j][rows] if weights.unserved else np.ones(len(rows))
            p = np.where(j <= columns.instances, p, 0.0)
            unsure |= load.unsure[rows] & (j <= columns.instances)
            cached, perhaps = (held[rows] for held in self._held(j))
            unsure |= (cached != perhaps) & ~load.overloaded[rows] & (j <= columns.instances)
            carried = works & (load.n99[rows][:, None] <= slots) & (~load.overloaded[rows] & cached)[:, None]
            shed = usual * (instances - j) / instances + penalty * j / instances
            mean = np.where(load.overloaded[rows], 0.0, load.mean[rows])
            if j:
                carried &= (latency * mean <= shed)[:, None]
            lost = np.full(len(rows), latency * float(weights.penalty_ms)) if j == 0 else shed
            value += p[:, None] * np.where(carried, (latency * mean)[:, None], lost[:, None])
        if weights.unserved:
            share = self.down.beyond_instances[rows] / instances
            value += (usual * (self.down.beyond[rows] - share) + penalty * share)[:, None]
        value += float(weights.gpu_ms) * columns.gpus[:, None]
        value[unsure] = -np.inf
        tier = np.zeros(slots.shape)
        if problem.objective.preset == "throughput":
            tier = peak_tier(problem, columns, self.fits, slots)
        elif problem.objective.preset == "capacity":
            tier = tier + capacity_tier(self.fits.carried[columns.shape], columns.replicas)[:, None]
        elif problem.objective.preset in FEWEST:
            tier = tier + columns.gpus[:, None]
        return tier, value
