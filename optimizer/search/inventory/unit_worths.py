"""What parts of an inventory are worth to joint instances, for many parts at once. ``docs/inventories.md``, section 6.

At a multiplier γ instances on so many GPUs of a node, or on so many nodes, take at most so much off the objective, whatever else
there is: what all nodes of a part are worth bounds what it is asked to do with some of the requests. Losses are left out: they only forbid.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from optimizer.costs.shapes import Bools, Floats, Ints
from optimizer.facts.inventory import InventoryProblem
from optimizer.search.common.scale import NS_PER_MS
from optimizer.search.inventory.candidate import MICRO, in_one_rack
from optimizer.search.inventory.candidates import Candidates, KnownTables
from optimizer.search.inventory.cuts import ROUGH, Cuts
from optimizer.search.inventory.master import Master
from optimizer.search.inventory.prices import Prices, filled
from optimizer.search.inventory.prospects import parts_of
from optimizer.search.uniform.quantities import ObjectiveWeights

MULTIPLIERS = 40
"""From next to no load to three times what the busiest candidate costs at its most."""
_BUSY, _BEYOND = 0.95, 3.0
_ROUNDING = 1 + 1e-9
_ENDLESS_MS = 1e15
"""A multiplier at which nothing counts but what is carried."""


class UnitWorths:
    """Of every group, what so many GPUs of a node and so many nodes are worth.

    Args:
        problem: with whatever ``serving``.
    """

    def __init__(self, problem: InventoryProblem) -> None:
        self.problem = problem.model_copy(update={"serving": "joint", "survive": ()})
        known = KnownTables()
        self._within = _WorthTables(self.problem, known, pairs=False)
        groups = problem.groups
        self._joined = [(i, j) for i, j in combinations(range(len(groups)), 2) if in_one_rack(groups[i], groups[j])]
        self._across = _WorthTables(self.problem, known, pairs=True) if self._joined else self._within

    def least_ms(self, share: float, gpus: Ints, nodes: Ints) -> Floats:
        """Below which a request of so large a share of all does not cost a part, times the share, (N,) ms; infinite: it carries too little.

        Args:
            gpus: (N, G) of a node of each group that the part has.
            nodes: (N, G) nodes of each group with so many GPUs.
        """
        within = self._apart(gpus, nodes)
        least = np.where(within, self._within.least_ms(share, gpus, nodes), self._across.least_ms(share, gpus, nodes))
        return np.where(self.carries(share, gpus, nodes), least, np.inf)

    def carries(self, share: float, gpus: Ints, nodes: Ints) -> Bools:
        """Whether parts may carry so large a share of the requests within every limit, (N,)."""
        most = np.where(self._apart(gpus, nodes), self._within.most(gpus, nodes), self._across.most(gpus, nodes))
        found: Bools = most * _ROUNDING >= share * self.problem.workload.requests_per_s
        return found

    def _apart(self, gpus: Ints, nodes: Ints) -> Bools:
        """Parts in which no pipeline stands on two groups, (N,)."""
        there = gpus * nodes > 0
        found: Bools = np.ones(len(gpus), dtype=np.bool_)
        for one, other in self._joined:
            found &= ~(there[:, one] & there[:, other])
        return found


class _WorthTables:
    """With pipelines over two groups, or without."""

    def __init__(self, problem: InventoryProblem, known: KnownTables, *, pairs: bool) -> None:
        self.problem, self.weights = problem, ObjectiveWeights.of(problem.objective)
        self._candidates = Candidates(problem, known=known, pairs=pairs)
        self._few = Master(problem, self._candidates, problem.search.disabled_rules, None, everything=False)
        self._cuts = Cuts(self._candidates, self.weights)
        self._carried = [filled(pieces, g.free_gpus) for pieces, g in zip(self._pieces(), problem.groups, strict=True)]
        """Requests/s within every limit of 0, 1, … GPUs of a node at most."""
        self._constants, self._worths = self._at_multipliers()

    def least_ms(self, share: float, gpus: Ints, nodes: Ints) -> Floats:
        """As ``UnitWorths.least_ms``, whatever the parts carry."""
        total = share * self._constants[:, None] - sum(
            worth[:, gpus[:, g]] * nodes[None, :, g] for g, worth in enumerate(self._worths)
        )
        least = total.max(axis=0, initial=0.0) / share
        # Objectives of instances are counted in whole milliseconds, rounded up.
        found: Floats = share * np.ceil(least * (1 - 1e-9) - 1e-6)
        return found

    def most(self, gpus: Ints, nodes: Ints) -> Floats:
        """Requests/s that parts carry at most, (N,)."""
        found: Floats = np.zeros(len(gpus))
        for g, carried in enumerate(self._carried):
            found = found + carried[gpus[:, g]] * nodes[:, g]
        return found

    def _at_multipliers(self) -> tuple[Floats, list[Floats]]:
        """(constant of the bound, (K,); of each group the worth of 0, 1, … GPUs of a node, (K, GPUs + 1)), ms."""
        constants, worths = [], [[np.zeros(group.free_gpus + 1)] for group in self.problem.groups]
        for gamma in self._multipliers():
            prices = Prices(self.problem, self._candidates, self._few, self._cuts.own(self._few, gamma, ROUGH))
            constants.append(self.weights.latency * prices.mean_ms)
            for found, worth in zip(worths, prices.worth, strict=True):
                found.append(worth * _ROUNDING / NS_PER_MS)
        return np.array([0.0, *constants]), [np.stack(found) for found in worths]

    def _multipliers(self) -> Sequence[float]:
        if self.weights.latency == 0:
            return ()
        ends: list[float] = []
        least = np.inf
        for number, kind in enumerate(self._candidates.group_types):
            curves = self._candidates.curves(number)
            carried = np.array([kind.candidates[position].slots_capacity for position in kind.kept]) / MICRO
            if len(kind.kept):
                ends += curves.marginals(kind.kept, carried[:, None] * _BUSY).ravel().tolist()
                least = min(least, *(curves.fastest_ms(position) for position in kind.kept))
        finite = [end for end in ends if np.isfinite(end)]
        if not finite:
            return ()
        found: Sequence[float] = np.geomspace(least, _BEYOND * max(finite), MULTIPLIERS).tolist()
        return found

    def _pieces(self) -> list[dict[int, float]]:
        """Of each group, GPUs of a node → requests/s that what stands on them carries at most."""
        found: list[dict[int, float]] = [{} for _ in self.problem.groups]
        for item in self._few.items:
            for group, part in zip(item.groups, item.candidate.parts, strict=True):
                own = item.candidate.capacity / MICRO * part.gpus / item.candidate.gpus / part.nodes
                found[group][part.gpus_per_node] = max(found[group].get(part.gpus_per_node, 0.0), own)
        for pair in self._candidates.pairs:
            some = pair.pairing.all.part(pair.left)
            nodes, each = parts_of(some, [width[0] for width in pair.pairing.widths])
            if not len(some):
                continue
            most = pair.pairing.earns_at_most(some, _ENDLESS_MS) / _ENDLESS_MS * (1 + 1e-6)
            own = most[:, None] * each / (nodes * each).sum(axis=1)[:, None]
            for groups in pair.places:
                for side, group in enumerate(groups):
                    for size in sorted(set(each[:, side].tolist())):
                        best = float(own[each[:, side] == size, side].max())
                        found[group][size] = max(found[group].get(size, 0.0), best)
        return found
