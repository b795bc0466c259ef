"""Every choice of pools on an inventory, compared with what is claimed to be best: parts, then pools, then pairs of pools.

A part is one shape, count, spread and share on one group. A pool is parts whose shares add up to one. What a pool is worth does
not depend on the other, so pairs are sums; where a claim stands, parts and pools whose sums with the least of everything else
reach it are left out, which loses none that could beat it.

Callers work inside ``arithmetic.sixty_digits``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimizer.results.cluster_pools import GroupPool
from optimizer.results.pools import FixedPool, FixedPools, PoolStrategy
from optimizer.verify.common.arithmetic import decimal, exact
from optimizer.verify.common.candidate import planned
from optimizer.verify.common.objective import weights_of
from optimizer.verify.pools.cluster_pair import ClusterPair
from optimizer.verify.pools.pair import joined
from optimizer.verify.pools.pool import AnyPool, Crossing, DecodePool, PrefillPool, sent_times, value_of
from optimizer.verify.pools.shape import PoolShape
from optimizer.verify.pools.site import SHARES, PoolLoss, PoolsSite, losses_of
from optimizer.verify.pools.survey import (
    FURTHER_MS,
    MOST_LINES,
    NEAR,
    NEVER,
    PairsSeen,
    offered,
    placements,
    slots_of,
)

Floats = NDArray[np.float64]
MOST_POOLS = 400_000
"""Pools of more kinds than this are not compared one by one."""
MOST_OFFERED = 4_000
"""Shapes, counts and spreads; what more of them are worth would take minutes to work out in exact arithmetic."""
TIMES = ("ttft_p50", "ttft_p99", "prefill_p50", "prefill_p99", "tpot_p50", "tpot_p99")


@dataclass(eq=False)
class PricedPart:
    """One part as numbers; one that breaks a rule of its own is left out."""

    group: int
    parts: int
    strategy: GroupPool
    pool: AnyPool
    value: float
    times: dict[str, float]
    moved: tuple[float, float, float]
    gpus: int
    price: float
    peak: float
    afters: dict[tuple[str, int, int], tuple[bool, dict[str, float]]] = field(default_factory=dict)
    """By (level, losses, parts that are left): whether it carries, and its times."""


@dataclass(eq=False)
class Whole:
    """A pool: parts whose shares add up to one."""

    parts: tuple[PricedPart, ...]
    value: float


def survey_cluster(site: PoolsSite, fixed: FixedPools, claim: ClusterPair | None) -> PairsSeen | None:
    """Compare a claim with every pair of pools; without one, look for any that keeps every rule. None: there are too many."""
    problem = site.problem
    bar = None if claim is None else float(sum(claim.terms().values(), Decimal(0)))
    tier = None if claim is None else _tier(problem.objective.preset, claim)
    pairs = compared = 0
    groups = range(len(site.names))
    links: list[tuple[bool, list[int]]] = [(False, [g]) for g in groups]
    if len(site.names) > 1:
        links.append((True, list(groups)))
    lines = 0
    if sum(_offered(site, one, MOST_OFFERED) for one in (fixed.prefill, fixed.decode)) > MOST_OFFERED:
        return None
    for crossing, among in links:
        decode = {g: list(_of(site, g, fixed.decode)) for g in among}
        prefill = {g: list(_of(site, g, fixed.prefill)) for g in among}
        kinds = dict.fromkeys(_kind(shape) for shapes in decode.values() for shape in shapes)
        for kind in kinds:
            receiver = next(shape for shapes in decode.values() for shape in shapes if _kind(shape) == kind)
            second = _parts(
                site,
                crossing,
                {g: [s for s in some if _kind(s) == kind] for g, some in decode.items()},
                fixed.decode,
                None,
            )
            senders = {
                g: [s for s in some if joined(site.problems[g], s.group, receiver.group)] for g, some in prefill.items()
            }
            first = _parts(site, crossing, senders, fixed.prefill, receiver)
            lines += len(first) + len(second)
            if lines > MOST_LINES:
                return None
            if not first or not second:
                continue
            both = [_pools(site, first, bar, second, tier), _pools(site, second, bar, first, tier)]
            if any(one is None for one in both):
                return None
            wholes = [one for one in both if one is not None]
            if not all(wholes):
                pairs += _count(first) * _count(second)
                continue
            seen = _compare(site, crossing, wholes[0], wholes[1], bar, tier)
            pairs += _count(first) * _count(second)
            compared += seen.pairs
            if seen.better is not None:
                return PairsSeen(pairs, compared, seen.better)
    return PairsSeen(pairs, compared, None)


def _offered(site: PoolsSite, fixed: FixedPool, most: int | None = None) -> int:
    """Shapes, counts and spreads of one pool, whatever keeps them from standing; counted no further than ``most``."""
    total = 0
    for group, problem in enumerate(site.problems):
        for shape in _of(site, group, fixed):
            total += sum(1 for _ in placements(problem, shape, fixed))
            if most is not None and total > most:
                return total
    return total


def offered_pairs(site: PoolsSite, fixed: FixedPools) -> int:
    """Pairs of shapes, counts and spreads on one group each."""
    return _offered(site, fixed.prefill) * _offered(site, fixed.decode)


def _kind(shape: PoolShape) -> tuple[int, str, str]:
    return shape.group.tensor, shape.group.weight_format, shape.group.kv_format


def _tier(preset: str, claim: ClusterPair) -> float:
    """What the preset puts before the objective; lower is better."""
    if preset == "fewest-gpus":
        return float(claim.gpus)
    if preset == "throughput":
        return -float(claim.peak())
    if preset == "cheapest":
        return float(claim.price or 0)
    return 0.0


def _of(site: PoolsSite, group: int, fixed: FixedPool) -> Iterator[PoolShape]:
    if fixed.group in (None, site.names[group]):
        yield from offered(site.problems[group], site.shapes[group], fixed)


def _parts(
    site: PoolsSite, crossing: bool, shapes: dict[int, list[PoolShape]], fixed: FixedPool, receiver: PoolShape | None
) -> list[PricedPart]:
    """Parts of a pool that keep the rules of their own. ``receiver``: of the cache that a prefill pool sends; None: a decode pool."""
    found = []
    sent: dict[tuple[int, Fraction], Crossing] = {}
    for group, some in shapes.items():
        problem, hop, off = site.problems[group], site.hop(group, crossing), site.problem.search.disabled_rules
        for shape in some:
            memory = "decode_memory" if receiver is None else "prefill_memory"
            if shape.short_of_memory > 0 and memory not in off:
                continue
            if receiver is None:
                slots = slots_of(problem, shape, fixed)
                moved = Crossing(hop, shape, Fraction(1))
                limits = problem.requirements
                if slots < limits.min_batch and "min_batch" not in off:
                    continue
                if shape.states is not None and slots > shape.states and "state_blocks" not in off:
                    continue
                if _too_slow(site, shape, slots):
                    continue
            else:
                slots = shape.together(problem.workload.prompt_tokens)
                times = sent_times(problem, shape, receiver)
                if (group, times) not in sent:
                    sent[group, times] = Crossing(hop, receiver, times)
                moved = sent[group, times]
            for count, nodes in placements(problem, shape, fixed):
                if not _in_racks(site, group, shape, count, nodes):
                    continue
                pool: AnyPool = (
                    DecodePool(shape, count, nodes, slots, moved)
                    if receiver is None
                    else PrefillPool(shape, count, nodes, moved)
                )
                for parts in range(1, SHARES + 1) if crossing and not fixed.any else (SHARES,):
                    one = _part(site, group, pool, parts, slots, moved)
                    if one is not None:
                        found.append(one)
    return found


def _too_slow(site: PoolsSite, shape: PoolShape, slots: int) -> bool:
    """Whether a decode rank with every slot taken breaks ``tpot_full_batch``."""
    limits = site.problem.requirements
    if limits.tpot_p99_ms is None or "tpot_full_batch" in site.problem.search.disabled_rules:
        return False
    return shape.round(slots) > planned(limits, limits.tpot_p99_ms)


def _in_racks(site: PoolsSite, group: int, shape: PoolShape, count: int, nodes: int) -> bool:
    facts = site.problem.groups[group]
    if shape.gpus <= facts.free_gpus:
        return True
    spans = shape.gpus // facts.free_gpus
    return spans <= facts.nodes_together and site.rack_nodes(group, count, nodes, shape.gpus) <= facts.nodes_together


def _part(site: PoolsSite, group: int, pool: AnyPool, parts: int, slots: int, moved: Crossing) -> PricedPart | None:
    problem, facts = site.problem, site.problem.groups[group]
    rate = exact(problem.workload.requests_per_s) * Fraction(parts, SHARES)
    load = pool.load(rate)
    if load is None or not pool.carries(load):
        return None
    limits, off = problem.requirements, problem.search.disabled_rules
    times = {name: float(ms) for name, ms in load.times.items()}
    for limit in limits.latency_limits:
        if (
            limit.rule not in off
            and limit.rule in times
            and load.times[limit.rule] > planned(limits, limit.limit_ms) + 1
        ):
            return None
    weights, wide, share = weights_of(problem.objective), site.down_wide(group), decimal(Fraction(parts, SHARES))
    one = value_of(pool, weights, lambda j: pool.load(rate, j))
    value = share * (one.served + one.unserved + weights.unserved * weights.penalty_ms * wide)
    shape = pool.shape
    made = PoolStrategy(
        pool.count, shape.group.tensor, shape.group.expert, slots, shape.group.weight_format, shape.group.kv_format,
        pool.nodes,
    )  # fmt: skip
    peak = 0.0
    if problem.objective.preset == "throughput":
        each = shape.prompts_per_s if isinstance(pool, PrefillPool) else shape.completes_per_s(slots)
        peak = float(pool.count * shape.group.ranks * each / share)
    latency = moved.wire.latency
    return PricedPart(
        group, parts, GroupPool(facts.name, parts / SHARES, made), pool, float(value), times,
        (float(moved.mean + latency), float(moved.usual + latency), float(moved.longest + latency)),
        pool.count * shape.gpus, float(exact(facts.price_per_gpu_hour or 0) * pool.count * shape.gpus), peak,
    )  # fmt: skip


def _pools(
    site: PoolsSite, parts: Sequence[PricedPart], bar: float | None, other: Sequence[PricedPart], tier: float | None
) -> list[Whole] | None:
    """Pools of parts on different groups whose shares add up to one; None: there are too many."""
    of = _measure(site.problem.objective.preset)
    rest = _least(other, SHARES, of)[SHARES]
    by_group: dict[int, dict[int, list[PricedPart]]] = {}
    for part in sorted(parts, key=of):
        by_group.setdefault(part.group, {}).setdefault(part.parts, []).append(part)
    groups = sorted(by_group)
    # The least that groups from one on add for so many parts of the requests.
    ahead: list[list[float]] = [[0.0] + [np.inf] * SHARES]
    for group in reversed(groups):
        best = [0.0] + [np.inf] * SHARES
        for taken, some in by_group[group].items():
            best[taken] = of(some[0])
        ahead.insert(0, _joined_least(best, ahead[0]))
    if not np.isfinite(ahead[0][SHARES] + rest):
        return []
    most = _most(site.problem.objective.preset, bar, tier)
    found: list[Whole] = []

    def grow(at: int, left: int, chosen: tuple[PricedPart, ...], value: float) -> bool:
        if left == 0:
            found.append(Whole(chosen, sum(part.value for part in chosen)))
            return len(found) <= MOST_POOLS
        # Every step leads to a pool: where the groups left cannot take all that is left, nothing is gone through.
        without = ahead[at + 1][left]
        if without < np.inf and value + without + rest <= most and not grow(at + 1, left, chosen, value):
            return False
        for taken, some in by_group[groups[at]].items():
            if taken > left or ahead[at + 1][left - taken] == np.inf:
                continue
            for part in some:
                if value + of(part) + ahead[at + 1][left - taken] + rest > most:
                    break
                if not grow(at + 1, left - taken, (*chosen, part), value + of(part)):
                    return False
        return True

    return found if grow(0, SHARES, (), 0.0) else None


def _count(parts: Sequence[PricedPart]) -> int:
    """Pools that can be made of parts on different groups."""
    ways = [1] + [0] * SHARES
    for group in {part.group for part in parts}:
        own = [0] * (SHARES + 1)
        for part in parts:
            own[part.parts] += part.group == group
        ways = [ways[total] + sum(own[a] * ways[total - a] for a in range(1, total + 1)) for total in range(SHARES + 1)]
    return ways[SHARES]


def _measure(preset: str) -> Callable[[PricedPart], float]:
    """What a part adds to what is bounded: GPUs or price where the preset puts them first, else the objective."""
    if preset == "fewest-gpus":
        return lambda part: float(part.gpus)
    if preset == "cheapest":
        return lambda part: part.price
    return lambda part: part.value


def _most(preset: str, bar: float | None, tier: float | None) -> float:
    """What a pair that beats the claim may come to at most."""
    if bar is None or tier is None or preset == "throughput":
        return float("inf")
    return tier + 1e-5 if preset in ("fewest-gpus", "cheapest") else bar


def _best_by_parts(parts: Sequence[PricedPart], of: Callable[[PricedPart], float]) -> list[float]:
    found = [0.0] + [np.inf] * SHARES
    for part in parts:
        found[part.parts] = min(found[part.parts], of(part))
    return found


def _joined_least(first: Sequence[float], second: Sequence[float]) -> list[float]:
    return [min(first[a] + second[total - a] for a in range(total + 1)) for total in range(SHARES + 1)]


def _least(parts: Sequence[PricedPart], total: int, of: Callable[[PricedPart], float]) -> list[float]:
    """The least of a pool by the parts of the requests that it takes."""
    found = [0.0] + [np.inf] * total
    for group in sorted({part.group for part in parts}):
        found = _joined_least(_best_by_parts([part for part in parts if part.group == group], of), found)
    return found


class _Columns:
    """Pools of one side as arrays."""

    def __init__(self, site: PoolsSite, side: int, wholes: Sequence[Whole]) -> None:
        self.site, self.side, self.wholes = site, side, wholes
        self.value = np.array([one.value for one in wholes])
        self.gpus = self._sum(lambda part: part.gpus)
        self.price = self._sum(lambda part: part.price)
        self.peak = np.array([min(part.peak for part in one.parts) for one in wholes])
        self.moved = [np.array([max(p.moved[k] for p in one.parts) for one in wholes]) for k in range(3)]
        self.times = {
            name: np.array([max(p.times.get(name, 0.0) for p in one.parts) for one in wholes]) for name in TIMES
        }
        self.on: dict[int, dict[str, Floats]] = {}

    def _sum(self, of: Any) -> Floats:
        return np.array([float(sum(of(part) for part in one.parts)) for one in self.wholes])

    def stands(self, group: int) -> NDArray[np.bool_]:
        """Whether each pool has a part on a group."""
        return np.array([any(part.group == group for part in one.parts) for one in self.wholes])

    def at(self, group: int) -> dict[str, Floats]:
        """What each pool has on a group: GPUs, nodes, what its fullest nodes hold, nodes of its fullest rack."""
        if group not in self.on:
            names = ("gpus", "nodes", "every", "over", "more", "apart_only", "whole", "rack")
            rows = [self._on(next((p for p in one.parts if p.group == group), None)) for one in self.wholes]
            self.on[group] = {
                name: np.array([row[k] for row in rows], dtype=np.float64) for k, name in enumerate(names)
            }
        return self.on[group]

    def _on(self, part: PricedPart | None) -> tuple[float, ...]:
        if part is None:
            return (0,) * 8
        facts, pool = self.site.problem.groups[part.group], part.pool
        size, whole = pool.shape.gpus, pool.shape.gpus > facts.free_gpus
        each, more = divmod(pool.count, facts.nodes)
        rack = self.site.rack_nodes(part.group, pool.count, pool.nodes, size)
        return (
            part.gpus, pool.nodes, each * size, size if more else 0, more,
            1 if whole or pool.nodes != facts.nodes else 0, 1 if whole else 0, rack,
        )  # fmt: skip

    def after(self, case: PoolLoss) -> tuple[NDArray[np.bool_], dict[str, Floats]]:
        """Whether what a case leaves of each pool carries what it must, and its slowest times then."""
        hits = {group: lost for (side, group), lost in case.hits if side == self.side}
        fine, times = np.zeros(len(self.wholes), dtype=np.bool_), {name: np.zeros(len(self.wholes)) for name in TIMES}
        for row, whole in enumerate(self.wholes):
            left = [
                (part, hits.get(part.group, 0))
                for part in whole.parts
                if part.group not in case.gone
                and self._taken(part, case.level, hits.get(part.group, 0)) < part.pool.count
            ]
            total = sum(part.parts for part, _ in left)
            ones = [self._after(part, case.level, lost, total) for part, lost in left]
            fine[row] = bool(ones) and all(carries for carries, _ in ones)
            for name in TIMES:
                times[name][row] = max((found.get(name, 0.0) for _, found in ones), default=0.0)
        return fine, times

    def _taken(self, part: PricedPart, level: str, lost: int) -> int:
        return self.site.taken(part.group, part.pool, level, lost) if lost else 0

    def _after(self, part: PricedPart, level: str, lost: int, total: int) -> tuple[bool, dict[str, float]]:
        key = (level if lost else "", lost, total)
        if key not in part.afters:
            problem = self.site.problem
            demand = exact(problem.workload.requests_per_s) * exact(problem.demand_share)
            load = part.pool.load(demand * Fraction(part.parts, total), self._taken(part, level, lost))
            carries = load is not None and part.pool.carries(load)
            part.afters[key] = (
                carries, {name: float(ms) for name, ms in load.times.items()} if load is not None else {}
            )  # fmt: skip
        return part.afters[key]


def _compare(
    site: PoolsSite,
    crossing: bool,
    first: Sequence[Whole],
    second: Sequence[Whole],
    bar: float | None,
    tier: float | None,
) -> PairsSeen:
    """Pairs of one link and one kind of cache."""
    problem, off = site.problem, site.problem.search.disabled_rules
    a, b = _Columns(site, 0, first), _Columns(site, 1, second)
    weights = weights_of(problem.objective)
    moved = [np.maximum.outer(a.moved[k], b.moved[k]) for k in range(3)]
    values = np.add.outer(a.value, b.value) + float(weights.latency) * moved[0]
    values += float(weights.gpu_ms) * np.add.outer(a.gpus, b.gpus)
    feasible: NDArray[np.bool_] = np.ones(values.shape, dtype=np.bool_)
    groups = range(len(site.names))
    if crossing:
        # Both on one group alone are another link.
        alone = [
            np.array([one.parts[0].group if len(one.parts) == 1 else -1 for one in some]) for some in (first, second)
        ]
        feasible &= ~(np.equal.outer(alone[0], alone[1]) & (alone[0] >= 0)[:, None])
    asked = int(feasible.sum())
    shared: dict[int, NDArray[np.bool_]] = {}
    for group in groups:
        facts, x, y = problem.groups[group], a.at(group), b.at(group)
        nodes = np.add.outer(x["nodes"], y["nodes"])
        shared[group] = (nodes > facts.nodes) & np.logical_and.outer(x["nodes"] > 0, y["nodes"] > 0)
        if "gpu_count" not in off:
            feasible &= np.add.outer(x["gpus"], y["gpus"]) <= facts.gpus
        if "placement" in off:
            continue
        whole = np.add.outer(x["whole"], y["whole"]) > 0
        apart = (nodes <= facts.nodes) & (~whole | (np.add.outer(x["rack"], y["rack"]) <= facts.nodes_together))
        most = np.add.outer(x["every"], y["every"])
        both = np.where(
            np.add.outer(x["more"], y["more"]) <= facts.nodes,
            np.maximum.outer(x["over"], y["over"]),
            np.add.outer(x["over"], y["over"]),
        )
        beside = (most + both <= facts.free_gpus) & (np.add.outer(x["apart_only"], y["apart_only"]) == 0)
        feasible &= np.where(nodes <= facts.nodes, apart, beside)
    feasible &= _within(site, (a.times, b.times), moved)
    for case in losses_of(problem):
        if f"survive_{case.level}" in off:
            continue
        lefts = [a.after(case), b.after(case)]
        speaks: NDArray[np.bool_] = np.ones(values.shape, dtype=np.bool_)
        for group in case.sharing:
            speaks &= shared[group]
        for group in case.separate:
            speaks &= ~shared[group]
        fine = np.logical_and.outer(lefts[0][0], lefts[1][0]) & _within(site, (lefts[0][1], lefts[1][1]), moved)
        feasible &= ~speaks | fine
    tiers = _tiers(problem.objective.preset, a, b)
    return PairsSeen(asked, int(feasible.sum()), _rival(a, b, feasible, values, tiers, bar, tier))


def _within(
    site: PoolsSite, times: tuple[dict[str, Floats], dict[str, Floats]], moved: Sequence[Floats]
) -> NDArray[np.bool_]:
    limits, off = site.problem.requirements, site.problem.search.disabled_rules
    fine: NDArray[np.bool_] = np.ones(moved[0].shape, dtype=np.bool_)
    for limit in limits.latency_limits:
        if limit.rule in off:
            continue
        total = np.add.outer(times[0][limit.rule], times[1][limit.rule])
        if limit.metric == "ttft":
            total = total + moved[1 if limit.percentile == 50 else 2]
        fine &= total <= float(planned(limits, limit.limit_ms)) * (1 - NEAR) - FURTHER_MS
    return fine


def _tiers(preset: str, a: _Columns, b: _Columns) -> Floats:
    found: Floats = np.zeros((len(a.value), len(b.value)))
    if preset == "fewest-gpus":
        found = np.add.outer(a.gpus, b.gpus)
    elif preset == "cheapest":
        found = np.add.outer(a.price, b.price)
    elif preset == "throughput":
        found = -np.minimum.outer(a.peak, b.peak)
    return found


def _rival(
    a: _Columns,
    b: _Columns,
    feasible: NDArray[np.bool_],
    values: Floats,
    tiers: Floats,
    bar: float | None,
    tier: float | None,
) -> str | None:
    """A pair that beats the claim, in words."""
    better = feasible
    if bar is not None and tier is not None:
        noise = 2e-6
        better = feasible & (
            (tiers < tier - noise) | ((tiers <= tier + noise) & (values < bar * (1 - NEAR) - 2 * FURTHER_MS))
        )
    if not better.any():
        return None
    row, column = divmod(int(np.argmin(np.where(better, values, NEVER))), better.shape[1])
    words = [" and ".join(p.strategy.label for p in one.parts) for one in (a.wholes[row], b.wholes[column])]
    return f"prefill {words[0]} + decode {words[1]} is feasible at {float(values[row, column]):.9g} ms"
