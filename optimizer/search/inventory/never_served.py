"""The share of requests that no plan serves: those that come while every node of the inventory is down.

docs/pareto.md, "What is proved, ``cluster:``".
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection
from itertools import product
from typing import TYPE_CHECKING

from optimizer.search.inventory.down_counts import node_unavailability

if TYPE_CHECKING:
    from optimizer.facts.inventory import InventoryProblem

MOST_WIDE = 10
"""Zones and stated domains whose failures are told apart; of more, none are counted, and the share is only lower."""


def never_served(problem: InventoryProblem) -> float:
    """The probability that every node is down by itself, with its rack, or with a zone or stated domain: a lower bound.

    A plan's nodes are some of the inventory's, so that they are all down at least as often.
    """
    failures = problem.failures
    wide = [
        (failures.unavailability(level), members)
        for level in problem.levels()
        if level not in ("gpu", "node", "rack")
        for members in problem.wide_domains(level).values()
    ]
    fallible = [(share, members) for share, members in wide if share > 0]
    if len(fallible) > MOST_WIDE:
        fallible = []
    total = 0.0
    for states in product((False, True), repeat=len(fallible)):
        weight = math.prod(u if down else 1 - u for (u, _), down in zip(fallible, states, strict=True))
        lost = {name for (_, members), down in zip(fallible, states, strict=True) if down for name in members}
        total += weight * _all_down(problem, lost)
    return total


def _all_down(problem: InventoryProblem, lost: Collection[str]) -> float:
    """The probability that every node of the groups that are not lost is down, by itself or with its rack."""
    rack_down = problem.failures.unavailability("rack")
    alone, racks = 1.0, defaultdict[str, float](lambda: 1.0)
    for group in problem.groups:
        if group.name in lost:
            continue
        node_down = node_unavailability(problem, group)
        for node in range(group.nodes):
            rack = group.rack_of(node)
            if rack is None:
                alone *= node_down
            else:
                racks[rack] *= node_down
    return alone * math.prod(rack_down + (1 - rack_down) * nodes for nodes in racks.values())
