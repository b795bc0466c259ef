"""A closed loop of users: the rate at which a replica is asked by so many of them. ``docs/model.md``, section 4.

Of u users at a replica each waits T(λ) for an answer and pauses z before the next request, so that by Little's law

    λ · (T(λ) + z) = u

The left side grows with λ, so there is one such rate. It is rounded up to whole steps: the least multiple of ``RATE_STEP_PER_S`` at which
it is u or more. Where a replica is overloaded T is infinite, and the least such rate is one at which it is.

Other home: ``verify/common/users.py``; docs/model.md, section 4.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from optimizer.costs.shapes import Floats, Ints
from optimizer.facts.workload import RATE_STEP_PER_S

STEP = float(RATE_STEP_PER_S)
_WIDE = 64
"""A bracket this many times as wide as what is probed about the chord is cut by its middle instead."""


def closed_rates(mean_ms: Callable[[Ints, Floats], Floats], users: Floats, think_s: float) -> Ints:
    """Steps of ``RATE_STEP_PER_S`` at which replicas are asked, (Q,); 0 where there is no user.

    Args:
        mean_ms: mean time of a request, wait included, of some of the replicas at rates in requests/s: (indices, rates) to ms; infinite
            where overloaded.
        users: at one replica, (Q,); infinite or not above 0: no such replica.
        think_s: mean pause.
    """
    there = np.isfinite(users) & (users > 0)
    every = np.flatnonzero(there)
    result = np.zeros(len(users), dtype=np.int64)
    if not len(every):
        return result
    wanted = users[every]

    def here(lines: Ints, steps: Ints) -> Floats:
        rates = np.asarray(steps * STEP, dtype=np.float64)
        there_are: Floats = rates * (mean_ms(every[lines], rates) / 1000 + think_s)
        return there_are

    # A request never takes less than alone, so the users never send more than they would then.
    line = np.arange(len(every))
    first = here(line, np.ones(len(every), dtype=np.int64))
    most = np.where(np.isfinite(first), np.ceil(wanted / np.where(first > 0, first, 1.0)), 1.0)
    low, high = np.zeros(len(every), dtype=np.int64), np.maximum(1, most.astype(np.int64) + 1)
    at_low, at_high = np.zeros(len(every)), here(line, high)
    while len(open_ := np.flatnonzero(high - low > 1)):
        at = _probes(low[open_], high[open_], at_low[open_], at_high[open_], wanted[open_])
        for probe in at:
            inside = np.flatnonzero((probe > low[open_]) & (probe < high[open_]))
            if not len(inside):
                continue
            lines, steps = open_[inside], probe[inside]
            found = here(lines, steps)
            enough = found >= wanted[lines]
            high[lines], at_high[lines] = np.where(enough, steps, high[lines]), np.where(enough, found, at_high[lines])
            low[lines], at_low[lines] = np.where(enough, low[lines], steps), np.where(enough, at_low[lines], found)
    result[every] = high
    return result


def _probes(low: Ints, high: Ints, at_low: Floats, at_high: Floats, wanted: Floats) -> tuple[Ints, ...]:
    """Where to look between two rates: just below and above the chord; in the middle where the upper end is overloaded."""
    middle, width = (low + high) // 2, high - low
    slope = np.where(np.isfinite(at_high) & (at_high > at_low), at_high - at_low, np.inf)
    chord = low + np.where(np.isfinite(slope), (wanted - at_low) / slope * width, width / 2)
    near = np.clip(np.rint(np.nan_to_num(chord, nan=0.0)).astype(np.int64), low + 1, high - 1)
    room = np.maximum(1, width // _WIDE)
    plain = ~np.isfinite(slope)
    below, above = np.where(plain, middle, near - room), np.where(plain, middle, near + room)
    return below, above, (low + high) // 2
