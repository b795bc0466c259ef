"""Every number the rules and the objective speak of, for every row of the space, as integers.

This joins the space with the cost model; it knows no limits and decides nothing.

Other home: ``verify/common/objective.py``; docs/model.md, section 6.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from optimizer.costs.analytic import Costs
from optimizer.costs.corrected import costs_of
from optimizer.costs.distinct import distinct
from optimizer.costs.failures import STATES, DownStates, down_states
from optimizer.costs.load import LoadPoints, chain_length, evaluate
from optimizer.costs.memory import MemoryTable, memory_budget_bytes
from optimizer.costs.service import ServiceTable
from optimizer.costs.shapes import Floats, Ints
from optimizer.costs.users import STEP, closed_rates
from optimizer.facts.demand import Objective
from optimizer.facts.problem import Problem
from optimizer.search.common.scale import NEVER_BYTES, NS_PER_MS, bytes_up, time_ns
from optimizer.search.uniform.space import Space

PENALTY_MS = {"fault-tolerance": 3_600_000.0}
DEFAULT_PENALTY_MS = 60_000.0


@dataclass(frozen=True, slots=True)
class ObjectiveWeights:
    """The objective's numbers after presets and overrides. ``docs/model.md``, section 6."""

    latency: float
    unserved: float
    penalty_ms: float
    gpu_ms: float

    @classmethod
    def of(cls, objective: Objective) -> ObjectiveWeights:
        """Weights of a preset, each replaced by what the person stated."""
        preset = objective.preset
        unserved = 0.0 if preset == "latency" else 1.0
        penalty = PENALTY_MS.get(preset, DEFAULT_PENALTY_MS)
        return cls(
            latency=1.0 if objective.latency_weight is None else objective.latency_weight,
            unserved=unserved if objective.unserved_weight is None else objective.unserved_weight,
            penalty_ms=penalty if objective.unserved_penalty_ms is None else objective.unserved_penalty_ms,
            gpu_ms=0.0 if objective.gpu_ms is None else objective.gpu_ms,
        )


@dataclass(frozen=True, slots=True)
class StateValues:
    """Objective parts in ns for 0…4 instances down, (R, STATES): carried, or served and unserved when not."""

    carried: Ints
    served: Ints
    unserved: Ints


class Quantities:
    """Tables over the rows of a space; expensive ones are computed on first use.

    ``budget`` is what one GPU may use, in bytes: one number, or one for each shape and stage class (S, C).
    """

    def __init__(self, problem: Problem, space: Space, costs: Costs | None = None) -> None:
        self.problem = problem
        self.space = space
        self.costs: Costs = costs or costs_of(problem, space.shapes)
        self.ranks = space.column("engine_ranks")
        self.budget: int | Ints = memory_budget_bytes(problem)
        self.carried_per_replica: dict[tuple[int, int], float] = {}
        """Requests/s by shape and sequences, as far as they were asked for (``capacity``)."""
        self.rules: Any = None
        """The rules of the problem, once they were asked for (``rules.rules_of``); they are made of this, and so not known here."""

    @cached_property
    def memory(self) -> MemoryTable:
        """Bytes per shape and stage class."""
        return self.costs.memory()

    @cached_property
    def room(self) -> Ints:
        """Bytes that the budget leaves for the cache on a GPU of each shape and stage class, (S, C); negative: none."""
        left: Ints = self.budget - self.memory.base
        return left

    @cached_property
    def state_sequences(self) -> Ints:
        """Sequences for whose states a replica has blocks, up to N, (S,)."""
        return self.memory.state_sequences(self.room, self.space.slots)

    def cache_shortfall(self, load: LoadPoints, shape: Ints) -> Ints:
        """Bytes by which what is in progress passes the cache, longer than allowed, at the worst stage, (Q,); 0 or less: it fits.

        Without paging, where no slot ever lacks its cache, and for replicas on which requests pile up see ``NEVER_BYTES``.
        """
        held = self.memory.held
        if held is None:
            return np.full(len(shape), -NEVER_BYTES, dtype=np.int64)
        wanted = held.wanted(shape, load, self.problem.requirements.preemption_share)
        short: Ints = (bytes_up(wanted) - self.room[shape]).max(axis=1)
        return np.minimum(short, NEVER_BYTES)

    def tightest_cache(self, load: LoadPoints, row: int) -> tuple[int, int | None]:
        """(bytes of cache there are, bytes wanted) at the stage of a row that lacks most or has least to spare.

        Args:
            load: one point for each row; where requests pile up, what is wanted is None.
        """
        held, shape = self.memory.held, int(self.space.row_shape[row])
        if held is None:
            raise ValueError("every slot has its cache: nothing is paged")
        one = LoadPoints(**{name: getattr(load, name)[[row]] for name in LoadPoints.__dataclass_fields__})
        wanted = bytes_up(held.wanted(np.array([shape]), one, self.problem.requirements.preemption_share))[0]
        stages = list(self.costs.table.class_of_stage[shape])
        room = self.room[shape]
        worst = max(stages, key=lambda column: int(wanted[column] - room[column]))
        return max(0, int(room[worst])), None if one.overloaded[0] else int(wanted[worst])

    def slots_needed_for(self, load: LoadPoints, shape: Ints) -> Ints:
        """Fewest slots with which a load is carried, (Q,): one free for 99 % of requests, and cache enough; N + 1: never."""
        if "kv_cache" in self.problem.search.disabled_rules:
            return load.n99
        needed: Ints = np.where(self.cache_shortfall(load, shape) > 0, self.space.slots + 1, load.n99)
        return needed

    @cached_property
    def cache_slots(self) -> Ints:
        """Most requests in progress that the cache of a replica holds, up to N, (S,)."""
        held = self.memory.held
        if held is None or "kv_cache" in self.problem.search.disabled_rules:
            return np.full(len(self.space.shapes), self.space.slots, dtype=np.int64)
        return held.most(self.room, self.problem.requirements.preemption_share, self.space.slots)

    def completes(self, shape: Ints, slots: Ints) -> Floats:
        """X: requests/s that one replica completes at most with so many slots and the cache there is, (Q,)."""
        held = np.minimum(slots, self.cache_slots[shape])
        most: Floats = self.completion_per_s[shape, np.maximum(held, 1) - 1]
        return np.where(held > 0, most, 0.0)

    @cached_property
    def completing_slots(self) -> Ints:
        """Fewest slots whose completions cover what arrives, whatever the cache holds, (R,); N + 1: never."""
        needed, space = self.normal.slots_needed.copy(), self.space
        # A fixed DP that fills no engine instance breaks a rule of its own; its completions are still those of its replicas.
        odd = np.flatnonzero(space.row_dp != space.instances * self.ranks)
        done = self.completion_per_s[space.row_shape[odd]] * space.row_dp[odd, None]
        needed[odd] = (done < self.demand[odd, None]).sum(axis=1) + 1
        return needed

    @cached_property
    def rate_slots(self) -> Ints:
        """Fewest slots with which the replicas of each row complete what arrives, (R,); N + 1: never."""
        needed = self.completing_slots
        fits: Ints = np.where(needed <= self.cache_slots[self.space.row_shape], needed, self.space.slots + 1)
        return fits

    @cached_property
    def service(self) -> ServiceTable:
        """Step times per shape and number in progress."""
        return self.costs.service(self.space.slots)

    @cached_property
    def down(self) -> DownStates:
        """Distribution of instances down, per row."""
        return down_states(self.problem.hardware, self.space.column("instance_gpus"), self.space.instances)

    def load_of(
        self,
        shape: Ints,
        rate_per_s: Floats,
        overlap_rate_per_s: Floats | None = None,
        *,
        everything: bool = True,
    ) -> LoadPoints:
        """Load of pairs of shape and arrival rate at one replica, (Q,) each; the last two as in ``evaluate``."""
        never = self.space.slots + 1
        return evaluate(self._chain, shape, rate_per_s, never, overlap_rate_per_s, everything=everything)

    @cached_property
    def _chain(self) -> ServiceTable:
        """Step times of the states that the load model tells apart."""
        return self.service.up_to(chain_length(self.problem))

    def load_with(self, alive: Ints, share: float = 1.0) -> LoadPoints:
        """Latency of every row when only ``alive`` instances (R,) carry ``share`` of the demand."""
        rate = self.rate_at(np.maximum(alive, 0) * self.ranks, share)
        first, inverse = distinct(self.space.row_shape, rate)
        points = self.load_of(self.space.row_shape[first], rate[first])
        return LoadPoints(**{name: getattr(points, name)[inverse] for name in LoadPoints.__dataclass_fields__})

    def rate_at(self, replicas: Ints, share: float = 1.0) -> Floats:
        """Requests/s at one replica of every row where so many are left, (R,), for a share of the demand; 0: none is left."""
        work, there = self.problem.workload, replicas > 0
        if work.users is None:
            plain: Floats = np.where(there, work.requests_per_s * share / np.maximum(replicas, 1), 0.0)
            return plain
        users = np.where(there, work.users.concurrent * share / np.maximum(replicas, 1), 0.0)
        users = np.asarray(users, dtype=np.float64)
        first, inverse = distinct(self.space.row_shape, users)
        shape = self.space.row_shape[first]

        def mean_ms(lines: Ints, rates: Floats) -> Floats:
            return self.load_of(shape[lines], rates, everything=False).mean_ms

        steps = closed_rates(mean_ms, users[first], work.users.think_time_s)
        return np.asarray(steps * STEP, dtype=np.float64)[inverse]

    @cached_property
    def demand(self) -> Floats:
        """Requests/s at the whole service, of every row, (R,): as stated, or what the users send to it."""
        work, replicas = self.problem.workload, self.space.instances * self.ranks
        if work.users is None:
            return np.full(self.space.rows, work.requests_per_s)
        result: Floats = self.rate_at(replicas) * replicas
        return result

    @cached_property
    def states(self) -> tuple[LoadPoints, ...]:
        """Load with 0…4 instances down."""
        return (self.normal, *(self.load_with(self.space.instances - down) for down in range(1, STATES)))

    @cached_property
    def normal(self) -> LoadPoints:
        """Load with every instance up."""
        return self.load_with(self.space.instances)

    @cached_property
    def _surviving(self) -> dict[tuple[str, int, float], LoadPoints]:
        return {}

    def surviving(self, level: str, losses: int, share: float) -> LoadPoints:
        """Load when the instances left after losses carry a share of the demand."""
        key = (level, losses, share)
        if key not in self._surviving:
            self._surviving[key] = self.load_with(self.survivors(level, losses), share)
        return self._surviving[key]

    def survivors(self, level: str, losses: int) -> Ints:
        """Instances left in the worst case after ``losses`` GPUs or nodes are lost, (R,); may be 0 or less."""
        lost: Ints = np.full(self.space.rows, losses, dtype=np.int64)
        if level == "node" and losses:
            lost = (self.down.lost_with_node, self.down.lost_with_two_nodes)[losses - 1]
        left: Ints = self.space.instances - lost
        return left

    @cached_property
    def full_batch_tpot_ns(self) -> Ints:
        """Time per token by number in progress, (S, N)."""
        return time_ns(self.service.tpot_ms)

    @cached_property
    def completion_per_s(self) -> Floats:
        """Requests/s one replica completes at most with n in progress, (S, N); ``completes`` counts the cache too."""
        n = np.arange(1, self.space.slots + 1)
        done = n * 1e3 / self.service.residence_ms
        # How many rows share a table decides the last bits of its sums; an answer does not depend on its neighbours.
        digits = 10.0 ** (12 - np.floor(np.log10(done)))
        result: Floats = np.maximum.accumulate(np.round(done * digits) / digits, axis=1)
        return result

    @cached_property
    def weights(self) -> ObjectiveWeights:
        """The objective's weights."""
        return ObjectiveWeights.of(self.problem.objective)

    @cached_property
    def _raw_states(self) -> tuple[Floats, Floats, Floats]:
        """(carried, served when shedding, unserved when shedding) in ms, before probabilities, (R, STATES)."""
        w, instances = self.weights, self.space.instances.astype(np.float64)[:, None]
        means = np.stack([np.where(np.isfinite(s.mean_ms), s.mean_ms, np.inf) for s in self.states], axis=1)
        normal = np.where(np.isfinite(means[:, :1]), means[:, :1], 0.0)
        counts = np.arange(STATES)
        served = np.maximum(0.0, instances - counts) / instances * w.latency * normal
        unserved = np.minimum(1.0, counts / instances) * w.unserved * w.penalty_ms
        return np.where(np.isfinite(means), means * w.latency, np.inf), served, unserved

    @cached_property
    def slots_to_carry(self) -> tuple[Ints, ...]:
        """Fewest slots with which a row carries the demand with 0…4 instances down, (R,) each; N + 1: never.

        A state whose shedding costs less than its slow service is never carried.
        """
        carried, served, unserved = self._raw_states
        dearer = carried > served + unserved
        dearer[:, 0] = False
        shape = self.space.row_shape
        needed = (self.slots_needed_for(state, shape) for state in self.states)
        return tuple(np.where(dearer[:, j], self.space.slots + 1, slots) for j, slots in enumerate(needed))

    @cached_property
    def state_values(self) -> StateValues:
        """Probability-weighted objective parts of each failure state."""
        w = self.weights
        carried, served, unserved = self._raw_states
        probability = self.down.probability
        if w.unserved == 0:
            probability = np.zeros_like(probability)
            probability[:, 0] = 1.0
        served, unserved = served.copy(), unserved.copy()
        served[:, 0], unserved[:, 0] = 0.0, w.latency * w.penalty_ms
        carried = np.where(np.isfinite(carried), carried, 0.0)
        return StateValues(
            time_ns(probability * carried), time_ns(probability * served), time_ns(probability * unserved)
        )

    @cached_property
    def rest_values(self) -> tuple[Ints, Ints]:
        """(served, unserved) ns of all states with more instances down than are told apart, (R,)."""
        w, down, instances = self.weights, self.down, self.space.instances.astype(np.float64)
        if w.unserved == 0:
            zero = np.zeros(self.space.rows, dtype=np.int64)
            return zero, zero
        normal = np.where(np.isfinite(self.normal.mean_ms), self.normal.mean_ms, 0.0)
        gone = down.rest_mean / instances
        served = np.maximum(0.0, down.rest - gone) * w.latency * normal
        return time_ns(served), time_ns(gone * w.unserved * w.penalty_ms)

    @cached_property
    def gpu_ns(self) -> Ints:
        """Objective part of the GPUs in use, (R,)."""
        result: Ints = np.ceil(self.weights.gpu_ms * NS_PER_MS * self.space.gpus).astype(np.int64)
        return result


def demand_of(quantities: Quantities, row: int) -> float:
    """Requests/s of the whole service: as stated, or what the users send to a row."""
    work = quantities.problem.workload
    return work.requests_per_s if work.users is None else round(float(quantities.demand[row]), 6)
