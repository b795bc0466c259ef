"""Which of the nodes of a type takes which interval, where links differ: a lane says only how many of a type hold what.

Two nodes of one type trade places, or one in use with an idle one; a trade is kept when the exact maximum flow does not fall.
Only trades that can matter are tried: nodes that carry nothing more than their links let them are the ends of links in a
minimum cut, and a trade touches at least one of them.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable

from optimizer.search.chain.flow import route
from optimizer.search.chain.instance import ChainInstance, Placement

_PATIENCE = 250
"""Trades without a better flow after which the assignment is left as it is."""


def named(instance: ChainInstance, placement: Placement, enough: int, expired: Callable[[], bool]) -> Placement:
    """The placement with nodes of each type traded for more flow, until it carries ``enough`` (thousandths of a token/s)."""
    chance = random.Random(3)
    alike: dict[int, list[int]] = defaultdict(list)
    for node, kind in enumerate(instance.node_type):
        alike[kind].append(node)
    current, routed = dict(placement), route(instance, placement)
    best, best_value, since = dict(current), routed.value, 0
    while best_value < enough and since < _PATIENCE and not expired():
        since += 1
        tight = _tight(instance, current, routed.flows)
        if not tight:
            break
        node = chance.choice(tight)
        other = chance.choice(alike[instance.node_type[node]])
        if current.get(other) == current[node]:
            continue
        changed = dict(current)
        here, there = current[node], current.get(other)
        changed[other] = here
        if there is None:
            del changed[node]
        else:
            changed[node] = there
        further = route(instance, changed)
        if further.value >= routed.value:
            current, routed = changed, further
        if routed.value > best_value:
            best, best_value, since = dict(current), routed.value, 0
    return best


def _tight(instance: ChainInstance, placement: Placement, flows: dict[tuple[int, int], int]) -> list[int]:
    """Nodes at the ends of links that are full, each once, in a fixed order."""
    found: dict[int, None] = {}
    for (a, b), flow in flows.items():
        if a >= 0 and b >= 0 and flow >= instance.link[a][b]:
            found[a] = found[b] = None
    return [node for node in found if node in placement]
