"""A start for the question what a chain carries when some nodes hold stated layers: all others in the order that they had, around them."""

from __future__ import annotations

from optimizer.search.chain.instance import ChainInstance, Interval, Placement


def around(instance: ChainInstance, known: Placement, fixed: Placement) -> Placement:
    """The fixed intervals, and in what they leave open the other nodes, one run after the other, nodes that stood side by side together.

    Args:
        known: a placement without the fixed intervals, such as the best.
        fixed: intervals that some nodes hold.
    """
    beside: dict[Interval, list[int]] = {}
    for node, held in sorted(known.items(), key=lambda item: (item[1], item[0])):
        if node not in fixed:
            beside.setdefault(held, []).append(node)
    placement, waiting = dict(fixed), list(beside.items())
    for first, last in _open(instance.layers, fixed):
        at = first
        while at < last and waiting:
            (_, count), nodes = waiting.pop(0)
            placement.update({node: (at, min(count, last - at)) for node in nodes})
            at += count
    return placement


def _open(layers: int, fixed: Placement) -> list[Interval]:
    """(First, one past the last) of every run of layers that no fixed node holds."""
    found, at = [], 0
    for start, count in sorted(fixed.values()):
        if start > at:
            found.append((at, start))
        at = max(at, start + count)
    return [*found, (at, layers)] if at < layers else found
