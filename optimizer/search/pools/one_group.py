"""Pools on many equal nodes, searched as pools on an inventory of one group: the same rows, costs and rules, with bounds on each option.

The model of pairs (``model``) has every row in its element constraints; beyond some thousands these take longer than all else.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from optimizer.costs.shapes import Ints
from optimizer.facts.inventory import InventoryProblem
from optimizer.facts.one_group import one_group
from optimizer.facts.problem import Problem
from optimizer.results.pools import FixedPools
from optimizer.search.common.clock import Clock
from optimizer.search.pools.cluster_capacity import MostRate, most_rate
from optimizer.search.pools.cluster_columns import ClusterColumns
from optimizer.search.pools.cluster_picked import Picked
from optimizer.search.pools.cluster_solve import FoundCluster, best_of, columns_on, keeps
from optimizer.search.pools.model import PoolColumns


class PoolsOnOneGroup:
    """The pools of a problem on equal nodes as options of its one group."""

    def __init__(self, columns: PoolColumns, inventory: InventoryProblem, fixed: FixedPools) -> None:
        self._own, self._columns = columns, columns_on(inventory, fixed, (columns.tables.spacing,))

    def best(self, rules: Sequence[str], clock: Clock) -> FoundCluster:
        """The best pools by the preset's tiers."""
        return best_of(self._columns, clock, rules)

    def most_rate(self, rules: Sequence[str], clock: Clock) -> MostRate:
        """The largest rate at which some pools keep the rules of the load; what is ``best`` then reaches it."""
        return MostRate("infeasible") if self._columns is None else most_rate(self._columns, rules, clock)

    def keeps(self, rules: Sequence[str], clock: Clock) -> bool | None:
        """Whether some pools keep the rules; None: not known."""
        return keeps(self._columns, rules, clock)

    def rows(self, picked: Picked) -> tuple[int, int]:
        """The rows of ``PoolTables`` that options stand for."""
        assert self._columns is not None
        first, second = (self._row(self._columns, side, picked.options[side][0]) for side in (0, 1))
        return first, second

    def _row(self, columns: ClusterColumns, side: int, option: int) -> int:
        block, at = columns.options.located(side, option)
        theirs, tables = block.rows, self._own.tables
        mine = tables.decode if side else tables.prefill
        shape = tables.shapes.index(block.tables.shapes[int(theirs.shape[at])])
        cache = tables.caches.index(block.tables.caches[int(theirs.cache[at])])
        wanted: tuple[tuple[Ints, int], ...] = (
            (mine.shape, shape),
            (mine.cache, cache),
            (mine.count, int(theirs.count[at])),
            (mine.nodes, int(theirs.nodes[at])),
        )
        return int(np.flatnonzero(np.logical_and.reduce([values == value for values, value in wanted]))[0])


def large(problem: Problem, columns: PoolColumns, fixed: FixedPools, most_rows: int) -> PoolsOnOneGroup | None:
    """The options of the one group, where there are more rows than the model of pairs takes; else None."""
    tables = columns.tables
    if len(tables.prefill) + len(tables.decode) <= most_rows:
        return None
    inventory = one_group(problem)
    if inventory is None:
        return None
    if problem.objective.preset == "cheapest":  # equal nodes have one price
        objective = problem.objective.model_copy(update={"preset": "fewest-gpus"})
        inventory = inventory.model_copy(update={"objective": objective})
    return PoolsOnOneGroup(columns, inventory, fixed)
