"""How many sets of instances there are, and how many each argument rules out without looking at them one by one.

A set says how many instances of each shape stand on each pool of like groups, within the GPUs of the pool. Shapes over two groups are
not counted: which of them are considered depends on what else may stand in their places (``docs/inventories.md``, section 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from optimizer.facts.inventory import NodeGroup
from optimizer.results.answer import Fixed
from optimizer.verify.common.groups import ReplicaShape
from optimizer.verify.inventory.candidates import CheckedInstance, shapes_on
from optimizer.verify.inventory.instance import likeness, pairable
from optimizer.verify.inventory.left_out import NOTHING, LeftOut
from optimizer.verify.inventory.site import CheckedSite
from optimizer.verify.inventory.stock import interchangeable

MOST_STEPS = 1_000_000
"""Shapes times GPUs: a count beyond takes seconds, and has hundreds of digits."""

WORTH, RULES, BOUNDS = (
    "what nodes are worth",
    "the rules and limits on one instance",
    "bounds on what a set carries and costs",
)


def sets_within(sizes: Sequence[int], room: int) -> int:
    """Multisets of things of these sizes (a size once for each thing of it) that take at most so much room, the empty one with them."""
    ways = np.zeros(room + 1, dtype=object)
    ways[0] = 1
    for size in sizes:
        for start in range(size, room + 1, size):
            block = ways[start : start + size]
            block += ways[start - size : start - size + len(block)]
    return int(ways.sum())


class Tally:
    """The sets of one inventory.

    Args:
        left_out: shapes that no better set contains.
    """

    def __init__(self, site: CheckedSite, fixed: Fixed, left_out: LeftOut = NOTHING) -> None:
        groups = site.inventory.groups
        self._pools = pools = interchangeable(site)
        self._rooms = [sum(groups[number].gpus for number in pool) for pool in pools]
        every = [_shapes(site, groups[pool[0]], fixed) for pool in pools]
        self._sizes = [[size for _, size in shapes] for shapes in every]
        self._left = [
            [size for shape, size in shapes if (likeness(groups[pool[0]]), shape) not in left_out.shapes]
            for pool, shapes in zip(pools, every, strict=True)
        ]
        steps = sum(len(sizes) * room for sizes, room in zip(self._sizes, self._rooms, strict=True))
        self.known = steps <= MOST_STEPS and not any(pairable(*two) for two in combinations(groups, 2))
        """Whether sets are counted at all."""

    def all_ruled_out(self) -> tuple[int, dict[str, int]]:
        """(sets, ruled out by what) where what nodes are worth alone proves that no set is better."""
        return (total := self._sets(self._sizes)), {WORTH: total}

    def looked_at(self, candidates: Sequence[CheckedInstance], one_by_one: int) -> tuple[int, dict[str, int]]:
        """The same where ``candidates`` were left to choose from, and so many sets of them were valued one by one."""
        carry = [[one.gpus for one in candidates if one.group == pool[0]] for pool in self._pools]
        total, without = self._sets(self._sizes), self._sets(self._left)
        carrying = self._sets(carry)
        return total, {WORTH: total - without, RULES: without - carrying, BOUNDS: carrying - one_by_one}

    def _sets(self, sizes: Sequence[Sequence[int]]) -> int:
        found = 1
        for mine, room in zip(sizes, self._rooms, strict=True):
            found *= sets_within(mine, room)
        return found - 1


def _shapes(site: CheckedSite, group: NodeGroup, fixed: Fixed) -> list[tuple[ReplicaShape, int]]:
    return [(shape, shape.instance_gpus) for shape, _ in shapes_on(site.inventory, group, fixed, group.gpus)]
