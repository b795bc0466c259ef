"""Section 6: expected milliseconds per request over failure states, and availability.

Callers work inside ``arithmetic.sixty_digits``.

Other home: ``search/uniform/quantities.py``; docs/model.md, section 6.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from optimizer.facts.demand import Objective
from optimizer.facts.hardware import HardwareFacts
from optimizer.verify.common.arithmetic import decimal, exact
from optimizer.verify.common.failures import Down, down_of
from optimizer.verify.common.groups import Row
from optimizer.verify.common.load import Load

_PENALTY_MS = {"fault-tolerance": 3_600_000}


@dataclass(frozen=True, slots=True)
class Weights:
    """The numbers behind a preset, each replaced where the problem states its own."""

    latency: Decimal
    unserved: Decimal
    penalty_ms: Decimal
    gpu_ms: Decimal


def weights_of(objective: Objective) -> Weights:
    """Weights of a preset with the stated ones in their place."""

    def stated(value: float | None, preset: int) -> Decimal:
        return decimal(exact(preset if value is None else value))

    return Weights(
        latency=stated(objective.latency_weight, 1),
        unserved=stated(objective.unserved_weight, 0 if objective.preset == "latency" else 1),
        penalty_ms=stated(objective.unserved_penalty_ms, _PENALTY_MS.get(objective.preset, 60_000)),
        gpu_ms=stated(objective.gpu_ms, 0),
    )


@dataclass(frozen=True, slots=True)
class Value:
    """The objective by term, milliseconds, and the share of requests served."""

    served: Decimal
    unserved: Decimal
    gpus: Decimal
    availability: Decimal

    @property
    def total(self) -> Decimal:
        """The objective."""
        return self.served + self.unserved + self.gpus


def value_of(
    objective: Objective,
    hardware: HardwareFacts,
    row: Row,
    load_with_down: Callable[[int], Load | None],
    has_room: Callable[[Load], bool],
) -> Value:
    """The objective of a row.

    Args:
        load_with_down: the load of a replica when so many instances are down; None when overloaded.
        has_room: whether slots and cache are enough for a load.
    """
    weights, instances = weights_of(objective), row.instances
    down = down_of(hardware, row.shape.instance_gpus, instances)
    served, unserved, availability = Decimal(0), Decimal(0), Decimal(0)
    normal = load_with_down(0)
    usual = weights.latency * (normal.mean if normal else Decimal(0))
    works = normal is not None and has_room(normal)
    carried = _carried(
        weights, instances, has_room, [load_with_down(j) for j in range(min(instances, len(down.probabilities)))]
    )
    counted = down if weights.unserved else Down((Decimal(1),), Decimal(0), Decimal(0))
    for j, probability in enumerate(counted.probabilities):
        kept = usual * (instances - j) / instances
        gone = weights.unserved * weights.penalty_ms * j / instances
        if j == 0 and not works:
            unserved += probability * weights.latency * weights.penalty_ms
        elif j in carried:
            served += probability * weights.latency * carried[j]
        else:
            served += probability * kept
            unserved += probability * gone
    served += usual * (counted.beyond - counted.beyond_instances / instances)
    unserved += weights.unserved * weights.penalty_ms * counted.beyond_instances / instances
    if works:
        lost = down.beyond_instances + sum(j * p for j, p in enumerate(down.probabilities) if j not in carried)
        availability = 1 - lost / instances
    return Value(served, unserved, weights.gpu_ms * row.gpus, availability)


def _carried(
    weights: Weights, instances: int, has_room: Callable[[Load], bool], loads: list[Load | None]
) -> dict[int, Decimal]:
    """Mean time of a request in each state that is carried, by instances down."""
    normal = loads[0]
    if normal is None or not has_room(normal):
        return {}
    carried = {0: normal.mean}
    for j, load in enumerate(loads[1:], start=1):
        shed = weights.latency * normal.mean * (instances - j) + weights.unserved * weights.penalty_ms * j
        if load is not None and has_room(load) and weights.latency * load.mean * instances <= shed:
            carried[j] = load.mean
    return carried
