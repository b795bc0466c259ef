"""Prefill and decode pools with a share of the requests on some of the GPUs: what a request takes at least within every rule.

Pools have GPUs in number alone: where they stand is left out, and of losses no more is counted than the fullest of all nodes
takes. Each pool is looked at by itself; limits on the first token, which both have a part in, are kept by the least that either
can come to. ``docs/disaggregated.md``, section 14.

Other home: ``verify/pools/pools_share.py``; docs/disaggregated.md, section 14.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from optimizer.costs.distinct import distinct_pairs
from optimizer.costs.pools import PoolLink
from optimizer.costs.shapes import Bools, Floats, Ints
from optimizer.facts.demand import LatencyLimit
from optimizer.facts.problem import Problem
from optimizer.facts.side_by_side import TENTHS
from optimizer.results.pools import FixedPool, FixedPools
from optimizer.search.common.scale import limit_ns
from optimizer.search.pools.joint_share import up_at_least
from optimizer.search.pools.model import PoolColumns
from optimizer.search.pools.tables import PoolTables, Rows

CARRIED = frozenset({"prefill_capacity", "prefill_kv_cache", "link", "decode_concurrency", "decode_kv_cache"})
"""Rules without any of which a pool may leave the demand unserved with all instances up."""
ONE_OF_EACH = FixedPools(FixedPool(count=1), FixedPool(count=1))


@dataclass(frozen=True, slots=True)
class _Least:
    """The least of a pool by kind of cache and GPUs that it has at most, (K, G + 1)."""

    value: Floats
    """ms of a request."""
    first: dict[tuple[str, str], Floats]
    """ns of its part of the first token, by limit and what is lost."""


class PoolsShare:
    """Pools on nodes of a problem.

    Args:
        link: no slower than any between two parts of the pools that are meant.
    """

    def __init__(self, problem: Problem, link: PoolLink) -> None:
        self.problem, self._link = problem, link
        self._sides: dict[int, tuple[_Least, _Least]] = {}
        self._known: dict[tuple[int, int], float] = {}
        self._off = set(problem.search.disabled_rules)

    def least(self, tenths: int, gpus: int) -> float:
        """ms that a request takes at least with so many tenths of them in pools that share at most so many GPUs."""
        if (tenths, gpus) not in self._known:
            self._known[tenths, gpus] = self._least(tenths, gpus)
        return self._known[tenths, gpus]

    def _least(self, tenths: int, gpus: int) -> float:
        if tenths not in self._sides:
            self._sides[tenths] = self._side(0, tenths), self._side(1, tenths)
        first, second = self._sides[tenths]
        # Without rule ``gpu_count`` each pool may have all of them.
        own = np.arange(1, gpus) if "gpu_count" not in self._off else np.full(1, gpus)
        other = gpus - own if "gpu_count" not in self._off else own
        sums = first.value[:, own] + second.value[:, other]
        for limit in self._limits("ttft"):
            most = self._most(limit)
            for mine, its in self._together():
                late = first.first[limit.rule, mine][:, own] + second.first[limit.rule, its][:, other] > most
                sums[late] = np.inf
        return float(sums.min()) if sums.size else np.inf

    def _limits(self, *metrics: str) -> list[LatencyLimit]:
        every = self.problem.requirements.latency_limits
        return [limit for limit in every if limit.metric in metrics and limit.rule not in self._off]

    def _most(self, limit: LatencyLimit) -> int:
        return limit_ns(limit.limit_ms, self.problem.requirements.margin)

    def _levels(self) -> list[str]:
        survive = self.problem.requirements.survive
        return [one for one in ("gpu", "node") if getattr(survive, one) and f"survive_{one}" not in self._off]

    def _together(self) -> Iterator[tuple[str, str]]:
        """What both pools lose at once at least: nothing, or all of it in either."""
        yield "none", "none"
        for level in self._levels():
            yield level, "others"
            yield "others", level

    @cached_property
    def _tables(self) -> PoolTables:
        return PoolTables(self.problem, ONE_OF_EACH, link=self._link)

    def _shapes(self, side: int) -> Rows:
        """One instance of each shape and kind of cache that keeps the rules which no load has a part in."""
        tables, off = self._tables, self._off
        rows = (tables.prefill, tables.decode)[side]
        first, _ = distinct_pairs(rows.shape, rows.cache)
        rows = rows.part(first)
        kept, shape = np.ones(len(rows), dtype=np.bool_), rows.shape
        if f"{('prefill', 'decode')[side]}_memory" not in off:
            kept &= tables.costs.memory_short[shape] <= 0
        if side == 1:
            limits, slots = self.problem.requirements, tables.allowed_slots[shape]
            if "min_batch" not in off:
                kept &= slots >= limits.min_batch
            if "state_blocks" not in off:
                kept &= slots <= tables.state_sequences[shape]
            if limits.tpot_p99_ms is not None and "tpot_full_batch" not in off:
                kept &= tables.full_ns[shape] <= limit_ns(limits.tpot_p99_ms, limits.margin)
        return rows.part(kept)

    def _counts(self, side: int) -> Rows:
        """Every number of instances of each of them; what nodes hold is not filled in."""
        rows = self._shapes(side)
        most = self.problem.hardware.gpus // self._tables.sizes(rows)
        line = np.repeat(np.arange(len(rows)), most)
        counts = [np.arange(1, one + 1) for one in most]
        count = np.concatenate(counts) if counts else np.zeros(0, dtype=np.int64)
        every = rows.part(line)
        return replace(every, count=count, fewest=count, gpus=count * self._tables.sizes(every))

    def _side(self, side: int, tenths: int) -> _Least:
        tables, rows = self._tables, self._counts(side)
        rate = self.problem.workload.requests_per_s * tenths / TENTHS
        load, carried = tables.load_of(side, rows, rows.count, rate)
        kept: Bools = carried | bool(CARRIED & self._off)
        times = {"none": PoolColumns.times(load)}
        share = rate * self.problem.requirements.survive.demand_share
        if self._levels():
            after, _ = tables.load_of(side, rows, rows.count, share)
            times["others"] = PoolColumns.times(after)
        for level in self._levels():
            left = rows.count - self._lost(rows, level)
            after, carries = tables.load_of(side, rows, left, share)
            kept &= carries & (left > 0)
            times[level] = PoolColumns.times(after)
        for limit in self._limits("prefill", "tpot"):
            for latency in times.values():
                if limit.rule in latency:
                    kept &= latency[limit.rule] <= self._most(limit)
        weights = tables.weights
        up = weights.latency * up_at_least(self.problem, tables.sizes(rows), weights)
        value = np.where(carried, up * np.where(carried, load.mean_ms, 0.0), weights.latency * weights.penalty_ms)
        first = {}
        for limit in self._limits("ttft"):
            for lost, latency in times.items():
                own = latency[limit.rule] + (self._received(rows, limit) if side == 1 else 0)
                kept &= own <= self._most(limit)
                first[limit.rule, lost] = own
        return self._by_gpus(rows, kept, value, first)

    def _received(self, rows: Rows, limit: LatencyLimit) -> Ints:
        """ns that the cache takes at the receiving end at least."""
        return self._tables.received_ns(rows)[1 if limit.percentile == 50 else 2]

    def _lost(self, rows: Rows, level: str) -> Ints:
        """Instances that losses take at least, where all of them hit this pool."""
        survive, hardware = self.problem.requirements.survive, self.problem.hardware
        if level == "gpu":
            return np.minimum(survive.gpu, rows.count)
        whole = self._tables.sizes(rows) > hardware.gpus_per_node
        mean = -(-survive.node * rows.count // hardware.nodes)
        return np.minimum(np.where(whole, survive.node, mean), rows.count)

    def _by_gpus(self, rows: Rows, kept: Bools, value: Floats, first: dict[tuple[str, str], Ints]) -> _Least:
        kinds, gpus = len(self._tables.caches), self.problem.hardware.gpus
        at = rows.cache[kept], rows.gpus[kept]

        def least(values: Floats | Ints) -> Floats:
            found = np.full((kinds, gpus + 1), np.inf)
            np.minimum.at(found, at, values[kept])
            return np.minimum.accumulate(found, axis=1)

        return _Least(least(value), {name: least(one) for name, one in first.items()})
