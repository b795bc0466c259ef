"""Section 5 for many rows at once in 64-bit floats: how many instances are down, and how many one lost node takes.

Other home: ``costs/failures.py``; docs/model.md, section 5.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from optimizer.facts.hardware import HardwareFacts
from optimizer.verify.common.failures import COUNTED
from optimizer.verify.common.float_times import Floats, Ints

Bools = NDArray[np.bool_]


class FloatDown:
    """What ``failures.Down`` holds, for rows of (instance GPUs, instances).

    ``probabilities`` is (COUNTED + 1, Q); ``beyond`` and ``beyond_instances`` are (Q,); ``killed`` (3, Q) by 0, 1 or 2 lost nodes.
    """

    def __init__(self, hardware: HardwareFacts, instance_gpus: Ints, instances: Ints) -> None:
        # Many rows have the same instances: each pair once.
        pair = instance_gpus * (int(instances.max(initial=0)) + 1) + instances
        order = np.argsort(pair, kind="stable")
        changes = np.flatnonzero(np.diff(pair[order], prepend=-1))
        of_row = np.empty_like(pair)
        of_row[order] = np.repeat(np.arange(len(changes)), np.diff(changes, append=len(pair)))
        each = _Pairs(hardware, instance_gpus[order][changes], instances[order][changes])
        self.probabilities: Floats = each.probabilities[:, of_row]
        self.beyond: Floats = each.beyond[of_row]
        self.beyond_instances: Floats = each.beyond_instances[of_row]
        self.killed: Ints = each.killed[:, of_row]


class _Pairs:
    """The same for pairs that are all different."""

    def __init__(self, hardware: HardwareFacts, instance_gpus: Ints, instances: Ints) -> None:
        node, nodes, rates = hardware.gpus_per_node, hardware.nodes, hardware.failures
        gpu_down = rates.repair_hours / (rates.gpu_mtbf_hours + rates.repair_hours)
        node_down = rates.repair_hours / (rates.node_mtbf_hours + rates.repair_hours)
        apart = (instance_gpus > node) | (instances > nodes * (node // instance_gpus))
        whole = instance_gpus % node == 0
        gpus_up = np.exp(instance_gpus * np.log1p(-gpu_down))
        touched = np.where(whole, instance_gpus // node, (instance_gpus + node - 2) // node + 1)
        up = gpus_up * np.exp(np.where(apart, touched, 1) * np.log1p(-node_down))

        # Nodes that hold any: ``more`` of them hold one instance more than the others.
        least, more = instances // nodes, instances % nodes
        held_full = _on_node(gpus_up, node_down, least + 1)
        held_less = _on_node(gpus_up, node_down, least)
        together = _product(_power(held_full, more), _power(held_less, np.where(least > 0, nodes - more, 0)))
        alone = _power(_one(up), instances)
        self.probabilities: Floats = np.where(apart, alone, together)
        few = instances <= COUNTED
        down = np.arange(COUNTED + 1)
        self.beyond: Floats = np.where(few, 0.0, 1 - self.probabilities.sum(axis=0))
        expected = instances * (1 - up) - down @ self.probabilities
        self.beyond_instances: Floats = np.where(few, 0.0, expected)
        lost = np.arange(3)[:, None]
        one_straddling = np.where(whole, 1, (node - 1 + instance_gpus - 1) // instance_gpus + 1)
        fullest = lost * least + np.minimum(lost, more)
        self.killed: Ints = np.minimum(instances, np.where(apart, lost * one_straddling, fullest))


def _one(up: Floats) -> Floats:
    series = np.zeros((COUNTED + 1, len(up)))
    series[0], series[1] = up, 1 - up
    return series


def _on_node(gpus_up: Floats, node_down: float, held: Ints) -> Floats:
    """A node with so many instances: all of them are down with it, or each by itself."""
    series = _power(_one(gpus_up), held) * (1 - node_down)
    for count in range(COUNTED + 1):
        series[count] += np.where(held == count, node_down, 0.0)
    return series


def _product(left: Floats, right: Floats) -> Floats:
    result = np.zeros_like(left)
    for i in range(COUNTED + 1):
        result[i:] += left[i] * right[: COUNTED + 1 - i]
    return result


def _power(base: Floats, exponents: Ints) -> Floats:
    """Power from the highest bit down, cut after y^COUNTED."""
    result = np.zeros_like(base)
    result[0] = 1
    for bit in reversed(range(int(exponents.max(initial=0)).bit_length())):
        result = _product(result, result)
        result = np.where(exponents >> bit & 1, _product(result, base), result)
    return result
