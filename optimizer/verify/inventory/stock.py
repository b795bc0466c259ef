"""What the enumeration chooses from: supplies of GPUs that are interchangeable, and all candidates on one supply or on two."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from optimizer.results.answer import Fixed
from optimizer.verify.common.float_times import Ints
from optimizer.verify.inventory.across import candidates_across
from optimizer.verify.inventory.budget import Budget
from optimizer.verify.inventory.candidates import CheckedInstance, candidates_of
from optimizer.verify.inventory.instance import Instances, likeness
from optimizer.verify.inventory.left_out import NOTHING, LeftOut
from optimizer.verify.inventory.site import CheckedSite

MOST_SUPPLIES = 12
"""Kinds of groups whose shapes are computed."""
MOST_ACROSS = 2000
"""Pipelines over two groups whose times are kept: about 50 MB."""


class SpaceTooLarge(Exception):
    """More kinds of groups, or more pipelines over two of them, than are computed for an enumeration."""


@dataclass(frozen=True, slots=True)
class Stock:
    """Candidates on one supply first, then those on two. Groups of a candidate are the first ones of their supplies."""

    supplies: tuple[tuple[int, ...], ...]
    """Numbers of the groups of each supply."""
    room: tuple[int, ...]
    """GPUs of each supply."""
    candidates: tuple[CheckedInstance, ...]
    within: int
    """Candidates on one supply."""
    uses: Ints
    """GPUs of one instance: a line for each supply, a column for each candidate."""

    @property
    def pool_of_group(self) -> dict[int, tuple[int, ...]]:
        """First group of a supply → all its groups."""
        return {supply[0]: supply for supply in self.supplies}


def stock_of(
    site: CheckedSite,
    instances: Instances,
    fixed: Fixed,
    budget: Budget | None = None,
    left_out: LeftOut = NOTHING,
) -> Stock:
    """Everything there is to choose from, less what is left out.

    Raises:
        SpaceTooLarge: more than is computed.
        OutOfTime: the budget is used up.
    """
    supplies = interchangeable(site)
    if len(supplies) > MOST_SUPPLIES:
        raise SpaceTooLarge
    within = candidates_of(site, instances, fixed, left_out, budget)
    across = candidates_across(site, instances, within, fixed, budget, left_out)
    if across:
        supplies = _told_apart(supplies, across)
        if len(supplies) > MOST_SUPPLIES:
            raise SpaceTooLarge
    number = {group: k for k, supply in enumerate(supplies) for group in supply}
    one = [
        candidate
        for supply in supplies
        for candidate in within[supply[0]]
        if (likeness(site.inventory.groups[supply[0]]), candidate.instance.shape) not in left_out.after
    ]
    two: dict[Hashable, CheckedInstance] = {}
    for candidate in across:
        groups = tuple(supplies[number[group]][0] for group in candidate.groups)
        two.setdefault((groups, id(candidate.instance)), replace(candidate, groups=groups))
    if len(two) > MOST_ACROSS:
        raise SpaceTooLarge
    candidates = (*one, *two.values())
    uses = np.zeros((len(supplies), len(candidates)), dtype=np.int64)
    for column, candidate in enumerate(candidates):
        for group, gpus in zip(candidate.groups, candidate.instance.gpus_of_segments, strict=True):
            uses[number[group], column] += gpus
    room = tuple(sum(site.inventory.groups[group].gpus for group in supply) for supply in supplies)
    return Stock(tuple(supplies), room, candidates, len(one), uses)


def interchangeable(site: CheckedSite) -> list[tuple[int, ...]]:
    """Groups, by number, on which an instance costs the same and stands equally well together."""
    found: dict[Hashable, list[int]] = {}
    for number, group in enumerate(site.inventory.groups):
        wide = tuple(sorted(level for level, _ in site.wide(group)))
        # Where the price comes first, GPUs of another price are other GPUs.
        first = site.inventory.objective.preset == "cheapest" or site.inventory.objective.tolerance
        price = group.price_per_gpu_hour if first else None
        fed = tuple(limit.field for limit in site.inventory.power_limits if group.name in limit.groups)
        taken = group.interruptions_per_hour
        key = likeness(group), taken, group.nodes_together, group.rack_of(0) is None, wide, price, fed
        found.setdefault(key, []).append(number)
    return [tuple(members) for members in found.values()]


def _told_apart(supplies: Sequence[tuple[int, ...]], across: Sequence[CheckedInstance]) -> list[tuple[int, ...]]:
    """Pools again, single groups where an instance over two supplies would be up more often on some of their groups.

    Which groups pair at all is decided where a choice is stood on the nodes.
    """
    number = {group: k for k, supply in enumerate(supplies) for group in supply}
    seen: dict[Hashable, float] = {}
    apart: set[int] = set()
    for candidate in across:
        both = tuple(number[group] for group in candidate.groups)
        if seen.setdefault((both, id(candidate.instance)), candidate.availability) != candidate.availability:
            apart.update(both)
    return [
        part
        for k, supply in enumerate(supplies)
        for part in (((group,) for group in supply) if k in apart else (supply,))
    ]
