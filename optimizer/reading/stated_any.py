"""A problem file that states a given problem on equal nodes or an inventory, for callers that have no file."""

from __future__ import annotations

from optimizer.facts.inventory import InventoryProblem
from optimizer.facts.problem import Problem
from optimizer.reading.stated import Stated, stated_of
from optimizer.reading.stated_inventory import inventory_stated_of


def stated_of_any(problem: Problem | InventoryProblem) -> Stated:
    """A statement that resolves to the problem."""
    return inventory_stated_of(problem) if isinstance(problem, InventoryProblem) else stated_of(problem)
