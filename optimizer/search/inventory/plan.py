"""A plan: how many instances of which candidate on which place. Families, placements and losses are said in its terms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from optimizer.search.inventory.candidates import Candidates, InstanceCandidate, StagePart


@dataclass(frozen=True, slots=True)
class Entry:
    """So many instances of a candidate (its position among those of the place's kind) on a place."""

    place: int
    candidate: int
    count: int


@dataclass(frozen=True)
class Plan:
    """Entries in order of place and candidate, counts above 0."""

    entries: tuple[Entry, ...]

    @cached_property
    def key(self) -> tuple[tuple[int, int, int], ...]:
        """What tells plans apart."""
        return tuple((e.place, e.candidate, e.count) for e in self.entries)

    def families(self, candidates: Candidates) -> tuple[tuple[int, int], ...]:
        """(kind, candidate) of each family, in order."""
        return tuple(sorted({(candidates.places[e.place].kind, e.candidate) for e in self.entries}))

    def family_counts(self, candidates: Candidates) -> tuple[int, ...]:
        """Instances of each family."""
        totals = dict.fromkeys(self.families(candidates), 0)
        for e in self.entries:
            totals[(candidates.places[e.place].kind, e.candidate)] += e.count
        return tuple(totals.values())

    def gpus(self, candidates: Candidates) -> int:
        """GPUs used."""
        return sum(candidate_of(candidates, e).gpus * e.count for e in self.entries)


def candidate_of(candidates: Candidates, entry: Entry) -> InstanceCandidate:
    """The candidate of an entry."""
    return candidates.of_place(entry.place)[entry.candidate]


def parts_of(candidates: Candidates, entry: Entry) -> Iterator[tuple[int, StagePart]]:
    """(group, part) of an entry's instances, first stages first."""
    return zip(candidates.places[entry.place].groups, candidate_of(candidates, entry).parts, strict=True)


@dataclass(frozen=True, slots=True)
class Stand:
    """One instance: the entry it belongs to, its nodes (group, index in the group) and the GPUs it has on each."""

    entry: int
    nodes: tuple[tuple[int, int], ...]
    gpus: tuple[tuple[int, ...], ...]
