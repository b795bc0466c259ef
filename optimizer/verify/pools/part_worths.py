"""What prefill and decode pools on parts of an inventory take at least, with some of the requests: for many parts at once.

Every shape is looked at with every number of instances and every share of the requests, the failures left out but for the share of the
time that an instance is up; GPUs of a group are shared out between both pools in every way, and shares of a pool among groups too.

Callers work inside ``arithmetic.sixty_digits``.

Other home: ``search/pools/part_worths.py``; docs/disaggregated.md, section 14.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from optimizer.facts.inventory import InventoryProblem
from optimizer.facts.side_by_side import TENTHS
from optimizer.results.pools import FixedPool
from optimizer.verify.common.arithmetic import exact
from optimizer.verify.common.candidate import planned
from optimizer.verify.common.failures import down_of
from optimizer.verify.common.objective import weights_of
from optimizer.verify.pools.pool import Crossing, DecodePool, Loaded, PrefillPool
from optimizer.verify.pools.shape import Hop, PoolShape
from optimizer.verify.pools.site import SHARES, PoolsSite
from optimizer.verify.pools.survey import offered, slots_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
SAFETY = 1 - 1e-9
PARTS = TENTHS * SHARES
"""Hundredths of the requests: tenths of them at the pools, tenths of these at a part of a pool."""
_NO_LINK = Hop("none", Fraction(10) ** 30, Decimal(0))
"""Faster than any link of a part."""
_STEP = Fraction(1, 200)
"""Relative distance of two loads of which one is carried and one is not."""


class RankMeans:
    """Mean ms of a request at a rank of a shape by its load, and the load from which on it breaks a rule of its own."""

    def __init__(self, site: PoolsSite, group: int, shape: PoolShape, *, decode: bool) -> None:
        self._problem, self._shape, self.decode = site.problems[group], shape, decode
        moved = Crossing(_NO_LINK, shape, Fraction(1))
        self._one: PrefillPool | DecodePool = (
            DecodePool(shape, 1, 1, slots_of(self._problem, shape, FixedPool()), moved)
            if decode
            else PrefillPool(shape, 1, 1, moved)
        )
        if not decode:
            self._first = float(sum((share * ms for share, ms in shape.services), Decimal(0)))
            self._second = float(sum((share * ms * ms for share, ms in shape.services), Decimal(0)))
            self._alone = float(shape.start + shape.admit * shape.round(1) + shape.mean_alone)

    def loaded(self, per_rank: Fraction) -> Loaded | None:
        """A rank with so many requests/s; None where they pile up or do not fit."""
        load = self._one.load(per_rank * self._shape.group.ranks)
        return load if load is not None and self._one.carries(load) else None

    def full(self, lightest: Fraction, heaviest: Fraction, least_other: dict[str, Decimal]) -> float:
        """Requests/s of a rank, up to the heaviest, at or above which a rule of its own is broken; 0: at the lightest already.

        Args:
            least_other: what the other pool adds to a latency at least, ms.
        """
        limits = self._problem.requirements

        def keeps(per_rank: Fraction) -> bool:
            load = self.loaded(per_rank)
            if load is None:
                return False
            return all(
                load.times[limit.rule] + least_other.get(limit.rule, Decimal(0)) <= planned(limits, limit.limit_ms) + 1
                for limit in limits.latency_limits
                if limit.rule in load.times
            )

        if not keeps(lightest):
            return 0.0
        if keeps(heaviest):
            return np.inf
        low, high = lightest, heaviest
        while high > low * (1 + _STEP):
            middle = Fraction(round(float(low * high) ** 0.5 * 10**9), 10**9)
            middle = middle if low < middle < high else (low + high) / 2
            low, high = (middle, high) if keeps(middle) else (low, middle)
        return float(high)

    def means(self, per_rank: Floats) -> Floats:
        """ms at loads, requests/s of a rank; infinite where requests pile up."""
        return self._decode(per_rank / 1000) if self.decode else self._prefill(per_rank / 1000)

    def _prefill(self, rate: Floats) -> Floats:
        busy = rate * self._first
        left = np.where(busy < 1, 1 - busy, 1.0)
        found: Floats = np.where(busy < 1, self._alone + rate * self._second / (2 * left), np.inf)
        return found

    def _decode(self, rate: Floats) -> Floats:
        """E[n] / λ of the chain; fewer than N in progress complete at their own pace, more at that of N."""
        each = self._slowness
        last = len(each)
        fits = rate * each[-1] < 1
        safe = np.where(fits, rate, 0.5 / each[-1])
        n = np.arange(last + 1, dtype=np.float64)
        logs = self._logs[None, :] + n[None, :] * np.log(safe)[:, None]
        weights = np.exp(logs - logs.max(axis=1, keepdims=True))
        ratio = safe * each[-1]
        rest = weights[:, -1] / (1 - ratio)
        number = weights @ n + rest * ratio * (last + 1 / (1 - ratio))
        found: Floats = np.where(fits, number / (weights.sum(axis=1) + rest * ratio) / safe, np.inf)
        return found

    @cached_property
    def _slowness(self) -> Floats:
        return np.array([float(one) for one in self._shape.slowness])

    @cached_property
    def _logs(self) -> Floats:
        return np.concatenate([[0.0], np.cumsum(np.log(self._slowness))])


class PoolsWorth:
    """Least costs of pools on parts of an inventory.

    Args:
        problem: with whatever ``serving``.
    """

    def __init__(self, problem: InventoryProblem) -> None:
        self.problem, self.weights = problem, weights_of(problem.objective)
        self._site = PoolsSite(problem)
        self._demand = exact(problem.workload.requests_per_s)
        self._offered: list[list[PoolShape]] = [
            [
                shape
                for shape in offered(one, self._site.shapes[group], FixedPool())
                if shape.short_of_memory <= 0 and shape.gpus <= problem.groups[group].gpus
            ]
            for group, one in enumerate(self._site.problems)
        ]
        self._up: dict[tuple[int, int], float] = {}
        self._by_hundredths: dict[tuple[int, int, int, bool], Floats] = {}
        self._by_gpus: dict[tuple[int, int, int], Floats] = {}

    def least(self, tenths: int, gpus: Ints) -> Floats:
        """ms that so many tenths of the requests add to the mean of all at pools on so many GPUs of each group, (N, G), at least; (N,)."""
        found = np.full(len(gpus), np.inf)
        for row, counts in enumerate(gpus.tolist()):
            table = np.full((SHARES + 1, SHARES + 1), np.inf)
            table[0, 0] = 0.0
            for group, count in enumerate(counts):
                if count:
                    table = _combined(table, self._cells(tenths, group, count))
            found[row] = table[SHARES, SHARES]
        return found * SAFETY

    def _cells(self, tenths: int, group: int, gpus: int) -> Floats:
        """Least ms by the tenths that a prefill and a decode part on one group are sent."""
        key = tenths, group, gpus
        if key not in self._by_gpus:
            table = np.empty((SHARES + 1, SHARES + 1))
            for prompts in range(SHARES + 1):
                first = self._side(group, 0, tenths, prompts)[: gpus + 1]
                for tokens in range(SHARES + 1):
                    second = self._side(group, 1, tenths, tokens)[: gpus + 1]
                    table[prompts, tokens] = (first + second[::-1]).min()
            self._by_gpus[key] = table
        return self._by_gpus[key]

    def _side(self, group: int, side: int, tenths: int, parts: int) -> Floats:
        """Least ms of a part of one pool, sent tenths of these tenths, by how many GPUs it has at most."""
        hundredths, whole = tenths * parts, parts == SHARES
        key = group, side, hundredths, whole
        if key not in self._by_hundredths:
            facts = self.problem.groups[group]
            least = np.full(facts.gpus + 1, np.inf if hundredths else 0.0)
            part, weights = hundredths / PARTS, self.weights
            wide = float(weights.unserved * weights.penalty_ms * self._site.down_wide(group))
            for shape, means, full in self._ranks[group][side] if hundredths else ():
                counts = np.arange(1, facts.gpus // shape.gpus + 1)
                load = float(self._demand) * part / (counts * shape.group.ranks)
                own = np.where(load >= full * (1 + 1e-9), np.inf, means.means(load))
                own[~self._outlives(group, counts, load, full, whole=whole)] = np.inf
                used = counts * shape.gpus
                costs = part * (self._weight(group, shape.gpus) * own + wide) + float(weights.gpu_ms) * used
                least[used] = np.minimum(least[used], costs)
            self._by_hundredths[key] = np.minimum.accumulate(least)
        return self._by_hundredths[key]

    def _outlives(self, group: int, counts: Ints, load: Floats, full: float, *, whole: bool) -> NDArray[np.bool_]:
        """Whether what losses leave at best of a part carries what it must, or nothing of it is left and others do.

        Args:
            load: (C,) requests/s of a rank with all of so many instances.
            full: from which on a rank breaks a rule.
            whole: no other part of the pool is there to take over.
        """
        fine = np.ones(len(counts), dtype=np.bool_)
        for stated in self.problem.survive:
            if f"survive_{stated.level}" in self.problem.search.disabled_rules:
                continue
            left = counts - self._taken(group, stated.level, stated.count, counts)
            after = load * counts / np.maximum(left, 1) * self.problem.demand_share
            carries = (left > 0) & (after < full * (1 + 1e-9))
            fine &= carries if whole else carries | (left <= 0)
        return fine

    def _taken(self, group: int, level: str, lost: int, counts: Ints) -> Ints:
        """Instances that so many losses take of a part that is dealt as evenly as can be over all that the group has."""
        facts = self.problem.groups[group]
        if level == "gpu":
            return np.minimum(counts, lost)
        places = 0
        if level == "node":
            places = facts.nodes
        elif level == "rack":
            places = facts.racks if facts.rack is None else 1
        elif any(facts.name in names for names in self.problem.wide_domains(level).values()):
            places = 1
        if not places:
            return np.zeros_like(counts)
        fullest = [np.maximum(0, -(-(counts - place) // places)) for place in range(min(lost, places))]
        found: Ints = np.minimum(counts, np.sum(fullest, axis=0))
        return found

    def _weight(self, group: int, gpus: int) -> float:
        """The weight of the time of a request, times the share of the time that an instance is up."""
        if (group, gpus) not in self._up:
            up = Decimal(1)
            if self.weights.unserved:
                up = down_of(self._site.problems[group].hardware, gpus, 1).probabilities[0]
            self._up[group, gpus] = float(self.weights.latency * up)
        return self._up[group, gpus]

    @cached_property
    def _ranks(self) -> list[list[list[tuple[PoolShape, RankMeans, float]]]]:
        """Of each group and pool: shapes, their means, and the load at which one is full."""
        every = [
            [[(shape, RankMeans(self._site, g, shape, decode=decode)) for shape in shapes] for decode in (False, True)]
            for g, shapes in enumerate(self._offered)
        ]
        least = [self._quickest(every, side) for side in (0, 1)]
        return [
            [
                [
                    (shape, means, means.full(*self._loads(group, shape), least[1 - side]))
                    for shape, means in every[group][side]
                ]
                for side in (0, 1)
            ]
            for group in range(len(every))
        ]

    def _loads(self, group: int, shape: PoolShape) -> tuple[Fraction, Fraction]:
        """The least and the greatest load of a rank that is asked for, requests/s."""
        ranks, most = shape.group.ranks, self.problem.groups[group].gpus // shape.gpus
        return self._demand / (PARTS * most * ranks), self._demand / ranks

    def _quickest(self, every: list[list[list[tuple[PoolShape, RankMeans]]]], side: int) -> dict[str, Decimal]:
        """What a pool adds to each latency that both add to, at least."""
        found: dict[str, Decimal] = {}
        for group, sides in enumerate(every):
            for shape, means in sides[side]:
                load = means.loaded(self._loads(group, shape)[0])
                for rule in ("ttft_p50", "ttft_p99") if load is not None else ():
                    assert load is not None
                    found[rule] = min(found.get(rule, load.times[rule]), load.times[rule])
        return found


def _combined(first: Floats, second: Floats) -> Floats:
    """The least sums of two tables whose shares add up."""
    found = np.full_like(first, np.inf)
    for prompts, tokens in zip(*np.nonzero(np.isfinite(first)), strict=True):
        rest = second[: SHARES + 1 - prompts, : SHARES + 1 - tokens] + first[prompts, tokens]
        found[prompts:, tokens:] = np.minimum(found[prompts:, tokens:], rest)
    return found
