"""What nodes are worth, where every GPU in use counts some milliseconds more: no set within the tolerance uses fewer GPUs.

Let μ be such a weight, S the GPUs of the answer and B(μ) a bound of every set with it. A set of at most S − 1 GPUs within the
tolerance, of t ms, has at most t + μ · (S − 1) with that weight, and one of at most S GPUs that is better than the answer's v less
than v + μ · S: where B(μ) is above either, there is none. For any μ; a few are tried. ``docs/inventories.md``, sections 5 and 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from optimizer.results.answer import Fixed
from optimizer.results.inventory import InventoryAnswer
from optimizer.verify.inventory.budget import Budget
from optimizer.verify.inventory.float_times import TimeCurves
from optimizer.verify.inventory.instance import Instances
from optimizer.verify.inventory.prices import CheckedPrices, multipliers
from optimizer.verify.inventory.site import CheckedSite
from optimizer.verify.inventory.sparing import most_ms
from optimizer.verify.inventory.value import InstanceFamily

_TIMES = (1.0, 2.0, 4.0)
"""Of the least weight that can prove anything."""


def spared_by_price(
    site: CheckedSite,
    instances: Instances,
    curves: TimeCurves,
    fixed: Fixed,
    budget: Budget,
    families: Sequence[InstanceFamily],
    answer: InventoryAnswer,
) -> Literal["all", "least", "nothing"]:
    """``least``: nothing has a lower objective than what the answer calls the least; ``all``: nor spends less within the tolerance.

    Raises:
        OutOfTime: the budget is used up.
    """
    inventory, objective, least = site.inventory, answer.objective, answer.least
    assert objective is not None and least is not None
    gammas = multipliers(families)
    if not CheckedPrices(site, instances, curves, fixed, budget).proves(gammas, least.value_ms - 1):
        return "nothing"
    if len({group.price_per_gpu_hour for group in inventory.groups}) > 1:
        return "least"  # GPUs of different prices have no one weight
    within, used = most_ms(inventory, answer), answer.gpus_used
    for times in _TIMES:
        weight = times * (within - objective.value + 1)
        own = inventory.objective.gpu_ms or 0.0
        dearer = inventory.objective.model_copy(update={"gpu_ms": own + weight})
        there = CheckedSite(inventory.model_copy(update={"objective": dearer}))
        prices = CheckedPrices(there, instances, curves, fixed, budget)
        fewer, better = within + weight * (used - 1), objective.value - 1 + weight * used
        if prices.proves(gammas, max(fewer, better)):
            return "all"
    return "least"
