"""The probability that one instance is up: every part that it touches is. ``docs/inventories.md``, section 5."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from optimizer.facts.inventory import SPOT, InventoryProblem, NodeGroup
from optimizer.verify.common.arithmetic import exact
from optimizer.verify.inventory.instance import Instance
from optimizer.verify.inventory.site import CheckedSite


def parts_touched(site: CheckedSite, groups: Sequence[NodeGroup], instance: Instance) -> dict[str, int]:
    """Level → parts of it that an instance with its segments on these groups touches, each part counted once."""
    racks = {group.rack_of(0) for group in groups} - {None}
    found = {"gpu": instance.gpus, "node": sum(instance.nodes), "rack": len(racks)}
    for group, nodes in zip(groups, instance.nodes, strict=True):
        if group.interruptions_per_hour:
            found[f"{SPOT} {group.name}"] = nodes
    for level, _ in dict.fromkeys(part for group in groups for part in site.wide(group)):
        found[level] = found.get(level, 0) + 1
    return found


def availability_of(
    inventory: InventoryProblem, site: CheckedSite, groups: Sequence[NodeGroup], instance: Instance
) -> Fraction:
    """A(τ): every part that the instance touches is up."""
    up = Fraction(1)
    repair = exact(inventory.failures.repair_hours.value)
    for level, count in parts_touched(site, groups, instance).items():
        rate = inventory.mtbf(level)
        if rate is not None:
            up *= (exact(rate.value) / (exact(rate.value) + repair)) ** count
    return up


def everything_up(site: CheckedSite) -> Fraction:
    """The probability that every part of the whole inventory is up, used or not."""
    up = Fraction(1)
    repair = exact(site.inventory.failures.repair_hours.value)
    for level in site.inventory.failing_levels():
        rate = site.inventory.mtbf(level)
        if rate is not None:
            up *= (exact(rate.value) / (exact(rate.value) + repair)) ** site.count(level)
    return up
