"""What preset ``cheapest`` puts before the objective: the price of an hour, in millionths of the currency.

The price of one GPU-hour of each group is rounded up to whole millionths. Other home: ``optimizer/search/inventory/master.py``.
"""

from __future__ import annotations

import math

from optimizer.facts.inventory import InventoryProblem, NodeGroup
from optimizer.results.inventory import InventoryAnswer
from optimizer.verify.common.arithmetic import exact
from optimizer.verify.inventory.candidates import CheckedInstance

TIERS = ("fewest-gpus", "cheapest", "throughput")
"""Presets that put something before the objective."""


def price_of(inventory: InventoryProblem, candidate: CheckedInstance) -> int:
    """Millionths an hour of one instance."""
    parts = zip(candidate.groups, candidate.instance.gpus_of_segments, strict=True)
    return sum(millionths(inventory.groups[group]) * gpus for group, gpus in parts)


def price_of_answer(inventory: InventoryProblem, answer: InventoryAnswer) -> int:
    """Millionths an hour of every GPU that an answer's placement uses; its nodes are those of the groups."""
    group_of = {group.node_name(node): group for group in inventory.groups for node in range(group.nodes)}
    instances = answer.placement.instances if answer.placement else ()
    return sum(millionths(group_of[place.node]) for one in instances for place in one.gpus)


def millionths(group: NodeGroup) -> int:
    """Of one GPU of a group."""
    return math.ceil(exact(group.price_per_gpu_hour or 0) * 10**6)
