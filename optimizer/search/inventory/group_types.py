"""All shapes on one kind of node, or over two kinds: enumerated, tabulated, and left out where others beat them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TypeVar

import numpy as np

from optimizer.costs.shapes import Bools, Floats, Ints, Shape
from optimizer.facts.inventory import InventoryProblem, NodeGroup
from optimizer.facts.problem import Problem
from optimizer.results.answer import Fixed
from optimizer.search.inventory.candidate import MICRO, InstanceCandidate, StagePart, nodes_needed
from optimizer.search.inventory.dominance import dominated_at_each_rate
from optimizer.search.inventory.stage_bounds import StageBounds, Width
from optimizer.search.inventory.tables import InstanceTable, Times
from optimizer.search.uniform.space import contexts_for, layer_splits, pipeline_degrees, slicing_degrees, tensor_degrees

T = TypeVar("T")
Wanted = Callable[["GroupType", InstanceTable, Ints, Sequence[tuple[int, int]]], Bools]
"""(kind, table, rows, what beats each: position and how many in its place) → which rows are to be candidates."""
_GRID = 40
_AT_ONCE = 2_000
"""Shapes whose memory is tabulated together."""
_MANY = 20_000
"""Of more shapes on one kind of place, times are computed for those alone that memory and the rules about shapes allow."""


class GroupType:
    """Candidates on one kind of place, with exact curves of their load.

    ``kept`` are the positions of those that no other beats wherever it stands: the search looks there first. ``dominated`` has the
    others: which of those kept beats them, and how many of it in place of one. Most of these come with ``widen`` only, when a proof
    needs them. ``considered`` counts the shapes looked at. ``times`` has what other kinds computed and takes what this one does.
    """

    def __init__(self, problem: InventoryProblem, fixed: Fixed, times: Times | None) -> None:
        self.inventory, self.fixed, self.times = problem, fixed, times
        self.considered = 0
        self.candidates: tuple[InstanceCandidate, ...] = ()
        self.kept: tuple[int, ...] = ()
        self.dominated: dict[int, tuple[int, int]] = {}
        self._waiting: dict[tuple[int, ...], dict[int, int]] = {}
        """Beaten rows of each table that are no candidates yet, and what beats them."""
        self._tables: dict[tuple[int, ...], InstanceTable] = {}

    def means(self, candidates: Sequence[InstanceCandidate], rates: Floats) -> Floats:
        """T(r) in ms of candidates at their own rates, (len(candidates), Q) requests/s; infinite where overloaded."""
        result = np.empty(rates.shape)
        by_table: dict[tuple[int, ...], list[int]] = {}
        for i, candidate in enumerate(candidates):
            by_table.setdefault(_nodes(candidate), []).append(i)
        for nodes, here in by_table.items():
            rows = np.repeat([candidates[i].row for i in here], rates.shape[1])
            load = self._tables[nodes].load(rows, rates[here].ravel(), everything=False)
            result[here] = load.mean_ms.reshape(len(here), -1)
        return result

    def table(self, candidate: InstanceCandidate) -> InstanceTable:
        """The table a candidate is from."""
        return self._tables[_nodes(candidate)]

    def _take(self, found: list[InstanceCandidate]) -> None:
        """Take candidates, and note which of them another beats at every rate wherever it stands."""
        self.candidates = tuple(found)
        for ranks in sorted({candidate.shape.engine_ranks for candidate in found}):
            here = [i for i, o in enumerate(found) if o.shape.engine_ranks == ranks]
            alike = [found[i] for i in here]
            top = max(candidate.slots_capacity for candidate in alike)
            grid = np.concatenate(
                [[1.0], np.geomspace(1e-4, 1 / _GRID, 12)[:-1] * top, np.linspace(0, top, _GRID + 1)[1:]]
            )
            means = self.means(alike, np.tile(grid / MICRO, (len(alike), 1)))
            carries = np.array([(o.capacity, o.slots_capacity, o.peak) for o in alike], dtype=np.int64).T
            wide = [self.table(candidate).widths(np.array([candidate.shape.tp]))[:, 0].tolist() for candidate in alike]
            needs = np.array(
                [
                    [
                        [part.gpus_per_node, part.nodes, width]
                        for part, width in zip(candidate.parts, widths, strict=True)
                    ]
                    for candidate, widths in zip(alike, wide, strict=True)
                ],
                dtype=np.int64,
            )
            several = self.fixed.data_parallel is None
            by_rate = dominated_at_each_rate(means, grid, carries, needs, several=several)
            self.dominated.update({here[one]: (here[winner], times) for one, (winner, times) in by_rate.items()})
        self.kept = tuple(i for i in range(len(found)) if i not in self.dominated)
        self.dominated = {one: self._last(one) for one in self.dominated}

    def widen(self, wanted: Wanted | None = None) -> None:
        """Add the candidates that another in their table beats, behind those there are.

        Args:
            wanted: which of the rows of a table, each with what beats it; left out, all. What was not may be added later.
        """
        position = {(_nodes(candidate), candidate.row): number for number, candidate in enumerate(self.candidates)}
        more: list[InstanceCandidate] = []
        for nodes, table in self._tables.items():
            waiting = self._waiting.setdefault(nodes, table.dominated)
            # What carries nothing within the limits has no position, and what it beats carries nothing.
            open_rows = [row for row, winner in waiting.items() if (nodes, winner) in position]
            rows = np.array(open_rows, dtype=np.int64)
            if wanted is not None and len(rows):
                rows = rows[wanted(self, table, rows, [self._last(position[nodes, waiting[row]]) for row in open_rows])]
            for candidate in table.rated(rows):
                self.dominated[len(self.candidates) + len(more)] = (position[nodes, waiting[candidate.row]], 1)
                more.append(candidate)
            for row in rows.tolist():
                del waiting[row]
        self.candidates = (*self.candidates, *more)
        self.dominated = {one: self._last(one) for one in self.dominated}

    def _last(self, one: int) -> tuple[int, int]:
        """What is left when winners of winners are followed: (candidate, how many of it in place of one)."""
        many = 1
        while one in self.dominated:
            one, times = self.dominated[one]
            many *= times
        return one, many


def _allowed(problem: InventoryProblem, alone: Problem, shapes: Sequence[Shape]) -> list[Shape]:
    """The shapes that the rules about memory and shapes allow, a block of them looked at together."""
    found: list[Shape] = []
    for start in range(0, len(shapes), _AT_ONCE):
        block = shapes[start : start + _AT_ONCE]
        viable = InstanceTable(problem, [alone], block).viable
        found += [block[row] for row in np.flatnonzero(viable).tolist()]
    return found


def _nodes(candidate: InstanceCandidate) -> tuple[int, ...]:
    return tuple(part.nodes for part in candidate.parts)


class OneGroup(GroupType):
    """Shapes whose instances stand on one group. ``together``: nodes an instance may spread over."""

    def __init__(
        self, problem: InventoryProblem, group: NodeGroup, together: int, fixed: Fixed, times: Times | None
    ) -> None:
        super().__init__(problem, fixed, times)
        self.group, self.together = group, together
        self.stage_bounds: dict[tuple[tuple[Width, ...], bytes], StageBounds] = {}
        """Of the stages of pipelines over this and another kind, by widths and batches: the same whatever the other kind."""
        found: list[InstanceCandidate] = []
        for nodes, shapes in sorted(self._shapes().items()):
            self.considered += len(shapes)
            alone = problem.instance_problem(group, nodes)
            left = _allowed(problem, alone, shapes) if len(shapes) > _MANY else shapes
            if left:
                table = InstanceTable(problem, [alone], left, times=times)
                self._tables[nodes,] = table
                found += table.candidates()
        self._take(found)

    def _shapes(self) -> dict[int, list[Shape]]:
        """Shapes by the nodes they need."""
        problem = self.inventory.instance_problem(self.group, self.together)
        found: dict[int, list[Shape]] = {}
        fixed = self.fixed
        formats = formats_of(self.inventory, fixed)
        for tp in one_of(fixed.tensor_parallel, tensor_degrees(problem)):
            for pp in one_of(fixed.pipeline_parallel, pipeline_degrees(problem)):
                splits = layer_splits(problem.model.layers, pp, problem.search.layer_imbalance)
                for ep in expert_degrees(problem, tp, self.group.free_gpus * self.together // (tp * pp)):
                    if fixed.expert_parallel not in (None, ep):
                        continue
                    for slices in one_of(fixed.expert_slice_ranks, slicing_degrees(problem, tp, ep)):
                        ranks = max(1, ep // tp) * slices
                        nodes = nodes_needed(tp * pp * ranks, pp * ranks, self.group.free_gpus, self.together)
                        if nodes is None:
                            continue
                        found.setdefault(nodes, []).extend(
                            Shape(tp, pp, ep, weights, cache, split, (), slices, shared)
                            for weights, cache in formats
                            for shared in contexts_for(problem, fixed, tp, cache)
                            for split in splits
                        )
        return found

    def most_in_place_of(self, part: StagePart, tp: int) -> int:
        """The most that instances of this group carry on the GPUs of a part, millionths of a request/s."""
        if not self.candidates:
            return 0
        nodes, each, gpus, widest, capacity = self._places
        times = np.where(nodes == 1, part.nodes * (part.gpus_per_node // gpus), 1)
        given = self.table(self.candidates[0]).widths(np.array([tp]))[0, 0]
        fits = (nodes <= part.nodes) & (each <= part.gpus_per_node) & (widest <= given)
        return int(np.where(fits, times * capacity, 0).max())

    @cached_property
    def _places(self) -> tuple[Ints, ...]:
        """Nodes, GPUs on each, GPUs, TP width where it matters and capacity of those that no other beats: no other carries more."""
        rows: list[tuple[int, ...]] = []
        for position in self.kept:
            candidate = self.candidates[position]
            mine, width = candidate.parts[0], int(self.table(candidate).widths(np.array([candidate.shape.tp]))[0, 0])
            rows.append((mine.nodes, mine.gpus_per_node, mine.gpus, width, candidate.capacity))
        return tuple(np.array(rows, dtype=np.int64).T)


def one_of(fixed: T | None, offered: Sequence[T]) -> Sequence[T]:
    """What a person fixed, else what is offered."""
    return offered if fixed is None else (fixed,)


def formats_of(problem: InventoryProblem, fixed: Fixed) -> list[tuple[str, str]]:
    """(weight format, KV format) of the instances that may be chosen."""
    search, model = problem.search, problem.model
    weights = one_of(fixed.weight_precision, search.weight_precision or (model.native_weight_format,))
    caches = one_of(fixed.kv_precision, search.kv_precision or (model.native_kv_format,))
    return [(str(weight), str(cache)) for weight in weights for cache in caches]


def expert_degrees(problem: Problem, tp: int, most_ranks: int) -> tuple[int, ...]:
    """EP degrees: 1, TP, and one engine over several replicas."""
    mode, experts = problem.search.expert_parallel, problem.model.experts
    if experts == 0 or mode == "off" or most_ranks < 1:
        return (1,)
    if mode == "replica":
        return tuple(sorted({1, tp}))
    coupled = (tp * ranks for ranks in range(2, most_ranks + 1) if experts % (tp * ranks) == 0)
    return tuple(sorted({1, tp, *coupled}))
