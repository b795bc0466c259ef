"""How many engine instances are down: steady state from failure and repair rates. ``docs/model.md``, section 5.

Other homes: ``verify/common/failures.py``, ``verify/common/float_failures.py``; docs/model.md, section 5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optimizer.costs.distinct import distinct_pairs
from optimizer.costs.shapes import Bools, Floats, Ints
from optimizer.facts.hardware import HardwareFacts

STATES = 5  # 0…4 instances down are told apart; more are lumped together


@dataclass(frozen=True, slots=True)
class DownStates:
    """Distribution of the instances that are down, for Q pairs of (instance GPUs, instances)."""

    probability: Floats  # (Q, STATES) exactly j down; states that cannot occur have 0
    rest: Floats  # (Q,) more than STATES - 1 down
    rest_mean: Floats  # (Q,) expected number down, counted only where more than STATES - 1 are
    lost_with_node: Ints  # (Q,) instances that one node's loss takes, worst case
    lost_with_two_nodes: Ints  # (Q,) the same for two nodes


def unavailability(mtbf_hours: float, repair_hours: float) -> float:
    """Steady-state share of time a part is down: MTTR / (MTBF + MTTR)."""
    return repair_hours / (mtbf_hours + repair_hours)


def down_states(hardware: HardwareFacts, instance_gpus: Ints, instances: Ints, nodes: Ints | None = None) -> DownStates:
    """States for each pair, (Q,) each; see the module docstring for the source.

    Args:
        nodes: that each is spread over, (Q,); left out, all there are.
    """
    nodes = np.full_like(instances, hardware.nodes) if nodes is None else nodes
    some, back = distinct_pairs(instances, nodes)
    pair, inverse = distinct_pairs(instance_gpus, back)
    first = some[back[pair]]
    each = _states(hardware, instance_gpus[pair], instances[first], nodes[first])
    return DownStates(*(getattr(each, name)[inverse] for name in DownStates.__dataclass_fields__))


def _states(hardware: HardwareFacts, instance_gpus: Ints, instances: Ints, nodes: Ints) -> DownStates:
    rates, per_node = hardware.failures, hardware.gpus_per_node
    node = unavailability(rates.node_mtbf_hours, rates.repair_hours)
    gpu = unavailability(rates.gpu_mtbf_hours, rates.repair_hours)
    gpus_up = ((1 - gpu) ** instance_gpus).astype(np.float64)
    spread = (instance_gpus <= per_node) & (instances <= nodes * (per_node // instance_gpus))
    aligned = instance_gpus % per_node == 0
    spans = np.where(aligned, instance_gpus // per_node, -(-(instance_gpus - 1) // per_node) + 1)
    up = gpus_up * (1 - node) ** np.where(spread, 1, spans)
    one_loss = np.where(aligned, 1, np.minimum(instances, -(-(per_node - 1) // instance_gpus) + 1))

    each, more = np.divmod(instances, nodes)
    fuller = _power(_node(each + 1, gpus_up, node), more)
    others = _power(_node(each, gpus_up, node), np.where(each > 0, nodes - more, 0))
    apart = _power(_single(up), instances)
    probability = np.where(spread[:, None], _times(fuller, others), apart)

    counts = np.arange(STATES)
    rest = np.maximum(0.0, 1 - probability.sum(axis=1))
    rest_mean = np.maximum(0.0, instances * (1 - up) - (probability * counts).sum(axis=1))
    # Fewer instances than states: nothing is left over but rounding noise.
    none_left = instances < STATES
    rest, rest_mean = np.where(none_left, 0.0, rest), np.where(none_left, 0.0, rest_mean)
    lost = np.where(spread, -(-instances // nodes), one_loss)
    lost_two = np.minimum(instances, np.where(spread, 2 * each + np.minimum(2, more), 2 * one_loss))
    return DownStates(probability, rest, rest_mean, lost, lost_two)


def _node(held: Ints, gpus_up: Floats, node_down: float) -> Floats:
    """Instances down on one node, truncated: all of them with the node, else each on its own, (Q, STATES)."""
    alone = _power(_single(gpus_up), held) * (1 - node_down)
    told: Bools = held < STATES
    alone[told, held[told]] += node_down
    return alone


def _single(up: Floats) -> Floats:
    """One instance: up, or down, (Q, STATES)."""
    states = np.zeros((len(up), STATES))
    states[:, 0], states[:, 1] = up, 1 - up
    return states


def _times(left: Floats, right: Floats) -> Floats:
    """Products of truncated polynomials, (Q, STATES)."""
    product = np.zeros_like(left)
    for degree in range(STATES):
        for part in range(degree + 1):
            product[:, degree] += left[:, part] * right[:, degree - part]
    return product


def _power(base: Floats, exponents: Ints) -> Floats:
    """Truncated polynomial powers by repeated squaring, (Q, STATES)."""
    result = np.zeros_like(base)
    result[:, 0] = 1.0
    left = exponents
    while left.any():
        odd = left % 2 == 1
        result = np.where(odd[:, None], _times(result, base), result)
        left = left // 2
        if left.any():
            base = _times(base, base)
    return result
