"""What pools on an inventory cost at least, option by option: the GPUs of each group are given a price in place of a limit.

For any prices μ ≥ 0 of a GPU of each group, a pair of pools of one link and kind of cache costs at least

    Σ over pools · min over shares that add up to one · Σ over groups (value + μ · GPUs) + least transfer − Σ μ · GPUs there are

(Lagrangian relaxation), and each pool's minimum is a sum over groups of shares: a small dynamic program. With one option held the
same bounds every answer that has it, so that options above a known answer are left out and lose none that is better. Prices are
moved along the subgradient; what the bound is worth does not depend on how well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from optimizer.costs.shapes import Bools, Floats, Ints
from optimizer.search.common.scale import NS_PER_MS
from optimizer.search.pools.cluster_columns import ClusterColumns
from optimizer.search.pools.options import PARTS
from optimizer.search.uniform.quantities import ObjectiveWeights

STEPS = 80
"""Moves of the prices of each link and kind of cache."""


@dataclass(frozen=True, slots=True)
class OptionBounds:
    """A bound of every answer that has an option, (Q,) a side; infinite where none may have it. Nanoseconds."""

    through: tuple[Floats, Floats]
    least: float
    """Of every answer."""


def _counted(columns: ClusterColumns, side: int, tier: str, fewer: bool) -> tuple[Floats, Floats]:
    """(what each option adds to a tier, its GPUs)."""
    if fewer:
        values, fewest = columns.least_of_fewer(side)
        gpus = fewest.astype(np.float64)
        if tier == "value":
            return values + round(ObjectiveWeights.of(columns.problem.objective).gpu_ms * NS_PER_MS) * gpus, gpus
        return gpus, gpus
    gpus = columns.options.of_rows(side, "gpus").astype(np.float64)
    return _of_tier(columns, side, tier, gpus), gpus


def _of_tier(columns: ClusterColumns, side: int, tier: str, gpus: Floats) -> Floats:
    if tier == "gpus":
        return gpus
    if tier == "price":
        return columns.prices[side].astype(np.float64)
    gpu = round(ObjectiveWeights.of(columns.problem.objective).gpu_ms * NS_PER_MS)
    found: Floats = columns.values[side] + gpu * gpus
    return found


class _Pool:
    """Options of one pool of one link and kind of cache."""

    def __init__(self, columns: ClusterColumns, side: int, chosen: Ints, values: Floats, gpus: Floats) -> None:
        self.options, self.values = chosen, values[chosen]
        self.group = columns.options.group[side][chosen]
        self.share = columns.options.share[side][chosen]
        self.gpus = gpus[chosen]
        self.groups = len(columns.problem.groups)
        key = self.group * (PARTS + 1) + self.share
        order = np.argsort(key, kind="stable")
        self._order, self._starts = order, np.flatnonzero(np.diff(key[order], prepend=-1))
        self._cells = key[order][self._starts]

    def priced(self, prices: Floats) -> tuple[float, Floats, Floats]:
        """(the pool's least, a bound through each option, GPUs of each group that the least takes) at prices."""
        each = self.values + prices[self.group] * self.gpus
        cells = np.full(self.groups * (PARTS + 1), np.inf)
        cells[self._cells] = np.minimum.reduceat(each[self._order], self._starts)
        table = cells.reshape(self.groups, PARTS + 1)
        table[:, 0] = 0.0
        ahead = [_nothing()]
        for group in range(self.groups):
            ahead.append(_joined(ahead[-1], table[group]))
        behind = [_nothing()]
        for group in reversed(range(self.groups)):
            behind.append(_joined(behind[-1], table[group]))
        behind.reverse()
        rest = np.full((self.groups, PARTS + 1), np.inf)
        for group in range(self.groups):
            others = _joined(ahead[group], behind[group + 1])
            rest[group] = others[::-1]
        through = each + rest[self.group, self.share]
        return float(ahead[-1][PARTS]), through, self._used(ahead, table, each)

    def _used(self, ahead: list[Floats], table: Floats, each: Floats) -> Floats:
        used, left = np.zeros(self.groups), PARTS
        if not np.isfinite(ahead[-1][PARTS]):
            return used
        for group in reversed(range(self.groups)):
            costs = ahead[group][: left + 1][::-1] + table[group][: left + 1]
            share = int(np.argmin(costs))
            if share:
                here = np.flatnonzero((self.group == group) & (self.share == share))
                used[group] = self.gpus[here[np.argmin(each[here])]]
            left -= share
        return used


def _nothing() -> Floats:
    found = np.full(PARTS + 1, np.inf)
    found[0] = 0.0
    return found


def _joined(first: Floats, second: Floats) -> Floats:
    """The least of two sums by the parts that they take together."""
    beside = np.concatenate([second, [np.inf]])
    least: Floats = (first[None, :] + beside[_REST]).min(axis=1)
    return least


_REST = np.array(
    [[parts - own if own <= parts else PARTS + 1 for own in range(PARTS + 1)] for parts in range(PARTS + 1)]
)
"""What the second takes of so many parts where the first takes ``own``; beyond the last where that is more than all."""


def bounds_of(
    columns: ClusterColumns,
    kept: tuple[Bools, Bools],
    known: float | None,
    tier: str = "value",
    rules: Sequence[str] = ("gpu_count",),
    fewer: bool = False,
) -> OptionBounds:
    """A bound through every option that is kept.

    Args:
        known: what the tier counts of an answer, which prices are moved towards; None: there is none yet.
        tier: what is bounded: ``value`` in ns, ``gpus`` or ``price``.
        rules: that are kept; without ``gpu_count`` no GPU has a price.
        fewer: of every number of instances that an option stands for, not of its own; of ``value`` and ``gpus``.
    """
    options, weights = columns.options, ObjectiveWeights.of(columns.problem.objective)
    counted = [_counted(columns, side, tier, fewer) for side in (0, 1)]
    latency = weights.latency if tier == "value" else 0.0
    caches = [options.of_rows(side, "cache") for side in (0, 1)]
    through = np.full(len(kept[0]), np.inf), np.full(len(kept[1]), np.inf)
    least = np.inf
    groups: list[int | None] = list(range(len(columns.problem.groups)))
    for crossing, group in [*((0, one) for one in groups), (1, None)]:
        for kind in range(len(options.kinds)):
            sides = []
            for side in (0, 1):
                fine = kept[side] & (options.crossing[side] == crossing) & (caches[side] == kind)
                if group is not None:
                    fine &= options.group[side] == group
                sides.append(np.flatnonzero(fine))
            if not all(len(one) for one in sides):
                continue
            moved = max(
                float((columns.moved[side][0][sides[side]] + options.latency_ns[side][sides[side]]).min())
                for side in (0, 1)
            )
            pools = [_Pool(columns, side, sides[side], *counted[side]) for side in (0, 1)]
            found = _lagrange(columns, pools, latency * moved, known, STEPS if "gpu_count" in rules else 1)
            least = min(least, found[0])
            for side in (0, 1):
                through[side][sides[side]] = np.minimum(through[side][sides[side]], found[1][side])
    return OptionBounds(through, least)


def within_gpus(
    columns: ClusterColumns, kept: tuple[Bools, Bools], rules: Sequence[str], least_peak: int = 0
) -> tuple[tuple[Bools, Bools], OptionBounds]:
    """Options with which an answer may stand on the GPUs of each group; none: there is no answer. And their least GPUs.

    Prices of the GPUs of each group, added up, pass what there is where the pools cannot stand.

    Args:
        least_peak: millionths of a request/s that every option reaches.
    """
    total = float(sum(group.gpus for group in columns.problem.groups))
    some = [mask & (peak >= least_peak) for mask, peak in zip(kept, columns.peaks, strict=True)] if least_peak else kept
    bounds = bounds_of(columns, (some[0], some[1]), total, "gpus", rules)
    if "gpu_count" not in rules:
        return (some[0] & np.isfinite(bounds.through[0]), some[1] & np.isfinite(bounds.through[1])), bounds
    most = total * (1 + 1e-9) + 1e-6
    return (some[0] & (bounds.through[0] <= most), some[1] & (bounds.through[1] <= most)), bounds


def _lagrange(
    columns: ClusterColumns, pools: list[_Pool], transfer: float, known: float | None, steps: int
) -> tuple[float, list[Floats]]:
    """The best bound found of one link and kind of cache, and the best through each option."""
    there = np.array([group.gpus for group in columns.problem.groups], dtype=np.float64)
    prices, best = np.zeros(len(there)), -np.inf
    through: list[Floats] = [np.full(len(pool.options), -np.inf) for pool in pools]
    scale = 1.0
    since = 0
    for _ in range(steps):
        found = [pool.priced(prices) for pool in pools]
        total = found[0][0] + found[1][0] + transfer - float(prices @ there)
        if not np.isfinite(total):
            return np.inf, [np.full(len(pool.options), np.inf) for pool in pools]
        for side in (0, 1):
            bound = found[side][1] + found[1 - side][0] + transfer - float(prices @ there)
            through[side] = np.maximum(through[side], bound)
        if total > best * (1 + 1e-6) if best > 0 else total > best:
            best, since = total, 0
        else:
            since += 1
            if since >= 6:
                scale, since = scale / 2, 0
        ahead = found[0][2] + found[1][2] - there
        ahead = np.where((prices <= 0) & (ahead < 0), 0.0, ahead)
        length = float(ahead @ ahead)
        if not length:
            break
        goal = known if known is not None else 1.05 * abs(total) + 1
        prices = np.maximum(0.0, prices + scale * max(goal - total, 1e-3 * abs(total)) / length * ahead)
    return best, through
