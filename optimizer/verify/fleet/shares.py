"""How the requests are split over families: whole thousandths within the capacity, and the split of least mean time."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from optimizer.verify.fleet.float_times import Curve
from optimizer.verify.twin_times import Floats

THOUSANDTHS = 1000


def largest_share(demand: Fraction, instances: int, capacity: Fraction) -> int:
    """Most thousandths of the requests that so many instances take within their capacity each."""
    return min(THOUSANDTHS, int(capacity * instances * THOUSANDTHS / demand))


def share_costs(curve: Curve, demand: Fraction, instances: int, most: int) -> Floats:
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
    for one in costs[1:]:
        total = np.full(THOUSANDTHS + 1, np.inf)
        taken = np.zeros(THOUSANDTHS + 1, dtype=np.int64)
        for share in np.flatnonzero(np.isfinite(one)).tolist():
            candidate = best[: THOUSANDTHS + 1 - share] + one[share]
            better = candidate < total[share:]
            total[share:][better] = candidate[better]
            taken[share:][better] = share
        best = total
        choices.append(taken)
    if not np.isfinite(best[THOUSANDTHS]):
        return None
    split, left = [], THOUSANDTHS
    for taken in reversed(choices):
        split.append(int(taken[left]))
        left -= split[-1]
    return float(best[THOUSANDTHS]), (left, *reversed(split))
