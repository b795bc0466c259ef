"""A first placement within milliseconds: nodes one after the other, each with as many layers as it carries a total for."""

from __future__ import annotations

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
        table = instance.rate[instance.node_type[node]]
        most = max((number + 1 for number, rate in enumerate(table) if rate >= total), default=0)
        held = min(most, instance.layers - start)
        if held > 0:
            placement[node] = (start, held)
            start += held
    return placement if start == instance.layers else None
