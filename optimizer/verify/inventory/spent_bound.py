"""A bound by what is spent: that nothing spends less within the tolerance, at any size. ``docs/inventories.md``, section 6.

At a multiplier γ what the GPUs of a group take off at most is known for every number of them in use: nodes and sets of nodes are joined by
the sums that are largest together. For every way to use so many GPUs of each kind one of the multipliers has to put the bound above what
such a set may have, by what it spends; the search names multipliers, and none of them is trusted: each bounds every set.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from optimizer.facts.inventory import NodeGroup
from optimizer.results.inventory import InventoryAnswer
from optimizer.verify.common.float_times import Floats, Ints
from optimizer.verify.inventory.instance import likeness
from optimizer.verify.inventory.price_tier import millionths
from optimizer.verify.inventory.priced_shapes import ROUNDING
from optimizer.verify.inventory.prices import CheckedPrices, PricedGroup
from optimizer.verify.inventory.site import CheckedSite
from optimizer.verify.inventory.sparing import most_ms, spent_of_answer
from optimizer.verify.inventory.worth import blocks

MOST_GPUS = 16_384
"""Of one kind: joining the sums of more takes seconds."""
MOST_OPEN = 300_000
"""Sets of numbers of GPUs in use that are looked at together."""
_UNSURE_MS = 1e-6
_SAME = 1e-4
"""Relative."""
_Kind = tuple[Hashable, int]
"""What instances cannot tell apart, and the price of a GPU in millionths where every price is stated."""


@dataclass(frozen=True, slots=True)
class _AtMultiplier:
    """The bound of no instances, and what 0, 1, … GPUs in use of each kind take off at most, ms."""

    constant: float
    tables: tuple[Floats, ...]


def spends_least(site: CheckedSite, prices: CheckedPrices, gammas: Sequence[float], answer: InventoryAnswer) -> bool:
    """Whether no set has a lower objective than what the answer calls the least, none within the tolerance spends less, and none that
    spends no more has a lower objective than the answer.

    Raises:
        OutOfTime: the budget is used up.
    """
    rooms: dict[_Kind, int] = {}
    for group in site.inventory.groups:
        key = _kind(site, group)
        rooms[key] = rooms.get(key, 0) + group.gpus
    if max(rooms.values()) > MOST_GPUS:
        return False
    each = np.array([price * (sum(rooms.values()) + 1) + 1 for _, price in rooms], dtype=np.int64)
    room = np.array(list(rooms.values()), dtype=np.int64)
    for every_size in (False, True):
        bounds: list[_AtMultiplier] = []
        rough = False
        for gamma in _apart(gammas):
            found = prices.refined(gamma, every_size=every_size)
            if found is not None:
                rough |= any(shape is None for one in found[1] for _, shape in one.pieces.values())
                bounds.append(_AtMultiplier(found[0], _worth(site, list(rooms), found[1])))
                if _all_above(site, answer, room, each, bounds):
                    return True
        if rough:
            return False  # parts of pipelines over two groups, of which nothing finer is known
    return False


def _apart(gammas: Sequence[float]) -> list[float]:
    """Those that differ by more than next to nothing."""
    found: list[float] = []
    for gamma in gammas:
        if all(abs(gamma - one) > _SAME * one for one in found):
            found.append(gamma)
    return found


def _all_above(
    site: CheckedSite, answer: InventoryAnswer, room: Ints, each: Ints, bounds: Sequence[_AtMultiplier]
) -> bool:
    """Whether a bound of every set is above what it may have: boxes of numbers in use are halved until one of the bounds decides."""
    least, objective, mine = answer.least, answer.objective, spent_of_answer(site.inventory, answer)
    assert least is not None and objective is not None
    first, last = np.zeros((1, len(room)), dtype=np.int64), room[None, :].copy()
    while len(first):
        spent = first @ each
        most = np.full(len(first), float(least.value_ms - 1))
        most[spent <= mine] = max(least.value_ms, objective.value) - 1
        most[spent < mine] = most_ms(site.inventory, answer)
        bound = np.full(len(first), -np.inf)
        for one in bounds:
            worth = sum(table[last[:, k]] for k, table in enumerate(one.tables))
            bound = np.maximum(bound, one.constant - worth * ROUNDING)
        open_boxes = np.flatnonzero(bound <= most + _UNSURE_MS)
        first, last = first[open_boxes], last[open_boxes]
        if 2 * len(first) > MOST_OPEN or (first == last).all(axis=1).any():
            return False
        # Every open box in two, across its longest side.
        rows, side = np.arange(len(first)), (last - first).argmax(axis=1)
        upper, below = first.copy(), last.copy()
        middle = (first[rows, side] + last[rows, side]) // 2
        below[rows, side], upper[rows, side] = middle, middle + 1
        first, last = np.concatenate([first, upper]), np.concatenate([below, last])
    return True


def _kind(site: CheckedSite, group: NodeGroup) -> _Kind:
    priced = None not in [one.price_per_gpu_hour for one in site.inventory.groups]
    return likeness(group), millionths(group) if priced else 0


def _worth(site: CheckedSite, kinds: Sequence[_Kind], groups: Sequence[PricedGroup]) -> tuple[Floats, ...]:
    """What 0, 1, … GPUs in use of each kind take off at most, ms."""
    tables: dict[_Kind, Floats] = {}
    known: dict[tuple[int, int, int, int], Floats] = {}
    for one in groups:
        same = id(one.pieces), id(one.spans), one.group.nodes, one.group.racks or 1
        if same not in known:
            known[same] = taken_off(one)
        key = _kind(site, one.group)
        tables[key] = together(tables[key], known[same]) if key in tables else known[same]
    return tuple(tables[kind] for kind in kinds)


def taken_off(one: PricedGroup) -> Floats:
    """What 0, 1, … GPUs in use of a group take off at most, ms."""
    node, free = one.worth.node, one.group.free_gpus
    spans = {nodes: gain for nodes, (gain, _) in one.spans.items() if gain > 0}
    found: Floats = np.zeros(1)
    for size, count in blocks(one.group).items():
        found = together(found, _times(_block(node, free, spans, size), count))
    return found


def _block(node: Floats, free: int, spans: dict[int, float], size: int) -> Floats:
    """The same of nodes that stand together: filled each for itself, or several taken whole."""
    if not spans:
        return _times(node, size)
    upto: list[Floats] = [np.zeros(1)]
    for nodes in range(1, size + 1):
        most = together(upto[nodes - 1], node)
        for q, gain in spans.items():
            if q <= nodes:
                held = upto[nodes - q] + gain
                most[q * free : q * free + len(held)] = np.maximum(most[q * free : q * free + len(held)], held)
        upto.append(np.maximum.accumulate(most))
    return upto[size]


def _times(table: Floats, count: int) -> Floats:
    """Of so many alike."""
    found: Floats = np.zeros(1)
    while count:
        if count % 2:
            found = together(found, table)
        count //= 2
        if count:
            table = together(table, table)
    return found


def together(one: Floats, other: Floats) -> Floats:
    """The most on 0, 1, … GPUs of two sets of nodes together: the largest sum of what is on some of either."""
    if len(one) > len(other):
        one, other = other, one
    most = np.full(len(one) + len(other) - 1, -np.inf)
    for gpus, gain in enumerate(one.tolist()):
        np.maximum(most[gpus : gpus + len(other)], other + gain, out=most[gpus : gpus + len(other)])
    return most
