"""Options that another on the same group replaces in any answer: no worse in anything that rules or objective speak of.

Compared are options of one group, link, kind of cache and share. What takes its place needs no more GPUs and no more of any node,
stands wherever it stands, costs no more, adds no more to any latency, now and after every loss that rules speak of.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from optimizer.costs.distinct import distinct
from optimizer.costs.shapes import Bools, Ints
from optimizer.search.pools.cluster_columns import ClusterColumns
from optimizer.search.pools.options import PARTS

MOST = 4000
"""Options of one kind that are compared with each other; more are all kept."""


def not_dominated(columns: ClusterColumns, side: int, kept: Ints, rules: Sequence[str]) -> Bools:
    """Which of the options stay, (K,)."""
    options = columns.options
    stays = np.ones(len(kept), dtype=np.bool_)
    if not len(kept):
        return stays
    same = [
        options.group[side], options.crossing[side], options.share[side], options.of_rows(side, "cache"),
        options.column(side, lambda b: b.whole), _shareable(columns, side), *_gone(columns, side, rules),
    ]  # fmt: skip
    less = np.stack(list(_smaller_is_better(columns, side, rules, kept)))
    _, kind = distinct(*(one[kept] for one in same))
    order = np.argsort(kind, kind="stable")
    starts = np.flatnonzero(np.diff(kind[order], prepend=-1))
    for members in np.split(order, starts[1:]):
        if 1 < len(members) <= MOST:
            stays[members] = _front(less[:, members])
    return stays


def _shareable(columns: ClusterColumns, side: int) -> Ints:
    """Whether an option may share all nodes of its group with the other pool; the number of nodes matters to others alone."""
    options, groups = columns.options, columns.problem.groups
    all_nodes = np.array([group.nodes for group in groups])[options.group[side]]
    found: Ints = (options.of_rows(side, "nodes") == all_nodes).astype(np.int64)
    return found


def _levels(columns: ClusterColumns, rules: Sequence[str]) -> Iterator[tuple[str, int]]:
    for losses in columns.problem.survive:
        if f"survive_{losses.level}" in rules and losses.level in ("gpu", "node", "rack"):
            yield from ((losses.level, lost) for lost in range(1, losses.count + 1))


def _gone(columns: ClusterColumns, side: int, rules: Sequence[str]) -> Iterator[Ints]:
    """Which options losses take whole: what is left then shares out their requests."""
    count = columns.options.of_rows(side, "count")
    for level, lost in _levels(columns, rules):
        yield (columns.taken(side, level, lost) >= count).astype(np.int64)


def _smaller_is_better(columns: ClusterColumns, side: int, rules: Sequence[str], kept: Ints) -> Iterator[Ints]:
    options = columns.options
    yield columns.values[side][kept]
    yield -columns.peaks[side][kept]
    for name in ("gpus", "nodes", "every", "over", "more"):
        yield options.of_rows(side, name)[kept]
    yield options.column(side, lambda b: b.rack_nodes)[kept]
    yield from (moved[kept] for moved in columns.moved[side])
    for one in (columns, columns.also):
        if one is not None:
            yield from (times[kept] for name, times in one.times[side].items() if name.startswith("ttft"))
    if not any(rule.startswith("survive_") for rule in rules):
        return
    for level, lost in (("gpu", 0), *_levels(columns, rules)):
        for parts in range(1, PARTS + 1):
            table = columns.lost(side, level, lost, parts, kept)
            yield 1 - table.fine
            yield from (np.where(table.fine == 1, times, 0) for times in table.times.values())


def _front(less: Ints) -> Bools:
    """Columns that no other is at most in every row of, the first of equals kept, (M,)."""
    count = less.shape[1]
    order = np.lexsort(less[::-1])
    sorted_columns = less[:, order]
    stays = np.ones(count, dtype=np.bool_)
    for position in range(count):
        if stays[position]:
            later = sorted_columns[:, position + 1 :]
            dominated = (sorted_columns[:, position : position + 1] <= later).all(axis=0)
            stays[position + 1 :] &= ~dominated
    found = np.empty(count, dtype=np.bool_)
    found[order] = stays
    return found
