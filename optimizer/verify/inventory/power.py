"""Watts of groups, from the GPUs that a placement uses of each: in use, or held by others, at board power, all others idle. Section 4.

Other home: ``search/inventory/power_rules.py``; docs/inventories.md, section 4.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from optimizer.facts.inventory import InventoryProblem, NodeGroup
from optimizer.results.placement import Placement
from optimizer.verify.common.arithmetic import exact
from optimizer.verify.common.float_times import Floats
from optimizer.verify.inventory.site import CheckedSite
from optimizer.verify.inventory.stock import Stock

Figures = tuple[Fraction, Fraction]
"""The limit and what is drawn, W."""
SAFETY_W = 1e-6


def power_figures(inventory: InventoryProblem, placement: Placement | None) -> dict[str, Figures]:
    """Limit and watts of every rule on power: of several limits of one rule those with the least room."""
    group_of = {group.node_name(node): group for group in inventory.groups for node in range(group.nodes)}
    places = [place for one in (placement.instances if placement else ()) for place in one.gpus]
    of_node = Counter(place.node for place in places)
    used = Counter(group_of[place.node].name for place in places)
    found: dict[str, Figures] = {}

    def add(rule: str, limit: Fraction, drawn: Fraction) -> None:
        if rule not in found or limit - drawn < found[rule][0] - found[rule][1]:
            found[rule] = limit, drawn

    for group in inventory.groups:
        if group.node_power_limit_watts is not None:
            # Judged as if instances filled one node after the other, which is never less than where they stand.
            fullest = min(used[group.name], group.free_gpus)
            most = max([fullest, *(of_node[group.node_name(node)] for node in range(group.nodes))])
            add("power_node", exact(group.node_power_limit_watts), _watts(group, 1, most))
    by_name = {group.name: group for group in inventory.groups}
    for limit in inventory.power_limits:
        groups = [by_name[name] for name in limit.groups if name in by_name]
        add(
            f"power_{limit.level}",
            exact(limit.watts),
            sum((_watts(group, group.nodes, used[group.name]) for group in groups), Fraction(0)),
        )
    return found


def _watts(group: NodeGroup, nodes: int, used: int) -> Fraction:
    """Watts of so many nodes of a group with so many of their GPUs in use."""
    built_in, free = nodes * group.gpus_per_node, nodes * (group.free_gpus + group.idle_gpus)
    working = built_in - free + used
    of_gpus = working * exact(group.gpu.tdp_watts or 0) + (built_in - working) * exact(group.gpu.idle_watts or 0)
    return of_gpus + nodes * exact(group.host_watts)


def power_lines(site: CheckedSite, stock: Stock) -> Iterator[tuple[Floats, float]]:
    """(watts that one instance of each candidate adds, watts there are beside what is always drawn) of every limit that is on."""
    inventory = site.inventory
    by_name = {group.name: group for group in inventory.groups}
    for limit in inventory.power_limits:
        if f"power_{limit.level}" in inventory.search.disabled_rules:
            continue
        groups = [by_name[name] for name in limit.groups if name in by_name]
        always = sum((_watts(group, group.nodes, 0) for group in groups), Fraction(0))
        line: Floats = np.zeros(stock.uses.shape[1])
        for number, supply in enumerate(stock.supplies):
            # Groups of one supply are under the same limits and have the same GPUs.
            first = inventory.groups[supply[0]]
            if first.name in limit.groups:
                line = line + stock.uses[number] * float(_watts(first, 1, 1) - _watts(first, 1, 0))
        yield line, float(exact(limit.watts) - always) + SAFETY_W
