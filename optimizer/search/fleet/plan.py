"""A plan: how many instances of which offer on which group. Families, placements and losses are said in its terms."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from optimizer.search.fleet.offers import Offer, Offers


@dataclass(frozen=True, slots=True)
class Entry:
    """So many instances of an offer (its position among those of the group's kind) on a group."""

    group: int
    offer: int
    count: int


@dataclass(frozen=True)
class Plan:
    """Entries in order of group and offer, counts above 0."""

    entries: tuple[Entry, ...]

    @cached_property
    def key(self) -> tuple[tuple[int, int, int], ...]:
        """What tells plans apart."""
        return tuple((e.group, e.offer, e.count) for e in self.entries)

    def families(self, offers: Offers) -> tuple[tuple[int, int], ...]:
        """(kind, offer) of each family, in order."""
        return tuple(sorted({(offers.kind_of_group[e.group], e.offer) for e in self.entries}))

    def family_counts(self, offers: Offers) -> tuple[int, ...]:
        """Instances of each family."""
        totals = dict.fromkeys(self.families(offers), 0)
        for e in self.entries:
            totals[(offers.kind_of_group[e.group], e.offer)] += e.count
        return tuple(totals.values())

    def gpus(self, offers: Offers) -> int:
        """GPUs used."""
        return sum(offer_of(offers, e).gpus * e.count for e in self.entries)


def offer_of(offers: Offers, entry: Entry) -> Offer:
    """The offer of an entry."""
    return offers.of_group(entry.group)[entry.offer]


@dataclass(frozen=True, slots=True)
class Stand:
    """One instance: the entry it belongs to, its nodes (index in the group) and the GPUs it has on each."""

    entry: int
    nodes: tuple[int, ...]
    gpus: tuple[tuple[int, ...], ...]
