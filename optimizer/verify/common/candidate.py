"""One strategy, quantity by quantity: memory, loads, throughput and value, each computed when first asked for.

Callers work inside ``arithmetic.sixty_digits``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property

from optimizer.facts.base import LARGEST_COUNT
from optimizer.facts.demand import Requirements
from optimizer.facts.problem import Problem
from optimizer.verify.common.arithmetic import ceil_ratio, decimal, exact
from optimizer.verify.common.budget import budget_on
from optimizer.verify.common.corrections import replica_times
from optimizer.verify.common.expected_tokens import computed_tokens
from optimizer.verify.common.groups import Row
from optimizer.verify.common.load import Load, load_of
from optimizer.verify.common.objective import Value, value_of
from optimizer.verify.common.occupancy import (
    BLOCK_TOKENS,
    Moments,
    blocks_in_progress,
    moments_of_one,
    wanted,
    wanted_by,
)
from optimizer.verify.common.stage import Stage, Stages
from optimizer.verify.common.survivors import survivors_of
from optimizer.verify.common.times import ReplicaTimes
from optimizer.verify.common.users import exact_rate

RATE_STEP = Fraction(1, 1000)
CACHE_NOISE_BYTES = 2
"""What 64-bit floats and rounding up may add to or take from the bytes that requests in progress want."""


@dataclass(frozen=True, slots=True)
class Cache:
    """Bytes of cache on a GPU, what is wanted of it (None: requests pile up), and what is lacking."""

    room: int
    wanted: Decimal | None
    short: Decimal


def planned(wanted: Requirements, limit_ms: float) -> Decimal:
    """The most that may be predicted under a limit: the limit itself, or less where a margin is stated."""
    return decimal(exact(limit_ms) / (1 + exact(wanted.margin)))


class Replica:
    """Times of a shape and its loads by requests/s at a replica, the same whatever the number of replicas."""

    def __init__(self, times: ReplicaTimes) -> None:
        self.times = times
        self.loads: dict[Fraction, Load | None] = {}
        self.asked: dict[Fraction, Fraction] = {}
        """Requests/s by users at the replica, in a closed loop."""
        self.held: dict[int, tuple[Stage, Moments]] = {}
        """By the identity of the stage, which is kept beside: hashing its fractions takes longer than everything else."""


class RowFacts:
    """What all strategies of a row have in common, whatever max_num_seqs."""

    def __init__(self, problem: Problem, row: Row, stages: Stages) -> None:
        self.problem, self.row = problem, row
        self.stages: tuple[Stage, ...] = stages.of(row.shape.group, row.shape.layers)
        self.hardware = stages.hardware(row.shape)
        self._held = stages

    @property
    def _replica(self) -> Replica:
        """Computed when first asked for: most shapes of an enumeration never are."""
        found: Replica | None = self._held.of_replicas.get(self.row.shape)
        if found is None:
            times = replica_times(self.problem, self.row.shape, self._held)
            found = self._held.of_replicas[self.row.shape] = Replica(times)
        return found

    @property
    def times(self) -> ReplicaTimes:
        """Times of one replica."""
        return self._replica.times

    def held(self, stage: Stage) -> Moments:
        """What one request in progress holds on a GPU of a stage, bytes."""
        known = self._replica.held
        if id(stage) not in known:
            known[id(stage)] = stage, moments_of_one(blocks_in_progress(self.problem), stage.held_bytes)
        return known[id(stage)][1]

    def once(self, stage: Stage) -> int:
        """Bytes on a GPU of a stage that are held once for all requests."""
        tokens = self.problem.workload.shared_tokens
        return math.ceil(stage.held_bytes(tokens)) if tokens else 0

    @cached_property
    def budgets(self) -> tuple[int, ...]:
        """Memory of one GPU that may be used, stage by stage."""
        # Stages of a segment stand on one and the same hardware.
        apart = {id(hardware): hardware for hardware in self.hardware}
        budgets = {key: budget_on(self.problem, hardware) for key, hardware in apart.items()}
        return tuple(budgets[id(hardware)] for hardware in self.hardware)

    @cached_property
    def state_sequences(self) -> int | None:
        """Sequences for whose states there are blocks at every stage; None: states set no limit."""
        if not any(stage.state_block_bytes for stage in self.stages):
            return None
        each = (stage.state_sequences(budget) for stage, budget in zip(self.stages, self.budgets, strict=True))
        return min((found for found in each if found is not None), default=None)

    def load(self, requests_per_s: Fraction, instances_down: int = 0) -> Load | None:
        """Load of a replica when the service receives so many requests; None when overloaded."""
        left = (self.row.instances - instances_down) * self.row.shape.group.ranks
        share = requests_per_s / left
        replica = self._replica
        if share not in replica.loads:
            replica.loads[share] = load_of(self.problem, replica.times, share)
        return replica.loads[share]

    def rate(self, share: Fraction = Fraction(1), instances_down: int = 0) -> Fraction:
        """Requests/s at the whole service for a share of the demand: of a rate that is stated, or of users at once."""
        work = self.problem.workload
        if work.users is None:
            return exact(work.requests_per_s) * share
        left = (self.row.instances - instances_down) * self.row.shape.group.ranks
        known = self._replica.asked
        users = work.users.concurrent * share / left
        if users not in known:
            known[users] = exact_rate(self._mean_at, users, work.users)
        return known[users] * left

    def _mean_at(self, requests_per_s: Fraction) -> Decimal | None:
        load = load_of(self.problem, self._replica.times, requests_per_s)
        return None if load is None else load.mean

    def demanded(self, share: Fraction = Fraction(1), instances_down: int = 0) -> Load | None:
        """Load of a replica when a share of the demand meets the instances left."""
        return self.load(self.rate(share, instances_down), instances_down)


class Candidate:
    """A row with its max_num_seqs."""

    def __init__(self, facts: RowFacts, slots: int) -> None:
        self.facts, self.slots = facts, slots
        self.problem, self.row = facts.problem, facts.row

    @cached_property
    def demand(self) -> Fraction:
        """Requests/s of the whole service: as stated, or what the users send."""
        return self.facts.rate()

    @property
    def times(self) -> ReplicaTimes:
        """Times of one replica."""
        return self.facts.times

    @property
    def paged(self) -> bool:
        """Whether cache is taken block by block."""
        return self.problem.search.kv_reservation == "paged"

    @property
    def needed_bytes(self) -> tuple[int, ...]:
        """Memory that one GPU must have, stage by stage."""
        return tuple(stage.memory_bytes(self.slots) for stage in self.facts.stages)

    @property
    def memory_bytes(self) -> tuple[int, ...]:
        """Memory of one GPU, stage by stage, with the cache that there is."""
        stages = zip(self.facts.stages, self.caches, strict=True)
        return tuple(stage.beside_cache(self.slots) + cache for stage, cache in stages)

    @cached_property
    def rooms(self) -> tuple[int, ...]:
        """Bytes that the budget leaves for the cache, stage by stage; negative where there is no room for the rest."""
        on = zip(self.facts.stages, self.facts.budgets, strict=True)
        return tuple(budget - stage.beside_cache(self.slots) for stage, budget in on)

    @cached_property
    def _caches(self) -> tuple[tuple[Stage, int], ...]:
        """(stage, bytes that the budget leaves for its cache), alike ones once."""
        each = zip(self.facts.stages, self.rooms, strict=True)
        return tuple({(id(stage), room): (stage, room) for stage, room in each}.values())

    @property
    def cache_tokens(self) -> int:
        """Tokens that the cache holds, in whole blocks: what fits at the stage with the least room."""
        found = []
        for stage, room in zip(self.facts.stages, self.rooms, strict=True):
            size = BLOCK_TOKENS * stage.token_bytes
            if size:
                found.append(max(0, room) // size)
        return min(found, default=LARGEST_COUNT) * BLOCK_TOKENS

    @property
    def caches(self) -> tuple[int, ...]:
        """KV cache of one GPU, stage by stage."""
        if not self.paged:
            return tuple(self.slots * stage.sequence_bytes for stage in self.facts.stages)
        tokens = self.cache_tokens
        return tuple(tokens * stage.token_bytes for stage in self.facts.stages)

    def tightest_cache(self, load: Load | None) -> Cache:
        """The cache of the stage that lacks most, or has least to spare, at a load."""
        found: Cache | None = None
        for stage, room in self._caches:
            need = Decimal(0) if load is None else self._wanted(load, stage)
            if found is None or need - room > found.short:
                found = Cache(max(0, room), None if load is None else need, need - room)
        assert found is not None
        return found

    def _wanted(self, load: Load, stage: Stage) -> Decimal:
        """Bytes that the requests in progress pass for the share of the time allowed."""
        share = self.problem.requirements.preemption_share
        return self.facts.once(stage) + wanted(load.number, self.facts.held(stage), share)

    def prefix_kept_s(self) -> Decimal | None:
        """Seconds for which the cache that the load leaves keeps a prefix after its last use; None: nothing to keep."""
        work, load = self.problem.workload, self.load
        if work.prefix is None or load is None or not self.paged:
            return None
        filled = decimal(
            self.demand / self.row.replicas * (computed_tokens(work, work.prompt_tokens) + work.output_tokens)
        )
        left = [
            max(Decimal(0), room - self._wanted(load, stage)) / stage.token_bytes
            for stage, room in self._caches
            if stage.token_bytes
        ]
        return min(left) / filled if left else None

    def has_cache(self, load: Load, tolerance: int = 0) -> bool:
        """Whether what is in progress at a load passes the cache no longer than allowed, or the rule is off."""
        if not self.paged or "kv_cache" in self.problem.search.disabled_rules:
            return True
        return self.tightest_cache(load).short <= tolerance

    def has_room(self, load: Load) -> bool:
        """Whether a load leaves a slot free for 99 % of requests, and has cache enough."""
        return load.n99 <= self.slots and self.has_cache(load)

    @property
    def cache_slots(self) -> int:
        """Most requests in progress that the cache holds, up to max_num_seqs."""
        if not self.paged or "kv_cache" in self.problem.search.disabled_rules:
            return self.slots
        low, high = 0, self.slots + 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._holds(middle) else (low, middle)
        return low

    def _holds(self, requests: int) -> bool:
        """Whether the cache holds exactly so many requests in progress, but for the share of the time allowed."""
        share = self.problem.requirements.preemption_share
        return all(
            self.facts.once(stage) + wanted_by(requests, self.facts.held(stage), share) <= room
            for stage, room in self._caches
        )

    def longest_sequence(self, tolerance: int = 0) -> int:
        """The longest sequence served: as stated; else what fits beside the load, from the longest request to the context."""
        problem, load = self.problem, self.load
        least, most = problem.longest_request_tokens, problem.model.max_context_tokens
        if not self.paged or problem.requirements.max_sequence_tokens is not None:
            return problem.max_sequence_tokens
        if load is None:
            return least
        free = [(stage, room - math.ceil(self._wanted(load, stage)) + tolerance) for stage, room in self._caches]
        low, high = 0, ceil_ratio(most, BLOCK_TOKENS) + 1
        while high - low > 1:
            middle = (low + high) // 2
            fits = all(math.ceil(stage.admitted_bytes(middle * BLOCK_TOKENS)) <= left for stage, left in free)
            low, high = (middle, high) if fits else (low, middle)
        return min(most, max(least, low * BLOCK_TOKENS))

    @property
    def memory_share(self) -> Fraction:
        """Largest share of its own memory that any GPU uses."""
        on = zip(self.memory_bytes, self.facts.hardware, strict=True)
        return max(Fraction(used, hardware.gpu.memory_bytes) for used, hardware in on)

    @property
    def cache_bytes(self) -> int:
        """KV cache of one GPU at the stage with the largest."""
        return max(self.caches)

    @property
    def load(self) -> Load | None:
        """Load at the demand, nothing down."""
        return self.facts.load(self.demand)

    def completions(self) -> tuple[Decimal, Decimal]:
        """(requests/s that the service completes at most with its slots and cache, R of the concurrency at which it does)."""
        residence, most = self.times.residence(self.slots), self.cache_slots
        if most == 0:
            return Decimal(0), residence[0]
        best = max(range(1, most + 1), key=lambda m: m / residence[m - 1])
        return self.row.replicas * best * 1000 / residence[best - 1], residence[best - 1]

    def value(self) -> Value:
        """Objective terms and availability."""
        return value_of(
            self.problem.objective,
            self.problem.hardware,
            self.row,
            lambda down: self.facts.demanded(instances_down=down),
            self.has_room,
        )

    def survivors_load(self, lost: str) -> Load | None:
        """Load of a surviving replica at the share of demand to be carried; None when overloaded or none is left."""
        left = survivors_of(self.problem, self.row, lost)
        share = exact(self.problem.requirements.survive.demand_share)
        return self.facts.demanded(share, self.row.instances - left) if left else None

    def carries(self, requests_per_s: Fraction, tolerance_ms: Decimal = Decimal(0)) -> bool:
        """Whether slots and latency limits hold at a rate; a latency may pass its limit by the tolerance."""
        return self.keeps(self.facts.load(requests_per_s), tolerance_ms)

    def keeps(self, load: Load | None, tolerance_ms: Decimal = Decimal(0)) -> bool:
        """Whether a load leaves a slot free, has cache enough and keeps every stated latency limit that is switched on."""
        noise = CACHE_NOISE_BYTES if tolerance_ms > 0 else -CACHE_NOISE_BYTES if tolerance_ms < 0 else 0
        if load is None or load.n99 > self.slots or not self.has_cache(load, noise):
            return False
        off = self.problem.search.disabled_rules
        return all(
            load.latency(limit) <= planned(self.problem.requirements, limit.limit_ms) + tolerance_ms
            for limit in self.problem.requirements.latency_limits
            if limit.rule not in off
        )

    def most_requests(self) -> Fraction:
        """``max_request_rate``: the largest multiple of a thousandth that is carried.

        By bisection: whatever a load is made of grows with the rate.
        """
        low, high = 0, 1
        while self.carries(high * RATE_STEP):
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.carries(middle * RATE_STEP) else (low, middle)
        return low * RATE_STEP
