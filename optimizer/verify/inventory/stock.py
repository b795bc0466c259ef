"""What the enumeration chooses from: pools of GPUs that are interchangeable, and all offers on one pool or on two."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from optimizer.results.answer import Fixed
from optimizer.verify.common.twin_times import Ints
from optimizer.verify.inventory.across import offers_across
from optimizer.verify.inventory.budget import Budget
from optimizer.verify.inventory.instance import Instances, likeness
from optimizer.verify.inventory.offers import LeftOut, Offer, offers_of
from optimizer.verify.inventory.site import Site

MOST_POOLS = 12
"""Kinds of groups whose shapes are computed."""
MOST_ACROSS = 2000
"""Pipelines over two groups whose times are kept: about 50 MB."""


class SpaceTooLarge(Exception):
    """More kinds of groups, or more pipelines over two of them, than are computed for an enumeration."""


@dataclass(frozen=True, slots=True)
class Stock:
    """Offers on one pool first, then those on two. Groups of an offer are the first ones of their pools."""

    pools: tuple[tuple[int, ...], ...]
    """Numbers of the groups of each pool."""
    room: tuple[int, ...]
    """GPUs of each pool."""
    offers: tuple[Offer, ...]
    within: int
    """Offers on one pool."""
    uses: Ints
    """GPUs of one instance: a line for each pool, a column for each offer."""

    @property
    def pool_of_group(self) -> dict[int, tuple[int, ...]]:
        """First group of a pool → all its groups."""
        return {pool[0]: pool for pool in self.pools}


def stock_of(
    site: Site,
    instances: Instances,
    fixed: Fixed,
    budget: Budget | None = None,
    left_out: LeftOut = frozenset(),
) -> Stock:
    """Everything there is to choose from, less what is left out.

    Raises:
        SpaceTooLarge: more than is computed.
        OutOfTime: the budget is used up.
    """
    pools = interchangeable(site)
    if len(pools) > MOST_POOLS:
        raise SpaceTooLarge
    within = offers_of(site, instances, fixed, left_out)
    across = offers_across(site, instances, within, fixed, budget)
    if across:
        pools = _told_apart(pools, across)
        if len(pools) > MOST_POOLS:
            raise SpaceTooLarge
    number = {group: k for k, pool in enumerate(pools) for group in pool}
    one = [offer for pool in pools for offer in within[pool[0]]]
    two: dict[Hashable, Offer] = {}
    for offer in across:
        groups = tuple(pools[number[group]][0] for group in offer.groups)
        two.setdefault((groups, id(offer.instance)), replace(offer, groups=groups))
    if len(two) > MOST_ACROSS:
        raise SpaceTooLarge
    offers = (*one, *two.values())
    uses = np.zeros((len(pools), len(offers)), dtype=np.int64)
    for column, offer in enumerate(offers):
        for group, gpus in zip(offer.groups, offer.instance.gpus_of_segments, strict=True):
            uses[number[group], column] += gpus
    room = tuple(sum(site.fleet.groups[group].gpus for group in pool) for pool in pools)
    return Stock(tuple(pools), room, offers, len(one), uses)


def interchangeable(site: Site) -> list[tuple[int, ...]]:
    """Groups, by number, on which an instance costs the same and stands equally well together."""
    found: dict[Hashable, list[int]] = {}
    for number, group in enumerate(site.fleet.groups):
        wide = tuple(sorted(level for level, _ in site.wide(group)))
        key = likeness(group), group.nodes_together, group.rack_of(0) is None, wide
        found.setdefault(key, []).append(number)
    return [tuple(members) for members in found.values()]


def _told_apart(pools: Sequence[tuple[int, ...]], across: Sequence[Offer]) -> list[tuple[int, ...]]:
    """Pools again, single groups where an instance over two pools would be up more often on some of their groups.

    Which groups pair at all is decided where a choice is stood on the nodes.
    """
    number = {group: k for k, pool in enumerate(pools) for group in pool}
    seen: dict[Hashable, float] = {}
    apart: set[int] = set()
    for offer in across:
        both = tuple(number[group] for group in offer.groups)
        if seen.setdefault((both, id(offer.instance)), offer.availability) != offer.availability:
            apart.update(both)
    return [part for k, pool in enumerate(pools) for part in (((group,) for group in pool) if k in apart else (pool,))]
