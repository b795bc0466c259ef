"""A plan: how many instances of which offer on which place. Families, placements and losses are said in its terms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from optimizer.search.inventory.offers import Offer, Offers, Part


@dataclass(frozen=True, slots=True)
class Entry:
    """So many instances of an offer (its position among those of the place's kind) on a place."""

    place: int
    offer: int
    count: int


@dataclass(frozen=True)
class Plan:
    """Entries in order of place and offer, counts above 0."""

    entries: tuple[Entry, ...]

    @cached_property
    def key(self) -> tuple[tuple[int, int, int], ...]:
        """What tells plans apart."""
        return tuple((e.place, e.offer, e.count) for e in self.entries)

    def families(self, offers: Offers) -> tuple[tuple[int, int], ...]:
        """(kind, offer) of each family, in order."""
        return tuple(sorted({(offers.places[e.place].kind, e.offer) for e in self.entries}))

    def family_counts(self, offers: Offers) -> tuple[int, ...]:
        """Instances of each family."""
        totals = dict.fromkeys(self.families(offers), 0)
        for e in self.entries:
            totals[(offers.places[e.place].kind, e.offer)] += e.count
        return tuple(totals.values())

    def gpus(self, offers: Offers) -> int:
        """GPUs used."""
        return sum(offer_of(offers, e).gpus * e.count for e in self.entries)


def offer_of(offers: Offers, entry: Entry) -> Offer:
    """The offer of an entry."""
    return offers.of_place(entry.place)[entry.offer]


def parts_of(offers: Offers, entry: Entry) -> Iterator[tuple[int, Part]]:
    """(group, part) of an entry's instances, first stages first."""
    return zip(offers.places[entry.place].groups, offer_of(offers, entry).parts, strict=True)


@dataclass(frozen=True, slots=True)
class Stand:
    """One instance: the entry it belongs to, its nodes (group, index in the group) and the GPUs it has on each."""

    entry: int
    nodes: tuple[tuple[int, int], ...]
    gpus: tuple[tuple[int, ...], ...]
