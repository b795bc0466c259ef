"""Losses of GPUs after restarts on unused GPUs. ``docs/inventories.md``, section 4."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import combinations, combinations_with_replacement

from optimizer.facts.inventory import InventoryProblem, NodeGroup
from optimizer.results.placement import GpuPlace, PlacedInstance
from optimizer.verify.common.arithmetic import exact
from optimizer.verify.inventory.instance import Instance
from optimizer.verify.inventory.site import CheckedSite

Cell = tuple[str, int]
"""A node and the NVLink domain in it: where a lost GPU finds its replacement."""
Kind = tuple[Cell, int | None]
"""GPUs that are lost alike: those of one instance (None: unused ones) in one cell."""


def restarts_in_time(inventory: InventoryProblem, instance: Instance) -> bool:
    """R(τ) ≤ within_s."""
    return inventory.within_s is not None and restart_s(inventory, instance) <= exact(inventory.within_s)


def restart_s(inventory: InventoryProblem, instance: Instance) -> Fraction:
    """R(τ): engine start and reading of the weights on the node that reads most, s."""
    group, start, by_node = instance.shape.group, 0, []
    for segment in instance.segments:
        held = instance.facts.stages[start : start + segment.stages]
        start += segment.stages
        loaded = sum(stage.weights_bytes for stage in held) * group.tensor * group.ranks
        by_node.append(Fraction(loaded, segment.nodes))
    read_s = max(by_node) / (exact(inventory.recovery.storage_gb_per_s) * 10**9)
    return exact(inventory.recovery.engine_start_s) + read_s


class Restarts:
    """Which instances stay down when some GPUs are lost."""

    def __init__(
        self,
        site: CheckedSite,
        placed: Sequence[PlacedInstance],
        capacities: Sequence[Fraction],
        restart: Sequence[bool],
    ) -> None:
        self._capacities, self._restart = capacities, restart
        self._kinds: Counter[Kind] = Counter()
        cells: dict[Cell, int] = {}
        for number, instance in enumerate(placed):
            for place in instance.gpus:
                cell, size = _cell(site, place)
                cells[cell] = size
                self._kinds[cell, number] += 1
        used = Counter[Cell]()
        for (cell, _), count in self._kinds.items():
            used[cell] += count
        self._spare = {cell: size - used[cell] for cell, size in cells.items()}
        for cell, left in self._spare.items():
            if left:
                self._kinds[cell, None] = left

    def stay_down(self, lost: Iterable[Kind]) -> tuple[Fraction, int]:
        """(capacity, instances) that stay down after the best replacements; each entry is one GPU lost."""
        gone = Counter(lost)
        spare = {cell: self._spare[cell] - gone[cell, None] for cell in {cell for cell, _ in gone}}
        hurt = sorted({owner for _, owner in gone if owner is not None})
        best = sum((self._capacities[i] for i in hurt), Fraction(0)), len(hurt)
        able = [i for i in hurt if self._restart[i]]
        for count in range(1, len(able) + 1):
            for saved in combinations(able, count):
                need = Counter[Cell]()
                for (cell, owner), n in gone.items():
                    if owner in saved:
                        need[cell] += n
                if all(spare[cell] >= n for cell, n in need.items()):
                    left = [i for i in hurt if i not in saved]
                    best = min(best, (sum((self._capacities[i] for i in left), Fraction(0)), len(left)))
        return best

    def worst(self, count: int) -> tuple[Fraction, int]:
        """The most capacity that stays down over all choices of so many GPUs, and the instances of it.

        Losses in different cells of different instances do not touch each other, so that only the others are tried together.
        """
        kinds = list(self._kinds)
        alone = {kind: self.stay_down([kind]) for kind in kinds}
        if count == 1:
            return max(alone.values(), default=(Fraction(0), 0))
        if count > 2 or len(kinds) <= 60:
            return max(
                (
                    self.stay_down(choice)
                    for choice in combinations_with_replacement(kinds, min(count, sum(self._kinds.values())))
                    if all(n <= self._kinds[kind] for kind, n in Counter(choice).items())
                ),
                default=(Fraction(0), 0),
            )
        together: dict[tuple[str, object], list[Kind]] = {}
        for kind in kinds:
            cell, owner = kind
            together.setdefault(("cell", cell), []).append(kind)
            if owner is not None:
                together.setdefault(("owner", owner), []).append(kind)
        best = max(alone.values(), default=(Fraction(0), 0))
        for near in together.values():
            for choice in combinations_with_replacement(near, 2):
                if choice[0] != choice[1] or self._kinds[choice[0]] > 1:
                    best = max(best, self.stay_down(choice))
        ordered = sorted(alone, key=lambda kind: alone[kind], reverse=True)
        for i, first in enumerate(ordered):
            for second in ordered[i + 1 :]:
                if alone[first][0] + alone[second][0] < best[0] or not alone[second][0]:
                    break
                if first[0] != second[0] and first[1] != second[1]:
                    both = alone[first][0] + alone[second][0], alone[first][1] + alone[second][1]
                    best = max(best, both)
                    break
        return best


def _cell(site: CheckedSite, place: GpuPlace) -> tuple[Cell, int]:
    """The cell of a GPU and its free GPUs."""
    node = site.node(place.node)
    assert node is not None
    free, width = node.group.free_gpus, _width(node.group)
    number = place.index // width
    return (place.node, number), min(width, free - number * width)


def _width(group: NodeGroup) -> int:
    """Free GPUs of one NVLink domain inside a node; the node's where domains span nodes, or there is no NVLink."""
    if 0 < group.nvlink_domain_gpus <= group.gpus_per_node and group.nvlink_gb_per_s > 0:
        return min(group.free_gpus, group.nvlink_domain_gpus)
    return group.free_gpus
