"""Watts of nodes some of whose GPUs are in use: those at their board power, the others idle, beside what hosts draw. Section 7.

Other home: ``costs/power.py``; docs/model.md, section 7.
"""

from __future__ import annotations

from fractions import Fraction

from optimizer.facts.hardware import HardwareFacts
from optimizer.verify.common.arithmetic import exact


def watts_of(hardware: HardwareFacts, nodes: int, used: int) -> Fraction:
    """Watts of so many nodes with so many of their GPUs in use."""
    idle = nodes * hardware.built_in_per_node - used
    of_gpus = used * exact(hardware.gpu.tdp_watts or 0) + idle * exact(hardware.gpu.idle_watts or 0)
    return of_gpus + nodes * exact(hardware.host_watts)


def most_in_use(hardware: HardwareFacts) -> int:
    """The most GPUs that the limit on all nodes lets work; -1: it is passed with none at work."""
    used = hardware.gpus
    if hardware.power_limit_watts is None:
        return used
    limit, none = exact(hardware.power_limit_watts), watts_of(hardware, hardware.nodes, 0)
    if none > limit:
        return -1
    each = watts_of(hardware, hardware.nodes, 1) - none
    return used if each <= 0 else min(used, int((limit - none) // each))
