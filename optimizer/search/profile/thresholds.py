"""Up to which rate so many instances keep every rule, and at which rate the next has to be started.

Other home: ``verify/profile/check.py``; docs/profile.md, section 5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from optimizer.facts.profile import HOUR_S, ProfileProblem
from optimizer.results.day import Threshold
from optimizer.search.profile.states import DayStates, exact
from optimizer.search.uniform.oracle import derived, subspace
from optimizer.search.uniform.quantities import Quantities
from optimizer.search.uniform.screen import Screen

STEPS_PER_S = 1000
"""Steps of a request/s."""
LARGEST_STEPS = 10**9


def thresholds_of(states: DayStates, shape: int, most: int) -> tuple[Threshold, ...]:
    """Of a shape with 1 to ``most`` instances; those that keep the rules at no rate are left out."""
    day, space = states.day, states.space
    rows = np.flatnonzero((space.row_shape == shape) & (space.instances <= most))
    found = []
    lead_s = states.shapes[shape].lead_s
    for row in rows[np.argsort(space.instances[rows])].tolist():
        steps = largest_rate(day, states, row)
        if steps:
            rate = steps / STEPS_PER_S
            found.append(Threshold(int(space.instances[row]), rate, add_at(day, steps, lead_s)))
    return tuple(found)


def largest_rate(day: ProfileProblem, states: DayStates, row: int) -> int:
    """The largest rate, in steps, at which a row keeps every rule; 0: none."""
    part = subspace(states.space, np.array([row]))
    first = Quantities(day.problem, part)

    def fits(steps: int) -> bool:
        return bool(Screen(derived(first, day.at(steps / STEPS_PER_S))).viable[0])

    low, high = 0, max(1, math.ceil(max(day.rates) * STEPS_PER_S))
    while high < LARGEST_STEPS and fits(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def growth_per_s2(stated: Sequence[float]) -> Fraction:
    """The fastest growth of the rate between the middles of two hours, requests/s per s.

    Args:
        stated: requests/s of each hour.
    """
    rates = [exact(rate) for rate in stated]
    return max(Fraction(0), *((then - now) / HOUR_S for now, then in zip(rates, rates[1:] + rates[:1], strict=True)))


def add_at(day: ProfileProblem, steps: int, lead_s: int) -> float:
    """The rate at which to start the next instance: what the rate may grow by until it serves is kept free, in steps, rounded down."""
    left = Fraction(steps) - growth_per_s2(day.rates) * lead_s * STEPS_PER_S
    return max(0, math.floor(left)) / STEPS_PER_S
