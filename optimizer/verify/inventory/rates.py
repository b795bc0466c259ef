"""Slots and rates of many instances at once, in 64-bit floats. Instances are of shapes on the same hardware, stage by stage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from optimizer.verify.common.candidate import planned
from optimizer.verify.common.corrections import float_times
from optimizer.verify.common.float_cache import FloatCache, completed
from optimizer.verify.common.float_load import END_TO_END, loads
from optimizer.verify.common.float_times import Floats, Ints, ShapeTimes
from optimizer.verify.common.load import chain_length
from optimizer.verify.inventory.instance import Instance

MILLION = 1_000_000
_AT_ONCE = 512
"""Instances whose times are kept at the same time: about 20 MB."""


@dataclass(frozen=True, slots=True)
class Rated:
    """What one instance carries. Rates are millionths of a request/s."""

    instance: Instance
    slots: int
    capacity: int
    slots_capacity: int
    completes: float
    """d · X(n), requests/s."""


def rated(members: Sequence[Instance], above: Sequence[int]) -> Iterator[Rated]:
    """Those of the instances that carry more than so many millionths of a request/s within every limit.

    Args:
        members: instances that share their ``stages``.
        above: one number for each.
    """
    kept = [(one, memory_slots(one), least) for one, least in zip(members, above, strict=True)]
    kept = [entry for entry in kept if entry[1] >= _fewest(entry[0])]
    for start in range(0, len(kept), _AT_ONCE):
        yield from _Block(kept[start : start + _AT_ONCE]).rated()


def _fewest(one: Instance) -> int:
    """Slots that an instance must have."""
    return 1 if one.off("min_batch") else max(1, one.problem.requirements.min_batch)


def memory_slots(one: Instance) -> int:
    """Sequences that memory and max_batch allow."""
    most = chain_length(one.problem) if one.off("max_batch") else one.problem.max_batch
    blocks = one.facts.state_sequences
    if blocks is not None and not one.off("state_blocks"):
        most = min(most, blocks)
    if one.off("memory"):
        return most
    # Alike stages of a segment are one object.
    pairs = {(id(stage), budget): stage for stage, budget in zip(one.facts.stages, one.facts.budgets, strict=True)}
    for (_, budget), stage in pairs.items():
        at_start = stage.memory_bytes(0)
        left, each = budget - at_start, stage.memory_bytes(1) - at_start
        most = min(most, left // each if each else (most if left >= 0 else 0))
    return max(0, most)


class _Block:
    """Some instances with their times."""

    def __init__(self, entries: Sequence[tuple[Instance, int, int]]) -> None:
        self._members = [one for one, _, _ in entries]
        self._least = np.array([least for _, _, least in entries], dtype=np.int64)
        first = self._members[0]
        self._first, self._problem, self._length = first, first.problem, chain_length(first.problem)
        shapes = [one.shape for one in self._members]
        self._times: ShapeTimes = float_times(self._problem, shapes, first.stages, self._length)
        self._slots = np.array([slots for _, slots, _ in entries], dtype=np.int64)
        wanted = self._problem.requirements
        if wanted.tpot_p99_ms is not None and not first.off("tpot_full_batch"):
            within = self._times.tpot <= float(planned(wanted, wanted.tpot_p99_ms))
            self._slots = np.minimum(self._slots, within.sum(axis=1))
        self._ranks = np.array([one.ranks for one in self._members])
        self._lines = np.arange(len(self._members))
        self._end_to_end = any(limit.rule in END_TO_END for limit in wanted.latency_limits)
        served = np.arange(1, self._length + 1) * 1000 / self._times.residence[:, : self._length]
        self._caches = FloatCache(self._problem, shapes, first.stages)
        best = completed(served, self._caches.slots(self._length))
        self._completes: Floats = best[self._lines, np.maximum(1, self._slots) - 1] * self._ranks

    def rated(self) -> Iterator[Rated]:
        """Those that carry enough: first without the search for how much they carry."""
        good = self._slots >= np.array([_fewest(one) for one in self._members])
        at = np.flatnonzero(good)
        at = at[self._holds(at, self._least[at] + 1, limits=True)]
        if len(at) == 0:
            return
        capacity, most = self._largest(at, limits=True), self._largest(at, limits=False)
        for position, i in enumerate(at.tolist()):
            yield Rated(
                self._members[i],
                int(self._slots[i]),
                int(capacity[position]),
                int(most[position]),
                float(self._completes[i]),
            )

    def _holds(self, at: Ints, rate: Ints, *, limits: bool) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """Whether some of the instances, by number, hold so many millionths each."""
        problem, first = self._problem, self._first
        with np.errstate(divide="ignore", invalid="ignore"):
            each = rate / MILLION / self._ranks[at]
            seen = loads(problem, self._times, at, each, self._length, end_to_end=limits and self._end_to_end)
        good = ~seen.overloaded
        if not first.off("concurrency"):
            good &= seen.n99 <= self._slots[at]
        good &= self._caches.short(seen, at) <= 0
        if limits:
            if not first.off("request_rate"):
                good &= rate <= self._completes[at] * MILLION
            for limit in problem.requirements.latency_limits:
                rule = limit.rule
                if not first.off(rule):
                    good &= seen.latency[rule] <= float(planned(problem.requirements, limit.limit_ms))
        return good

    def _largest(self, at: Ints, *, limits: bool) -> Ints:
        """c(τ) or k(τ) in millionths, by bisection of all at once."""
        low = np.zeros(len(at), dtype=np.int64)
        slowest = self._times.residence[at, self._length - 1]
        high = np.ceil(MILLION * 1000 * self._ranks[at] * self._length / slowest).astype(np.int64) + 1
        while (high - low > 1).any():
            middle = np.maximum(1, (low + high) // 2)
            good = self._holds(at, middle, limits=limits)
            low, high = np.where(good, middle, low), np.where(good, high, middle)
            low = np.minimum(low, high - 1)
        return low
