"""How the engine instances of a placement divide over nodes, and which ports they may use there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from optimizer.results.placement import PlacedInstance, Placement


@dataclass(frozen=True, slots=True)
class LaunchPart:
    """What one node gives to an instance: GPU indices in rank order, the first of them at rank ``first``."""

    node: str
    indices: tuple[int, ...]
    first: int


@dataclass(frozen=True, slots=True)
class Launch:
    """An instance with its parts; ``slot`` numbers the instances that meet on any of its nodes, for ports."""

    instance: PlacedInstance
    parts: tuple[LaunchPart, ...]
    slot: int

    @property
    def head(self) -> str:
        """The node that serves requests."""
        return self.parts[0].node

    @property
    def replica_gpus(self) -> int:
        """GPUs of one data-parallel rank: TP x PP."""
        return self.instance.strategy.tensor_parallel * self.instance.strategy.pipeline_parallel

    @property
    def even(self) -> bool:
        """Whether every node gives the same number of GPUs, and that divides a replica or holds whole ones."""
        sizes = {len(part.indices) for part in self.parts}
        if len(sizes) > 1:
            return False
        size = sizes.pop()
        return self.replica_gpus % size == 0 or size % self.replica_gpus == 0

    @property
    def whole_replicas(self) -> bool:
        """Whether every node holds whole replicas."""
        return all(len(part.indices) % self.replica_gpus == 0 for part in self.parts)


def parts_of(instance: PlacedInstance) -> tuple[LaunchPart, ...]:
    """The parts of an instance, in rank order.

    Raises:
        ValueError: ranks of one node are not next to each other, which no launcher can express.
    """
    found: list[tuple[str, list[int], int]] = []
    for rank, place in enumerate(instance.gpus):
        if not found or found[-1][0] != place.node:
            found.append((place.node, [], rank))
        found[-1][1].append(place.index)
    if len({node for node, _, _ in found}) != len(found):
        raise ValueError(f"ranks of {instance.name} alternate between nodes")
    return tuple(LaunchPart(node, tuple(indices), first) for node, indices, first in found)


def launches(placement: Placement) -> tuple[Launch, ...]:
    """Every instance with its parts and the smallest slot that no instance on the same nodes has."""
    taken: dict[str, set[int]] = {}
    result = []
    for instance in placement.instances:
        parts = parts_of(instance)
        used = set().union(*(taken.get(part.node, set()) for part in parts))
        slot = next(number for number in range(len(used) + 1) if number not in used)
        for part in parts:
            taken.setdefault(part.node, set()).add(slot)
        result.append(Launch(instance, parts, slot))
    return tuple(result)


def instances_hit(placement: Placement, losses: Sequence[tuple[Sequence[frozenset[str]], int]], gpus: int) -> int:
    """Most instances that stated losses, each for itself, can take away.

    Args:
        losses: per level (nodes of each of its domains, how many domains may be lost at once).
        gpus: single GPUs that may be lost at once.
    """
    from itertools import combinations

    worst = min(gpus, len(placement.instances))
    nodes = [frozenset(instance.nodes) for instance in placement.instances]
    for domains, count in losses:
        hit = [frozenset(i for i, own in enumerate(nodes) if own & domain) for domain in domains]
        hit = sorted((one for one in hit if one), key=len, reverse=True)
        for chosen in combinations(hit[:COMPARED_DOMAINS], min(count, len(hit))):
            worst = max(worst, len(frozenset().union(*chosen)))
    return worst


COMPARED_DOMAINS = 200
"""Domains with the most instances that are compared, in pairs at most where two may be lost."""
