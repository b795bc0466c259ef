"""Every offer of an inventory, by the places where instances may stand: a group, or two groups of one rack in order.

Places that are alike in everything an instance can see (GPUs, links, free GPUs, nodes in a rack) share one kind of offers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from optimizer.answer import Fixed
from optimizer.facts.inventory import FleetProblem
from optimizer.search.fleet.curves import Curves
from optimizer.search.fleet.kinds import Kind, OneGroup, TwoGroups
from optimizer.search.fleet.offer import MICRO, Offer, Part, in_one_rack, kind_key

__all__ = ["MICRO", "Offer", "Offers", "Part", "Place"]


@dataclass(frozen=True, slots=True)
class Place:
    """Groups, by number, on which the parts of an instance stand, and the kind of its offers."""

    groups: tuple[int, ...]
    kind: int


class Offers:
    """``places`` has first every group alone, in order; ``kinds`` has the offers of each kind of place."""

    def __init__(self, problem: FleetProblem, fixed: Fixed | None = None) -> None:
        self.problem = problem
        fixed = fixed or Fixed()
        alike: dict[tuple[object, ...], list[int]] = {}
        for index, group in enumerate(problem.groups):
            alike.setdefault(kind_key(group), []).append(index)
        alone: list[OneGroup] = []
        kind_of = [0] * len(problem.groups)
        for number, members in enumerate(alike.values()):
            together = max(problem.groups[index].nodes_together for index in members)
            alone.append(OneGroup(problem, problem.groups[members[0]], number, together, fixed))
            for index in members:
                kind_of[index] = number
        self.kinds: list[Kind] = [*alone]
        self._curves: dict[int, Curves] = {}
        self.places = [Place((index,), kind) for index, kind in enumerate(kind_of)]
        self._pair(alone, kind_of, fixed)

    def _pair(self, alone: list[OneGroup], kind_of: list[int], fixed: Fixed) -> None:
        """Places over two groups, where any pipeline over them is worth considering."""
        groups = self.problem.groups
        known: dict[tuple[int, int], int] = {}
        for first, one in enumerate(groups):
            for second, other in enumerate(groups):
                if first == second or not in_one_rack(one, other):
                    continue
                pair = kind_of[first], kind_of[second]
                if pair not in known:
                    known[pair] = len(self.kinds)
                    self.kinds.append(TwoGroups(self.problem, alone[pair[0]], alone[pair[1]], known[pair], fixed))
                if self.kinds[known[pair]].offers:
                    self.places.append(Place((first, second), known[pair]))

    @cached_property
    def all(self) -> tuple[Offer, ...]:
        """Offers of all kinds."""
        return tuple(offer for kind in self.kinds for offer in kind.offers)

    def of_place(self, index: int) -> tuple[Offer, ...]:
        """Offers on the place's kind of node; some may need more nodes together than its groups have."""
        return self.kinds[self.places[index].kind].offers

    def again(self, problem: FleetProblem) -> Offers:
        """The same offers for a problem that differs in failure rates or demand only: no offer depends on them."""
        other = object.__new__(Offers)
        other.problem, other.kinds, other.places, other._curves = problem, self.kinds, self.places, self._curves
        return other

    def curves(self, kind: int) -> Curves:
        """Mean times of the offers of a kind, sampled where bounds needed them so far."""
        if kind not in self._curves:
            self._curves[kind] = Curves(self.kinds[kind])
        return self._curves[kind]
