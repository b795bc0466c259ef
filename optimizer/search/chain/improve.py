"""Local search on a placement with named nodes, judged by exact maximum flow: for links that no group describes.

Moves: two nodes trade intervals, a node takes another interval at a place where others begin or end, an idle node is put
to work. A move is kept when the flow does not fall, so plateaus are crossed. Deterministic: a seeded generator and a
number of moves, cut short only by the deadline.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from optimizer.search.chain.flow import route
from optimizer.search.chain.instance import ChainInstance, Interval, Placement

MOVES = 30_000
PATIENCE = 8_000
"""Moves without a better flow after which the search ends."""


def improve(
    instance: ChainInstance,
    start: Placement,
    expired: Callable[[], bool],
    seen: Callable[[int], None],
    kept: Placement | None = None,
) -> Placement:
    """The best placement met on the way from a start; nodes that are ``kept`` hold their intervals throughout."""
    chance = random.Random(1)
    current = dict(start)
    value = route(instance, current).value
    best, best_value, since = dict(current), value, 0
    for _ in range(MOVES):
        if expired() or since > PATIENCE:
            break
        since += 1
        changed = moved(instance, current, chance)
        if changed is None or any(changed.get(node) != held for node, held in (kept or {}).items()):
            continue
        there = route(instance, changed).value
        if there >= value:
            current, value = changed, there
        if value > best_value:
            best, best_value, since = dict(current), value, 0
            seen(best_value)
    return best


def moved(instance: ChainInstance, current: Placement, chance: random.Random) -> Placement | None:
    """A copy of the placement after one random move, or None when the move is no change."""
    node = chance.randrange(len(instance.node_type))
    changed = dict(current)
    if chance.random() < 0.4:
        other = chance.randrange(len(instance.node_type))
        if other == node:
            return None
        here, there = current.get(node), current.get(other)
        if here == there:
            return None
        for who, held in ((node, there), (other, here)):
            if held is None:
                changed.pop(who, None)
            else:
                changed[who] = _fitted(instance, who, held)
        return changed
    most = len(instance.rate[instance.node_type[node]])
    points = sorted({0, instance.layers, *(s for s, _ in current.values()), *(s + n for s, n in current.values())})
    start = chance.choice(points[:-1])
    later = [point for point in points if start < point <= start + most]
    count = (chance.choice(later) - start) if later and chance.random() < 0.8 else chance.randint(1, most)
    held = _fitted(instance, node, (start, count))
    if current.get(node) == held:
        return None
    changed[node] = held
    return changed


def _fitted(instance: ChainInstance, node: int, held: Interval) -> Interval:
    """An interval cut to what the node can hold and the model has."""
    start, count = held
    return start, min(count, len(instance.rate[instance.node_type[node]]), instance.layers - start)
