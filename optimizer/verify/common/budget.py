"""Memory of one GPU that may be used."""

from __future__ import annotations

from optimizer.facts.demand import Requirements
from optimizer.facts.hardware import HardwareFacts
from optimizer.facts.problem import Problem
from optimizer.verify.common.arithmetic import exact


def budget_bytes(problem: Problem) -> int:
    """Memory of one GPU that may be used."""
    return budget_on(problem.requirements, problem.hardware)


def budget_on(wanted: Requirements, hardware: HardwareFacts) -> int:
    """The same for a GPU of some hardware."""
    share = exact(wanted.gpu_memory_utilization)
    asked = share.numerator * hardware.gpu.memory_bytes // share.denominator
    left = (hardware.gpu.memory_mib - hardware.gpu.reserved_mib - hardware.memory_used_mib) * 1024 * 1024
    return asked if asked < left else max(left, 0)
