"""How many instances may be away at once and still keep what ``survive`` promises."""

from __future__ import annotations

from optimizer.deployment.parts import instances_hit
from optimizer.facts.problem import Problem
from optimizer.results.placement import Placement


def may_lose(problem: Problem, placement: Placement) -> int:
    """Instances that the stated losses of GPUs, or of nodes, take away at worst; 0 where nothing is stated."""
    survive = problem.requirements.survive
    nodes = [frozenset({node}) for node in placement.nodes]
    return instances_hit(placement, [(nodes, survive.node)] if survive.node else [], survive.gpu)
