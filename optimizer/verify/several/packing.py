"""Whether choices of several models find room on equal nodes together, by going through the ways to stand.

Other home: ``search/several/model.py``; docs/several.md, section 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from optimizer.facts.hardware import HardwareFacts
from optimizer.verify.common.failures import straddles
from optimizer.verify.common.groups import Row


@dataclass(frozen=True, slots=True, order=True)
class TakenNodes:
    """GPUs that a model takes on each of its nodes, the fullest first: all that another model can notice of it."""

    taken: tuple[int, ...]


def stands_alone(hardware: HardwareFacts, row: Row) -> bool:
    """Whether a row takes its nodes whole; ``hardware`` has as many nodes as it stands on.

    It does where an instance has GPUs on two nodes, and where TP groups have to lie inside parts of a node that NVLink joins
    and other groups could break these parts up: all sizes are powers of two, or the groups are single GPUs, else.
    """
    if straddles(hardware, row.shape.instance_gpus, row.instances):
        return True
    part, node = hardware.nvlink_domain_gpus, hardware.gpus_per_node
    if hardware.nvlink_gb_per_s <= 0 or part >= node or row.shape.group.tensor == 1:
        return False
    return not all(_power_of_two(number) for number in (part, node, row.shape.group.tensor))


def _power_of_two(number: int) -> bool:
    return number >= 1 and bin(number).count("1") == 1


def place_of(hardware: HardwareFacts, row: Row) -> TakenNodes:
    """Where a row stands on all the nodes of ``hardware``, spread evenly."""
    nodes = hardware.nodes
    if stands_alone(hardware, row):
        return TakenNodes((hardware.gpus_per_node,) * nodes)
    held = [len(range(first, row.instances, nodes)) * row.shape.instance_gpus for first in range(nodes)]
    return TakenNodes(tuple(sorted(held, reverse=True)))


class RoomOnNodes:
    """Remembers which sets of places find room on so many equal nodes."""

    def __init__(self, nodes: int, gpus_per_node: int) -> None:
        self._empty = (gpus_per_node,) * nodes
        self._known: dict[tuple[tuple[int, ...], tuple[TakenNodes, ...]], bool] = {}

    def fits(self, places: Sequence[TakenNodes]) -> bool:
        """Whether all find room together."""
        ordered = tuple(sorted(places, key=lambda one: (-one.taken[0], -sum(one.taken), one.taken)))
        return self._fits(self._empty, ordered)

    def _fits(self, free: tuple[int, ...], places: tuple[TakenNodes, ...]) -> bool:
        if not places:
            return True
        if sum(sum(one.taken) for one in places) > sum(free):
            return False
        key = free, places
        if key not in self._known:
            left = {tuple(sorted(one)) for one in _standing(list(free), list(places[0].taken))}
            self._known[key] = any(self._fits(one, places[1:]) for one in sorted(left))
        return self._known[key]


def _standing(free: list[int], taken: list[int]) -> Iterator[list[int]]:
    """What is free on every node after each way to put the amounts on different nodes; nodes with as much free are alike."""

    def put(at: int, left: list[int], used: frozenset[int]) -> Iterator[list[int]]:
        if at == len(taken):
            yield left
            return
        tried: set[int] = set()
        for node, room in enumerate(free):
            if node in used or room in tried or room < taken[at]:
                continue
            tried.add(room)
            after = list(left)
            after[node] -= taken[at]
            yield from put(at + 1, after, used | {node})

    yield from put(0, list(free), frozenset())
