"""How the requests are split over families: whole thousandths within the capacity, and the split of least mean time."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from optimizer.verify.common.float_times import Floats
from optimizer.verify.inventory.float_times import TimeCurve

THOUSANDTHS = 1000


def largest_share(demand: Fraction, instances: int, capacity: Fraction) -> int:
    """Most thousandths of the requests that so many instances take within their capacity each."""
    return min(THOUSANDTHS, int(capacity * instances * THOUSANDTHS / demand))


def share_costs(curve: TimeCurve, demand: Fraction, instances: int, most: int) -> Floats:
    """Contribution to the mean time, ms, of a family with 1, 2, … thousandths; the entry for 0 is infinite."""
    costs = np.full(THOUSANDTHS + 1, np.inf)
    if most >= 1:
        part = np.arange(1, most + 1, dtype=np.float64)
        rates: Floats = part * (float(demand) / (THOUSANDTHS * instances))
        costs[1 : most + 1] = part * curve.mean_ms(rates) / THOUSANDTHS
    return costs


def least_split(costs: Sequence[Floats]) -> tuple[float, tuple[int, ...]] | None:
    """(mean time in ms, thousandths of each family) of the best split; None when no split is within capacity."""
    best, choices = costs[0], list[NDArray[np.int64]]()
    for one in costs[1:-1]:
        sums = _all_ways(best) + one[::-1]
        taken = THOUSANDTHS - sums.argmin(axis=1)
        best = sums[np.arange(THOUSANDTHS + 1), THOUSANDTHS - taken]
        choices.append(taken)
    split, left = [], THOUSANDTHS
    if len(costs) > 1:  # the last family takes what is left of all requests
        sums = best[::-1] + costs[-1]
        split.append(int(sums.argmin()))
        least, left = float(sums[split[0]]), THOUSANDTHS - split[0]
    else:
        least = float(best[THOUSANDTHS])
    if not np.isfinite(least):
        return None
    for taken in reversed(choices):
        split.append(int(taken[left]))
        left -= split[-1]
    return least, (left, *reversed(split))


def _all_ways(best: Floats) -> Floats:
    """Line n holds best[n - s] for s from 1000 down to 0; infinite where there is no such share."""
    padded = np.concatenate([np.full(THOUSANDTHS, np.inf), best])
    ways: Floats = np.lib.stride_tricks.sliding_window_view(padded, THOUSANDTHS + 1)
    return ways
