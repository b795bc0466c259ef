"""One strategy, quantity by quantity: memory, loads, throughput and value, each computed when first asked for.

Callers work inside ``arithmetic.sixty_digits``.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from optimizer.facts.demand import Requirements
from optimizer.facts.problem import Problem
from optimizer.verify.common.arithmetic import decimal, exact
from optimizer.verify.common.corrections import replica_times
from optimizer.verify.common.groups import Row
from optimizer.verify.common.load import Load, load_of
from optimizer.verify.common.objective import Value, value_of
from optimizer.verify.common.stage import Stage, Stages
from optimizer.verify.common.survivors import survivors_of
from optimizer.verify.common.times import ReplicaTimes

RATE_STEP = Fraction(1, 1000)


def planned(wanted: Requirements, limit_ms: float) -> Decimal:
    """The most that may be predicted under a limit: the limit itself, or less where a margin is stated."""
    return decimal(exact(limit_ms) / (1 + exact(wanted.margin)))


class Replica:
    """Times of a shape and its loads by requests/s at a replica, the same whatever the number of replicas."""

    def __init__(self, times: ReplicaTimes) -> None:
        self.times = times
        self.loads: dict[Fraction, Load | None] = {}


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
        found = self._held.replicas.get(self.row.shape)
        if found is None:
            times = replica_times(self.problem, self.row.shape, self._held)
            found = self._held.replicas[self.row.shape] = Replica(times)
        return found

    @property
    def times(self) -> ReplicaTimes:
        """Times of one replica."""
        return self._replica.times

    def load(self, requests_per_s: Fraction, instances_down: int = 0) -> Load | None:
        """Load of a replica when the service receives so many requests; None when overloaded."""
        left = (self.row.instances - instances_down) * self.row.shape.group.ranks
        share = requests_per_s / left
        replica = self._replica
        if share not in replica.loads:
            replica.loads[share] = load_of(self.problem, replica.times, share)
        return replica.loads[share]


class Candidate:
    """A row with its max_num_seqs."""

    def __init__(self, facts: RowFacts, slots: int) -> None:
        self.facts, self.slots = facts, slots
        self.problem, self.row = facts.problem, facts.row
        self.demand = exact(facts.problem.workload.requests_per_s)

    @property
    def times(self) -> ReplicaTimes:
        """Times of one replica."""
        return self.facts.times

    @property
    def memory_bytes(self) -> tuple[int, ...]:
        """Memory of one GPU, stage by stage."""
        return tuple(stage.memory_bytes(self.slots) for stage in self.facts.stages)

    @property
    def memory_share(self) -> Fraction:
        """Largest share of its own memory that any GPU uses."""
        on = zip(self.memory_bytes, self.facts.hardware, strict=True)
        return max(Fraction(used, hardware.gpu.memory_bytes) for used, hardware in on)

    @property
    def cache_bytes(self) -> int:
        """KV cache of one GPU at the stage with the largest."""
        return self.slots * max(stage.sequence_bytes for stage in self.facts.stages)

    @property
    def load(self) -> Load | None:
        """Load at the demand, nothing down."""
        return self.facts.load(self.demand)

    def completions(self) -> tuple[Decimal, Decimal]:
        """(requests/s that the service completes at most, R of the concurrency at which it does)."""
        residence = self.times.residence(self.slots)
        best = max(range(1, self.slots + 1), key=lambda m: m / residence[m - 1])
        return self.row.replicas * best * 1000 / residence[best - 1], residence[best - 1]

    def value(self) -> Value:
        """Objective terms and availability."""
        return value_of(
            self.problem.objective,
            self.problem.hardware,
            self.row,
            self.slots,
            lambda down: self.facts.load(self.demand, down),
        )

    def survivors_load(self, lost: str) -> Load | None:
        """Load of a surviving replica at the share of demand to be carried; None when overloaded or none is left."""
        left = survivors_of(self.problem, self.row, lost)
        share = self.demand * exact(self.problem.requirements.survive.demand_share)
        return self.facts.load(share, self.row.instances - left) if left else None

    def carries(self, requests_per_s: Fraction, tolerance_ms: Decimal = Decimal(0)) -> bool:
        """Whether slots and latency limits hold at a rate; a latency may pass its limit by the tolerance."""
        return self.keeps(self.facts.load(requests_per_s), tolerance_ms)

    def keeps(self, load: Load | None, tolerance_ms: Decimal = Decimal(0)) -> bool:
        """Whether a load leaves a slot free and keeps every stated latency limit that is switched on."""
        if load is None or load.n99 > self.slots:
            return False
        off = self.problem.search.disabled_rules
        return all(
            load.latency(limit) <= planned(self.problem.requirements, limit.limit_ms) + tolerance_ms
            for limit in self.problem.requirements.latency_limits
            if f"{limit.metric}_p{limit.percentile}" not in off
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
