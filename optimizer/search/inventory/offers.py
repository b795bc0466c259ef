"""Every offer of an inventory, by the places where instances may stand: a group, or two groups of one rack in order.

Places that are alike in everything an instance can see (GPUs, links, free GPUs, nodes in a rack) share one kind of offers.
"""

from __future__ import annotations

from dataclasses import dataclass

from optimizer.facts.inventory import FleetProblem, NodeGroup
from optimizer.results.answer import Fixed
from optimizer.search.inventory.curves import Curves
from optimizer.search.inventory.kinds import Kind, OneGroup, TwoGroups
from optimizer.search.inventory.offer import MICRO, Offer, Part, in_one_rack, kind_key
from optimizer.search.inventory.tables import Times

__all__ = ["MICRO", "Offer", "Offers", "Part", "Place"]


@dataclass(frozen=True, slots=True)
class Place:
    """Groups, by number, on which the parts of an instance stand, and the kind of its offers."""

    groups: tuple[int, ...]
    kind: int


_NO_MATTER = {"disabled_rules", "data_parallel"}


class Known:
    """What problems share that differ in groups, demand, losses, limits, formats and rules only: kinds, and times, by what decides them.

    Args:
        keep_times: whether there will be more than one such problem.
    """

    def __init__(self, *, keep_times: bool = True) -> None:
        self.kinds: dict[tuple[object, ...], Kind] = {}
        self.times: Times | None = {} if keep_times else None


class Offers:
    """``places`` has first every group alone, in order; ``kinds`` has the offers of each kind of place.

    Args:
        known: kinds of problems that differ as ``Known`` says; new ones are added.
        pairs: False leaves out pipelines over two groups.
    """

    def __init__(
        self, problem: FleetProblem, fixed: Fixed | None = None, known: Known | None = None, *, pairs: bool = True
    ) -> None:
        self.problem = problem
        self._fixed, self._known = fixed or Fixed(), known or Known(keep_times=False)
        # Losses are no matter of one instance: rules about them change no offer.
        rules = sorted(rule for rule in problem.search.disabled_rules if not rule.startswith("survive_"))
        self._limits = (
            *rules,
            problem.requirements.model_dump_json(),
            problem.search.model_dump_json(exclude=_NO_MATTER),
        )
        alike: dict[tuple[object, ...], list[int]] = {}
        for index, group in enumerate(problem.groups):
            alike.setdefault(kind_key(group), []).append(index)
        alone: list[OneGroup] = []
        kind_of = [0] * len(problem.groups)
        for number, members in enumerate(alike.values()):
            together = max(problem.groups[index].nodes_together for index in members)
            alone.append(self._one(problem.groups[members[0]], together))
            for index in members:
                kind_of[index] = number
        self.kinds: list[Kind] = [*alone]
        self._curves: dict[int, Curves] = {}
        self.places = [Place((index,), kind) for index, kind in enumerate(kind_of)]
        if pairs:
            self._pair(alone, kind_of)

    def _one(self, group: NodeGroup, together: int) -> OneGroup:
        key = kind_key(group), together, self._limits
        found = self._known.kinds.get(key)
        if not isinstance(found, OneGroup):
            found = OneGroup(self.problem, group, together, self._fixed, self._known.times)
            self._known.kinds[key] = found
        return found

    def _two(self, first: OneGroup, second: OneGroup) -> TwoGroups:
        key = kind_key(first.group), first.together, kind_key(second.group), second.together, self._limits
        found = self._known.kinds.get(key)
        if not isinstance(found, TwoGroups):
            found = TwoGroups(self.problem, first, second, self._fixed, self._known.times)
            self._known.kinds[key] = found
        return found

    def _pair(self, alone: list[OneGroup], kind_of: list[int]) -> None:
        """Places over two groups, where any pipeline over them is worth considering."""
        groups = self.problem.groups
        number_of: dict[tuple[int, int], int] = {}
        for first, one in enumerate(groups):
            for second, other in enumerate(groups):
                if first == second or not in_one_rack(one, other):
                    continue
                pair = kind_of[first], kind_of[second]
                if pair not in number_of:
                    number_of[pair] = len(self.kinds)
                    self.kinds.append(self._two(alone[pair[0]], alone[pair[1]]))
                if self.kinds[number_of[pair]].offers:
                    self.places.append(Place((first, second), number_of[pair]))

    def of_place(self, index: int) -> tuple[Offer, ...]:
        """Offers on the place's kind of node; some may need more nodes together than its groups have."""
        return self.kinds[self.places[index].kind].offers

    def again(self, problem: FleetProblem) -> Offers:
        """The same offers for a problem that differs in failure rates or demand only: no offer depends on them."""
        other = object.__new__(Offers)
        other.problem, other.kinds, other.places, other._curves = problem, self.kinds, self.places, self._curves
        other._fixed, other._known, other._limits = self._fixed, self._known, self._limits
        return other

    def curves(self, kind: int) -> Curves:
        """Mean times of the offers of a kind, sampled where bounds needed them so far."""
        if kind not in self._curves:
            self._curves[kind] = Curves(self.kinds[kind])
        return self._curves[kind]
