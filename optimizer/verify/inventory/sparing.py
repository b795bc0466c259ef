"""Within ``objective.tolerance`` of the least objective: the least spent, and of what spends as little the least objective. Section 5.

Other home: ``search/inventory/sparing.py``; docs/inventories.md, section 5.
"""

from __future__ import annotations

import math

from optimizer.facts.inventory import InventoryProblem
from optimizer.results.inventory import InventoryAnswer
from optimizer.verify.common.arithmetic import exact
from optimizer.verify.common.ledger import CheckLedger
from optimizer.verify.inventory.candidates import CheckedInstance
from optimizer.verify.inventory.price_tier import price_of, price_of_answer


def most_ms(inventory: InventoryProblem, answer: InventoryAnswer) -> int:
    """Whole milliseconds that a set of instances may have which spends less than the one with the least objective."""
    least = answer.least.value_ms if answer.least else 0
    return math.floor(least * (1 + exact(float(inventory.objective.tolerance or 0))))


def spends(inventory: InventoryProblem, candidate: CheckedInstance) -> int:
    """What one instance spends: its price where every GPU has one, then its GPUs."""
    return _spent(inventory, price_of(inventory, candidate) if _priced(inventory) else 0, candidate.gpus)


def spent_of_answer(inventory: InventoryProblem, answer: InventoryAnswer) -> int:
    """What the instances of an answer spend."""
    return _spent(inventory, price_of_answer(inventory, answer) if _priced(inventory) else 0, answer.gpus_used)


def _spent(inventory: InventoryProblem, millionths: int, gpus: int) -> int:
    return millionths * (sum(group.nodes * group.free_gpus for group in inventory.groups) + 1) + gpus


def _priced(inventory: InventoryProblem) -> bool:
    return None not in [group.price_per_gpu_hour for group in inventory.groups]


def check_least(ledger: CheckLedger, inventory: InventoryProblem, answer: InventoryAnswer) -> None:
    """The answer is within the tolerance of what it calls the least, and spends no more than that."""
    least, objective = answer.least, answer.objective
    if least is None or objective is None:
        return
    within = most_ms(inventory, answer)
    ledger.that("objective within the tolerance", objective.value <= within, f"at most {within} ms", objective.value)
    ledger.that("least.value_ms", least.value_ms <= objective.value, f"at most {objective.value}", least.value_ms)
    if _priced(inventory) and least.price_per_hour is not None and answer.price_per_hour is not None:
        less = answer.price_per_hour <= least.price_per_hour + 1e-9
        ledger.that("price_per_hour", less, f"at most {least.price_per_hour}", answer.price_per_hour)
    elif not _priced(inventory):
        ledger.that("gpus_used", answer.gpus_used < least.gpus_used, f"below {least.gpus_used}", answer.gpus_used)
