"""What the parts of the model over counts know of it: its items, the terms of a bound, and how it is asked for sums and literals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from optimizer.facts.inventory import InventoryProblem
from optimizer.search.inventory.candidate import InstanceCandidate, StagePart
from optimizer.search.inventory.candidates import Candidates
from optimizer.search.uniform.quantities import ObjectiveWeights


@dataclass(frozen=True, slots=True)
class Item:
    """A candidate on a place, its count variable and its availability A."""

    place: int
    groups: tuple[int, ...]
    position: int
    candidate: InstanceCandidate
    count: Any
    most: int
    availability: float
    up: tuple[float, ...]
    """In each class of failure states (``down_counts``), the probability that it is the one and an instance is up."""

    @property
    def parts(self) -> Iterator[tuple[int, StagePart]]:
        """(group, part) of an instance."""
        return zip(self.groups, self.candidate.parts, strict=True)


@dataclass(frozen=True, slots=True)
class Terms:
    """The bound of a multiplier γ (ms per further request/s), item by item: ns that each instance takes off, ns that having any adds."""

    gamma_ms: float
    """While everything is up."""
    rest_ms: float
    """In every other state: there a request that is not served costs at least as much."""
    mean_ms: float
    """The mean of the two over the states, below which the bound only takes off."""
    earned_ns: tuple[int, ...]
    extra_ns: tuple[int, ...]
    by_class_ns: tuple[tuple[int, ...], ...]
    """``earned_ns`` in each class of failure states; empty where there are no classes."""


class CountsModel(Protocol):
    """The model over counts, as those see it that add rules and bounds to it (``master.Master``).

    Sums of counts, capacities and the demand are in millionths of a request/s, ``theta`` in ns.
    """

    problem: InventoryProblem
    candidates: Candidates
    weights: ObjectiveWeights
    model: Any
    items: list[Item]
    theta: Any
    capacity: Any
    demand: int

    def total(self, expression: Any) -> Any:
        """A variable that is equal to a sum of counts."""

    def at_least(self, number: int, value: int) -> Any:
        """A literal: at least so many instances of an item."""
