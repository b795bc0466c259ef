"""Section 5: where instances stand, how many are down, and what one loss takes with it.

Callers work inside ``arithmetic.sixty_digits``.

Other home: ``costs/failures.py``; docs/model.md, section 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from optimizer.facts.hardware import FailureRates, HardwareFacts
from optimizer.verify.common.arithmetic import ceil_ratio, decimal, exact

COUNTED = 4
"""Most instances down at once whose latency is computed."""

Series = tuple[Decimal, ...]
"""Coefficients of y^0 ... y^COUNTED of a generating function of instances down."""


@dataclass(frozen=True, slots=True)
class Down:
    """Probabilities of exactly 0, 1, ... instances down (at most ``COUNTED``), and what lies beyond."""

    probabilities: Series
    beyond: Decimal
    beyond_instances: Decimal
    """Instances down beyond, times their probability."""


def straddles(hardware: HardwareFacts, instance_gpus: int, instances: int) -> bool:
    """Whether some instance has GPUs on more than one node."""
    node = hardware.gpus_per_node
    return instance_gpus > node or instances > hardware.nodes * (node // instance_gpus)


def killed_by_nodes(hardware: HardwareFacts, instance_gpus: int, instances: int, lost: int) -> int:
    """Most instances that so many lost nodes take down."""
    node = hardware.gpus_per_node
    if not straddles(hardware, instance_gpus, instances):
        held = sorted((len(range(first, instances, hardware.nodes)) for first in range(hardware.nodes)), reverse=True)
        return sum(held[:lost])
    each = 1 if instance_gpus % node == 0 else ceil_ratio(node - 1, instance_gpus) + 1
    return min(instances, lost * each)


def down_of(hardware: HardwareFacts, instance_gpus: int, instances: int) -> Down:
    """Distribution of the instances down in the steady state."""
    spread = not straddles(hardware, instance_gpus, instances)
    return _down(hardware.failures, hardware.nodes, hardware.gpus_per_node, instance_gpus, instances, spread)


@lru_cache(maxsize=1024)
def _down(rates: FailureRates, nodes: int, node: int, instance_gpus: int, instances: int, spread: bool) -> Down:
    gpu_down, node_down = _unavailable(rates)
    gpus_up = (1 - gpu_down) ** instance_gpus
    if not spread:
        spans = instance_gpus // node if instance_gpus % node == 0 else ceil_ratio(instance_gpus - 1, node) + 1
        up = gpus_up * (1 - node_down) ** spans
        series = _power((up, 1 - up), instances)
    else:
        up = gpus_up * (1 - node_down)
        each, more = divmod(instances, nodes)
        fuller = _node(gpus_up, node_down, each + 1)
        series = _power(fuller, more)
        if each:
            series = _times(series, _power(_node(gpus_up, node_down, each), nodes - more))
    counted = series[: min(COUNTED, instances) + 1]
    if instances <= COUNTED:
        return Down(counted, Decimal(0), Decimal(0))
    expected = instances * (1 - up) - sum((j * p for j, p in enumerate(counted)), Decimal(0))
    return Down(counted, 1 - sum(counted, Decimal(0)), expected)


def _unavailable(rates: FailureRates) -> tuple[Decimal, Decimal]:
    repair = exact(rates.repair_hours)
    gpu, node = (repair / (exact(mtbf) + repair) for mtbf in (rates.gpu_mtbf_hours, rates.node_mtbf_hours))
    return decimal(gpu), decimal(node)


def _node(gpus_up: Decimal, node_down: Decimal, held: int) -> Series:
    """A node with so many instances: all of them are down with it, or each by itself."""
    alone = [(1 - node_down) * p for p in _power((gpus_up, 1 - gpus_up), held)]
    if held <= COUNTED:
        alone[held] += node_down
    return tuple(alone)


def _times(left: Series, right: Series) -> Series:
    """Product, cut after y^COUNTED."""
    result = [Decimal(0)] * (COUNTED + 1)
    for i, a in enumerate(left):
        for j, b in enumerate(right[: COUNTED + 1 - i]):
            result[i + j] += a * b
    return tuple(result)


def _power(base: Series, exponent: int) -> Series:
    """Power by repeated squaring, cut after y^COUNTED."""
    result: Series = (Decimal(1), *[Decimal(0)] * COUNTED)
    while exponent:
        if exponent & 1:
            result = _times(result, base)
        base, exponent = _times(base, base), exponent >> 1
    return result
