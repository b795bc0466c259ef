"""A pair of pools: what requests see, what must hold, what it is worth. ``docs/disaggregated.md``, sections 5 to 7.

Callers work inside ``arithmetic.sixty_digits``.

Other home: ``costs/pools.py``; docs/disaggregated.md, section 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from optimizer.engines.transfer import transfer_of
from optimizer.facts.hardware import HardwareFacts
from optimizer.facts.problem import Problem
from optimizer.results.pools import PoolsStrategy, PoolStrategy
from optimizer.verify.common.arithmetic import decimal, exact
from optimizer.verify.common.candidate import planned
from optimizer.verify.common.groups import Group, Row
from optimizer.verify.common.objective import weights_of
from optimizer.verify.common.rules import row_findings
from optimizer.verify.common.stage import Stages
from optimizer.verify.pools.pool import (
    Crossing,
    DecodePool,
    Loaded,
    PoolValue,
    PrefillPool,
    sent_times,
    taken_by,
    value_of,
)
from optimizer.verify.pools.shape import Hop, PoolShape, PromptLaw, wire_of


class Shapes:
    """Shapes of one problem, each computed once."""

    def __init__(self, problem: Problem) -> None:
        self.problem, self.law, self.wire = problem, PromptLaw(problem), wire_of(problem)
        self._stages = Stages(problem)
        self._known: dict[Group, PoolShape] = {}

    def on(self, problem: Problem) -> Shapes:
        """The same shapes for a part of the requests on some of the nodes, or of the GPUs of a single node."""
        other = copy(self)
        other.problem, other.wire = problem, wire_of(problem)
        return other

    def of(self, group: Group) -> PoolShape:
        """The shape of a group."""
        if group not in self._known:
            self._known[group] = PoolShape(self.problem, group, self._stages, self.law)
        return self._known[group]


def group_of(pool: PoolStrategy) -> Group:
    """The GPUs that share an instance's layers."""
    return Group(pool.tensor_parallel, pool.expert_parallel, pool.weight_precision, pool.kv_precision)


def legal(problem: Problem, shape: PoolShape) -> bool:
    """Whether the engine runs one instance of a shape, and nodes hold it."""
    row, size = Row(shape.shape, shape.group.ranks), problem.hardware.gpus_per_node
    if shape.gpus > problem.hardware.gpus or (shape.gpus > size and shape.gpus % size):
        return False
    passed_over = {"gpu_count", "context", *problem.search.disabled_rules}
    return all(finding.holds or finding.id in passed_over for finding in row_findings(problem, row))


def joined(problem: Problem, prefill: Group, decode: Group) -> bool:
    """Whether the engine's connector joins two shapes."""
    if (prefill.weight_format, prefill.kv_format) != (decode.weight_format, decode.kv_format):
        return False
    return transfer_of(problem.engine).joins(problem.model, prefill.tensor, decode.tensor)


@dataclass(frozen=True, slots=True)
class Ruling:
    """One rule on a pair: how far it is from breaking, relative to its limit; negative: broken."""

    id: str
    holds: bool
    slack: Decimal
    """In the rule's unit over its limit; 1 or −1 for yes and no."""


class PoolsPair:
    """Both pools with the link between them."""

    def __init__(self, shapes: Shapes, prefill: PoolStrategy, decode: PoolStrategy) -> None:
        self.problem = shapes.problem
        first, second = shapes.of(group_of(prefill)), shapes.of(group_of(decode))
        self.strategies = prefill, decode
        self.sent = Crossing(shapes.wire, second, sent_times(self.problem, first, second))
        self.received = Crossing(shapes.wire, second, Fraction(1))
        self.wire: Hop = shapes.wire
        self.prefill = PrefillPool(first, prefill.instances, prefill.nodes, self.sent)
        self.decode = DecodePool(second, decode.instances, decode.nodes, decode.max_num_seqs, self.received)
        self.demand = exact(self.problem.workload.requests_per_s)

    @property
    def gpus(self) -> int:
        """U."""
        return sum(pool.instances * pool.instance_gpus for pool in self.strategies)

    def loads(self, rate: Fraction, down: tuple[int, int] = (0, 0)) -> tuple[Loaded, Loaded] | None:
        """Both pools at a rate; None where requests pile up in either."""
        first, second = self.prefill.load(rate, down[0]), self.decode.load(rate, down[1])
        return None if first is None or second is None else (first, second)

    def transfer(self, name: str) -> Decimal:
        """ms of ``mean``, ``usual`` or ``longest`` on the link."""
        one, other = getattr(self.sent, name), getattr(self.received, name)
        found: Decimal = max(one, other)
        return found + self.wire.latency

    def latency(self, rule: str, loads: tuple[Loaded, Loaded]) -> Decimal:
        """A percentile by its rule's name."""
        total = sum((load.times[rule] for load in loads if rule in load.times), Decimal(0))
        if rule.startswith("ttft"):
            total += self.transfer("usual" if rule.endswith("p50") else "longest")
        return total

    def values(self) -> tuple[PoolValue, PoolValue]:
        """Both pools over their failure states."""
        weights = weights_of(self.problem.objective)
        return (
            value_of(self.prefill, weights, lambda j: self.prefill.load(self.demand, j)),
            value_of(self.decode, weights, lambda j: self.decode.load(self.demand, j)),
        )

    def terms(self) -> dict[str, Decimal]:
        """The objective by term, ms."""
        weights, (first, second) = weights_of(self.problem.objective), self.values()
        return {
            "prefill": first.served,
            "transfer": weights.latency * self.transfer("mean"),
            "decode": second.served,
            "unserved": first.unserved + second.unserved,
            "gpus": weights.gpu_ms * self.gpus,
        }

    def peak(self) -> tuple[Decimal, Decimal]:
        """Requests/s that each pool works off at most."""
        first, second = self.prefill, self.decode
        return (
            first.count * first.shape.group.ranks * first.shape.prompts_per_s,
            second.count * second.shape.group.ranks * second.shape.completes_per_s(second.slots),
        )

    def carried(self, rate: Fraction, tolerance_ms: Decimal = Decimal(0)) -> bool:
        """Whether the rules of the load hold at a rate."""
        return self._keeps(rate, (0, 0), tolerance_ms)

    def _keeps(self, rate: Fraction, down: tuple[int, int], tolerance_ms: Decimal = Decimal(0)) -> bool:
        if down[0] >= self.prefill.count or down[1] >= self.decode.count:
            return False
        loads = self.loads(rate, down)
        if loads is None or not (self.prefill.carries(loads[0]) and self.decode.carries(loads[1])):
            return False
        return all(
            self.latency(limit.rule, loads) <= planned(self.problem.requirements, limit.limit_ms) + tolerance_ms
            for limit in self.problem.requirements.latency_limits
            if limit.rule not in self.problem.search.disabled_rules
        )

    def survives(self, level: str) -> bool:
        """Whether losses leave enough."""
        wanted = self.problem.requirements.survive
        losses: int = getattr(wanted, level)
        rate = self.demand * exact(wanted.demand_share)
        splits = [(a, losses - a) for a in range(losses + 1)]
        if level == "node" and not self.apart:
            splits = [(losses, losses)]
        return all(
            self._keeps(rate, (taken_by(self.prefill, level, a), taken_by(self.decode, level, b)), Decimal("0.000005"))
            for a, b in splits
        )

    @property
    def apart(self) -> bool:
        """Whether the pools have nodes of their own."""
        return self.prefill.nodes + self.decode.nodes <= self.problem.hardware.nodes

    def placed(self) -> bool:
        """Whether both pools stand, by filling nodes one by one."""
        hardware = self.problem.hardware
        pools: tuple[PrefillPool | DecodePool, ...] = (self.prefill, self.decode)
        if not all(_stands(hardware, pool) for pool in pools):
            return False
        if self.apart:
            return True
        if any(pool.nodes != hardware.nodes or pool.shape.gpus > hardware.gpus_per_node for pool in pools):
            return False
        used = [0] * hardware.nodes
        for pool, nodes in ((self.prefill, range(hardware.nodes)), (self.decode, reversed(range(hardware.nodes)))):
            each, more = divmod(pool.count, hardware.nodes)
            for position, node in enumerate(nodes):
                used[node] += (each + (position < more)) * pool.shape.gpus
        return max(used) <= hardware.gpus_per_node

    def rulings(self) -> Iterator[Ruling]:
        """Every rule."""
        problem, limits = self.problem, self.problem.requirements
        loads = self.loads(self.demand)
        first, second = self.prefill.load(self.demand), self.decode.load(self.demand)
        yield _at_most("gpu_count", self.gpus, problem.hardware.gpus)
        yield _yes("placement", self.placed())
        for name, pool in (("prefill_memory", self.prefill), ("decode_memory", self.decode)):
            yield _yes(name, pool.shape.short_of_memory <= 0)
        busy = [self.demand / (pool.count * pool.shape.group.ranks) / 1000 for pool in (self.prefill, self.decode)]
        work = sum((share * ms for share, ms in self.prefill.shape.services), Decimal(0))
        yield _yes("prefill_capacity", decimal(busy[0]) * work < 1)
        yield _at_most("prefill_kv_cache", None if first is None else first.wanted, self.prefill.shape.room)
        crossings = zip(busy, (self.sent, self.received), strict=True)
        yield _yes("link", all(decimal(rate) * crossing.mean < 1 for rate, crossing in crossings))
        yield _at_most("decode_concurrency", None if second is None else second.n99, self.decode.slots)
        yield _at_most("decode_kv_cache", None if second is None else second.wanted, self.decode.shape.room)
        states = self.decode.shape.states
        if states is not None:
            yield _at_most("state_blocks", self.decode.slots, states)
        yield _yes("min_batch", self.decode.slots >= limits.min_batch)
        if limits.tpot_p99_ms is not None:
            full = self.decode.shape.round(min(self.decode.slots, self.decode.shape.length))
            yield _at_most("tpot_full_batch", full, planned(limits, limits.tpot_p99_ms))
        for limit in limits.latency_limits:
            actual = None if loads is None else self.latency(limit.rule, loads)
            yield _at_most(limit.rule, actual, planned(limits, limit.limit_ms))
        for level in ("gpu", "node"):
            if getattr(limits.survive, level):
                yield _yes(f"survive_{level}", self.survives(level))

    def strategy(self) -> PoolsStrategy:
        """What is judged."""
        return PoolsStrategy(*self.strategies)


def _stands(hardware: HardwareFacts, pool: PrefillPool | DecodePool) -> bool:
    """Whether a pool has room on its own nodes."""
    if not 1 <= pool.nodes <= hardware.nodes:
        return False
    if pool.shape.gpus > hardware.gpus_per_node:
        return pool.count * pool.shape.gpus <= pool.nodes * hardware.gpus_per_node
    return pool.count <= pool.nodes * (hardware.gpus_per_node // pool.shape.gpus)


def _yes(rule: str, holds: bool) -> Ruling:
    return Ruling(rule, holds, Decimal(1 if holds else -1))


def _at_most(rule: str, actual: Decimal | int | None, limit: Decimal | int) -> Ruling:
    if actual is None:
        return Ruling(rule, False, Decimal(-1))
    return Ruling(rule, actual <= limit, (Decimal(limit) - Decimal(actual)) / max(Decimal(1), abs(Decimal(limit))))
