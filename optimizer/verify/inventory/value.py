"""What each state of the service costs, and the sums over all states: objective and reliability. ``docs/inventories.md``, section 5."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimizer.facts.demand import Objective
from optimizer.verify.common.float_times import Floats
from optimizer.verify.common.objective import weights_of
from optimizer.verify.inventory.float_times import TimeCurve
from optimizer.verify.inventory.states import States

LEAST_STATE = 1e-12
"""States less probable than this are lumped together and count as nothing served."""
CLOSE = 1e-9
"""Relative distance from a threshold within which a state is judged both ways."""
HOURS_A_MONTH = 730
MOST_COMPARED = 2000

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class InstanceFamily:
    """Equal instances on groups that are alike. Rates are requests/s of one instance."""

    curve: TimeCurve
    instances: int
    planned: float
    slots_capacity: float


@dataclass(frozen=True, slots=True)
class LoadWeights:
    """The objective's numbers as floats."""

    latency: float
    unserved: float
    penalty_ms: float
    gpu_ms: float

    @staticmethod
    def of(objective: Objective) -> LoadWeights:
        """Of a preset, with what is stated in its place."""
        found = weights_of(objective)
        return LoadWeights(float(found.latency), float(found.unserved), float(found.penalty_ms), float(found.gpu_ms))


@dataclass(frozen=True, slots=True)
class Judged:
    """States one by one: the share served, milliseconds of served requests per request, and whether all is served."""

    served: Floats
    served_ms: Floats
    carried: Bools
    unsure_ms: Floats
    """By how much the value may differ because a threshold is met to rounding, weights included."""
    unsure: Bools
    """Whether such a threshold decides if everything is served."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over all states. ``noise_…`` is what rounding and lumping leave open."""

    served_ms: float
    unserved_ms: float
    mean_ms: float
    """Mean time of a request with every instance up."""
    availability: float
    carried: float
    outages_per_hour: float
    capacity: dict[int, float]
    """Millionths of a request/s within the slots → probability."""
    monotone: bool
    """No state is carried that has fewer instances up than one that is not."""
    states: int
    lumped: float
    noise_ms: float
    noise_probability: float


def judge(families: Sequence[InstanceFamily], demand: float, weights: LoadWeights, down: NDArray[np.int64]) -> Judged:
    """What the service does in each state; ``down`` has a line for each state, a column for each family."""
    sizes = np.array([family.instances for family in families])
    planned = np.array([family.planned for family in families])
    most = np.array([family.slots_capacity for family in families])
    up = sizes - down
    share = np.minimum(1.0, up @ planned / demand)
    capacity = up @ most
    all_up: Bools = down.sum(axis=1) == 0
    share[all_up] = 1.0
    some = share > 0
    scale = 1 / np.where(some, share, 1.0)
    pressure = np.where(up > 0, planned / most, 0.0).max(axis=1) * scale
    same = some & (pressure <= 1)
    enough = capacity >= demand
    by_capacity = ~same & enough
    near = (np.abs(pressure - 1) < CLOSE) | (~same & (np.abs(capacity / demand - 1) < CLOSE))
    shed_ms = np.zeros(len(up))
    same_ms, capacity_ms = np.full(len(up), np.inf), np.full(len(up), np.inf)
    works = near | same | by_capacity
    for column, family in enumerate(families):
        usual = float(family.curve.mean_ms(planned[column : column + 1])[0])
        shed_ms += up[:, column] * planned[column] / demand * usual
    same_ms[works], capacity_ms[works] = 0.0, 0.0
    for column, family in enumerate(families):
        here = works & (up[:, column] > 0)
        rate = planned[column] * scale[here]
        ok = rate <= most[column] * (1 + 2 * CLOSE)
        add = np.full(len(rate), np.inf)
        add[ok] = up[here, column][ok] * rate[ok] / demand * family.curve.mean_ms(rate[ok])
        same_ms[here] += add
        full = here & (capacity >= demand * (1 - 2 * CLOSE))
        rate = demand * most[column] / np.where(capacity[full] > 0, capacity[full], 1.0)
        capacity_ms[full] += up[full, column] * rate / demand * family.curve.mean_ms(rate)
        capacity_ms[here & ~full] = np.inf
    return _choose(weights, share, shed_ms, np.where(same, same_ms, capacity_ms), same | by_capacity, all_up, near)


def _choose(
    weights: LoadWeights, share: Floats, shed_ms: Floats, whole_ms: Floats, can: Bools, all_up: Bools, near: Bools
) -> Judged:
    """Serve everything or shed, whichever costs less where both are possible."""
    shed = weights.latency * shed_ms + weights.unserved * (1 - share) * weights.penalty_ms
    whole = np.where(can, weights.latency * np.where(np.isfinite(whole_ms), whole_ms, 0.0), np.inf)
    carried = all_up | (can & (whole <= shed))
    close = can & ~all_up & (np.abs(whole - shed) <= CLOSE * np.maximum(1.0, np.abs(shed)))
    unsure = (near | close) & ~all_up
    apart = np.where(np.isfinite(whole), np.abs(whole - shed), np.abs(shed))
    return Judged(
        served=np.where(carried, 1.0, share),
        served_ms=np.where(carried, np.where(np.isfinite(whole_ms), whole_ms, 0.0), shed_ms),
        carried=carried,
        unsure_ms=np.where(unsure, apart, 0.0),
        unsure=unsure,
    )


def totals(families: Sequence[InstanceFamily], demand: float, weights: LoadWeights, states: States) -> Totals:
    """The sums of section 5 over all states."""
    kept = states.probability >= LEAST_STATE
    down, p, leaving = states.down[kept], states.probability[kept], states.leaving[kept]
    lumped = max(0.0, 1 - float(p.sum()))
    found = judge(families, demand, weights, down)
    mean = sum(
        family.instances * family.planned / demand * float(family.curve.mean_ms(np.array([family.planned]))[0])
        for family in families
    )
    if weights.unserved:
        served_ms = weights.latency * float(p @ found.served_ms)
        unserved_ms = weights.unserved * weights.penalty_ms * (float(p @ (1 - found.served)) + lumped)
        noise_ms = float(p @ found.unsure_ms)
    else:
        served_ms, unserved_ms, noise_ms = weights.latency * mean, 0.0, 0.0
    capacity: dict[int, float] = {}
    steps = np.array([round(family.slots_capacity * 1e6) for family in families])
    for value, share in zip(((np.array([f.instances for f in families]) - down) @ steps).tolist(), p, strict=True):
        capacity[value] = capacity.get(value, 0.0) + float(share)
    return Totals(
        served_ms=served_ms,
        unserved_ms=unserved_ms,
        mean_ms=mean,
        availability=float(p @ found.served),
        carried=float(p @ found.carried),
        outages_per_hour=float(leaving[found.carried].sum()),
        capacity=capacity,
        monotone=_monotone(down, found.carried),
        states=len(p),
        lumped=lumped,
        noise_ms=noise_ms,
        noise_probability=float(p[found.unsure].sum()),
    )


def _monotone(down: NDArray[np.int64], carried: Bools) -> bool:
    """Whether losing instances never turns a state that is not carried into one that is; the most probable states only."""
    down, carried = down[:MOST_COMPARED], carried[:MOST_COMPARED]
    whole = down[carried]
    return not any((whole >= state).all(axis=1).any() for state in down[~carried])
