"""Every candidate of an inventory, by the places where instances may stand: a group, or two groups of one rack in order.

Places that are alike in everything an instance can see (GPUs, links, free GPUs, nodes in a rack) share one kind of candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from optimizer.costs.shapes import Bools
from optimizer.facts.errors import ProblemError
from optimizer.facts.inventory import InventoryProblem, NodeGroup
from optimizer.results.answer import Fixed
from optimizer.results.rule_groups import survived_level
from optimizer.search.inventory.candidate import MICRO, InstanceCandidate, StagePart, in_one_rack, kind_key
from optimizer.search.inventory.curves import Curves
from optimizer.search.inventory.group_types import GroupType, OneGroup, Wanted
from optimizer.search.inventory.prospects import Pairing
from optimizer.search.inventory.tables import Times
from optimizer.search.inventory.two_groups import TwoGroups

__all__ = ["MICRO", "Candidates", "InstanceCandidate", "Place", "StagePart"]


@dataclass(frozen=True, slots=True)
class Place:
    """Groups, by number, on which the parts of an instance stand, and the kind of its candidates."""

    groups: tuple[int, ...]
    kind: int


_NO_MATTER = {"disabled_rules", "data_parallel"}


class KnownTables:
    """What problems share that differ in groups, demand, losses, limits, formats and rules only: kinds, and times, by what decides them.

    Args:
        keep_times: whether there will be more than one such problem.
    """

    def __init__(self, *, keep_times: bool = True) -> None:
        self.group_types: dict[tuple[object, ...], OneGroup] = {}
        self.pairings: dict[tuple[object, ...], Pairing] = {}
        self.built: dict[tuple[tuple[object, ...], bytes], TwoGroups] = {}
        """Pipelines over two groups by pairing and which of its prospects they are."""
        self.times: Times | None = {} if keep_times else None


@dataclass(frozen=True)
class Pair:
    """Two kinds of places that pipelines may stand on, the places of each, and which of its prospects are not built yet."""

    group_types: tuple[int, int]
    places: tuple[tuple[int, int], ...]
    key: tuple[object, ...]
    pairing: Pairing
    left: Bools


class Candidates:
    """``places`` has first every group alone, in order; ``kinds`` has the candidates of each kind of place.

    Pipelines over two groups are prospects until ``admit`` builds them.

    Args:
        known: kinds of problems that differ as ``KnownTables`` says; new ones are added.
        pairs: False leaves out pipelines over two groups.
    """

    def __init__(
        self,
        problem: InventoryProblem,
        fixed: Fixed | None = None,
        known: KnownTables | None = None,
        *,
        pairs: bool = True,
    ) -> None:
        if problem.serving != "joint":
            raise ProblemError(
                "serving",
                f"{problem.serving} with cluster: is taken by optimizer solve, check, deploy, report, graph, sweep and recommend; "
                "for this question state serving: joint",
            )
        self.problem = problem
        self._fixed, self._known = fixed or Fixed(), known or KnownTables(keep_times=False)
        # Losses are no matter of one instance: rules about them change no candidate.
        rules = sorted(rule for rule in problem.search.disabled_rules if survived_level(rule) is None)
        self._limits = (
            *rules,
            problem.requirements.model_dump_json(),
            problem.search.model_dump_json(exclude=_NO_MATTER),
        )
        alike: dict[tuple[object, ...], list[int]] = {}
        for index, group in enumerate(problem.groups):
            alike.setdefault(kind_key(group), []).append(index)
        self._alone: list[OneGroup] = []
        self._kind_of = [0] * len(problem.groups)
        for number, members in enumerate(alike.values()):
            together = max(problem.groups[index].nodes_together for index in members)
            self._alone.append(self._one(problem.groups[members[0]], together))
            for index in members:
                self._kind_of[index] = number
        self.group_types: list[GroupType] = [*self._alone]
        self._curves: dict[int, Curves] = {}
        self.places = [Place((index,), kind) for index, kind in enumerate(self._kind_of)]
        self._with_pairs = pairs
        self._pairs: list[Pair] | None = None

    def _one(self, group: NodeGroup, together: int) -> OneGroup:
        key = kind_key(group), together, self._limits
        found = self._known.group_types.get(key)
        if found is None:
            found = self._known.group_types[key] = OneGroup(
                self.problem, group, together, self._fixed, self._known.times
            )
        return found

    @property
    def pairs(self) -> list[Pair]:
        """Every two kinds of places that pipelines may stand on together."""
        if self._pairs is None:
            places: dict[tuple[int, int], list[tuple[int, int]]] = {}
            groups = self.problem.groups
            for first, second in permutations(range(len(groups)), 2) if self._with_pairs else ():
                if in_one_rack(groups[first], groups[second]):
                    places.setdefault((self._kind_of[first], self._kind_of[second]), []).append((first, second))
            self._pairs = [self._pair(group_types, tuple(there)) for group_types, there in places.items()]
        return self._pairs

    def _pair(self, group_types: tuple[int, int], places: tuple[tuple[int, int], ...]) -> Pair:
        first, second = (self._alone[kind] for kind in group_types)
        key = kind_key(first.group), first.together, kind_key(second.group), second.together, self._limits
        pairing = self._known.pairings.get(key)
        if pairing is None:
            pairing = self._known.pairings[key] = Pairing(self.problem, first, second, self._fixed)
        return Pair(group_types, places, key, pairing, np.ones(len(pairing.all), dtype=np.bool_))

    @property
    def all_built(self) -> bool:
        """Whether no pipeline over two groups is left that could carry more than its places do otherwise."""
        return not any(pair.left.any() for pair in self.pairs)

    def admit(self, wanted: Sequence[Bools] | None = None) -> bool:
        """Build pipelines over two groups that are left: they become candidates, behind those there are.

        Args:
            wanted: of every pair, which of its prospects; all of them where it is left out.

        Returns:
            Whether there are more candidates now.
        """
        before = len(self.group_types)
        for number, pair in enumerate(self.pairs):
            chosen = pair.left & wanted[number] if wanted is not None else pair.left.copy()
            if not chosen.any():
                continue
            pair.left[chosen] = False
            kind = self._two(pair, chosen)
            if kind.candidates:
                self.places += [Place(there, len(self.group_types)) for there in pair.places]
                self.group_types.append(kind)
        return len(self.group_types) > before

    def _two(self, pair: Pair, chosen: Bools) -> TwoGroups:
        key = pair.key, chosen.tobytes()
        found = self._known.built.get(key)
        if found is None:
            some = pair.pairing.all.part(chosen)
            found = TwoGroups(self.problem, pair.pairing, some, self._fixed, self._known.times)
            self._known.built[key] = found
        return found

    @property
    def considered(self) -> int:
        """Shapes that were looked at."""
        pairings = () if self._pairs is None else (pair.pairing for pair in self._pairs)
        return sum(kind.considered for kind in self._alone) + sum(pairing.considered for pairing in pairings)

    def of_place(self, index: int) -> tuple[InstanceCandidate, ...]:
        """Candidates on the place's kind of node; some may need more nodes together than its groups have."""
        return self.group_types[self.places[index].kind].candidates

    def widen(self, wanted: Wanted | None = None) -> None:
        """Add the candidates that others beat, behind those there are: all that are wanted (``GroupType.widen``)."""
        for kind in self.group_types:
            kind.widen(wanted)

    def again(self, problem: InventoryProblem) -> Candidates:
        """The same candidates for a problem that differs in failure rates or demand only: no candidate depends on them."""
        other = copy(self)
        other.problem = problem
        other._pairs = self.pairs
        return other

    def curves(self, kind: int) -> Curves:
        """Mean times of the candidates of a kind, sampled where bounds needed them so far."""
        if kind not in self._curves:
            self._curves[kind] = Curves(self.group_types[kind])
        return self._curves[kind]
