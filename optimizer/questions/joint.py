"""A question about pools asked of joint instances alone."""

from __future__ import annotations

from optimizer.facts.inventory import InventoryProblem
from optimizer.facts.problem import Problem


def joint_of(problem: Problem) -> Problem:
    """The same question with joint instances alone."""
    return problem.model_copy(update={"serving": "joint"})


def joint_inventory(problem: InventoryProblem) -> InventoryProblem:
    """The same question about an inventory with joint instances alone."""
    return problem.model_copy(update={"serving": "joint"})
