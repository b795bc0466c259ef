"""A bound on every answer about pools on an inventory, without going through them. ``docs/disaggregated.md``, section 13.

Whatever fails, a request sent to a part of a pool takes at least what it takes with every instance up, for the share of the time that
its instance is up; that depends on the load of a rank alone (``load_curve``). With a price of each group's GPUs in place of the GPUs
there are (Lagrange), a pool costs at least the least over shares of the sum of its parts, whatever the prices: they are moved to where
the sum over both pools, less the price of all GPUs, is greatest.

Callers work inside ``arithmetic.sixty_digits``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from optimizer.results.pools import FixedPool, FixedPools
from optimizer.verify.common.arithmetic import decimal, exact
from optimizer.verify.common.candidate import planned
from optimizer.verify.common.failures import down_of
from optimizer.verify.common.ledger import CheckLedger
from optimizer.verify.common.objective import weights_of
from optimizer.verify.pools.load_curve import InProgress, LoadCurve, curve
from optimizer.verify.pools.pair import joined
from optimizer.verify.pools.pool import AnyPool, Crossing, DecodePool, PrefillPool, sent_times
from optimizer.verify.pools.shape import PoolShape, queue
from optimizer.verify.pools.site import SHARES, PoolsSite
from optimizer.verify.pools.survey import offered, slots_of

Floats = NDArray[np.float64]
MOVES = 200
"""Times that prices are moved."""
TIERS = ("fewest-gpus", "cheapest")
"""Presets whose first tier is bounded in place of the objective."""


@dataclass(frozen=True)
class Cell:
    """Parts of a pool on one group with one share: what may cost least at some price of a GPU."""

    gpus: Floats
    values: Floats


Table = list[list[Cell | None]]
"""By group, then by parts of the requests, from 0."""


def least_of_all(site: PoolsSite, fixed: FixedPools = FixedPools(), *, measure: str | None = None) -> float | None:
    """What no answer falls below: ms of the objective, or GPUs or price where the preset puts them first; infinite: there is none.

    None: nothing is known, because rules of the load are switched off or the preset is bounded by neither.

    Args:
        measure: what is bounded in place of the preset's, such as ``fewest-gpus``.
    """
    problem = site.problem
    measure = measure or problem.objective.preset
    if problem.search.disabled_rules or measure in ("throughput", "capacity") or fixed.any:
        return None
    least = np.inf
    groups = list(range(len(site.names)))
    links = [(False, [g]) for g in groups] + ([(True, groups)] if len(groups) > 1 else [])
    for crossing, among in links:
        shapes = [
            {g: list(offered(site.problems[g], site.shapes[g], one)) for g in among}
            for one in (fixed.prefill, fixed.decode)
        ]
        receivers: dict[tuple[int, str, str], PoolShape] = {}
        for some in shapes[1].values():
            for shape in some:
                receivers.setdefault((shape.group.tensor, shape.group.weight_format, shape.group.kv_format), shape)
        for kind, receiver in receivers.items():
            tables = _Tables(site, crossing, measure)
            first, second = (
                tables.of(shapes[0], fixed.prefill, receiver),
                tables.of(shapes[1], fixed.decode, None, kind),
            )
            if first is None or second is None:
                continue
            moved = float(weights_of(problem.objective).latency) * tables.transfer if measure not in TIERS else 0.0
            least = min(least, _priced(site, [first, second], moved, least))
    return float(least)


class _Tables:
    """Tables of both pools of one link and one kind of cache."""

    def __init__(self, site: PoolsSite, crossing: bool, measure: str) -> None:
        self.site, self.problem, self.crossing, self.measure = site, site.problem, crossing, measure
        self._progress: dict[int, InProgress] = {}
        self.transfer = 0.0
        """ms that the mean prompt's cache takes at least."""

    def of(
        self,
        shapes: dict[int, list[PoolShape]],
        fixed: FixedPool,
        receiver: PoolShape | None,
        kind: tuple[int, str, str] | None = None,
    ) -> Table | None:
        """What parts of a pool may cost least; None: no part carries anything.

        Args:
            receiver: of the cache that a prefill pool sends; None: a decode pool, of shapes of a ``kind``.
        """
        table: Table = [[None] * (SHARES + 1) for _ in self.site.names]
        moved: list[float] = []
        for group, some in shapes.items():
            found: dict[int, list[tuple[Floats, Floats]]] = {}
            for shape in some:
                own = (shape.group.tensor, shape.group.weight_format, shape.group.kv_format)
                if receiver is None and own != kind:
                    continue
                if receiver is not None and not joined(self.site.problems[group], shape.group, receiver.group):
                    continue
                if shape.short_of_memory > 0:
                    continue
                crossing = self._crossing(group, shape, receiver)
                counts = np.arange(1, self.problem.groups[group].gpus // shape.gpus + 1)
                pieces = list(self._by_share(group, shape, fixed, crossing, receiver is None, counts))
                if pieces:
                    moved.append(float(crossing.mean + crossing.wire.latency))
                for parts, values in pieces:
                    found.setdefault(parts, []).append(((counts * shape.gpus).astype(np.float64), values))
            for parts, lists in found.items():
                table[group][parts] = _hull(*(np.concatenate([one[k] for one in lists]) for k in (0, 1)))
        if not moved:
            return None
        self.transfer = max(self.transfer, min(moved))
        return table

    def _crossing(self, group: int, shape: PoolShape, receiver: PoolShape | None) -> Crossing:
        hop = self.site.hop(group, self.crossing)
        if receiver is None:
            return Crossing(hop, shape, Fraction(1))
        return Crossing(hop, receiver, sent_times(self.site.problems[group], shape, receiver))

    def _by_share(
        self,
        group: int,
        shape: PoolShape,
        fixed: FixedPool,
        crossing: Crossing,
        decode: bool,
        counts: NDArray[np.int64],
    ) -> Iterator[tuple[int, Floats]]:
        """(parts of the requests, what each number of instances costs at least)."""
        problem, ranks = self.problem, shape.group.ranks
        if not len(counts):
            return
        demand = exact(problem.workload.requests_per_s)
        shares = range(1, SHARES + 1) if self.crossing else range(SHARES, SHARES + 1)
        lightest = demand * Fraction(shares[0], SHARES) / (int(counts[-1]) * ranks)
        known = self._curve(group, shape, fixed, crossing, decode, lightest, demand / ranks)
        for parts in shares:
            part = parts / SHARES
            means = known.at(float(demand) * part / (counts * ranks))
            if np.isfinite(means).any():
                yield parts, np.where(np.isfinite(means), self._cost(group, shape, counts, part, means), np.inf)

    def _curve(
        self,
        group: int,
        shape: PoolShape,
        fixed: FixedPool,
        crossing: Crossing,
        decode: bool,
        lightest: Fraction,
        heaviest: Fraction,
    ) -> LoadCurve:
        problem = self.site.problems[group]
        one: AnyPool = (
            DecodePool(shape, 1, 1, slots_of(problem, shape, fixed), crossing)
            if decode
            else PrefillPool(shape, 1, 1, crossing)
        )
        limits = problem.requirements

        def carries(load: Fraction) -> bool:
            seen = one.load(load * shape.group.ranks)
            if seen is None or not one.carries(seen):
                return False
            rules = (limit for limit in limits.latency_limits if limit.rule in seen.times)
            return all(seen.times[limit.rule] <= planned(limits, limit.limit_ms) + 1 for limit in rules)

        if decode:
            progress = self._progress.setdefault(id(shape), InProgress(shape.slowness))

        def mean(load: Fraction) -> float:
            if not decode:
                seen = one.load(load * shape.group.ranks)
                return float(seen.mean) if seen is not None else 0.0
            rate = decimal(load / 1000)
            wait = queue(rate, crossing.services, crossing.longest).mean
            return progress.mean(float(rate)) / float(rate) + float(wait or 0)

        return curve(carries, mean, lightest, heaviest)

    def _cost(self, group: int, shape: PoolShape, counts: NDArray[np.int64], part: float, means: Floats) -> Floats:
        facts, weights = self.problem.groups[group], weights_of(self.problem.objective)
        gpus: Floats = (counts * shape.gpus).astype(np.float64)
        if self.measure == "fewest-gpus":
            return gpus
        if self.measure == "cheapest":
            return gpus * float(facts.price_per_gpu_hour or 0)
        up = Decimal(1)
        if weights.unserved:
            up = down_of(self.site.problems[group].hardware, shape.gpus, 1).probabilities[0]
        wide = weights.unserved * weights.penalty_ms * self.site.down_wide(group)
        found: Floats = part * (float(weights.latency * up) * means + float(wide)) + float(weights.gpu_ms) * gpus
        return found


def _hull(gpus: Floats, values: Floats) -> Cell:
    """What costs least at some price of a GPU, none negative: the lower left of the convex hull."""
    order = np.lexsort((values, gpus))
    gpus, values = gpus[order], values[order]
    falls = values < np.minimum.accumulate(np.concatenate([[np.inf], values[:-1]]))
    kept: list[tuple[float, float]] = []
    for x, y in zip(gpus[falls].tolist(), values[falls].tolist(), strict=True):
        while len(kept) > 1 and (kept[-1][1] - kept[-2][1]) * (x - kept[-2][0]) >= (y - kept[-2][1]) * (
            kept[-1][0] - kept[-2][0]
        ):
            kept.pop()
        kept.append((x, y))
    return Cell(np.array([x for x, _ in kept]), np.array([y for _, y in kept]))


def _least(table: Table, prices: Floats) -> tuple[float, Floats]:
    """(the least of a pool at prices, GPUs of each group that it takes)."""
    best: list[tuple[float, tuple[float, ...]]] = [(0.0, ()), *[(np.inf, ())] * SHARES]
    for group, cells in enumerate(table):
        own: list[tuple[float, float]] = [(0.0, 0.0)]
        for cell in cells[1:]:
            if cell is None or not len(cell.gpus):
                own.append((np.inf, 0.0))
                continue
            costs = cell.values + prices[group] * cell.gpus
            at = int(np.argmin(costs))
            own.append((float(costs[at]), float(cell.gpus[at])))
        best = [
            min(
                ((best[a][0] + own[total - a][0], (*best[a][1], own[total - a][1])) for a in range(total + 1)),
                key=lambda one: one[0],
            )
            for total in range(SHARES + 1)
        ]
    return best[SHARES][0], np.array(best[SHARES][1])


def _priced(site: PoolsSite, tables: list[Table], moved: float, goal: float) -> float:
    """The greatest bound of one link and kind of cache that prices were found for."""
    there = np.array([float(group.gpus) for group in site.problem.groups])
    prices, best, step, since = np.zeros(len(there)), -np.inf, 1.0, 0
    for _ in range(MOVES):
        both = [_least(table, prices) for table in tables]
        total = both[0][0] + both[1][0] + moved - float(prices @ there)
        if not np.isfinite(total):
            return np.inf
        since = 0 if total > best * (1 + 1e-7) else since + 1
        best = max(best, total)
        if best >= goal:
            return best
        if since >= 8:
            step, since = step / 2, 0
        beyond = both[0][1] + both[1][1] - there
        beyond = np.where((prices <= 0) & (beyond < 0), 0.0, beyond)
        length = float(beyond @ beyond)
        if not length:
            break
        wanted = goal if np.isfinite(goal) else best * 1.02
        prices = np.maximum(0.0, prices + step * max(wanted - total, 1e-4 * abs(best)) / length * beyond)
    return best


def no_room(site: PoolsSite, fixed: FixedPools = FixedPools()) -> bool:
    """Whether the fewest GPUs that pools need, at some prices of the groups', are more than there are."""
    least = least_of_all(site, fixed, measure="fewest-gpus")
    return least is not None and least > sum(group.gpus for group in site.problem.groups) * (1 + 1e-9)


def own_bound(ledger: CheckLedger, site: PoolsSite, fixed: FixedPools, measure: str, value: Decimal) -> str:
    """How far below an answer that was not compared with every other one this bound lies, in words; empty: not known.

    Args:
        value: what the answer comes to by the measure, recomputed.
    """
    least = least_of_all(site, fixed, measure=measure)
    if least is None:
        return ""
    if not ledger.that("own bound", float(value) >= least * (1 - 1e-9), f"at most {value:.12g}", least):
        return ""
    what = {"fewest-gpus": "fewest GPUs", "cheapest": "price"}.get(measure, "objective")
    below = max(0.0, (float(value) - least) / max(abs(float(value)), 1e-9))
    return f"the verifier's own bound on the {what} of every other choice lies {below:.2%} below"
