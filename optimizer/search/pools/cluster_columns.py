"""Whole-number columns of every option of both pools of an inventory, rounded toward pessimism. ``docs/disaggregated.md``, section 13."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from optimizer.costs.failures import down_states
from optimizer.costs.pools import DecodeLoad, PrefillLoad
from optimizer.costs.shapes import Floats, Ints
from optimizer.search.common.scale import NS_PER_MS
from optimizer.search.pools.model import PEAK, Lost, PoolColumns
from optimizer.search.pools.options import PARTS, Block, PoolOptions, wide_unavailability
from optimizer.search.pools.tables import FULL, Valued, share_parts

MICRO = 1_000_000
"""Parts of a unit of price."""


@dataclass(frozen=True, slots=True)
class OwnNumbers:
    """What one pool's own rules say of every option of it: a number that may be at most ``most``, (Q,) each."""

    values: Ints
    most: int


class ClusterColumns:
    """Columns of both pools, computed when first asked for."""

    def __init__(self, options: PoolOptions) -> None:
        self.options, self.problem = options, options.problem
        self.also: ClusterColumns | None = None
        """The same options at another rate, at which answers keep the rules of the load too (``capacity``)."""
        self.loads: tuple[list[PrefillLoad], list[DecodeLoad]] = (
            [b.tables.prefill_load(b.rows, b.rows.count, options.rate(b)) for b in options.blocks[0]],
            [b.tables.decode_load(b.rows, b.rows.count, options.rate(b)) for b in options.blocks[1]],
        )
        self._lost: dict[tuple[int, str, int, int], dict[str, Ints]] = {}
        self._taken: dict[tuple[int, str, int], Ints] = {}

    def per_block(self, side: int, of: Callable[[Block, Any], Any]) -> Any:
        """A column by block and its load."""
        parts = [of(block, load) for block, load in zip(self.options.blocks[side], self.loads[side], strict=True)]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)

    @cached_property
    def times(self) -> tuple[dict[str, Ints], dict[str, Ints]]:
        """Its part of each latency by name, ns, (Q,)."""
        return self._joined([PoolColumns.times(one) for one in self.loads[0]]), self._joined(
            [PoolColumns.times(one) for one in self.loads[1]]
        )

    @staticmethod
    def _joined(parts: list[dict[str, Ints]]) -> dict[str, Ints]:
        return {name: np.concatenate([one[name] for one in parts]) for name in parts[0]} if parts else {}

    @cached_property
    def terms(self) -> tuple[Valued, Valued]:
        """Expected ms of each option, by its share of the requests; what a rack, a zone or a domain takes counted as not served."""
        return self._terms(0), self._terms(1)

    def _terms(self, side: int) -> Valued:
        found = []
        for block in self.options.blocks[side]:
            rate = self.options.rate(block)
            tables = block.tables
            own = tables.decode_value(block.rows, rate) if side else tables.prefill_value(block.rows, rate)
            group, part = self.problem.groups[block.group], block.share / PARTS
            wide, w = wide_unavailability(self.problem, group), tables.weights
            found.append(
                Valued(
                    part * own.served,
                    part * (own.unserved + w.unserved * w.penalty_ms * wide),
                    part * (own.lost + wide),
                )
            )
        if not found:
            none = np.zeros(0)
            return Valued(none, none, none)
        served, unserved, lost = (
            np.concatenate([getattr(one, name) for one in found]) for name in ("served", "unserved", "lost")
        )
        return Valued(served, unserved, lost)

    def least_of_fewer(self, side: int) -> tuple[Floats, Ints]:
        """(ns, GPUs) that each option costs at least with any number of its instances from ``fewest`` on, (Q,) each.

        Fewer instances have more load each, so that none is faster; in each failure state what is not lost takes that time at least.
        """
        values, gpus = self.values[side].astype(np.float64), self.options.of_rows(side, "gpus").copy()
        at = 0
        loads: Any = self.loads[side]
        for block, load in zip(self.options.blocks[side], loads, strict=True):
            rows, tables, here = block.rows, block.tables, slice(at, at + len(block.rows))
            at += len(rows)
            some = rows.fewest < rows.count
            if not some.any():
                continue
            w, part, group = tables.weights, block.share / PARTS, self.problem.groups[block.group]
            alone = np.ones(len(rows), dtype=np.int64)
            up = down_states(tables.problem.hardware, tables.sizes(rows), alone, alone).probability[:, 0]
            up = up if w.unserved > 0 else np.ones(len(rows))
            wide = w.unserved * w.penalty_ms * wide_unavailability(self.problem, group)
            least = part * (w.latency * up * load.mean_ms + wide) * NS_PER_MS * (1 - 1e-12)
            values[here] = np.where(some, np.minimum(least, values[here]), values[here])
            gpus[here] = gpus[here] // rows.count * rows.fewest
        return values, gpus

    @cached_property
    def values(self) -> tuple[Ints, Ints]:
        """The same in whole ns."""
        return self.terms[0].ns, self.terms[1].ns

    @cached_property
    def moved(self) -> tuple[tuple[Ints, Ints, Ints], tuple[Ints, Ints, Ints]]:
        """(mean, usual prompt, longest) ns that a GPU of each option sends, and receives, latency not counted."""
        sides = []
        for side in (0, 1):
            parts = [
                block.tables.received_ns(block.rows) if side else block.tables.sent_ns(block.rows)
                for block in self.options.blocks[side]
            ]
            sides.append(tuple(np.concatenate([one[k] for one in parts]) for k in range(3)))
        return sides[0], sides[1]  # type: ignore[return-value]

    @cached_property
    def peaks(self) -> tuple[Ints, Ints]:
        """Millionths of a request/s of all at which each option is full, its share kept."""
        found = []
        for side in (0, 1):

            def peak(block: Block, side: int = side) -> Ints:
                tables, rows = block.tables, block.rows
                own = tables.decode_peak(rows) if side else tables.prefill_peak(rows)
                whole: Ints = np.floor(own * PARTS / block.share * PEAK).astype(np.int64)
                return whole

            found.append(self.options.column(side, peak))
        return found[0], found[1]

    @cached_property
    def prices(self) -> tuple[Ints, Ints]:
        """Millionths of the price per hour, rounded up; nothing where none is stated."""

        def price(block: Block) -> Ints:
            each = self.problem.groups[block.group].price_per_gpu_hour or 0.0
            return block.rows.gpus * int(np.ceil(each * MICRO - 1e-6))

        return self.options.column(0, price), self.options.column(1, price)

    def own_rule(self, rule: str) -> tuple[int, OwnNumbers] | None:
        """(side, numbers) of a rule that speaks of one pool's options alone; None for others."""
        tables, limits = self.per_block, self.problem.requirements
        if rule in ("prefill_memory", "decode_memory"):
            side = int(rule == "decode_memory")
            return side, OwnNumbers(tables(side, lambda b, _: b.tables.costs.memory_short[b.rows.shape]), 0)
        if rule == "prefill_capacity":
            return 0, OwnNumbers(tables(0, lambda _, load: share_parts(load.busy)), FULL - 1)
        if rule == "prefill_kv_cache":
            return 0, OwnNumbers(tables(0, lambda b, load: b.tables.prefill_short(b.rows, load)), 0)
        if rule == "decode_kv_cache":
            return 1, OwnNumbers(tables(1, lambda b, load: b.tables.decode_short(b.rows, load)), 0)
        if rule == "decode_concurrency":
            return 1, OwnNumbers(tables(1, lambda b, load: load.n99 - b.tables.allowed_slots[b.rows.shape]), 0)
        if rule == "state_blocks":
            found = tables(1, lambda b, _: (b.tables.allowed_slots - b.tables.state_sequences)[b.rows.shape])
            return 1, OwnNumbers(found, 0)
        if rule == "min_batch":
            least = limits.min_batch
            return 1, OwnNumbers(tables(1, lambda b, _: least - b.tables.allowed_slots[b.rows.shape]), 0)
        if rule == "tpot_full_batch":
            found = tables(1, lambda b, _: b.tables.full_ns[b.rows.shape])
            from optimizer.search.common.scale import limit_ns

            return 1, OwnNumbers(found, limit_ns(limits.tpot_p99_ms or 0.0, limits.margin))
        return None

    def link_busy(self, side: int) -> Ints:
        """Share of the time that the link of each option is busy, in parts of ``FULL``."""
        found: Ints = self.per_block(side, lambda _, load: share_parts(load.link_busy))
        return found

    def lost(self, side: int, level: str, count: int, parts: int, options: Ints) -> Lost:
        """Options (K,) without what so many lost GPUs, nodes or racks of their group take, at the share of demand to be carried.

        Args:
            parts: of the requests, those planned for the parts of the pool that are left: they take what the others were sent.
        """
        key = (side, level, count, parts)
        if key not in self._lost:
            names = ("fine", "known", *(self.times[side]))
            self._lost[key] = {name: np.zeros(len(self.options.share[side]), dtype=np.int64) for name in names}
        table = self._lost[key]
        new = options[table["known"][options] == 0]
        if len(new):
            self._work_out(table, side, level, count, parts, np.unique(new))
        return Lost(table["fine"][options], {name: table[name][options] for name in self.times[side]})

    def _work_out(self, table: dict[str, Ints], side: int, level: str, count: int, parts: int, options: Ints) -> None:
        """Fill in what is not known yet of some options, in their order."""
        at = 0
        for block in self.options.blocks[side]:
            inside = options[(options >= at) & (options < at + len(block.rows))]
            rows, share, tables = block.rows.part(inside - at), block.share[inside - at], block.tables
            at += len(block.rows)
            if not len(inside):
                continue
            left = rows.count - self.taken(side, level, count)[inside]
            rate = self.problem.workload.requests_per_s * (share / parts) * self.problem.demand_share
            load, carries = tables.load_of(side, rows, left, rate)
            table["known"][inside] = 1
            table["fine"][inside] = carries & (left > 0) & (share <= parts)
            for name, values in PoolColumns.times(load).items():
                table[name][inside] = values

    def taken(self, side: int, level: str, count: int) -> Ints:
        """Instances of every option that so many lost GPUs, nodes or racks of its group take."""

        def of(block: Block) -> Ints:
            if level == "rack":
                return block.lost_with_racks[:, count]
            if level == "node":
                return block.rows.lost[:, count]
            return np.minimum(count, block.rows.count)

        key = (side, level, count)
        if key not in self._taken:
            self._taken[key] = self.options.column(side, of)
        return self._taken[key]

    def carried(self, side: int, options: Ints, requests_per_s: float) -> tuple[bool, dict[str, int]]:
        """Whether options carry their shares of a rate, and their slowest part of each latency, ns."""
        slowest: dict[str, int] = {}
        for option in options.tolist():
            block, row = self.options.located(side, option)
            one, tables = block.rows.part(np.array([row])), block.tables
            rate: Floats = np.array([requests_per_s * (int(block.share[row]) / PARTS)])
            load, carries = tables.load_of(side, one, one.count, rate)
            if not carries[0]:
                return False, {}
            for name, values in PoolColumns.times(load).items():
                slowest[name] = max(slowest.get(name, 0), int(values[0]))
        return True, slowest
