"""The exhaustive counterpart: every candidate of section 8 in 64-bit floats, to find any that would refute a claim.

Floats only select: a candidate within rounding of a limit counts as possible, and whatever is found here is judged
again in exact arithmetic by ``check``. Rows go through in blocks of modest size; each block is a few hundred numpy calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from optimizer.facts.demand import FEWEST
from optimizer.facts.problem import Problem
from optimizer.results.answer import Fixed
from optimizer.verify.common.arithmetic import sixty_digits
from optimizer.verify.common.budget import budget_bytes
from optimizer.verify.common.candidate import planned
from optimizer.verify.common.corrections import float_times
from optimizer.verify.common.failures import down_of
from optimizer.verify.common.float_cache import FloatCache, completed
from optimizer.verify.common.float_load import Loads, loads
from optimizer.verify.common.float_times import Floats, Ints, ShapeTimes
from optimizer.verify.common.groups import ReplicaShape, Row
from optimizer.verify.common.load import chain_length
from optimizer.verify.common.objective import weights_of
from optimizer.verify.common.rules import row_findings
from optimizer.verify.common.space import most_slots
from optimizer.verify.common.stage import Stages
from optimizer.verify.common.survivors import survivors_of
from optimizer.verify.common.users import float_rates
from optimizer.verify.uniform.float_capacity import capacity_tier, most_per_replica

BLOCK = 1 << 16
"""Candidates in one block."""
NEAR_MS = 4e-6
NEAR_RELATIVE = 1e-9

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class FloatBar:
    """What a rival must beat: the tier before the objective (lower is better; 0 without one), and the value in ms."""

    tier: float
    value_ms: float
    tier_resolution: float
    resolution_ms: float
    row: Row
    slots: int


@dataclass(slots=True)
class Survey:
    """What the enumeration saw."""

    candidates: int = 0
    compared: int = 0
    """Of them, those looked at one by one, or through another that is no worse in anything."""
    ruled_out: dict[str, int] = field(default_factory=dict)
    """The others, by what ruled them out."""
    feasible: int = 0
    near: int = 0
    """Candidates that rounding keeps from being decided in floats."""
    rivals: list[tuple[float, float, bool, Row, int]] = field(default_factory=list)
    """(tier, value in ms, surely feasible, row, max_num_seqs) of those that may beat the bar."""
    claimed: tuple[float, float, bool] | None = None
    """(tier, value in ms, may be feasible) that floats give for the claim; None when it is not in the space."""


@dataclass(frozen=True, slots=True)
class BlockVerdict:
    """What floats say of every row of a block with every number of sequences, (R, N) each."""

    sure: Bools
    """Feasible for certain."""
    maybe: Bools
    """Feasible as far as rounding can tell."""
    tier: Floats
    """What the preset puts before the objective; lower is better."""
    value: Floats
    """The objective, ms; minus infinity where floats cannot tell what is carried."""


@sixty_digits()
def survey(
    problem: Problem,
    fixed: Fixed,
    offered: Sequence[Row],
    stages: Stages,
    bar: FloatBar | None,
    *,
    most_rivals: int = 4096,
) -> Survey:
    """Go through the whole space.

    Args:
        offered: the rows of the space, ``space.rows``.
        bar: what a rival must beat; None: every candidate that may be feasible is a rival.
        most_rivals: the best of them are kept for each block.
    """
    upto, found = most_slots(problem, fixed), Survey()
    found.candidates = len(offered) * upto
    off = problem.search.disabled_rules
    possible = [row for row in offered if all(rule.holds or rule.id in off for rule in row_findings(problem, row))]
    slots = np.array([fixed.max_num_seqs]) if fixed.max_num_seqs else np.arange(1, upto + 1)
    found.compared = len(possible) * upto
    if len(possible) < len(offered):
        found.ruled_out["rules on degrees"] = found.candidates - found.compared
    for block in row_blocks(possible, max(1, BLOCK // upto)):
        _record(found, block, slots, judge_block(problem, block, slots, stages, upto), bar, most_rivals)
    found.rivals.sort(key=lambda rival: (not rival[2], rival[0], rival[1]))
    return found


def row_blocks(possible: list[Row], size: int) -> Iterator[list[Row]]:
    """The rows in blocks of so many, those of few stages first."""
    ordered = sorted(possible, key=lambda row: row.shape.stages)
    for start in range(0, len(ordered), size):
        yield ordered[start : start + size]


def _record(found: Survey, block: list[Row], slots: Ints, seen: BlockVerdict, bar: FloatBar | None, most: int) -> None:
    found.feasible += int(seen.sure.sum())
    found.near += int((seen.maybe & ~seen.sure).sum())
    rival = seen.maybe
    if bar is not None:
        ahead = seen.tier < bar.tier - bar.tier_resolution
        level = np.abs(seen.tier - bar.tier) <= bar.tier_resolution
        rival = rival & (ahead | (level & (seen.value < bar.value_ms - bar.resolution_ms / 2)))
        at = block.index(bar.row) if bar.row in block else -1
        if at >= 0 and bar.slots in slots:
            k = int(np.searchsorted(slots, bar.slots))
            found.claimed = float(seen.tier[at, k]), float(seen.value[at, k]), bool(seen.maybe[at, k])
    where = np.argwhere(rival)
    if len(where) > most:
        order = np.lexsort((seen.value[rival], seen.tier[rival], ~seen.sure[rival]))
        where = where[order[:most]]
    for i, k in where:
        value = float(seen.tier[i, k]), float(seen.value[i, k])
        found.rivals.append((*value, bool(seen.sure[i, k]), block[i], int(slots[k])))


def judge_block(problem: Problem, block: Sequence[Row], slots: Ints, stages: Stages, upto: int) -> BlockVerdict:
    """Feasibility, tier and value of every candidate of a block of rows."""
    shapes = list(dict.fromkeys(row.shape for row in block))
    line = {shape: i for i, shape in enumerate(shapes)}
    shape = np.array([line[row.shape] for row in block])
    times = float_times(problem, shapes, stages, upto)
    states = _FloatLoads(problem, block, times, shape)
    normal = states.down(np.zeros(len(block), dtype=np.int64))
    rules = _Rules(problem, _fits(problem, shapes, stages, slots)[shape])
    caches = FloatCache(problem, shapes, stages)
    rules.load(normal, slots, "concurrency" not in problem.search.disabled_rules)
    rules.cache(normal, *caches.holds(normal, shape))
    rules.limits(normal)
    done = completed(np.arange(1, upto + 1) * 1000 / times.residence[:, :upto], caches.slots(upto))
    done = done[shape][:, slots - 1] * np.array([[row.replicas] for row in block])
    alone = _Rules(problem, _fits(problem, shapes, stages, slots))
    if problem.requirements.tpot_p99_ms is not None:
        most = float(planned(problem.requirements, problem.requirements.tpot_p99_ms))
        for of, full in ((rules, times.tpot[:, slots - 1][shape]), (alone, times.tpot[:, slots - 1])):
            of.at_most("tpot_full_batch", full, most, NEAR_MS)
    if problem.workload.users is None:
        demand = problem.workload.requests_per_s
        rules.at_most("request_rate", -done, -demand, demand * NEAR_RELATIVE + 2e-3 * (demand * 1000 % 1 > 0))
    else:
        asked = states.demand
        rules.at_most("request_rate", asked[:, None] - done, 0.0, float(asked.max()) * NEAR_RELATIVE + 2e-3)
    for lost in ("gpu", "node"):
        if getattr(problem.requirements.survive, lost) and f"survive_{lost}" not in problem.search.disabled_rules:
            left = np.array([survivors_of(problem, row, lost) for row in block])
            survivors = states.left(left, problem.requirements.survive.demand_share)
            rules.load(survivors, slots, True)
            rules.cache(survivors, *caches.holds(survivors, shape))
            rules.limits(survivors)
    value = _values(problem, block, slots, states, normal, lambda load: caches.holds(load, shape))
    tier = np.zeros_like(value)
    if problem.objective.preset == "throughput":
        tier = -np.floor(done * problem.workload.output_tokens * 1000) / 1000
    elif problem.objective.preset == "capacity":
        # More sequences never carry less: the largest number that its own rules allow stands for all.
        fitting = np.where(alone.maybe, slots, 0).max(axis=1)
        each = most_per_replica(problem, times, fitting, caches)
        replicas = np.array([row.replicas for row in block])
        tier = tier + capacity_tier(each[shape], replicas)[:, None]
        largest = slots == fitting[shape][:, None]
        rules.sure &= largest
        rules.maybe &= largest
    elif problem.objective.preset in FEWEST:
        tier = tier + np.array([[float(row.gpus)] for row in block])
    return BlockVerdict(rules.sure, rules.maybe, tier, value)


def _fits(problem: Problem, shapes: Sequence[ReplicaShape], stages: Stages, slots: Ints) -> Bools:
    """Rules on max_num_seqs alone, in whole numbers: no rounding."""
    wanted, off = problem.requirements, problem.search.disabled_rules
    fits = np.ones((len(shapes), len(slots)), dtype=np.bool_)
    if "max_batch" not in off:
        fits &= slots <= problem.max_batch
    if "min_batch" not in off:
        fits &= slots >= wanted.min_batch
    budget = budget_bytes(problem)
    if "state_blocks" not in off:
        fits &= slots <= state_slots(problem, shapes, stages, int(slots.max()))[:, None]
    if "memory" in off:
        return fits
    for i, shape in enumerate(shapes):
        for stage in set(stages.of(shape.group, shape.layers)):
            left, each = budget - stage.memory_bytes(0), stage.memory_bytes(1) - stage.memory_bytes(0)
            fits[i] &= slots <= left // each if each else left >= 0
    return fits


def state_slots(problem: Problem, shapes: Sequence[ReplicaShape], stages: Stages, upto: int) -> Ints:
    """The most sequences, up to a number, for whose states there are blocks at every stage of a replica, (S,)."""
    budget, most = budget_bytes(problem), np.full(len(shapes), upto)
    for i, shape in enumerate(shapes):
        for stage in stages.of(shape.group, shape.layers):
            blocks = stage.state_sequences(budget)
            most[i] = most[i] if blocks is None else min(most[i], blocks)
    return most


class _FloatLoads:
    """Loads of the rows of a block with some instances left."""

    def __init__(self, problem: Problem, block: Sequence[Row], times: ShapeTimes, shape: Ints) -> None:
        self._problem, self._times, self._shape = problem, times, shape
        self.instances = np.array([row.instances for row in block])
        self._ranks = np.array([row.shape.group.ranks for row in block])

    def left(self, instances: Ints, share: float = 1.0) -> Loads:
        """So many left at a share of the demand."""
        per_replica, near = self.rates(instances, share)
        found = loads(self._problem, self._times, self._shape, per_replica, chain_length(self._problem))
        return replace(found, unsure=found.unsure | near) if near.any() else found

    def rates(self, instances: Ints, share: float = 1.0) -> tuple[Floats, Bools]:
        """Requests/s at a replica with so many instances left, and whether rounding may have moved it."""
        work, left = self._problem.workload, np.maximum(1, instances * self._ranks)
        if work.users is None:
            per_replica = np.where(instances > 0, work.requests_per_s * share / left, np.inf)
            return per_replica, np.zeros(len(left), dtype=np.bool_)
        users = np.where(instances > 0, work.users.concurrent * share / left, np.inf)
        pairs = np.stack([self._shape.astype(np.float64), users])
        _, first, back = np.unique(pairs, axis=1, return_index=True, return_inverse=True)
        shape, length = self._shape[first], chain_length(self._problem)

        def mean_ms(rate: Floats) -> Floats:
            load = loads(self._problem, self._times, shape, rate, length, end_to_end=False)
            return np.where(load.overloaded, np.inf, load.mean)

        per_replica, near = float_rates(mean_ms, users[first], work.users)
        back = back.reshape(-1)
        return per_replica[back], near[back]

    @property
    def demand(self) -> Floats:
        """Requests/s of the whole service with every instance up, (R,)."""
        work = self._problem.workload
        if work.users is None:
            return np.full(len(self._shape), work.requests_per_s)
        total: Floats = self.rates(self.instances)[0] * self.instances * self._ranks
        return total

    def down(self, instances: Ints) -> Loads:
        """So many down at the demand."""
        return self.left(self.instances - instances)


class _Rules:
    """Feasibility so far: for sure, and as far as rounding can tell."""

    def __init__(self, problem: Problem, fits: Bools) -> None:
        self._problem, self.sure, self.maybe = problem, fits.copy(), fits.copy()

    def at_most(self, rule: str, actual: Floats, limit: float, near: float) -> None:
        """One comparison, unless the rule is switched off."""
        if rule not in self._problem.search.disabled_rules:
            near = max(near, NEAR_RELATIVE * 1e-2 * abs(limit))
            self.sure &= actual <= limit - near
            self.maybe &= actual <= limit + near

    def load(self, load: Loads, slots: Ints, wanted: bool) -> None:
        """Enough slots, and not overloaded."""
        if wanted:
            enough = (load.n99[:, None] <= slots) & ~load.overloaded[:, None]
            self.sure &= enough & ~load.unsure[:, None]
            self.maybe &= enough | load.unsure[:, None]

    def cache(self, load: Loads, sure: Bools, maybe: Bools) -> None:
        """Cache enough for what is in progress; an overloaded replica never has."""
        if "kv_cache" in self._problem.search.disabled_rules or self._problem.search.kv_reservation == "full":
            return
        self.sure &= (sure & ~load.overloaded & ~load.unsure)[:, None]
        self.maybe &= ((maybe & ~load.overloaded) | load.unsure)[:, None]

    def limits(self, load: Loads) -> None:
        """Latency limits at a load; an overloaded replica keeps none."""
        for limit in self._problem.requirements.latency_limits:
            rule = limit.rule
            actual = np.where(load.overloaded, np.inf, load.latency[rule])
            most = float(planned(self._problem.requirements, limit.limit_ms))
            actual = np.where(load.unsure, most, actual)
            self.at_most(rule, actual[:, None], most, NEAR_MS)


def _values(
    problem: Problem,
    block: Sequence[Row],
    slots: Ints,
    states: _FloatLoads,
    normal: Loads,
    holds: Callable[[Loads], tuple[Bools, Bools]],
) -> Floats:
    """The objective of section 6, ms; minus infinity where floats cannot tell what is carried."""
    weights = weights_of(problem.objective)
    latency, penalty = float(weights.latency), float(weights.unserved * weights.penalty_ms)
    instances = states.instances.astype(np.float64)
    usual = np.where(normal.overloaded, 0.0, latency * normal.mean)
    cached, perhaps = holds(normal)
    works = (normal.n99[:, None] <= slots) & (~normal.overloaded & cached)[:, None]
    value = np.zeros(works.shape)
    distributions = [down_of(problem.hardware, row.shape.instance_gpus, row.instances) for row in block]
    most = max(len(down.probabilities) for down in distributions) if weights.unserved else 1
    unsure = normal.unsure | (cached != perhaps)
    for j in range(most):
        p = np.array([float(d.probabilities[j]) if j < len(d.probabilities) else 0.0 for d in distributions])
        if not weights.unserved:
            p = np.ones_like(p)
        load = normal if j == 0 else states.down(np.full(len(block), j))
        cached, perhaps = holds(load)
        unsure |= load.unsure | ((cached != perhaps) & ~load.overloaded)
        carried = works & (load.n99[:, None] <= slots) & (~load.overloaded & cached)[:, None]
        shed = usual * (instances - j) / instances + penalty * j / instances
        if j:
            carried &= (latency * load.mean <= shed)[:, None]
        lost = latency * float(weights.penalty_ms) if j == 0 else shed[:, None]
        value += p[:, None] * np.where(carried, (latency * load.mean)[:, None], lost)
    if weights.unserved:
        beyond = np.array([[float(d.beyond), float(d.beyond_instances)] for d in distributions])
        share = beyond[:, 1] / instances
        value += (usual * (beyond[:, 0] - share) + penalty * share)[:, None]
    value += float(weights.gpu_ms) * np.array([[float(row.gpus)] for row in block])
    value[unsure] = -np.inf
    return value
