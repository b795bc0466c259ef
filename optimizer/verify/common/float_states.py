"""How likely each number in progress is, up to the number behind which nothing is left that a 64-bit sum shows.

Other home: ``costs/chain.py``; docs/model.md, section 4.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_FAINTEST = -50.0
"""Logarithm of a share, the likeliest being 1, below which nothing is looked at."""
_CLOSE = 1e-6
_FIRST, _STEP = 32, 1.5


class FloatStates:
    """The states 0 … ``length`` of chains, one line for each shape.

    Args:
        residence: milliseconds of a request by how many are in progress, from 1 on.
    """

    def __init__(self, residence: Floats, length: int) -> None:
        self.length = length
        slowness = residence[:, :length] / np.arange(1, length + 1)
        self._slowest = slowness[:, -1]
        self._climb = np.zeros((len(residence), length + 1))
        np.cumsum(np.log(slowness), axis=1, out=self._climb[:, 1:])
        self._stops = _stops(length)
        # Every state behind a stop is at most so much likelier than the one before it, times the rate.
        falling = np.maximum.accumulate(slowness[:, ::-1], axis=1)[:, ::-1]
        self._behind = falling[:, self._stops[:-1]]
        self._at_stop = self._climb[:, self._stops[:-1]]

    def slowest(self, shape: Ints) -> Floats:
        """The factor of the tail, times the rate."""
        return self._slowest[shape]

    def enough(self, shape: Ints, rate_per_ms: Floats) -> Ints:
        """For each row a number of states behind which all together are fainter than ``_FAINTEST``; all where none is.

        Where requests pile up no share is asked for.
        """
        if len(self._stops) == 1 or not len(shape):
            return np.full(len(shape), self.length, dtype=np.int64)
        rate = np.maximum(rate_per_ms, 1e-300)[:, None]
        step = rate * self._behind[shape]
        sure = step < 1
        odds = np.where(sure, step / np.where(sure, 1 - step, 1.0), 1.0)
        share = self._at_stop[shape] + np.array(self._stops[:-1]) * np.log(rate)
        faint = sure & (share + np.log(odds) < _FAINTEST)
        first = np.where(faint.any(axis=1), faint.argmax(axis=1), len(self._stops) - 1)
        piled = rate[:, 0] * self._slowest[shape] >= 1 + _CLOSE
        return np.array(self._stops)[np.where(piled, 0, first)]

    def logs(self, shape: Ints, rate_per_ms: Floats, upto: int) -> Floats:
        """Logarithms of the shares of 0 … ``upto``, the likeliest being 1."""
        found = self._climb[shape, : upto + 1] + np.arange(upto + 1) * np.log(rate_per_ms)[:, None]
        found -= found.max(axis=1, keepdims=True)
        return found


def _stops(length: int) -> list[int]:
    found, stop = [], _FIRST
    while stop < length:
        found.append(stop)
        stop = int(stop * _STEP)
    return [*found, length]
