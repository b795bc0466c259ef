"""What either pool may be on each group of an inventory: a row of ``tables`` with a share of the requests.

``docs/disaggregated.md``, section 13. An option stands on one group, and is priced for one kind of link: to the other pool on
the same group alone, or across the network of the nodes.

Other home: ``verify/pools/site.py``; docs/disaggregated.md,
section 13.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from optimizer.costs.failures import unavailability
from optimizer.costs.pools import PoolLink, link_across, link_between
from optimizer.costs.shapes import Floats, Ints, Shape
from optimizer.facts.inventory import InventoryProblem, NodeGroup
from optimizer.facts.problem import Problem
from optimizer.results.pools import FixedPool, FixedPools
from optimizer.search.common.scale import time_ns
from optimizer.search.pools.shapes import CacheKind, cache_of, joined, shapes_for
from optimizer.search.pools.tables import PoolTables, Rows

PARTS = 10
"""Equal parts that the requests are dealt in, where a pool stands on several groups."""
LARGEST_OPTIONS = 2_000_000
"""More are not tabulated: large numbers of instances are left out then, and what they cost is bounded."""
SPACINGS = (1.0, 1.01, 1.03, 1.1, 1.3, 2.0)


def problem_on(problem: InventoryProblem, group: NodeGroup) -> Problem:
    """The problem with the nodes of one group alone."""
    return problem.instance_problem(group, group.nodes)


def wide_unavailability(problem: InventoryProblem, group: NodeGroup) -> float:
    """Share of the time that a rack, a zone and each stated domain of a node of the group are down, added up."""
    levels = [
        *(["rack"] if group.rack or group.racks else []),
        *(["zone"] if group.zone else []),
        *(domain.level for domain in problem.domains if group.name in domain.groups),
    ]
    rates = [(problem.failures.mtbf(level), problem.failures.repair_hours.value) for level in levels]
    return sum(unavailability(rate.value, repair) for rate, repair in rates if rate is not None)


@dataclass(frozen=True, slots=True)
class Block:
    """Options of one pool on one group over one kind of link."""

    group: int
    crossing: bool
    tables: PoolTables
    rows: Rows
    share: Ints
    """Of the ``PARTS`` of the requests, (R,)."""
    lost_with_racks: Ints
    """Instances that 0, 1, 2 lost racks of the group take, (R, 3)."""
    rack_nodes: Ints
    """Nodes of the fullest rack, or NVLink domain over nodes, in use, (R,)."""
    whole: Ints
    """1: instances take whole nodes, (R,)."""


class PoolOptions:
    """Every option of both pools, (Q,) a side: group after group, link after link."""

    def __init__(
        self, problem: InventoryProblem, fixed: FixedPools = FixedPools(), spacings: Sequence[float] = SPACINGS
    ) -> None:
        self.problem, self.fixed = problem, fixed
        self._of_rows: dict[tuple[int, str], Ints] = {}
        groups = problem.groups
        every = [problem_on(problem, group) for group in groups]
        offered = [
            [shapes_for(one, part) for part in (fixed.prefill, fixed.decode)] for one in every
        ]  # groups of (prefill, decode)
        decode = dict.fromkeys(shape for _, shapes in offered for shape in shapes)
        prefill = dict.fromkeys(shape for shapes, _ in offered for shape in shapes)
        self.kinds: dict[CacheKind, Shape] = {}
        for shape in decode:
            if any(joined(every[0], one, cache_of(shape)) for one in prefill):
                self.kinds.setdefault(cache_of(shape), shape)
        self.latency_us = max(group.internode_latency_us for group in groups)
        self.blocks: tuple[list[Block], list[Block]] = ([], [])
        for self.spacing in spacings:
            self.blocks = [], []
            last = self.spacing == spacings[-1]
            for index, (group, one) in enumerate(zip(groups, every, strict=True)):
                for crossing in (False, True) if len(groups) > 1 else (False,):
                    link = link_across(one.hardware, self.latency_us) if crossing else link_between(one.hardware)
                    if last or self._total <= LARGEST_OPTIONS:
                        self._add(index, group, one, crossing, link)
            if self._total <= LARGEST_OPTIONS:
                break

    @property
    def _total(self) -> int:
        return sum(len(block.rows) for side in self.blocks for block in side)

    @property
    def thinned(self) -> bool:
        """Whether some numbers of instances are not tabulated."""
        return any(bool((b.rows.fewest < b.rows.count).any()) for side in self.blocks for b in side)

    def _add(self, index: int, group: NodeGroup, one: Problem, crossing: bool, link: PoolLink) -> None:
        sides = (self.fixed.prefill, self.fixed.decode)
        if all(side.group not in (None, group.name) for side in sides) or not self.kinds:
            return
        tables = PoolTables(one, self.fixed, samples=self.kinds, link=link, spacing=self.spacing)
        for side, (rows, part) in enumerate(zip((tables.prefill, tables.decode), sides, strict=True)):
            if part.group not in (None, group.name):
                continue
            block = _block(group, index, crossing, tables, rows, part)
            if len(block.rows):
                self.blocks[side].append(block)

    def column(self, side: int, of: Callable[[Block], npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """A column of every option of a side, block by block."""
        parts = [of(block) for block in self.blocks[side]]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)

    def located(self, side: int, option: int) -> tuple[Block, int]:
        """The block of an option and its row there."""
        for block in self.blocks[side]:
            if option < len(block.rows):
                return block, option
            option -= len(block.rows)
        raise IndexError(option)

    @cached_property
    def group(self) -> tuple[Ints, Ints]:
        """Group of each option."""
        return self._both(lambda block: np.full(len(block.rows), block.group, dtype=np.int64))

    @cached_property
    def crossing(self) -> tuple[Ints, Ints]:
        """1: priced for the network between nodes."""
        return self._both(lambda block: np.full(len(block.rows), int(block.crossing), dtype=np.int64))

    @cached_property
    def share(self) -> tuple[Ints, Ints]:
        """Parts of the requests."""
        return self._both(lambda block: block.share)

    def _both(self, of: Callable[[Block], Ints]) -> tuple[Ints, Ints]:
        return self.column(0, of), self.column(1, of)

    def of_rows(self, side: int, name: str) -> Ints:
        """A column of ``Rows``."""
        if (side, name) not in self._of_rows:
            self._of_rows[side, name] = self.column(side, lambda block: getattr(block.rows, name))
        return self._of_rows[side, name]

    @cached_property
    def latency_ns(self) -> tuple[Ints, Ints]:
        """Of the link of each option."""
        return self._both(
            lambda block: time_ns(np.full(len(block.rows), block.tables.costs.link.latency_ms, dtype=np.float64))
        )

    def at_rate(self, requests_per_s: float) -> PoolOptions:
        """The same options for another rate of all requests."""
        other = copy(self)
        workload = self.problem.workload.model_copy(update={"requests_per_s": requests_per_s})
        other.problem = self.problem.model_copy(update={"workload": workload})
        return other

    def rate(self, block: Block) -> Floats:
        """Requests/s that each option of a block is sent."""
        found: Floats = self.problem.workload.requests_per_s * (block.share / PARTS)
        return found


def _block(group: NodeGroup, index: int, crossing: bool, tables: PoolTables, rows: Rows, fixed: FixedPool) -> Block:
    """Rows that stand on the racks of a group, each with every share."""
    free, racks = group.free_gpus, max(1, group.racks)
    whole = tables.sizes(rows) > free
    spans = np.where(whole, tables.sizes(rows) // free, 1)
    together = group.nodes_together
    domains = max(1, group.nodes // together)
    rack_nodes = np.where(whole, -(-rows.count // domains) * spans, -(-rows.nodes // domains))
    fits = ~whole | ((spans <= together) & (rack_nodes <= together))
    shares = range(1, PARTS + 1) if crossing and not fixed.any else (PARTS,)
    kept = np.repeat(np.flatnonzero(fits), len(shares))
    rows, whole, rack_nodes = rows.part(kept), whole[kept], rack_nodes[kept]
    return Block(
        group=index,
        crossing=crossing,
        tables=tables,
        rows=rows,
        share=np.tile(np.array(shares, dtype=np.int64), len(kept) // max(1, len(shares))),
        lost_with_racks=_lost_with_racks(rows, whole, racks),
        rack_nodes=rack_nodes,
        whole=whole.astype(np.int64),
    )


def _lost_with_racks(rows: Rows, whole: npt.NDArray[np.bool_], racks: int) -> Ints:
    """Instances in the fullest 0, 1 and 2 racks: nodes are dealt to the racks in turn, the fullest nodes first."""
    found = np.zeros((len(rows), 3), dtype=np.int64)
    each = rows.count // rows.nodes
    for lost in (1, 2):
        for rack in range(min(lost, racks)):
            nodes = np.maximum(0, -(-(rows.nodes - rack) // racks))
            fuller = np.maximum(0, -(-(rows.more - rack) // racks))
            dealt = np.maximum(0, -(-(rows.count - rack) // racks))
            found[:, lost] += np.where(whole, dealt, each * nodes + fuller)
    return np.minimum(found, rows.count[:, None])
