"""Rules ``survive_gpu`` and ``survive_node``: instances left after the stated losses."""

from __future__ import annotations

from optimizer.facts.problem import Problem
from optimizer.verify.common.failures import killed_by_nodes
from optimizer.verify.common.groups import Row


def survivors_of(problem: Problem, row: Row, lost: str) -> int:
    """Instances left after the stated losses of a ``gpu`` or ``node``; 0 when none is."""
    survive, instances = problem.requirements.survive, row.instances
    if lost == "gpu":
        return max(0, instances - survive.gpu)
    return instances - killed_by_nodes(problem.hardware, row.shape.instance_gpus, instances, survive.node)
