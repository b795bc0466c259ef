"""What the stated losses ask of every choice of instances, as linear conditions: all that survive meet them, and others may."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations

import numpy as np

from optimizer.verify.common.arithmetic import exact
from optimizer.verify.common.float_times import Floats
from optimizer.verify.inventory.claims import needed_after_losses
from optimizer.verify.inventory.losses import after_restarts
from optimizer.verify.inventory.site import CheckedSite
from optimizer.verify.inventory.stock import Stock

MOST_CONDITIONS = 12
MOST_COMBINATIONS = 2_000


def capacity_needed(site: CheckedSite) -> float:
    """Requests/s that any choice must carry: the demand, and what even the mildest losses leave to be needed."""
    inventory = site.inventory
    needed = float(exact(inventory.workload.requests_per_s))
    for level, losses in levels_survived(site):
        domains = site.count(level)
        covered = level in ("gpu", "node") or all(
            group.rack_of(0) is not None if level == "rack" else any(there == level for there, _ in site.wide(group))
            for group in inventory.groups
        )
        if covered:  # each instance touches a domain, so that the worst losses take at least their part of all
            kept = 1 - losses / domains
            needed = max(needed, float(needed_after_losses(inventory)) / kept if kept > 0 else math.inf)
    return needed


def left_over(site: CheckedSite, stock: Stock) -> list[Floats]:
    """For losses of whole groups: which candidates (1 or 0, a column each) may be left; these have to carry what is needed then.

    The hardest conditions, by the GPUs that are left. Candidates of a supply of which any group is left may stand there.
    """
    found: dict[tuple[bool, ...], int] = {}
    supplies = [set(supply) for supply in stock.supplies]
    for level, losses in levels_survived(site):
        domains = _domains(site, level)
        for number, lost in enumerate(combinations(domains, min(losses, len(domains)))):
            if number >= MOST_COMBINATIONS:
                break
            gone = set().union(*lost)
            hit = [supply <= gone for supply in supplies]
            left = (stock.uses[hit] == 0).all(axis=0).tolist()
            if not all(left):
                found[tuple(left)] = sum(room for room, out in zip(stock.room, hit, strict=True) if not out)
    hardest = sorted(found, key=lambda left: found[left])[:MOST_CONDITIONS]
    return [np.array(left, dtype=np.float64) for left in hardest]


def levels_survived(site: CheckedSite) -> Iterator[tuple[str, int]]:
    """(level, losses) that any choice must survive without restarts."""
    for losses in site.inventory.survive:
        off = f"survive_{losses.level}" in site.inventory.search.disabled_rules
        if not off and not after_restarts(site, losses.level):
            yield losses.level, losses.count


def _domains(site: CheckedSite, level: str) -> list[set[int]]:
    """Groups, by number, in each domain of a level that is made of whole groups."""
    groups = site.inventory.groups
    if level in ("gpu", "node"):
        return []
    if level == "rack":
        names = {group.rack for group in groups if group.rack is not None and not group.racks}
        return [
            {n for n, group in enumerate(groups) if not group.racks and group.rack == name} for name in sorted(names)
        ]
    members = site.inventory.wide_domains(level).values()
    return [{n for n, group in enumerate(groups) if group.name in names} for names in members]
