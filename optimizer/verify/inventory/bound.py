"""Lower bounds on the objective that are linear in the instances. ``docs/inventories.md``, section 6.

With h(r) = r · T(r), Γ(γ) = max over r ≤ k of γ · r − h(r). Between points of a grid h is taken no higher than the straight line
that leaves the left point with a little less than the slope before it: h bends upward, up to the small steps of waiting times.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from optimizer.verify.common.float_times import Floats
from optimizer.verify.inventory.budget import Budget
from optimizer.verify.inventory.candidates import MILLION, CheckedInstance
from optimizer.verify.inventory.float_times import TimeCurves

POINTS = 160
"""Rates of the grid, from 0 to k."""
SLOPE_KEPT = 0.98
"""Part of the slope before a point that is trusted after it."""


class Gains:
    """Γ of every candidate for any γ."""

    def __init__(self, candidates: Sequence[CheckedInstance], curves: TimeCurves, budget: Budget | None = None) -> None:
        grids = []
        known: dict[tuple[object, ...], Floats] = {}
        for candidate in candidates:
            if candidate.kind not in known:
                if budget is not None:
                    budget.spend()
                known[candidate.kind] = _ends(candidate, curves)
            grids.append(known[candidate.kind])
        self._ends = np.stack(grids) if grids else np.zeros((0, 1, 2))

    def of(self, gamma: float) -> Floats:
        """Γ(γ) of every candidate, ms · requests/s."""
        found: Floats = np.maximum(0.0, gamma * self._ends[:, :, 0] - self._ends[:, :, 1]).max(axis=1)
        return found


def _ends(candidate: CheckedInstance, curves: TimeCurves) -> Floats:
    """(r, lower bound of h) at both ends of every piece of the grid: a line on each, so that the ends decide."""
    most = candidate.slots_capacity / MILLION
    rates = np.linspace(0.0, most, POINTS + 1)
    h = np.zeros(POINTS + 1)
    lowest = float(curves.of(candidate.instance).mean_ms(np.array([min(1e-6, most)]))[0])
    h[1:] = rates[1:] * curves.of(candidate.instance).mean_ms(rates[1:])
    step = rates[1]
    slope = np.append(lowest, SLOPE_KEPT * np.diff(h) / step)[:-1]  # of the piece that starts at point i
    slope = np.maximum(slope, h[:-1] / np.where(rates[:-1] > 0, rates[:-1], 1.0))  # T only grows, so h' is at least T
    slope[0] = lowest
    left, right = h[:-1], h[:-1] + slope * step
    return np.stack([np.append(rates[:-1], rates[1:]), np.append(left, right)], axis=1)
