"""Memory of one GPU that may be used.

Other home: ``costs/memory.py``; docs/model.md, section 2.
"""

from __future__ import annotations

from optimizer.engines.memory import overhead_on
from optimizer.facts.hardware import HardwareFacts
from optimizer.facts.problem import Problem
from optimizer.verify.common.arithmetic import exact


def budget_bytes(problem: Problem) -> int:
    """Memory of one GPU that may be used."""
    return budget_on(problem, problem.hardware)


def budget_on(problem: Problem, hardware: HardwareFacts) -> int:
    """The same for a GPU of some hardware that a stage stands on."""
    share = exact(problem.requirements.gpu_memory_utilization)
    asked = share.numerator * hardware.gpu.memory_bytes // share.denominator
    known = overhead_on(problem, hardware.gpu)
    started = known.context.value if known.refuses_above_free else 0
    left = (hardware.gpu.memory_mib - hardware.gpu.reserved_mib - hardware.memory_used_mib - started) * 1024 * 1024
    return asked if asked < left else max(left, 0)
