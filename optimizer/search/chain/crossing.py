"""What slow links cost: a second exclusion test for a total, after the one by cross-sections (``bound``).

Take a layer whose whole total F passes one node. Where the next such layer is on another node and their link carries less
than F, the layers between are a run in which every cross-section has two nodes or more. Under the rule ``exact`` such a run
begins and ends at one boundary each, so its nodes hold no more layers than it has. Nodes joined by links of at least F form
sites; the layers with one node lie in sites that hold only so many, and each change of site costs one run. With the weights
of the cross-section test, a run of m layers costs at least m times the cheapest cover of F by two or more nodes of at most m
layers each; the sum over all layers must not exceed the weights of the nodes there are.
"""

from __future__ import annotations

from bisect import bisect_left
from fractions import Fraction
from heapq import heappop, heappush
from math import lcm

from optimizer.search.chain.instance import ChainInstance

Shape = tuple[int, int]
"""Cost of one layer of a node, or of several, and what they carry."""


def crossing_cost(instance: ChainInstance, total: int, weights: tuple[int, ...]) -> Fraction | None:
    """The least weight that any placement of this total needs; None where the links make no difference.

    Args:
        total: thousandths of a token/s.
        weights: of a node of each type, not negative.
    """
    if instance.limited or instance.contained:
        return None
    alone = [_longest(table, total) for table in instance.rate]
    kinds = [kind for kind, most in enumerate(alone) if most and instance.counts[kind]]
    held = sorted(
        (sum(alone[instance.node_type[node]] for node in site) for site in sites(instance, total)), reverse=True
    )
    held = [layers for layers in held if layers]
    if not kinds or held[0] >= instance.layers:
        return None
    single = min(Fraction(weights[kind], alone[kind]) for kind in kinds)
    longest = max(len(table) for table in instance.rate)
    # With the longest nodes several are cheapest, per layer: where that is no dearer than one, links change nothing.
    per_layer = _by_several(instance, total, weights, longest)
    if per_layer is None or per_layer <= single:
        return None
    runs = [(layers, _by_several(instance, total, weights, layers)) for layers in range(1, longest)]
    extra = min(layers * (cost - single) for layers, cost in [*runs, (longest, per_layer)] if cost is not None)
    least = instance.layers * per_layer
    room = 0
    for changes, layers in enumerate(held):
        room = min(instance.layers, room + layers)
        shared = instance.layers - room
        least = min(least, room * single + max(shared * per_layer, shared * single + changes * extra))
    return least


def sites(instance: ChainInstance, total: int) -> list[list[int]]:
    """Nodes gathered so that links of at least the total, either way, lie inside a site."""
    left = set(range(len(instance.node_type)))
    found = []
    while left:
        site, reached = [], [left.pop()]
        while reached:
            node = reached.pop()
            site.append(node)
            near = [b for b in left if max(instance.link[node][b], instance.link[b][node]) >= total]
            left.difference_update(near)
            reached += near
        found.append(site)
    return found


def _longest(table: tuple[int, ...], total: int) -> int:
    """The most layers with which a node carries a total by itself."""
    return max((number + 1 for number, rate in enumerate(table) if rate >= total), default=0)


def _by_several(instance: ChainInstance, total: int, weights: tuple[int, ...], most: int) -> Fraction | None:
    """The cheapest cross-section of two or more nodes that hold at most so many layers each; None where there is none."""
    scale = lcm(*range(1, most + 1))
    stated = [
        (weights[kind] * scale // (number + 1), min(rate, total))
        for kind, table in enumerate(instance.rate)
        if instance.counts[kind]
        for number, rate in enumerate(table[:most])
        if rate > 0
    ]
    if not stated:
        return None
    shapes: list[Shape] = []
    for cost, carries in sorted(stated, key=lambda shape: (shape[0], -shape[1])):
        if not shapes or carries > shapes[-1][1]:
            shapes.append((cost, carries))
    steps = _cheapest(shapes, total)
    reach = [carried for _, carried in steps]
    return Fraction(
        min(cost + steps[bisect_left(reach, max(1, total - carries))][0] for cost, carries in shapes), scale
    )


def _cheapest(shapes: list[Shape], total: int) -> list[Shape]:
    """(cost, carried) of the cheapest covers, both rising, up to the first that carries the total."""
    heap: list[Shape] = [(0, 0)]
    steps: list[Shape] = []
    furthest = -1
    while heap:
        cost, negative = heappop(heap)
        carried = -negative
        if carried <= furthest:
            continue
        furthest = carried
        if carried:
            steps.append((cost, carried))
        if carried >= total:
            break
        for price, carries in shapes:
            heappush(heap, (cost + price, -min(total, carried + carries)))
    return steps
