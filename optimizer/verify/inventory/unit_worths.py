"""What parts of an inventory are worth to joint instances, with some of the requests: for many parts at once, by the verifier's own tables.

The bound of section 6 of ``docs/inventories.md`` holds whatever part of the nodes there is: what they take off is added up node by
node, and what is lost with the rest of the nodes is not missed. Losses that must be survived only forbid; they are left out.

Callers work inside ``arithmetic.sixty_digits``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, permutations

import numpy as np
from numpy.typing import NDArray

from optimizer.facts.inventory import InventoryProblem, NodeGroup
from optimizer.results.answer import Fixed
from optimizer.verify.common.arithmetic import exact
from optimizer.verify.common.float_times import Floats
from optimizer.verify.inventory.float_times import TimeCurves
from optimizer.verify.inventory.instance import Instances, pairable
from optimizer.verify.inventory.priced_pairs import Across
from optimizer.verify.inventory.priced_shapes import ROUGH, ROUNDING, know_rates
from optimizer.verify.inventory.prices import CheckedPrices
from optimizer.verify.inventory.site import CheckedSite
from optimizer.verify.inventory.worth import filled

Ints = NDArray[np.int64]
FIRST_MULTIPLIERS = 4
"""From the quickest request to ``_DEAR`` times as long; more where these leave something open."""
_DEAR, _DEAREST = 40.0, 2_000.0
_ROUNDS = 4
_SURE = 1 - 1e-9
_ANY_MS = 1e15
"""A multiplier beside which no time counts."""
_UNSURE = 4e-6
"""Requests/s by which a rate that was found may be too small."""


@dataclass(frozen=True, slots=True)
class _WorthAt:
    """At one multiplier: the constant of the bound, and what GPUs of a node and nodes of each group take off, ms."""

    constant: float
    by_gpus: Sequence[Floats]
    by_nodes: Sequence[Floats]


class NodesWorth:
    """Least costs of parts of an inventory.

    Args:
        problem: with whatever ``serving``.
    """

    def __init__(self, problem: InventoryProblem) -> None:
        self.problem = problem.model_copy(update={"serving": "joint", "survive": ()})
        instances, groups = Instances(self.problem), problem.groups
        prices = CheckedPrices(CheckedSite(self.problem), instances, TimeCurves(), Fixed())
        self._within = _OwnWorths(self.problem, instances, prices.within_groups(), pairs=False)
        self._pairs = [(i, j) for i, j in combinations(range(len(groups)), 2) if pairable(groups[i], groups[j])]
        self._prices, self._instances = prices, instances

    @cached_property
    def _across(self) -> _OwnWorths:
        return _OwnWorths(self.problem, self._instances, self._prices, pairs=True)

    def least(self, share: float, gpus: Ints, nodes: Ints, wanted: Floats) -> Floats:
        """ms that a share of the requests adds to the mean of all at parts, (N,); infinite: they do not carry it.

        Args:
            gpus, nodes: (N, G), so many GPUs on each of so many nodes of a group.
            wanted: (N,) ms at which enough is known of a part.
        """
        found = np.zeros(len(gpus))
        for worths, some in self._kinds(gpus, nodes):
            found[some] = worths.least(share, gpus[some], nodes[some], wanted[some])
        return found

    def carry(self, share: float, gpus: Ints, nodes: Ints) -> NDArray[np.bool_]:
        """Whether parts may carry a share of the requests, as far as is known."""
        found = np.zeros(len(gpus), dtype=np.bool_)
        for worths, some in self._kinds(gpus, nodes):
            found[some] = worths.carry(share, gpus[some], nodes[some])
        return found

    def _kinds(self, gpus: Ints, nodes: Ints) -> Iterator[tuple[_OwnWorths, Ints]]:
        """Parts where pipelines may stand on two groups, and the others."""
        used = (gpus > 0) & (nodes > 0)
        over = np.zeros(len(gpus), dtype=np.bool_)
        for i, j in self._pairs:
            over |= used[:, i] & used[:, j]
        if not over.all():
            yield self._within, np.flatnonzero(~over)
        if over.any():
            yield self._across, np.flatnonzero(over)


class _OwnWorths:
    """With pipelines over two groups, or without."""

    def __init__(self, problem: InventoryProblem, instances: Instances, prices: CheckedPrices, *, pairs: bool) -> None:
        self.problem, self._instances, self._prices, self._pairs = problem, instances, prices, pairs
        self._demand = float(exact(problem.workload.requests_per_s))
        self._tables: dict[float, _WorthAt | None] = {}
        of_groups = [prices.shapes_on(number) for number in range(len(problem.groups))]
        for shapes in of_groups:
            know_rates(shapes)  # all of a group at once: a bisection takes as long for few
        every = [shape for shapes in of_groups for shape in shapes]
        self._quickest = min((float(shape.stays[0]) for shape in every), default=np.inf)
        if every:
            steps = np.geomspace(1.02, _DEAR, FIRST_MULTIPLIERS).tolist()
            for step in (*steps, _DEAREST):
                self._know(self._quickest * step)

    def least(self, share: float, gpus: Ints, nodes: Ints, wanted: Floats) -> Floats:
        """As ``NodesWorth.least``."""
        best = np.zeros(len(gpus))
        for round_ in range(_ROUNDS + 1):
            some = np.flatnonzero((best < wanted) & np.isfinite(wanted))
            if not len(some):
                break
            each = {gamma: self._at(table, share, gpus[some], nodes[some]) for gamma, table in self._known.items()}
            best[some] = np.maximum(best[some], np.max(list(each.values()), axis=0, initial=0.0))
            still = best[some] < wanted[some]
            if round_ == _ROUNDS or not still.any():
                break
            self._refine({gamma: values[still] for gamma, values in each.items()})
        some = np.flatnonzero(best < wanted)
        if len(some):
            best[some] = np.where(self.carry(share, gpus[some], nodes[some]), best[some], np.inf)
        return best

    def carry(self, share: float, gpus: Ints, nodes: Ints) -> NDArray[np.bool_]:
        """As ``NodesWorth.carry``."""
        most = np.zeros(len(gpus))
        for number, carried in enumerate(self._carried):
            most += carried[gpus[:, number]] * nodes[:, number]
        found: NDArray[np.bool_] = most * ROUNDING >= share * self._demand
        return found

    @property
    def _known(self) -> dict[float, _WorthAt]:
        return {gamma: table for gamma, table in sorted(self._tables.items()) if table is not None}

    def _at(self, table: _WorthAt, share: float, gpus: Ints, nodes: Ints) -> Floats:
        total = np.full(len(gpus), share * table.constant)
        for number, group in enumerate(self.problem.groups):
            some = table.by_gpus[number][gpus[:, number]] * np.minimum(nodes[:, number], 1)
            whole = gpus[:, number] == group.free_gpus
            total -= np.where(whole, table.by_nodes[number][nodes[:, number]], some) * ROUNDING
        # The objective of joint instances has no part of a millisecond.
        rounded: Floats = share * np.ceil(np.maximum(0.0, total) / share * _SURE - 1e-6)
        return rounded

    def _know(self, gamma: float) -> None:
        priced = self._prices.refined(gamma, every_size=True, tolerances=(ROUGH,))
        if priced is None:
            self._tables[gamma] = None
            return
        constant, groups = priced
        by_nodes = [_of_nodes(one.group, one.worth.whole) for one in groups]
        self._tables[gamma] = _WorthAt(constant, [one.worth.node for one in groups], by_nodes)

    def _refine(self, each: dict[float, Floats]) -> None:
        """Multipliers between those that bound most and their neighbours."""
        gammas = list(each)
        if not gammas:
            return
        best = np.argmax(np.stack(list(each.values())), axis=0)
        for at in sorted(set(best.tolist())):
            for other in (at - 1, at + 1):
                if 0 <= other < len(gammas):
                    between = float(np.sqrt(gammas[at] * gammas[other]))
                    if between not in self._tables:
                        self._know(between)

    @cached_property
    def _carried(self) -> list[Floats]:
        """Of each group, requests/s within every limit on 0, 1, … GPUs of a node, at most."""
        pieces: list[dict[int, float]] = []
        for number in range(len(self.problem.groups)):
            own: dict[int, float] = {}
            for shape in self._prices.shapes_on(number):
                if shape.rate:
                    most = (shape.capacity + _UNSURE) / shape.nodes
                    own[shape.each] = max(own.get(shape.each, 0.0), most)
            pieces.append(own)
        across = Across(self.problem, self._instances, Fixed())
        for i, j in permutations(range(len(self.problem.groups) if self._pairs else 0), 2):
            both = self.problem.groups[i], self.problem.groups[j]
            if not pairable(*both):
                continue
            for some in across.parts(both, _ANY_MS):
                most = float(np.minimum(some.rates, some.gains / _ANY_MS * (1 + 1e-6)).max(initial=0.0))
                gpus = sum(q * s for q, s in zip(some.nodes, some.each, strict=True))
                for number, each in zip((i, j), some.each, strict=True):
                    pieces[number][each] = max(pieces[number].get(each, 0.0), most * each / gpus)
        return [filled(own, group.free_gpus) for own, group in zip(pieces, self.problem.groups, strict=True)]


def _of_nodes(group: NodeGroup, whole: Floats) -> Floats:
    """Worth of 0, 1, … nodes of a group, where whole racks and sets of nodes that stand together are filled one after the other."""
    rack, together = group.nodes_per_rack, group.nodes_together
    found = np.zeros(group.nodes + 1)
    for nodes in range(1, group.nodes + 1):
        racks, rest = divmod(nodes, rack)
        sets, some = divmod(rack, together)
        more, last = divmod(rest, together)
        found[nodes] = racks * (sets * whole[together] + whole[some]) + more * whole[together] + whole[last]
    return found
