"""What hardware draws at most: GPUs in use count their board power, all others their idle power, and each node its host.

Other home: ``verify/common/power.py``; docs/model.md, section 7.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from optimizer.costs.shapes import Ints
from optimizer.facts.hardware import HardwareFacts
from optimizer.facts.inventory import NodeGroup

MW_PER_W = 1000


def milliwatts(watts: float | None) -> int:
    """Whole milliwatts, rounded up; 0 where it is not known."""
    return math.ceil(Fraction(repr(float(watts or 0))) * MW_PER_W)


def limit_mw(watts: float) -> int:
    """A limit in whole milliwatts, rounded down."""
    return math.floor(Fraction(repr(float(watts))) * MW_PER_W)


def hardware_mw(hardware: HardwareFacts, used: Ints) -> Ints:
    """Milliwatts of all nodes with so many GPUs in use, (R,)."""
    return _draw_mw(hardware, hardware.nodes, used)


def node_mw(hardware: HardwareFacts, used: Ints) -> Ints:
    """Milliwatts of the node with the most GPUs in use, of so many on all nodes, (R,)."""
    return _draw_mw(hardware, 1, np.minimum(used, hardware.gpus_per_node))


def group_mw(group: NodeGroup) -> tuple[int, int]:
    """Milliwatts of a group with none of its free GPUs in use, and of each that is put to use more."""
    load, idle = milliwatts(group.gpu.tdp_watts), milliwatts(group.gpu.idle_watts)
    held = group.gpus_per_node - group.free_gpus - group.idle_gpus
    node = held * load + (group.free_gpus + group.idle_gpus) * idle + milliwatts(group.host_watts)
    return group.nodes * node, load - idle


def _draw_mw(hardware: HardwareFacts, nodes: int, used: Ints) -> Ints:
    load, idle = milliwatts(hardware.gpu.tdp_watts), milliwatts(hardware.gpu.idle_watts)
    always = nodes * (hardware.built_in_per_node * idle + milliwatts(hardware.host_watts))
    result: Ints = always + used * (load - idle)
    return result
