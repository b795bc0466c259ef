"""One pool under a load, with what the link adds to it; its failure states. ``docs/disaggregated.md``, sections 3, 4 and 6.

Callers work inside ``arithmetic.sixty_digits``.

Other home: ``costs/pools.py``; docs/disaggregated.md, section 2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from fractions import Fraction

from optimizer.facts.problem import Problem
from optimizer.verify.common.arithmetic import decimal
from optimizer.verify.common.failures import down_of, killed_by_nodes
from optimizer.verify.common.objective import Weights
from optimizer.verify.common.occupancy import Moments
from optimizer.verify.pools.shape import Hop, PoolShape, Queue, queue

NEAR_BYTES = 2
"""What floats and rounding up may add to or take from bytes that are wanted."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A pool that keeps up; times in ms."""

    busy: Decimal
    link: Queue
    mean: Decimal
    times: dict[str, Decimal]
    """Its part of each latency by name."""
    wanted: Decimal
    """Bytes of cache."""
    n50: int = 0
    n99: int = 0


class Crossing:
    """What one GPU of either side moves of each prompt."""

    def __init__(self, wire: Hop, receiver: PoolShape, times: Fraction) -> None:
        self.wire, self._receiver, self._times = wire, receiver, times
        self.services = [(share, self.ms(tokens)) for tokens, share in receiver.law.prompts]
        work = receiver.problem.workload
        self.usual, self.longest = self.ms(work.prompt_tokens), self.ms(work.longest_prompt_tokens)
        self.mean = sum((share * ms for share, ms in self.services), Decimal(0))
        self._queues: dict[Decimal, Queue] = {}
        self.loads: dict[tuple[PoolShape, int, Fraction], Loaded | None] = {}
        """By (shape, slots or 0 for prefill, requests/s of a rank): many counts and shares of the requests give a rank the same."""

    def link(self, rate: Decimal) -> Queue:
        """What waits for it at so many prompts per ms."""
        found = self._queues.get(rate)
        if found is None:
            found = self._queues[rate] = queue(rate, self.services, self.longest)
        return found

    def ms(self, tokens: int) -> Decimal:
        """Of one prompt."""
        return decimal(self._receiver.held(tokens) * self._times / self.wire.bytes_per_ms)


def sent_times(problem: Problem, prefill: PoolShape, decode: PoolShape) -> Fraction:
    """f."""
    ratio = Fraction(decode.group.tensor, prefill.group.tensor)
    return max(ratio, Fraction(1)) if problem.model.mla else ratio


class PrefillPool:
    """Instances of a shape that feed decode instances of another."""

    def __init__(self, shape: PoolShape, count: int, nodes: int, crossing: Crossing) -> None:
        self.shape, self.count, self.nodes, self.crossing = shape, count, nodes, crossing

    def load(self, requests_per_s: Fraction, down: int = 0) -> Loaded | None:
        """The pool with some instances down; None where requests pile up or nothing is left."""
        left = (self.count - down) * self.shape.group.ranks
        if left <= 0:
            return None
        share = requests_per_s / left
        key, loads = (self.shape, 0, share), self.crossing.loads
        if key not in loads:
            loads[key] = self._load(share)
        return loads[key]

    def _load(self, requests_per_s: Fraction) -> Loaded | None:
        shape, work, rate = self.shape, self.shape.problem.workload, decimal(requests_per_s / 1000)
        own, link = shape.feeding(rate), self.crossing.link(rate)
        if own.mean is None or own.p99 is None or link.mean is None or link.p99 is None:
            return None
        mates = shape.together(work.prompt_tokens)
        p50 = shape.alone(work.prompt_tokens)
        p99 = shape.alone(work.longest_prompt_tokens) + (mates - 1) * shape.compute(work.prompt_tokens)
        admitted = shape.start + shape.admit * shape.round(1)
        leaving = rate * (self.crossing.longest + self.crossing.wire.latency + link.p99)
        held = mates + leaving.to_integral_value(rounding=ROUND_CEILING)
        return Loaded(
            busy=own.busy,
            link=link,
            mean=admitted + own.mean + shape.mean_alone + link.mean,
            times={
                "prefill_p50": p50,
                "prefill_p99": p99,
                "ttft_p50": admitted + own.mean + p50 + link.mean,
                "ttft_p99": admitted + own.p99 + p99 + link.p99,
            },
            wanted=held * decimal(shape.held(work.longest_prompt_tokens)),
        )

    def carries(self, load: Loaded | None) -> bool:
        """Whether a load is carried."""
        return load is not None and (_off(self.shape.problem, "prefill_kv_cache") or load.wanted <= self.shape.room)


class DecodePool:
    """Instances of a shape that only produce tokens."""

    def __init__(self, shape: PoolShape, count: int, nodes: int, slots: int, crossing: Crossing) -> None:
        self.shape, self.count, self.nodes, self.slots, self.crossing = shape, count, nodes, slots, crossing

    def load(self, requests_per_s: Fraction, down: int = 0) -> Loaded | None:
        """The pool with some instances down; None where requests pile up or nothing is left."""
        left = (self.count - down) * self.shape.group.ranks
        if left <= 0:
            return None
        share = requests_per_s / left
        key, loads = (self.shape, self.slots, share), self.crossing.loads
        if key not in loads:
            loads[key] = self._load(share)
        return loads[key]

    def _load(self, requests_per_s: Fraction) -> Loaded | None:
        chain, rate = self.shape.decoding(requests_per_s), decimal(requests_per_s / 1000)
        link = self.crossing.link(rate)
        if chain is None or link.mean is None or link.p99 is None:
            return None
        coming = rate * (self.crossing.longest + self.crossing.wire.latency + link.p99)
        number = chain.number
        seen = Moments(number.mean + coming, number.variance + coming, number.third + coming)
        return Loaded(
            busy=self._busy(requests_per_s),
            link=link,
            mean=chain.mean + link.mean,
            times={
                "ttft_p50": chain.first50 + link.mean,
                "ttft_p99": chain.first99 + link.p99,
                "tpot_p50": chain.token50,
                "tpot_p99": chain.token99,
            },
            wanted=self.shape.wants(seen),
            n50=chain.n50,
            n99=chain.n99,
        )

    def _busy(self, requests_per_s: Fraction) -> Decimal:
        if not self.shape.most_held:
            return Decimal(0)
        return decimal(requests_per_s) / self.shape.completes_per_s(self.slots)

    def carries(self, load: Loaded | None) -> bool:
        """Whether a load is carried."""
        if load is None or load.n99 > self.slots:
            return False
        return _off(self.shape.problem, "decode_kv_cache") or load.wanted <= self.shape.room


AnyPool = PrefillPool | DecodePool


def _off(problem: Problem, rule: str) -> bool:
    return rule in problem.search.disabled_rules


@dataclass(frozen=True, slots=True)
class PoolValue:
    """Expected ms, and the share of requests not served."""

    served: Decimal
    unserved: Decimal
    lost: Decimal


def value_of(pool: AnyPool, weights: Weights, load: Callable[[int], Loaded | None]) -> PoolValue:
    """Section 6 for one pool.

    Args:
        load: of the pool with so many instances down.
    """
    hardware = pool.shape.problem.hardware.model_copy(update={"nodes": pool.nodes})
    law, count = down_of(hardware, pool.shape.gpus, pool.count), pool.count
    normal = load(0)
    usual = weights.latency * (normal.mean if normal else Decimal(0))
    served, unserved, lost = Decimal(0), Decimal(0), Decimal(0)
    for j, probability in enumerate(law.probabilities):
        counted = probability if weights.unserved else Decimal(1 if j == 0 else 0)
        kept, gone = usual * (count - j) / count, weights.unserved * weights.penalty_ms * j / count
        now = load(j)
        fine = now is not None and pool.carries(now) and (j == 0 or weights.latency * now.mean <= kept + gone)
        if fine and now is not None:
            served += counted * weights.latency * now.mean
        elif j:
            served, unserved = served + counted * kept, unserved + counted * gone
            lost += probability * j / count
        else:
            unserved += counted * weights.latency * weights.penalty_ms
            lost += probability
    rest = law.beyond_instances / count
    if weights.unserved:
        served += (law.beyond - rest) * usual
        unserved += rest * weights.unserved * weights.penalty_ms
    return PoolValue(served, unserved, lost + rest)


def taken_by(pool: AnyPool, level: str, losses: int) -> int:
    """Instances that so many lost GPUs or nodes take at most."""
    if level == "gpu":
        return min(losses, pool.count)
    hardware = pool.shape.problem.hardware.model_copy(update={"nodes": pool.nodes})
    return killed_by_nodes(hardware, pool.shape.gpus, pool.count, losses)
