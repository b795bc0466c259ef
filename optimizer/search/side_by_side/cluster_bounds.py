"""What joint instances beside pools cost at least on an inventory, split by split: few splits are left to be solved.

Joint instances: what the nodes of their part are worth (``search/inventory/unit_worths.py``). Pools: what each pool takes at least on
the GPUs of theirs (``search/pools/part_worths.py``). ``docs/disaggregated.md``, section 14.

Other home: ``verify/side_by_side/cluster_bounds.py``; docs/disaggregated.md, section 14.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from optimizer.costs.shapes import Floats, Ints
from optimizer.facts.cluster_side_by_side import ClusterSplit, GroupUnits, divisions_of, units_of_groups
from optimizer.facts.inventory import InventoryProblem
from optimizer.facts.side_by_side import TENTHS
from optimizer.search.inventory.unit_worths import UnitWorths
from optimizer.search.pools.part_worths import PartPools


class ClusterSplitBounds:
    """Bounds of every split of a problem.

    Args:
        problem: with whatever ``serving``.
    """

    def __init__(self, problem: InventoryProblem) -> None:
        self.problem, self.units = problem, units_of_groups(problem.groups)
        self._divisions = np.array(list(divisions_of(problem)), dtype=np.int64).reshape(-1, len(self.units))
        self._all = np.array([unit.count for unit in self.units], dtype=np.int64)

    @cached_property
    def joint(self) -> UnitWorths:
        """Of joint instances."""
        return UnitWorths(self.problem)

    @cached_property
    def pools(self) -> PartPools:
        """Of pools."""
        return PartPools(self.problem)

    @cached_property
    def _pools_left(self) -> PartPools:
        """Of what losses leave, which need not survive more."""
        return PartPools(self.problem.model_copy(update={"survive": ()}))

    def left(self, known: float) -> list[tuple[float, ClusterSplit]]:
        """Splits that may cost less than ``known`` ms, with their bounds, the least first."""
        found: list[tuple[float, ClusterSplit]] = []
        for tenths in range(1, TENTHS):
            units = self._divisions
            whole = self.pools.least_ms(TENTHS - tenths, self._gpus(self._all[None, :]))[0]
            first = self.joint_ms(tenths, units)
            near = first + whole < known
            if not near.any():
                continue
            units, first = units[near], first[near]
            least = first + self.pools_ms(TENTHS - tenths, self._all - units)
            for at in np.flatnonzero(least < known).tolist():
                found.append((float(least[at]), ClusterSplit(tenths, tuple(units[at].tolist()))))
        return sorted(found)

    def joint_of(self, split: ClusterSplit) -> float:
        """What the joint part of a split adds at least, ms."""
        return float(self.joint_ms(split.tenths, np.array([split.units], dtype=np.int64))[0])

    def pools_of(self, split: ClusterSplit) -> float:
        """What the pools of a split add at least, ms."""
        rest = self._all - np.array([split.units], dtype=np.int64)
        return float(self.pools_ms(TENTHS - split.tenths, rest)[0])

    def of(self, split: ClusterSplit) -> float:
        """The bound of one split, ms."""
        return self.joint_of(split) + self.pools_of(split)

    def joint_ms(self, tenths: int, units: Ints) -> Floats:
        """ms that so many tenths of the requests add at joint instances on so many units of each group, (N, G), at least."""
        least = self.joint.least_ms(tenths / TENTHS, *self._places(units))
        for left in self._after_losses(units):
            share = tenths / TENTHS * self.problem.demand_share
            least = np.where(self.joint.carries(share, *self._places(left)), least, np.inf)
        return least

    def pools_ms(self, tenths: int, units: Ints) -> Floats:
        """The same at pools."""
        least = self.pools.least_ms(tenths, self._gpus(units))
        carried = int(tenths * self.problem.demand_share + 1e-9)
        for left in self._after_losses(units):
            # What is left carries these tenths at least, or nothing where that is less than one.
            some = self._pools_left.least_ms(carried, self._gpus(left)) if carried else self._any(left)
            least = np.where(np.isfinite(some), least, np.inf)
        return least

    def _any(self, units: Ints) -> Floats:
        return np.where(self._gpus(units).sum(axis=1) >= 2, 0.0, np.inf)

    def _gpus(self, units: Ints) -> Ints:
        each = np.array([unit.gpus for unit in self.units], dtype=np.int64)
        found: Ints = units * each
        return found

    def _places(self, units: Ints) -> tuple[Ints, Ints]:
        """(GPUs of a node, nodes with so many) of each group, (N, G)."""
        gpus, nodes = units.copy(), units.copy()
        for number, (unit, group) in enumerate(zip(self.units, self.problem.groups, strict=True)):
            if unit.nodes:
                gpus[:, number], nodes[:, number] = group.free_gpus, units[:, number] * unit.nodes
            else:
                nodes[:, number] = 1
        return gpus, nodes

    def _after_losses(self, units: Ints) -> Iterator[Ints]:
        """What some of the losses that must be survived leave of parts; units that they take in part are left whole."""
        off = self.problem.search.disabled_rules
        for losses in self.problem.survive:
            if f"survive_{losses.level}" in off:
                continue
            for taken in self._lost(losses.level, losses.count):
                yield np.maximum(0, units - taken)

    def _lost(self, level: str, count: int) -> Iterator[Ints]:
        """Units of each group that some losses of a level take at least."""
        groups, many = self.problem.groups, len(self.units)
        if level in ("node", "rack"):
            for number, (unit, group) in enumerate(zip(self.units, groups, strict=True)):
                if level == "rack" and not group.racks:
                    continue
                taken = np.zeros(many, dtype=np.int64)
                taken[number] = _units_lost(unit, level, count, group.racks)
                yield taken
        if level == "rack":
            named = {group.rack for group in groups if group.rack}
            members = [frozenset(group.name for group in groups if group.rack == rack) for rack in sorted(named)]
        else:
            members = [frozenset(some) for some in self.problem.wide_domains(level).values()] if level != "gpu" else []
        for some in members:
            yield np.array([one.count if g.name in some else 0 for one, g in zip(self.units, groups, strict=True)])


def _units_lost(unit: GroupUnits, level: str, count: int, racks: int) -> int:
    """Of one group, units that are lost whole."""
    if unit.nodes == 0 or (level == "rack" and racks == 1):
        return unit.count
    return count if level == "rack" else count // unit.nodes
