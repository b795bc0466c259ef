"""What requests spend at one rank, at least, as a function of its load: few loads are worked out.

More load never makes a rank faster: waits of both queues grow with it, and so does the number in progress (its law shifts up with the
rate, state by state), with which steps take longer. So what a smaller load was worked out to be is a bound for every larger one.

Callers work inside ``arithmetic.sixty_digits``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
NEAR = Fraction(1, 500)
"""Times of two loads that differ by no more than this share of them are not told apart."""
STEP = Fraction(1, 100)
"""Nor are loads."""
_AT_ONCE = 256
"""Loads that are worked out together: their chains fit a cache."""
ROUNDED = 1e-9
"""What floats may have added, generously."""


@dataclass(frozen=True)
class LoadCurve:
    """Least mean ms of a request at each load of a rank."""

    loads: Floats
    """Requests/s, ascending."""
    least: Floats
    """ms at that load or more."""
    full: float
    """Requests/s from which on a rank carries nothing."""

    def at(self, loads: Floats) -> Floats:
        """The least mean of each load, ms; infinite where it is not carried."""
        if not len(self.loads):
            return np.full(loads.shape, np.inf)
        inside = np.searchsorted(self.loads, loads * (1 + 1e-12), side="right") - 1
        found: Floats = np.where(inside >= 0, self.least[np.maximum(inside, 0)], 0.0)
        return np.where(loads >= self.full * (1 + 1e-12), np.inf, found)


def curve(
    carries: Callable[[Fraction], bool], mean: Callable[[Fraction], float], lightest: Fraction, heaviest: Fraction
) -> LoadCurve:
    """The curve between two loads.

    Args:
        carries: whether a load is carried, within every limit.
        mean: ms at a load that is.
        lightest, heaviest: requests/s of a rank that are asked for.
    """
    if not carries(lightest):
        return LoadCurve(np.zeros(0), np.zeros(0), 0.0)
    carried, full = lightest, heaviest
    if carries(heaviest):
        carried, full = heaviest, 2 * heaviest
    while full > carried * (1 + STEP) and carried < heaviest:
        middle = _between(carried, full)
        carried, full = (middle, full) if carries(middle) else (carried, middle)
    known = {load: mean(load) for load in (lightest, carried)}
    spans = [(lightest, carried)]
    while spans:
        low, high = spans.pop()
        if known[high] <= known[low] * float(1 + NEAR) or high <= low * (1 + STEP):
            continue
        middle = _between(low, high)
        known[middle] = mean(middle)
        spans += [(low, middle), (middle, high)]
    loads = sorted(known)
    least = np.array([known[load] for load in loads]) * (1 - ROUNDED)
    return LoadCurve(np.array([float(load) for load in loads]), least, float(full))


@dataclass(frozen=True, slots=True)
class NumbersSeen:
    """Numbers in progress at decode ranks, one entry for each load; meaningless where not ``carried``."""

    carried: NDArray[np.bool_]
    """Whether N in progress complete what arrives."""
    mean: Floats
    variance: Floats
    third: Floats
    c50: NDArray[np.int64]
    """Exceeded for half of the time at most; near the half the smaller number."""
    c99: Floats
    """Exceeded for a hundredth of the time, straight between whole numbers; without end beyond N."""


class InProgress:
    """Numbers in progress at a decode rank, in floats.

    Args:
        slowness: R(n) / n in ms, n from 1 to N.
    """

    def __init__(self, slowness: Sequence[Decimal]) -> None:
        self._each = np.array([float(one) for one in slowness])
        self._logs = np.concatenate([[0.0], np.cumsum(np.log(self._each))])
        self._n = np.arange(len(self._logs), dtype=np.float64)

    def mean(self, rate: float) -> float:
        """Of so many arrivals per ms, fewer than N in progress complete."""
        weights = self._logs + self._n * np.log(rate)
        weights = np.exp(weights - weights.max())
        last, ratio = len(self._each), rate * self._each[-1]
        rest = weights[-1] / (1 - ratio)
        number = float(weights @ self._n) + rest * ratio * (last + 1 / (1 - ratio))
        return float(number / (weights.sum() + rest * ratio))

    def at(self, rate: Floats) -> NumbersSeen:
        """Of so many arrivals per ms each."""
        parts = [self._at(some) for some in np.array_split(rate, max(1, -(-len(rate) // _AT_ONCE)))]
        names = NumbersSeen.__dataclass_fields__
        return NumbersSeen(*(np.concatenate([getattr(one, name) for one in parts]) for name in names))

    def _at(self, rate: Floats) -> NumbersSeen:
        last, ratio = len(self._each), rate * self._each[-1]
        carried = ratio < 1
        ratio = np.where(carried, np.minimum(ratio, 1 - 1e-12), 0.0)
        logs = self._logs + self._n * np.log(rate)[:, None]
        shares = np.exp(logs - logs.max(axis=1, keepdims=True))
        odds = ratio / (1 - ratio)
        rest = shares[:, -1] * odds
        total = shares.sum(axis=1) + rest
        shares, rest = shares / total[:, None], rest / total
        # Moments about zero of what lies beyond N, from those of a geometric number of odds.
        further = 1 + odds, 1 + 3 * odds + 2 * odds**2, 1 + 7 * odds + 12 * odds**2 + 6 * odds**3
        beyond = (
            last + further[0],
            last**2 + 2 * last * further[0] + further[1],
            last**3 + 3 * last**2 * further[0] + 3 * last * further[1] + further[2],
        )
        m1, m2, m3 = (shares @ self._n**k + rest * beyond[k - 1] for k in (1, 2, 3))
        below = np.cumsum(shares, axis=1)
        line, k = np.arange(len(rate)), (below < 0.99).sum(axis=1)
        inside = np.clip(k, 1, last)
        c99 = inside - 1 + (0.99 - below[line, inside - 1]) / shares[line, inside]
        c99 = np.where(k == 0, 0.0, np.where(k > last, np.inf, c99))
        c50 = (below < 0.5 * (1 - ROUNDED)).sum(axis=1)
        return NumbersSeen(carried, m1, m2 - m1**2, m3 - 3 * m1 * m2 + 2 * m1**3, c50, c99)


def _between(low: Fraction, high: Fraction) -> Fraction:
    """Near the geometric mean, with few digits."""
    middle = Fraction(round(float(low * high) ** 0.5 * 10**9), 10**9)
    return middle if low < middle < high else (low + high) / 2
