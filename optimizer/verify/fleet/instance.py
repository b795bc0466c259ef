"""One engine instance on a node group, from its homogeneous problem: slots, rates, times. ``docs/inventories.md``, section 2.

Callers of the exact parts work inside ``arithmetic.sixty_digits``.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from decimal import Decimal
from fractions import Fraction

from optimizer.answer import Strategy
from optimizer.facts.inventory import FleetProblem, NodeGroup
from optimizer.facts.problem import Problem
from optimizer.verify.arithmetic import decimal
from optimizer.verify.candidate import Candidate, RowFacts, planned
from optimizer.verify.groups import Row, Shape, row_of
from optimizer.verify.ledger import RELATIVE
from optimizer.verify.load import Load
from optimizer.verify.rules import budget_bytes
from optimizer.verify.stage import Stages

RATE_STEP = Fraction(1, 1_000_000)
"""Rates of one instance are whole numbers of this, requests/s."""


def likeness(group: NodeGroup) -> Hashable:
    """Equal for groups that an instance cannot tell apart."""
    return (
        group.gpu.model_dump_json(),
        group.gpus_per_node,
        group.free_gpus,
        group.nvlink_gb_per_s,
        group.nvlink_domain_gpus,
        group.pcie_gb_per_s,
        group.internode_gbit_per_s,
        group.internode_latency_us,
    )


def nodes_needed(group: NodeGroup, shape: Shape) -> int | None:
    """q: nodes that one instance stands on; None when the group has no place for it."""
    size, blocks = shape.instance_gpus, shape.stages * shape.group.ranks
    if size <= group.free_gpus:
        return 1
    for nodes in range(2, min(blocks, group.nodes_together) + 1):
        if blocks % nodes == 0 and size // nodes <= group.free_gpus:
            return nodes
    return None


def shape_of(strategy: Strategy) -> Shape:
    """One replica of a pool's strategy."""
    return row_of(strategy).shape


class Instance:
    """One instance of a shape on a group. Rates are requests/s of the whole instance."""

    def __init__(self, fleet: FleetProblem, problem: Problem, stages: Stages, shape: Shape) -> None:
        self.fleet, self.problem, self.shape = fleet, problem, shape
        self.stages = stages
        self.facts = RowFacts(problem, Row(shape, shape.group.ranks), stages)
        self._most_slots: int | None = None

    @property
    def ranks(self) -> int:
        """d."""
        return self.shape.group.ranks

    @property
    def gpus(self) -> int:
        """S."""
        return self.shape.instance_gpus

    def off(self, rule: str) -> bool:
        """Whether the person switched the rule off."""
        return rule in self.fleet.search.disabled_rules

    def candidate(self, slots: int, rate: Fraction) -> Candidate:
        """The instance with so many slots at a rate, as the exact code of one pool sees it."""
        found = Candidate(self.facts, slots)
        found.demand = rate
        return found

    def load(self, rate: Fraction) -> Load | None:
        """Load of one replica; None when overloaded."""
        return self.facts.load(rate)

    def allows(self, slots: int, tolerance_ms: Decimal = Decimal(0)) -> bool:
        """Whether memory, max_batch and the full batch allow so many sequences."""
        wanted = self.problem.requirements
        if slots > max(512, 2 * wanted.max_batch) or (slots > wanted.max_batch and not self.off("max_batch")):
            return False
        if not self.off("memory"):
            needed = max(stage.memory_bytes(slots) for stage in self.facts.stages)
            if needed > budget_bytes(self.problem):
                return False
        if wanted.tpot_p99_ms is not None and not self.off("tpot_full_batch"):
            return self.facts.times.tpot(slots) <= planned(wanted, wanted.tpot_p99_ms) + tolerance_ms
        return True

    def most_slots(self) -> int:
        """n(τ); 0 when not even one sequence is allowed. Whatever decides it grows with the sequences."""
        if self._most_slots is None:
            low, high = 0, 1
            while self.allows(high):
                low, high = high, 2 * high
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if self.allows(middle) else (low, middle)
            self._most_slots = low
        return self._most_slots

    def completes(self, slots: int) -> Decimal:
        """d · X(n), requests/s."""
        return self.candidate(slots, Fraction(1)).completions()[0]

    def slots_hold(self, slots: int, rate: Fraction) -> bool:
        """The condition of k: not overloaded, and a slot free for 99 % of requests."""
        load = self.load(rate)
        return load is not None and (self.off("concurrency") or load.n99 <= slots)

    def limits_hold(self, slots: int, rate: Fraction, tolerance_ms: Decimal = Decimal(0)) -> bool:
        """The condition of c; a latency may pass its limit by the tolerance, the throughput by its relative part."""
        if not self.slots_hold(slots, rate):
            return False
        load, wanted = self.load(rate), self.problem.requirements
        assert load is not None
        if not self.off("request_rate"):
            noise = RELATIVE if tolerance_ms > 0 else Decimal(0)
            if decimal(rate) > self.completes(slots) * (1 + noise):
                return False
        return all(
            load.latency(limit) <= planned(wanted, limit.limit_ms) + tolerance_ms
            for limit in wanted.latency_limits
            if not self.off(f"{limit.metric}_p{limit.percentile}")
        )

    def capacity(self, slots: int) -> Fraction:
        """c(τ), by bisection."""
        return _largest(lambda rate: self.limits_hold(slots, rate))

    def slots_capacity(self, slots: int) -> Fraction:
        """k(τ), by bisection."""
        return _largest(lambda rate: self.slots_hold(slots, rate))


def _largest(holds: Callable[[Fraction], bool]) -> Fraction:
    """The largest multiple of the step that holds, 0 if none; what holds at a rate holds below it."""
    low, high = 0, 1 << 20
    while holds(high * RATE_STEP):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle * RATE_STEP) else (low, middle)
    return low * RATE_STEP


class Instances:
    """The instances of one inventory, each computed once for all groups that are alike."""

    def __init__(self, fleet: FleetProblem) -> None:
        self.fleet = fleet
        self._problems: dict[tuple[Hashable, int], tuple[Problem, Stages]] = {}
        self._found: dict[tuple[Hashable, Shape], Instance] = {}

    def of(self, group: NodeGroup, shape: Shape) -> Instance:
        """The instance of a shape on a group.

        Raises:
            ValueError: the group has no place for it.
        """
        like, nodes = likeness(group), nodes_needed(group, shape)
        if nodes is None:
            raise ValueError(f"{shape} has no place on {group.name}")
        found = self._found.get((like, shape))
        if found is None:
            problem = self.problem(group, nodes)
            found = self._found[like, shape] = Instance(self.fleet, problem, self._problems[like, nodes][1], shape)
        return found

    def problem(self, group: NodeGroup, nodes: int) -> Problem:
        """H(group, nodes), one for all groups that are alike."""
        key = likeness(group), nodes
        if key not in self._problems:
            problem = self.fleet.instance_problem(group, nodes)
            self._problems[key] = problem, Stages(problem)
        return self._problems[key][0]


def domain_nodes(group: NodeGroup) -> int:
    """Nodes of one NVLink domain that spans nodes; 0 where domains do not."""
    if group.nvlink_domain_gpus <= group.gpus_per_node or group.nvlink_gb_per_s == 0:
        return 0
    return max(1, group.nvlink_domain_gpus // group.gpus_per_node)
