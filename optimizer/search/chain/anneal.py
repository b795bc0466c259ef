"""Simulated annealing on named nodes, judged by exact maximum flow, for as long as there is time: links that all differ.

Where every link has a capacity of its own no two nodes are alike, and methods that count alike nodes have nothing to count.
Rounds start from the best placement so far, each with a temperature that falls from a share of its value to next to nothing;
a round that finds nothing better starts hotter the next time (Kirkpatrick, Gelatt and Vecchi, Science 220, 1983). The moves
are those of the local search, and one more: all that begins or ends at a boundary is moved along with it by a layer or two,
which no single interval can do where neighbours have to meet. Deterministic but for the deadline: a seeded generator.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from optimizer.search.chain.flow import route
from optimizer.search.chain.improve import moved
from optimizer.search.chain.instance import ChainInstance, Placement

_ROUND = 4_000
"""Moves of a round."""
_WARM, _HOT, _COLD = 0.01, 0.08, 0.0005
"""Temperatures as shares of the value: where the first round begins, the hottest begins, and each ends."""
_HOTTER = 1.6
_FURTHEST = 2


def anneal(
    instance: ChainInstance,
    start: Placement,
    expired: Callable[[], bool],
    found: Callable[[Placement], object],
) -> None:
    """Look for better placements until the search has expired; each is told to ``found``."""
    chance = random.Random(2)
    best, best_value = dict(start), route(instance, start).value
    warm = _WARM
    while start and not expired():
        current, value, better = dict(best), best_value, False
        for step in range(_ROUND):
            if expired():
                return
            temperature = max(1.0, best_value * warm * (_COLD / warm) ** (step / _ROUND))
            changed = (
                _shifted(instance, current, chance) if chance.random() < 0.25 else moved(instance, current, chance)
            )
            if changed is None:
                continue
            there = route(instance, changed).value
            if there >= value or chance.random() < math.exp((there - value) / temperature):
                current, value = changed, there
            if value > best_value:
                best, best_value, better = dict(current), value, True
                found(best)
        warm = _WARM if better else min(_HOT, warm * _HOTTER)


def _shifted(instance: ChainInstance, current: Placement, chance: random.Random) -> Placement | None:
    """A copy with one boundary, and all that begins or ends there, moved by a layer or two; None where a node cannot follow."""
    inner = sorted({start for start, _ in current.values()} - {0})
    if not inner:
        return None
    at, by = chance.choice(inner), chance.choice([step for step in range(-_FURTHEST, _FURTHEST + 1) if step])
    changed = dict(current)
    for node, (start, count) in current.items():
        end = start + count
        first, last = start + by if start == at else start, end + by if end == at else end
        if (first, last) == (start, end):
            continue
        if not 0 <= first < last <= instance.layers or last - first > len(instance.rate[instance.node_type[node]]):
            return None
        changed[node] = first, last - first
    return changed
