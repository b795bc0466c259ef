"""Ranks of pools under many loads at once, in 64-bit floats. ``docs/disaggregated.md``, sections 2 to 4.

Floats select: what is compared with a limit here leaves room for their rounding. Callers work inside ``arithmetic.sixty_digits``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from optimizer.verify.common.arithmetic import exact
from optimizer.verify.common.occupancy import standard_normal
from optimizer.verify.pools.load_curve import InProgress
from optimizer.verify.pools.pool import Crossing
from optimizer.verify.pools.shape import Hop, PoolShape

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
NEAR = 1e-9
NEAR_BYTES = 16.0
"""A shortage this small is left to exact arithmetic."""


@dataclass(frozen=True, slots=True)
class RankLoad:
    """One entry for each load; times in ms, infinite where it is not carried."""

    carried: Bools
    """As far as floats can tell: queues, slots and cache."""
    mean: Floats
    times: dict[str, Floats]
    """Its part of each latency by name."""


class _FloatQueue:
    """M/G/1 with a law of services."""

    def __init__(self, services: Sequence[tuple[Decimal, Decimal]], longest: float) -> None:
        self._first = float(sum((share * ms for share, ms in services), Decimal(0)))
        self._second = float(sum((share * ms * ms for share, ms in services), Decimal(0)))
        self._longest = longest

    def waits(self, rate: Floats) -> tuple[Floats, Floats]:
        """(mean, 99th percentile) at so many arrivals per ms; infinite where they pile up."""
        busy = rate * self._first
        fine = busy < 1
        left = np.where(fine, np.maximum(1 - busy, NEAR), 1.0)
        mean = rate * self._second / (2 * left)
        crowd = np.maximum(100 * np.where(fine, busy, 0.0), 1.0)
        scale = self._second / (2 * self._first * left) if self._first > 0 else np.zeros_like(left)
        tail = np.maximum(scale * np.log(crowd), self._longest * (1 - 1 / crowd))
        return np.where(fine, mean, np.inf), np.where(fine, tail, np.inf)


class WireLoad:
    """What one GPU of either side moves of each prompt.

    Args:
        receiver: a decode shape.
        times: caches of it that the GPU moves.
    """

    def __init__(self, wire: Hop, receiver: PoolShape, times: Fraction) -> None:
        crossing = Crossing(wire, receiver, times)
        self.usual, self.longest = float(crossing.usual), float(crossing.longest)
        self.latency = float(wire.latency)
        self.queue = _FloatQueue(crossing.services, self.longest)


class RankQueues:
    """A rank of a shape."""

    def __init__(self, shape: PoolShape) -> None:
        self.shape, work = shape, shape.problem.workload
        self._off = set(shape.problem.search.disabled_rules)
        self._queue = _FloatQueue(shape.services, float(shape.taken(work.longest_prompt_tokens)))
        self._progress = InProgress(shape.slowness)
        self._rounds = np.array([float(shape.round(n)) for n in range(1, shape.length + 1)])

    def prefill(self, rate_per_s: Floats, wire: WireLoad) -> RankLoad:
        """As a rank that feeds decode instances; a rate without end is that of none."""
        shape, work = self.shape, self.shape.problem.workload
        gone = np.isinf(rate_per_s)
        rate = np.where(gone, 0.0, rate_per_s) / 1000
        mean, late = self._queue.waits(rate)
        sent, sent_late = wire.queue.waits(rate)
        mates = shape.together(work.prompt_tokens)
        p50, longest = float(shape.alone(work.prompt_tokens)), float(shape.alone(work.longest_prompt_tokens))
        p99 = longest + (mates - 1) * float(shape.compute(work.prompt_tokens))
        admitted = float(shape.start + shape.admit * shape.round(1))
        carried = ~gone & np.isfinite(mean) & np.isfinite(sent)
        leaving = rate * (wire.longest + wire.latency + np.where(np.isfinite(sent_late), sent_late, 0.0))
        held = (mates + np.ceil(leaving - NEAR)) * float(shape.held(work.longest_prompt_tokens))
        queues = carried
        if "prefill_kv_cache" not in self._off:
            carried = carried & (held <= shape.room * (1 + NEAR) + NEAR_BYTES)
        times = {
            "prefill_p50": np.full_like(rate, p50),
            "prefill_p99": np.full_like(rate, p99),
            "ttft_p50": admitted + mean + p50 + sent,
            "ttft_p99": admitted + late + p99 + sent_late,
        }
        mean = admitted + mean + float(shape.mean_alone) + sent
        return RankLoad(carried, mean, {name: np.where(queues, ms, np.inf) for name, ms in times.items()})

    def decode(self, rate_per_s: Floats, wire: WireLoad, slots: int) -> RankLoad:
        """As a rank that only produces tokens, with so many slots."""
        shape = self.shape
        gone = np.isinf(rate_per_s)
        rate = np.where(gone, 1e-9, rate_per_s / 1000)
        seen = self._progress.at(rate)
        received, received_late = wire.queue.waits(rate)
        others = np.minimum(np.maximum(seen.mean, seen.c99) * (1 - NEAR) - NEAR, shape.length)
        n99 = 1 + np.ceil(others).astype(np.int64)
        stable = ~gone & seen.carried & np.isfinite(received) & (n99 <= shape.length)
        coming = rate * (wire.longest + wire.latency + np.where(np.isfinite(received_late), received_late, 0.0))
        wanted = self._wanted(seen.mean + coming, seen.variance + coming, seen.third + coming)
        carried = stable & (n99 <= slots)
        if "decode_kv_cache" not in self._off:
            carried &= wanted <= shape.room * (1 + NEAR) + NEAR_BYTES
        start, admit = float(shape.start), float(shape.admit)
        token50 = self._rounds[np.minimum(seen.c50 + 1, shape.length) - 1]
        token99 = self._rounds[np.minimum(n99, shape.length) - 1]
        times = {
            "ttft_p50": start + (admit + 1) * token50 + received,
            "ttft_p99": start + (admit + 1.5) * token99 + received_late,
            "tpot_p50": token50,
            "tpot_p99": token99,
        }
        mean = seen.mean / rate + received
        return RankLoad(carried, mean, {name: np.where(stable, ms, np.inf) for name, ms in times.items()})

    def _wanted(self, mean: Floats, variance: Floats, third: Floats) -> Floats:
        """K of a random number in progress, bytes."""
        one, z = self.shape.held_by_one, float(standard_normal(exact(self.shape.problem.requirements.preemption_share)))
        own, spread, skew = float(one.mean), float(one.variance), float(one.third)
        total = mean * spread + variance * own**2
        bent = mean * skew + 3 * variance * own * spread + third * own**3
        some = np.where(total > 0, total, 1.0)
        more = z * np.sqrt(some) + np.maximum(0.0, (z * z - 1) / 6 * bent / some)
        found: Floats = mean * own + np.where(total > 0, more, 0.0)
        return found
