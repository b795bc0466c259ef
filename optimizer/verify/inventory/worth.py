"""What nodes that stand together are worth at most: each filled for itself, or several taken whole by one instance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from optimizer.facts.inventory import NodeGroup
from optimizer.verify.common.float_times import Floats

_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class NodeWorth:
    """Of one group. ``node``: the most on 0, 1, … free GPUs of a node. ``whole``: the most on 0, 1, … nodes that stand together."""

    node: Floats
    whole: Floats
    blocks: Mapping[int, int]
    """Sizes of the sets of nodes over which an instance may spread, and how many of each there are."""

    @property
    def total(self) -> float:
        """The most that the whole group is worth."""
        return sum(count * float(self.whole[size]) for size, count in self.blocks.items())

    def given_up(self, nodes: int, each: int) -> float:
        """The least that a set of nodes loses when so many of its nodes give so many GPUs each away; infinite where none has them."""
        left = nodes * float(self.node[len(self.node) - 1 - each])
        lost = (float(self.whole[size] - self.whole[size - nodes]) for size in self.blocks if size >= nodes)
        return min(lost, default=np.inf) - left


def worth(group: NodeGroup, pieces: Mapping[int, float], spans: Mapping[int, float]) -> NodeWorth:
    """What a group is worth.

    Args:
        pieces: GPUs of a node → the most that what stands on so many of them is worth.
        spans: nodes → the most that an instance is worth which takes so many of them whole.
    """
    node, sizes = filled(pieces, group.free_gpus), blocks(group)
    return NodeWorth(node, joined(float(node[-1]), spans, max(sizes)), sizes)


def blocks(group: NodeGroup) -> dict[int, int]:
    """Sets of nodes over which one instance may spread: size → how many."""
    racks, most = group.racks or 1, group.nodes_together
    full, rest = divmod(group.nodes_per_rack, most)
    return {size: racks * count for size, count in ((most, full), (rest, 1 if rest else 0)) if count}


def filled(pieces: Mapping[int, float], free: int) -> Floats:
    """The most that parts take off on 0 … ``free`` GPUs of a node, whatever NVLink domains they stand in."""
    most = np.zeros(free + 1)
    for gpus in range(1, free + 1):
        most[gpus] = max([most[gpus - 1], *(most[gpus - s] + gain for s, gain in pieces.items() if s <= gpus)])
    return most


def joined(node: float, spans: Mapping[int, float], nodes: int) -> Floats:
    """The most on 0 … ``nodes`` nodes that are worth ``node`` each, or are taken whole by what spans several."""
    most = np.zeros(nodes + 1)
    for count in range(1, nodes + 1):
        most[count] = max([most[count - 1] + node, *(most[count - q] + g for q, g in spans.items() if q <= count)])
    return most


def rests_on(found: NodeWorth, pieces: Mapping[int, float], spans: Mapping[int, float]) -> tuple[set[int], set[int]]:
    """(pieces by their GPUs, spans by their nodes) that some best filling of the group uses."""
    used_pieces, used_spans = set[int](), set[int]()
    node, alone = found.node, False
    open_counts, seen = set(found.blocks), set[int]()
    while open_counts:
        count = open_counts.pop()
        seen.add(count)
        if count == 0:
            continue
        if _equal(found.whole[count - 1] + node[-1], found.whole[count]):
            alone = True
            open_counts |= {count - 1} - seen
        for q, gain in spans.items():
            if q <= count and _equal(found.whole[count - q] + gain, found.whole[count]):
                used_spans.add(q)
                open_counts |= {count - q} - seen
    open_gpus = {len(node) - 1} if alone else set[int]()
    done: set[int] = set()
    while open_gpus:
        gpus = open_gpus.pop()
        done.add(gpus)
        if gpus and node[gpus - 1] == node[gpus]:
            open_gpus |= {gpus - 1} - done
        for size, gain in pieces.items():
            if size <= gpus and _equal(node[gpus - size] + gain, node[gpus]):
                used_pieces.add(size)
                open_gpus |= {gpus - size} - done
    return used_pieces, used_spans


def _equal(one: float, other: float) -> bool:
    return abs(one - other) <= _SAME * max(1.0, abs(other))
