"""Least ms that pools on parts of an inventory take, for many parts at once. ``docs/disaggregated.md``, section 14.

A request at a rank takes no less with more load, and in each failure state what is not lost takes what it takes with every instance up;
the shares of both pools on each group are added up group by group, for every way to share its GPUs. Whatever joins the pools is left
out, but for the least that the other adds to the time of the first token.

Other home: ``verify/pools/part_worths.py``; docs/disaggregated.md, section 14.
"""

from __future__ import annotations

import numpy as np

from optimizer.costs.distinct import distinct_pairs
from optimizer.costs.failures import down_states
from optimizer.costs.pools import DecodeLoad, PoolLink, PrefillLoad
from optimizer.costs.shapes import Bools, Floats, Ints, Shape
from optimizer.facts.inventory import InventoryProblem
from optimizer.facts.side_by_side import TENTHS
from optimizer.results.pools import FixedPool
from optimizer.search.pools.options import PARTS, problem_on, wide_unavailability
from optimizer.search.pools.shapes import CacheKind, cache_of, shapes_for
from optimizer.search.pools.tables import PoolTables, Rows
from optimizer.search.uniform.quantities import ObjectiveWeights

ROUNDED = 1 - 1e-9
"""What floats may have added, generously."""
EVERY = TENTHS * PARTS
"""Hundredths of the requests: tenths of them at the pools, of these tenths at a part of a pool."""
BOTH = ("ttft_p50", "ttft_p99")
"""Latencies that both pools add to."""
_ENDLESS = 1e30
"""Bytes per ms of a link that takes no time: whatever the link of a part, none is faster."""


class PartPools:
    """Least ms that pools on parts of an inventory take.

    Args:
        problem: with whatever ``serving``, no rule of the load switched off.
    """

    def __init__(self, problem: InventoryProblem) -> None:
        self.problem, self.weights = problem, ObjectiveWeights.of(problem.objective)
        every = [problem_on(problem, group) for group in problem.groups]
        kinds: dict[CacheKind, Shape] = {}
        for one in every:
            for shape in shapes_for(one, FixedPool()):
                kinds.setdefault(cache_of(shape), shape)
        self._tables = [PoolTables(one, samples=kinds, link=PoolLink("", _ENDLESS, 0.0)) for one in every]
        self._rows = [[_by_count(rows) for rows in (tables.prefill, tables.decode)] for tables in self._tables]
        self._sides: dict[tuple[int, bool], list[list[Floats]]] = {}
        self._shared: dict[tuple[int, int, int], Floats] = {}
        self._lightest: dict[tuple[int, str], float] = {}

    def least_ms(self, tenths: int, gpus: Ints) -> Floats:
        """Below which so many tenths of the requests do not cost pools on so many GPUs of each group, times their share, (N,) ms.

        Args:
            gpus: (N, G).
        """
        total = self._of_group(tenths, 0, gpus[:, 0])
        for group in range(1, gpus.shape[1]):
            total = _added(total, self._of_group(tenths, group, gpus[:, group]))
        found: Floats = total[:, PARTS, PARTS] * ROUNDED
        return found

    def _of_group(self, tenths: int, group: int, gpus: Ints) -> Floats:
        """By parts of the requests at a prefill and a decode pool on one group, (N, 11, 11) ms."""
        some, back = distinct_pairs(gpus, np.zeros_like(gpus))
        return np.stack([self._of_gpus(tenths, group, int(gpus[one])) for one in some])[back]

    def _of_gpus(self, tenths: int, group: int, gpus: int) -> Floats:
        key = tenths, group, gpus
        if key not in self._shared:
            first, second = (
                np.stack([self._least(group, side, tenths, parts)[: gpus + 1] for parts in range(PARTS + 1)])
                for side in (0, 1)
            )
            self._shared[key] = (first[:, None, :] + second[None, :, ::-1]).min(axis=2)
        return self._shared[key]

    def _least(self, group: int, side: int, tenths: int, parts: int) -> Floats:
        """Of a prefill (0) or decode part (1) with so many tenths of these tenths, on at most 0, 1, 2 … GPUs of a group; ms."""
        # A pool that is one part alone survives losses by itself.
        key = tenths * parts, parts == PARTS
        if key not in self._sides:
            self._sides[key] = [[self._part(g, s, *key) for s in (0, 1)] for g in range(len(self._tables))]
        return self._sides[key][group][side]

    def _part(self, group: int, side: int, hundredths: int, alone: bool) -> Floats:
        tables, rows, facts = self._tables[group], self._rows[group][side], self.problem.groups[group]
        least = np.full(facts.gpus + 1, np.inf if hundredths else 0.0)
        if not hundredths or not len(rows):
            return least
        part, w = hundredths / EVERY, self.weights
        load, carries = tables.load_of(side, rows, rows.count, self.problem.workload.requests_per_s * part)
        fine = carries & (tables.costs.memory_short[rows.shape] <= 0) & self._in_time(side, load)
        fine &= self._survives(group, side, part, alone)
        one = np.ones(len(rows), dtype=np.int64)
        up = down_states(tables.problem.hardware, tables.sizes(rows), one, one).probability[:, 0]
        up = up if w.unserved > 0 else np.ones(len(rows))
        wide = w.unserved * w.penalty_ms * wide_unavailability(self.problem, facts)
        costs = part * (w.latency * up * load.mean_ms + wide) + w.gpu_ms * rows.gpus
        np.minimum.at(least, rows.gpus[fine], costs[fine])
        # With more GPUs than are used fewer may be used, each of them counted.
        return np.minimum.accumulate(least)

    def _survives(self, group: int, side: int, part: float, alone: bool) -> Bools:
        """Whether a part carries its own share after losses that take as few of its instances as any spread does, or is lost whole.

        Args:
            alone: it is the whole pool, which is never lost whole.
        """
        tables, rows, problem = self._tables[group], self._rows[group][side], self.problem
        fine: Bools = np.ones(len(rows), dtype=np.bool_)
        for losses in problem.survive:
            if f"survive_{losses.level}" in problem.search.disabled_rules:
                continue
            lost = _least_lost(problem, group, losses.level, losses.count, rows.count)
            left = rows.count - lost
            rate = problem.workload.requests_per_s * part * problem.demand_share
            load, carries = tables.load_of(side, rows, np.maximum(left, 1), rate)
            kept = (left > 0) & carries & self._in_time(side, load)
            fine &= kept if alone else kept | (left <= 0)
        return fine

    def _in_time(self, side: int, load: PrefillLoad | DecodeLoad) -> Bools:
        """Whether a pool keeps every latency limit with the quickest there is of the other."""
        limits = self.problem.requirements
        fine: Bools = np.ones(len(load.mean_ms), dtype=np.bool_)
        for limit in limits.latency_limits:
            times = getattr(load, limit.rule, None)
            if times is not None:
                other = self._quickest(1 - side, limit.rule)
                fine &= (times + other) * (1 + limits.margin) <= limit.limit_ms * (1 + 1e-9)
        return fine

    def _quickest(self, side: int, rule: str) -> float:
        """ms that a pool adds to a latency at least, with a hundredth of the requests at any part of it."""
        if (side, rule) not in self._lightest:
            found = 0.0 if rule not in BOTH else np.inf
            for tables, rows in zip(self._tables, self._rows, strict=True) if rule in BOTH else ():
                if len(rows[side]):
                    rate = self.problem.workload.requests_per_s / EVERY
                    load, _ = tables.load_of(side, rows[side], rows[side].count, rate)
                    found = min(found, float(getattr(load, rule).min()))
            self._lightest[side, rule] = found
        return self._lightest[side, rule]


def _least_lost(problem: InventoryProblem, group: int, level: str, count: int, instances: Ints) -> Ints:
    """Instances of a group that some losses take at least, however they are spread, (R,)."""
    facts = problem.groups[group]
    if level == "gpu":
        return np.minimum(instances, count)
    if level == "node" or (level == "rack" and facts.racks > 1):
        places = facts.nodes if level == "node" else facts.racks
        each, more = instances // places, instances % places
        return np.minimum(instances, count * each + np.minimum(count, more))
    if level == "rack":
        return instances if facts.racks or facts.rack is not None else np.zeros_like(instances)
    members = problem.wide_domains(level).values()
    return instances if any(facts.name in some for some in members) else np.zeros_like(instances)


def _by_count(rows: Rows) -> Rows:
    """One row of each shape and number of instances: the load of a rank depends on nothing else."""
    some, _ = distinct_pairs(rows.shape, rows.count)
    return rows.part(some)


def _added(first: Floats, second: Floats) -> Floats:
    """The least sums by the parts that two groups take together, (N, 11, 11)."""
    found = np.full(first.shape, np.inf)
    for a in range(PARTS + 1):
        for b in range(PARTS + 1):
            more = second[:, a, b][:, None, None]
            if np.isfinite(more).any():
                here = found[:, a:, b:]
                np.minimum(here, first[:, : PARTS + 1 - a, : PARTS + 1 - b] + more, out=here)
    return found
