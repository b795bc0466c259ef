"""How many engine instances are down: steady state from failure and repair rates. ``docs/model.md``, section 5."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optimizer.costs.distinct import distinct
from optimizer.costs.shapes import Floats, Ints
from optimizer.facts.hardware import HardwareFacts

STATES = 5  # 0…4 instances down are told apart; more are lumped together


@dataclass(frozen=True, slots=True)
class DownStates:
    """Distribution of the instances that are down, for Q pairs of (instance GPUs, instances)."""

    probability: Floats  # (Q, STATES) exactly j down; states that cannot occur have 0
    rest: Floats  # (Q,) more than STATES - 1 down
    rest_mean: Floats  # (Q,) expected number down, counted only where more than STATES - 1 are
    lost_with_node: Ints  # (Q,) instances that one node's loss takes, worst case


def unavailability(mtbf_hours: float, repair_hours: float) -> float:
    """Steady-state share of time a part is down: MTTR / (MTBF + MTTR)."""
    return repair_hours / (mtbf_hours + repair_hours)


def down_states(hardware: HardwareFacts, instance_gpus: Ints, instances: Ints) -> DownStates:
    """States for each pair; see the module docstring for the source."""
    first, inverse = distinct(instance_gpus, instances)
    unique = np.stack([instance_gpus[first], instances[first]], axis=1)
    results = [_states(hardware, int(size), int(count)) for size, count in unique]
    probability = np.array([r[0] for r in results])
    mean_down = np.array([r[1] for r in results])
    lost = np.array([r[2] for r in results], dtype=np.int64)
    counts = np.arange(STATES)
    rest = np.maximum(0.0, 1 - probability.sum(axis=1))
    rest_mean = np.maximum(0.0, mean_down - (probability * counts).sum(axis=1))
    # Fewer instances than states: nothing is left over but rounding noise.
    none_left = unique[:, 1] < STATES
    rest, rest_mean = np.where(none_left, 0.0, rest), np.where(none_left, 0.0, rest_mean)
    return DownStates(probability[inverse], rest[inverse], rest_mean[inverse], lost[inverse])


def _states(hardware: HardwareFacts, size: int, count: int) -> tuple[Floats, float, int]:
    """(probability of 0…4 down, expected number down, instances lost with one node)."""
    rates, per_node, nodes = hardware.failures, hardware.gpus_per_node, hardware.nodes
    gpu = unavailability(rates.gpu_mtbf_hours, rates.repair_hours)
    node = unavailability(rates.node_mtbf_hours, rates.repair_hours)
    all_gpus_up = (1 - gpu) ** size
    if size <= per_node and count <= nodes * (per_node // size):
        each, more = divmod(count, nodes)
        states = _power(_node(each + 1, all_gpus_up, node), more)
        if each:
            states = _times(states, _power(_node(each, all_gpus_up, node), nodes - more))
        return states, count * (1 - (1 - node) * all_gpus_up), -(-count // nodes)
    aligned = size % per_node == 0
    spans = size // per_node if aligned else -(-(size - 1) // per_node) + 1
    up = all_gpus_up * (1 - node) ** spans
    lost = 1 if aligned else min(count, -(-(per_node - 1) // size) + 1)
    return _power(_pad(np.array([up, 1 - up])), count), count * (1 - up), lost


def _node(instances: int, up: float, node_down: float) -> Floats:
    """Instances down on one node, truncated: all of them with the node, else each on its own."""
    alone = _power(_pad(np.array([up, 1 - up])), instances) * (1 - node_down)
    if instances < STATES:
        alone[instances] += node_down
    return alone


def _pad(values: Floats) -> Floats:
    padded = np.zeros(STATES)
    padded[: len(values)] = values
    return padded


def _times(left: Floats, right: Floats) -> Floats:
    return np.convolve(left, right)[:STATES]


def _power(base: Floats, exponent: int) -> Floats:
    """Truncated polynomial power by repeated squaring."""
    result = _pad(np.array([1.0]))
    while exponent:
        if exponent & 1:
            result = _times(result, base)
        base = _times(base, base)
        exponent >>= 1
    return result
