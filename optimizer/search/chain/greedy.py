"""First placements: nodes one after the other, each with as many layers as it carries a total for, in a fixed order or along links."""

from __future__ import annotations

from collections.abc import Callable

from optimizer.search.chain.flow import route
from optimizer.search.chain.instance import ChainInstance, Placement

ROUNDS = 40


def first_placement(instance: ChainInstance) -> Placement:
    """The best line of single nodes, partition by partition, found by bisection on the total; empty when there is none."""
    low, high = 0, max(max(table) for table in instance.rate)
    best: Placement = {}
    best_value = 0
    for _ in range(ROUNDS):
        if low >= high:
            break
        total = (low + high + 1) // 2
        placement = _line(instance, total)
        if placement is None:
            high = total - 1
            continue
        low = total
        value = route(instance, placement).value
        if value > best_value:
            best, best_value = placement, value
    return best


def _line(instance: ChainInstance, total: int) -> Placement | None:
    """Every node in turn, or None when they do not hold all layers at this total."""
    placement: Placement = {}
    start = 0
    for node in sorted(
        range(len(instance.node_type)), key=lambda n: (instance.node_partition[n], instance.node_type[n], n)
    ):
        held = min(_alone(instance, node, total), instance.layers - start)
        if held > 0:
            placement[node] = (start, held)
            start += held
    return placement if start == instance.layers else None


def lines_along_links(instance: ChainInstance, expired: Callable[[], bool]) -> Placement:
    """Lines of single nodes side by side, each along links that carry what it carries: the best first, then of the nodes left.

    Where few pairs are joined, or badly, the order of nodes is what a line stands or falls with.
    """
    free = set(range(len(instance.node_type)))
    placement: Placement = {}
    while free and not expired():
        line = _best_walk(instance, free, expired)
        if not line:
            break
        placement.update(line)
        free -= line.keys()
    return placement


def _best_walk(instance: ChainInstance, free: set[int], expired: Callable[[], bool]) -> Placement:
    """The line with the highest total, by bisection over the rates and capacities at which a line can change."""
    totals = {rate for node in free for rate in instance.rate[instance.node_type[node]]}
    totals |= {instance.link[a][b] for a in free for b in free if a != b}
    totals |= {end[node] for node in free for end in (instance.source, instance.sink)}
    steps = sorted(totals - {0})
    best: Placement = {}
    low, high = 0, len(steps)
    while low < high and not expired():
        middle = (low + high) // 2
        found = _walk(instance, steps[middle], free)
        if found:
            best, low = found, middle + 1
        else:
            high = middle
    return best


def _walk(instance: ChainInstance, total: int, free: set[int]) -> Placement:
    """Nodes one after the other over links of at least a total; from each the one with the fewest ways on (Warnsdorff's rule)."""
    holds = {node: _alone(instance, node, total) for node in sorted(free)}
    holds = {node: layers for node, layers in holds.items() if layers}
    if sum(holds.values()) < instance.layers:
        return {}
    after = {a: [b for b in holds if a != b and instance.link[a][b] >= total] for a in holds}
    for start in holds:
        if instance.source[start] < total:
            continue
        placement: Placement = {}
        at: int | None = start
        begun = 0
        while at is not None:
            layers = min(holds[at], instance.layers - begun)
            placement[at] = (begun, layers)
            begun += layers
            if begun == instance.layers:
                if instance.sink[at] >= total:
                    return placement
                break
            ways = [b for b in after[at] if b not in placement]
            at = min(ways, key=lambda b: (sum(c not in placement for c in after[b]), b), default=None)
    return {}


def _alone(instance: ChainInstance, node: int, total: int) -> int:
    """The most layers with which a node carries a total by itself."""
    table = instance.rate[instance.node_type[node]]
    return max((number + 1 for number, rate in enumerate(table) if rate >= total), default=0)
