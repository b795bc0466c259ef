"""Which pipelines over two groups may be part of a plan worth having, by their price. ``docs/inventories.md``, section 6.

At a multiplier γ every instance earns so much, and a node of a group is worth the most that can stand on it. What all nodes are worth
bounds what any plan earns, so it bounds the objective; a plan with a certain instance is above that bound by what the instance's GPUs
could earn otherwise, less what it earns. Where that passes the best value, the instance is in no better plan.

A pipeline over two groups is taken apart into a part on each, with a share of what it earns: whatever pipelines earn together on some
nodes, their parts can too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from optimizer.costs.shapes import Bools, Floats, Ints
from optimizer.facts.inventory import InventoryProblem
from optimizer.search.common.scale import NS_PER_MS
from optimizer.search.inventory.candidates import Candidates, Pair
from optimizer.search.inventory.counts import Terms
from optimizer.search.inventory.down_counts import all_up
from optimizer.search.inventory.master import Master
from optimizer.search.inventory.prospects import parts_of
from optimizer.search.inventory.valuation import SHARES
from optimizer.search.uniform.quantities import ObjectiveWeights

_ROUNDING = 1 + 1e-9


class Prices:
    """What nodes are worth under one multiplier, with every prospect that is left.

    Args:
        few: a model of the candidates that no other beats, built ones only.
        terms: what each of its items earns.
    """

    def __init__(self, problem: InventoryProblem, candidates: Candidates, few: Master, terms: Terms) -> None:
        self._problem, self._candidates, self._gamma = problem, candidates, terms.gamma_ms
        self._mean_ms = terms.mean_ms
        self._weights, self._gpu_ns = ObjectiveWeights.of(problem.objective), few.gpu_ns
        self._groups = problem.groups
        pieces: list[dict[int, float]] = [{} for _ in self._groups]
        over: list[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], float]] = []
        for item, earned in zip(few.items, terms.earned_ns, strict=True):
            gain = float(earned - few.gpu_ns * item.candidate.gpus)
            nodes = tuple(part.nodes for part in item.candidate.parts)
            each = tuple(part.gpus_per_node for part in item.candidate.parts)
            if len(item.groups) == 1:
                _candidate(pieces[item.groups[0]], each[0], gain / nodes[0])
            else:
                over.append((item.groups, nodes, each, gain))
        self._worth = [filled(found, group.free_gpus) for found, group in zip(pieces, self._groups, strict=True)]
        self._alike = _numbered([worth.tobytes() for worth in self._worth])
        rents = [_rent(worth) for worth in self._worth]
        for groups, nodes, each, gain in over:
            for group, many, size, part in zip(
                groups, nodes, each, _apart(rents, groups, nodes, each, gain), strict=True
            ):
                _candidate(pieces[self._alike[group]], size, part / many)
        self._pairs = [self._pair(pair, rents, pieces) for pair in candidates.pairs]
        # Parts of pipelines were put beside the pieces of the first of the groups that are worth the same.
        whole = {number: filled(pieces[number], self._groups[number].free_gpus) for number in set(self._alike)}
        self._worth = [whole[number] for number in self._alike]

    @property
    def mean_ms(self) -> float:
        """What a further request/s costs, over all states."""
        return self._mean_ms

    @property
    def worth(self) -> tuple[Floats, ...]:
        """ns that 0, 1, … GPUs of a node of each group take off at most."""
        return tuple(self._worth)

    @property
    def least_ns(self) -> float:
        """Below which no plan's objective is."""
        nodes = sum(group.nodes * float(worth[-1]) for group, worth in zip(self._groups, self._worth, strict=True))
        return self._weights.latency * self._mean_ms * NS_PER_MS - nodes * _ROUNDING - 1

    def may_matter(self, most_ns: float) -> list[Bools]:
        """Of every pair, the prospects left that a plan of at most this objective may contain."""
        least = self.least_ns
        found = []
        for pair, (gain, extra, nodes, each) in zip(self._candidates.pairs, self._pairs, strict=True):
            above = np.full(len(gain), np.inf)
            for groups in self._unlike(pair):
                taken = np.zeros(len(gain))
                for side, group in enumerate(groups):
                    worth = self._worth[group]
                    size = np.minimum(each[:, side], len(worth) - 1)
                    taken += nodes[:, side] * (worth[-1] - worth[len(worth) - 1 - size])
                above = np.minimum(above, taken - gain)
            found.append(pair.left & (least + above + extra <= most_ns))
        return found

    def _unlike(self, pair: Pair) -> list[tuple[int, int]]:
        """One place for all whose groups are worth the same: the first groups worth so stand for the others."""
        found = {(self._alike[one], self._alike[other]) for one, other in pair.places}
        first = {number: self._alike.index(number) for both in found for number in both}
        return [(first[one], first[other]) for one, other in sorted(found)]

    def _pair(
        self, pair: Pair, rents: Sequence[float], pieces: list[dict[int, float]]
    ) -> tuple[Floats, Floats, Ints, Ints]:
        """(ns that each prospect takes off, ns that having any adds, nodes, GPUs on each node); their parts are put beside the pieces."""
        some = pair.pairing.all
        nodes, each = parts_of(some, [width[0] for width in pair.pairing.widths])
        w, demand = self._weights, self._problem.workload.requests_per_s
        bound = pair.pairing.earns_at_most(some, self._gamma)
        gpus = (nodes * each).sum(axis=1)
        gain = w.latency * NS_PER_MS / demand * bound - self._gpu_ns * gpus
        slow = np.maximum(0.0, some.fastest_ms - self._gamma) / SHARES
        extra = np.floor(w.latency * all_up(self._problem) * slow * NS_PER_MS * (1 - 1e-9))
        left = np.flatnonzero(pair.left & (gain > 0))
        for groups in self._unlike(pair):
            price = np.stack(
                [nodes[:, side] * each[:, side] * rents[group] for side, group in enumerate(groups)], axis=1
            )
            total = price.sum(axis=1)
            own = (nodes * each) / gpus[:, None]
            share = np.where(total[:, None] > 0, price / np.where(total > 0, total, 1.0)[:, None], own)
            for side, group in enumerate(groups):
                parts = gain[left] * share[left, side] / nodes[left, side]
                sizes = each[left, side]
                for size in sorted(set(sizes.tolist())):
                    _candidate(pieces[group], size, float(parts[sizes == size].max()))
        return gain, extra, nodes, each


def _numbered(keys: Sequence[bytes]) -> list[int]:
    """The position of the first key that each is equal to."""
    return [keys.index(key) for key in keys]


def _candidate(pieces: dict[int, float], size: int, gain: float) -> None:
    pieces[size] = max(pieces.get(size, 0.0), gain)


def filled(pieces: dict[int, float], free: int) -> Floats:
    """The most that stands on 0…free GPUs of a node, NVLink domains not asked."""
    worth = np.zeros(free + 1)
    for gpus in range(1, free + 1):
        worth[gpus] = max(
            [worth[gpus - 1], *(worth[gpus - size] + gain for size, gain in pieces.items() if size <= gpus)]
        )
    return worth


def _rent(worth: Floats) -> float:
    """What each GPU of a node is worth at least, however many are taken."""
    free = len(worth) - 1
    return min(float(worth[free] - worth[free - gpus]) / gpus for gpus in range(1, free + 1))


def _apart(
    rents: Sequence[float], groups: Sequence[int], nodes: Sequence[int], each: Sequence[int], gain: float
) -> list[float]:
    """A gain shared among the parts by what their GPUs are worth."""
    prices = [rents[group] * many * size for group, many, size in zip(groups, nodes, each, strict=True)]
    if sum(prices) <= 0:
        prices = [float(many * size) for many, size in zip(nodes, each, strict=True)]
    whole = math.fsum(prices)
    return [gain * price / whole for price in prices]
