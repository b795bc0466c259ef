"""One engine instance on a node group or over two, from homogeneous problems: slots, rates, times. ``docs/inventories.md``, section 2.

Callers of the exact parts work inside ``arithmetic.sixty_digits``.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from optimizer.facts.inventory import InventoryProblem, NodeGroup
from optimizer.facts.problem import Problem
from optimizer.results.answer import Strategy
from optimizer.verify.common.arithmetic import decimal
from optimizer.verify.common.budget import budget_on
from optimizer.verify.common.candidate import Candidate, RowFacts, planned
from optimizer.verify.common.groups import ReplicaShape, Row, row_of
from optimizer.verify.common.joined import JoinedStages
from optimizer.verify.common.kernels import caches_run, weights_run
from optimizer.verify.common.ledger import RELATIVE
from optimizer.verify.common.load import Load, chain_length
from optimizer.verify.common.rules import Finding, findings, row_findings, tensor_groups_fit
from optimizer.verify.common.stage import Stages

RATE_STEP = Fraction(1, 1_000_000)
"""Rates of one instance are whole numbers of this, requests/s."""
ON_THEIR_OWN = ("gpu_count", "concurrency", "request_rate", "memory", "state_blocks", "max_batch", "tpot_full_batch")
"""Rules of one pool that sections 2 and 4 state anew."""


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
        group.memory_used_mib,
    )


def nodes_needed(group: NodeGroup, shape: ReplicaShape) -> int | None:
    """q: nodes that one instance stands on; None when the group has no place for it."""
    return nodes_for(group, shape.instance_gpus, shape.stages * shape.group.ranks)


def nodes_for(group: NodeGroup, size: int, blocks: int) -> int | None:
    """q for so many GPUs in so many tensor-parallel groups."""
    if size <= group.free_gpus:
        return 1
    for nodes in range(2, min(blocks, group.nodes_together) + 1):
        if blocks % nodes == 0 and size // nodes <= group.free_gpus:
            return nodes
    return None


def shape_of(strategy: Strategy) -> ReplicaShape:
    """One replica of a pool's strategy."""
    return row_of(strategy).shape


def pairable(one: NodeGroup, other: NodeGroup) -> bool:
    """Whether a pipeline may stand on both groups: unlike ones, in one rack as far as racks are stated."""
    return one.name != other.name and not one.racks and not other.racks and one.rack == other.rack


@dataclass(frozen=True, slots=True)
class Segment:
    """Stages of an instance that stand together, and the homogeneous problem H(group, q) in which they are judged."""

    problem: Problem
    stages: int

    @property
    def nodes(self) -> int:
        """q: nodes that these stages take."""
        return self.problem.hardware.nodes


def shape_rules(shape: ReplicaShape, segments: tuple[Segment, ...]) -> Iterator[Finding]:
    """The rules of an instance that neither load nor slots decide."""
    yield from _stated(row_findings(segments[0].problem, Row(shape, shape.group.ranks)), shape, segments)


def _stated(found: Iterable[Finding], shape: ReplicaShape, segments: tuple[Segment, ...]) -> Iterator[Finding]:
    """Locality and formats hold for each segment by itself; ``layer_split`` says nothing where there are two."""
    for rule in found:
        if rule.id == "nvlink_locality":
            t, d = shape.group.tensor, shape.group.ranks
            fit = (tensor_groups_fit(one.problem.hardware, t, one.stages * d) for one in segments)
            yield Finding(rule.id, all(fit))
        elif rule.id in ("weight_format", "kv_format"):
            run = weights_run if rule.id == "weight_format" else caches_run
            yield Finding(rule.id, all(run(one.problem, shape.group) for one in segments))
        elif rule.id not in ON_THEIR_OWN and (rule.id != "layer_split" or len(segments) == 1):
            yield rule


class Instance:
    """One instance of a shape on a group, or over two. Rates are requests/s of the whole instance.

    ``problem`` states everything but the hardware: what the stages stand on is said by the segments.
    """

    def __init__(
        self, inventory: InventoryProblem, stages: Stages, shape: ReplicaShape, segments: tuple[Segment, ...]
    ) -> None:
        self.inventory, self.problem, self.shape = inventory, stages.problem, shape
        self.stages, self.segments = stages, segments
        problem = self.problem
        self.facts = RowFacts(problem, Row(shape, shape.group.ranks), stages)
        self._most_slots: int | None = None

    @property
    def ranks(self) -> int:
        """d: replicas that form the instance."""
        return self.shape.group.ranks

    @property
    def gpus(self) -> int:
        """S: GPUs of the instance, which fails as one."""
        return self.shape.instance_gpus

    @property
    def nodes(self) -> tuple[int, ...]:
        """q of each segment."""
        return tuple(segment.nodes for segment in self.segments)

    @property
    def gpus_of_segments(self) -> tuple[int, ...]:
        """GPUs of each segment."""
        return tuple(self.shape.group.tensor * segment.stages * self.ranks for segment in self.segments)

    def rules(self, slots: int, rate: Fraction) -> Iterator[Finding]:
        """Every rule of its own that must hold with so many slots at a rate."""
        yield from _stated(findings(self.candidate(slots, rate)), self.shape, self.segments)

    def off(self, rule: str) -> bool:
        """Whether the person switched the rule off."""
        return rule in self.inventory.search.disabled_rules

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
        if slots > chain_length(self.problem) or (slots > self.problem.max_batch and not self.off("max_batch")):
            return False
        if not self.off("memory"):
            on = zip(self.facts.stages, self.facts.hardware, strict=True)
            if any(stage.memory_bytes(slots) > budget_on(self.problem, hardware) for stage, hardware in on):
                return False
        blocks = self.facts.state_sequences
        if blocks is not None and slots > blocks and not self.off("state_blocks"):
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
        if load is None or not (self.off("concurrency") or load.n99 <= slots):
            return False
        return self.candidate(slots, rate).has_cache(load)

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
            if not self.off(limit.rule)
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

    def __init__(self, inventory: InventoryProblem) -> None:
        self.inventory = inventory
        self._stages: dict[tuple[Hashable, int], Stages] = {}
        self._joined: dict[tuple[int, int, int], JoinedStages] = {}
        self._found: dict[tuple[Hashable, ReplicaShape], Instance] = {}

    def of(self, group: NodeGroup, shape: ReplicaShape) -> Instance:
        """The instance of a shape on a group.

        Raises:
            ValueError: the group has no place for it.
        """
        nodes = nodes_needed(group, shape)
        if nodes is None:
            raise ValueError(f"{shape} has no place on {group.name}")
        key = likeness(group), shape
        if key not in self._found:
            stages = self.stages(group, nodes)
            segments = (Segment(stages.problem, shape.stages),)
            self._found[key] = Instance(self.inventory, stages, shape, segments)
        return self._found[key]

    def across(self, one: NodeGroup, other: NodeGroup, cut: int, shape: ReplicaShape) -> Instance:
        """The instance of a shape whose first ``cut`` stages stand on one group, the rest on the other.

        Raises:
            ValueError: a group has no place for its part.
        """
        t, parts = shape.group.tensor, ((one, cut), (other, shape.stages - cut))
        nodes = [nodes_for(group, t * count, count) for group, count in parts]
        if None in nodes:
            raise ValueError(f"{shape} has no place on {one.name} and {other.name}")
        key = (likeness(one), likeness(other), cut), shape
        if key not in self._found:
            ahead, behind = (self.stages(group, q or 1) for (group, _), q in zip(parts, nodes, strict=True))
            segments = Segment(ahead.problem, cut), Segment(behind.problem, shape.stages - cut)
            stages = self._joined.setdefault((id(ahead), id(behind), cut), JoinedStages(ahead, behind, cut))
            self._found[key] = Instance(self.inventory, stages, shape, segments)
        return self._found[key]

    def problem(self, group: NodeGroup, nodes: int) -> Problem:
        """H(group, nodes), one for all groups that are alike."""
        return self.stages(group, nodes).problem

    def stages(self, group: NodeGroup, nodes: int) -> Stages:
        """The stages of H(group, nodes)."""
        key = likeness(group), nodes
        if key not in self._stages:
            self._stages[key] = Stages(self.inventory.instance_problem(group, nodes))
        return self._stages[key]


def domain_nodes(group: NodeGroup) -> int:
    """Nodes of one NVLink domain that spans nodes; 0 where domains do not."""
    if group.nvlink_domain_gpus <= group.gpus_per_node or group.nvlink_gb_per_s == 0:
        return 0
    return max(1, group.nvlink_domain_gpus // group.gpus_per_node)
