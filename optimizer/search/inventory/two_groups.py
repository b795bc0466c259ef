"""Pipelines over two groups that may be part of a plan worth having, built and tabulated."""

from __future__ import annotations

import numpy as np

from optimizer.costs.shapes import Shape
from optimizer.facts.inventory import InventoryProblem
from optimizer.results.answer import Fixed
from optimizer.search.inventory.candidate import InstanceCandidate
from optimizer.search.inventory.group_types import GroupType
from optimizer.search.inventory.prospects import Pairing, Prospects
from optimizer.search.inventory.tables import InstanceTable, Times

AT_ONCE = 2_000
"""Shapes whose memory is tabulated together."""


class TwoGroups(GroupType):
    """Pipelines whose first stages stand on one group and the others on another, that carry more than both do apart.

    Args:
        pairing: what is known of pipelines over the two.
        some: the prospects that are built.
    """

    def __init__(
        self, problem: InventoryProblem, pairing: Pairing, some: Prospects, fixed: Fixed, times: Times | None
    ) -> None:
        super().__init__(problem, fixed, times)
        self.apart = pairing.apart
        by_nodes: dict[tuple[int, int], list[tuple[Shape, int]]] = {}
        for nodes, shape, apart in pairing.shapes(some):
            by_nodes.setdefault(nodes, []).append((shape, apart))
        found: list[InstanceCandidate] = []
        for nodes, members in sorted(by_nodes.items()):
            problems = [
                problem.instance_problem(kind.group, count) for kind, count in zip(self.apart, nodes, strict=True)
            ]
            # Many are too large or too slow: all their times are computed, a block of them at once, for those that are not.
            left: list[tuple[Shape, int]] = []
            for start in range(0, len(members), AT_ONCE):
                block = members[start : start + AT_ONCE]
                table = InstanceTable(problem, problems, [shape for shape, _ in block])
                kept = np.flatnonzero(table.may_carry(np.array([apart for _, apart in block], dtype=np.int64)))
                left += [block[row] for row in kept.tolist()]
            if left:
                table = InstanceTable(problem, problems, [shape for shape, _ in left], times=times)
                self._tables[nodes] = table
                found += table.candidates(more_than=np.array([apart for _, apart in left], dtype=np.int64))
        self._take(found)
