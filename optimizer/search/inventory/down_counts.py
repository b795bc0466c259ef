"""Classes of failure states by the wide parts that are down: none, one of some, or anything else. ``docs/inventories.md``, section 6.

Wide parts are racks, zones and stated domains. In a class the same multiplier bounds every state; classes may have different ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from optimizer.facts.inventory import InventoryProblem, NodeGroup
from optimizer.search.inventory.candidate import InstanceCandidate
from optimizer.search.uniform.quantities import ObjectiveWeights

MOST_EVENTS = 8
LEAST_MS = 0.2
"""Losses that could cost no more than this in the mean have no class of their own."""
SINGLE_MS = 20.0
"""Where losing a GPU or its node costs more in the mean, classes are worthwhile without wide parts too."""


@dataclass(frozen=True, slots=True)
class Event:
    """One of some equal parts is down, and no other wide part.

    Args:
        groups: those that stand on the parts: on each of several parts equally many of their nodes.
        parts: racks of one group, else 1.
        probability: of the event.
    """

    groups: frozenset[int]
    parts: int
    probability: float


@dataclass(frozen=True, slots=True)
class DownCounts:
    """The classes: no wide part down, each event, anything else."""

    none: float
    events: tuple[Event, ...]
    worthwhile: bool
    """Whether what is lost in them may cost enough to be looked at class by class."""

    @property
    def probabilities(self) -> tuple[float, ...]:
        """Of each class."""
        first = (self.none, *(event.probability for event in self.events))
        return (*first, max(0.0, 1 - sum(first)))

    def up(self, groups: Sequence[int], inner: float, always: float) -> tuple[float, ...]:
        """For each class, the probability that it is the one and an instance is up.

        Args:
            groups: on which the instance stands.
            inner: the probability that its GPUs and nodes are up.
            always: A, that all it touches is up.
        """
        found = [self.none * inner]
        for event in self.events:
            spared = 1 - 1 / event.parts if event.groups & set(groups) else 1.0
            found.append(event.probability * inner * spared)
        return (*found, max(0.0, always - sum(found)))


def down_counts_of(problem: InventoryProblem) -> DownCounts:
    """The classes of an inventory: events for what costs most when it is down."""
    failures, groups = problem.failures, problem.groups
    parts: list[tuple[frozenset[int], int, float]] = []
    rack = failures.unavailability("rack")
    for name in sorted({group.rack for group in groups if group.rack is not None}):
        parts.append((frozenset(n for n, group in enumerate(groups) if group.rack == name), 1, rack))
    parts += [(frozenset({number}), group.racks, rack) for number, group in enumerate(groups) if group.racks]
    for level in problem.levels():
        if level not in ("gpu", "node", "rack"):
            for members in problem.wide_domains(level).values():
                touched = frozenset(n for n, group in enumerate(groups) if group.name in members)
                parts.append((touched, 1, failures.unavailability(level)))
    none = math.prod((1 - u) ** many for _, many, u in parts)
    events = [Event(touched, many, many * u / (1 - u) * none) for touched, many, u in parts]
    w = ObjectiveWeights.of(problem.objective)
    worth = [event for event in events if event.probability * w.unserved * w.penalty_ms > LEAST_MS]
    worth.sort(key=lambda event: -event.probability)
    node = failures.unavailability("gpu") + max(node_unavailability(problem, group) for group in groups)
    single = node * w.unserved * w.penalty_ms > SINGLE_MS
    return DownCounts(none, tuple(worth[:MOST_EVENTS]), bool(worth) or single)


def node_unavailability(problem: InventoryProblem, group: NodeGroup) -> float:
    """Share of time that a node of a group is down, or taken away."""
    failures = problem.failures
    kept = 1 - failures.unavailability("node")
    if group.interruptions_per_hour:
        kept /= 1 + group.interruptions_per_hour * failures.repair_hours.value
    return 1 - kept


def inner_availability(problem: InventoryProblem, groups: Sequence[int], candidate: InstanceCandidate) -> float:
    """The probability that the GPUs and nodes of an instance on these groups are up."""
    up = (1 - problem.failures.unavailability("gpu")) ** candidate.gpus
    for index, part in zip(groups, candidate.parts, strict=True):
        up *= (1 - node_unavailability(problem, problem.groups[index])) ** part.nodes
    return up


def availability(problem: InventoryProblem, groups: Sequence[int], candidate: InstanceCandidate) -> float:
    """A(τ) on a place: every part of the inventory that the instance touches is up."""
    failures, there = problem.failures, [problem.groups[index] for index in groups]
    up = inner_availability(problem, groups, candidate)
    if there[0].rack or there[0].racks:
        # Both groups of a pipeline over two are in one rack.
        up *= 1 - failures.unavailability("rack")
    for level in problem.levels():
        if level not in ("gpu", "node", "rack"):
            domains = problem.wide_domains(level).values()
            touched = sum(any(group.name in members for group in there) for members in domains)
            up *= (1 - failures.unavailability(level)) ** touched
    return up


def all_up(problem: InventoryProblem) -> float:
    """The probability that every part of the inventory is up: no more than that of the parts in use."""
    failures = problem.failures
    up = 1.0
    for level in problem.levels():
        if level == "gpu":
            parts = problem.gpus
        elif level == "node":
            for group in problem.groups:
                up *= (1 - node_unavailability(problem, group)) ** group.nodes
            continue
        elif level == "rack":
            parts = sum(group.racks for group in problem.groups)
            parts += len({group.rack for group in problem.groups if group.rack is not None})
        else:
            parts = len(problem.wide_domains(level))
        up *= (1 - failures.unavailability(level)) ** parts
    return up
