"""The verifier's own bound on what joint instances beside pools take, split by split. ``docs/disaggregated.md``, section 14.

Callers work inside ``arithmetic.sixty_digits``.

Other home: ``search/side_by_side/cluster_bounds.py``; docs/disaggregated.md, section 14.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from optimizer.facts.cluster_side_by_side import ClusterSplit, units_of_groups
from optimizer.facts.inventory import InventoryProblem
from optimizer.facts.side_by_side import TENTHS
from optimizer.verify.common.arithmetic import exact
from optimizer.verify.inventory.unit_worths import NodesWorth
from optimizer.verify.pools.part_worths import PoolsWorth

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class OwnClusterBounds:
    """Least ms of the parts of splits, times their shares.

    Args:
        problem: with whatever ``serving``, no rule of the load switched off.
    """

    def __init__(self, problem: InventoryProblem) -> None:
        self.problem, self.units = problem, units_of_groups(problem.groups)
        self._pools: dict[tuple[int, tuple[int, ...], bool], float] = {}

    @cached_property
    def _joint_worth(self) -> NodesWorth:
        return NodesWorth(self.problem)

    @cached_property
    def _pools_worth(self) -> PoolsWorth:
        return PoolsWorth(self.problem)

    @cached_property
    def _worth_of_the_rest(self) -> PoolsWorth:
        """Of what is left after losses: it carries what it must, and has to survive nothing more."""
        return PoolsWorth(self.problem.model_copy(update={"survive": ()}))

    def pools(self, split: ClusterSplit) -> float:
        """Of the pools of a split."""
        rest = tuple(unit.count - used for unit, used in zip(self.units, split.units, strict=True))
        tenths = TENTHS - split.tenths
        found = self._pools_on(tenths, rest, self._pools_worth)
        kept = int(tenths * exact(self.problem.demand_share))
        for left in self._left_after_losses(rest):
            # Both pools keep an instance, and carry at least so many whole tenths.
            if sum(self._gpus(left)) < 2 or (
                kept and not np.isfinite(self._pools_on(kept, left, self._worth_of_the_rest))
            ):
                return np.inf
        return found

    def _pools_on(self, tenths: int, units: tuple[int, ...], worth: PoolsWorth) -> float:
        key = tenths, units, worth is self._pools_worth
        if key not in self._pools:
            self._pools[key] = float(worth.least(tenths, np.array([self._gpus(units)], dtype=np.int64))[0])
        return self._pools[key]

    def joint(self, splits: Sequence[ClusterSplit], wanted: Sequence[float]) -> list[float]:
        """Of the joint instances of splits.

        Args:
            wanted: ms at which enough is known of each.
        """
        found = np.zeros(len(splits))
        for tenths in sorted({split.tenths for split in splits}):
            rows = [row for row, split in enumerate(splits) if split.tenths == tenths]
            places = [self._places(splits[row].units) for row in rows]
            gpus, nodes = (np.array([place[k] for place in places], dtype=np.int64) for k in (0, 1))
            goals = np.array([wanted[row] for row in rows])
            found[rows] = self._joint_worth.least(tenths / TENTHS, gpus, nodes, goals)
        for row, split in enumerate(splits):
            if found[row] < wanted[row] and not self._survives(split):
                found[row] = np.inf
        return [float(one) for one in found]

    def _survives(self, split: ClusterSplit) -> bool:
        """Whether joint instances may carry what they must after losses."""
        share = float(Fraction(split.tenths, TENTHS) * exact(self.problem.demand_share))
        for left in self._left_after_losses(split.units):
            gpus, nodes = (np.array([one], dtype=np.int64) for one in self._places(left))
            if not self._joint_worth.carry(share, gpus, nodes)[0]:
                return False
        return True

    def _gpus(self, units: Sequence[int]) -> list[int]:
        return [unit.gpus * used for unit, used in zip(self.units, units, strict=True)]

    def _places(self, units: Sequence[int]) -> tuple[list[int], list[int]]:
        """(GPUs of a node, nodes with so many) of each group."""
        gpus, nodes = [], []
        for group, unit, used in zip(self.problem.groups, self.units, units, strict=True):
            gpus.append(group.free_gpus if unit.nodes else used)
            nodes.append(unit.nodes * used if unit.nodes else 1)
        return gpus, nodes

    def _left_after_losses(self, units: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        """What is left at most of a part after one case of the losses that must be survived, for several such cases."""
        off = self.problem.search.disabled_rules
        for losses in self.problem.survive:
            if f"survive_{losses.level}" not in off and losses.level != "gpu":
                for taken in self._cases(losses.level, losses.count):
                    yield tuple(max(0, used - taken.get(group, 0)) for group, used in enumerate(units))

    def _cases(self, level: str, count: int) -> Iterator[dict[int, int]]:
        """Units of groups that are lost whole."""
        groups = self.problem.groups
        members: list[list[int]] = []
        if level == "node":
            for g, unit in enumerate(self.units):
                yield {g: count // unit.nodes if unit.nodes else unit.count}
            return
        if level == "rack":
            for g, group in enumerate(groups):
                if group.racks > 1:
                    yield {g: count}
                elif group.racks == 1:
                    members.append([g])
            racks = sorted({group.rack for group in groups if group.rack is not None})
            members += [[g for g, group in enumerate(groups) if group.rack == rack] for rack in racks]
        else:
            some = self.problem.wide_domains(level).values()
            members += [[g for g, group in enumerate(groups) if group.name in names] for names in some]
        for lost in members:
            yield {g: self.units[g].count for g in lost}
