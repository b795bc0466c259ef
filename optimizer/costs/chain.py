"""The birth–death chain of requests in progress, no longer than its shares can be told from zero. Section 4 of ``docs/model.md``.

A share is λ · R(n) / n times the one before. Behind half of a width the factors are at most λ · max R(m) / m over all m that
follow: where that to the power of the other half is below e^-50, nothing behind the width moves a 64-bit sum, and only so
many states are worked on. At everyday loads that is 64 or 128 of 512 to 2,048.
"""

from __future__ import annotations

import math

import numpy as np

from optimizer.costs.shapes import Bools, Floats, Ints

_NARROWEST = 64
_ROUNDING = 1e-12
_UNSEEN = 50.0
"""Shares below e^-50 of the largest are not seen in sums of 53 bits, not even times the third power of a width."""


class ChainTable:
    """What depends on the shape alone, of every width; each shape's line is computed when it is first asked for.

    Args:
        residence_ms: (S, N) time of a whole request with n in progress, column n - 1.
    """

    def __init__(self, residence_ms: Floats) -> None:
        self._residence = residence_ms
        shapes, slots = residence_ms.shape
        self.widths = [*_doubled(_NARROWEST, slots), slots]
        self._numbers = np.arange(1, slots + 1, dtype=np.float64)
        self._most, self._peak = _most_rates(residence_ms, self.widths)
        self._last = residence_ms[:, -1] / slots
        self._known = [np.zeros(shapes, dtype=np.bool_) for _ in self.widths]
        self._logs: dict[int, Floats] = {}
        self._speeds: dict[int, Floats] = {}

    @property
    def slots(self) -> int:
        """N."""
        return len(self._numbers)

    def numbers(self, level: int) -> Floats:
        """1 … width, as floats."""
        return self._numbers[: self.widths[level]]

    def cut_short(self, level: int) -> bool:
        """Whether a level leaves states out, and the tail with them."""
        return level < len(self.widths) - 1

    def last(self, shape: Ints) -> Floats:
        """R(N) / N in ms, (Q,)."""
        result: Floats = self._last[shape]
        return result

    def peak(self, shape: Ints) -> Floats:
        """No less than the largest n / R(n), requests/ms, (Q,)."""
        result: Floats = self._peak[shape]
        return result

    def level_of(self, shape: Ints, rate_per_ms: Floats) -> Ints:
        """The narrowest width that is enough for each pair, (Q,)."""
        result: Ints = (rate_per_ms[:, None] > self._most[shape]).sum(axis=1)
        return result

    def logs(self, level: int, shape: Ints) -> Floats:
        """Σ over m ≤ n of log(R(m) / m) for n = 0 … width, (Q, width + 1)."""
        self._know(level, shape)
        result: Floats = self._logs[level][shape]
        return result

    def fewest_completing(self, level: int, shape: Ints, rate_per_ms: Floats) -> Ints:
        """The smallest n with n / R(n) at least the rate, (Q,); width + 1 where none within the width has."""
        self._know(level, shape)
        enough = self._speeds[level][shape] >= rate_per_ms[:, None]
        result: Ints = np.where(enough[:, -1], enough.argmax(axis=1), self.widths[level]) + 1
        return result

    def _know(self, level: int, shape: Ints) -> None:
        width, known = self.widths[level], self._known[level]
        if level not in self._logs:
            self._logs[level] = np.empty((len(known), width + 1))
            self._speeds[level] = np.empty((len(known), width))
        asked: Bools = np.zeros(len(known), dtype=np.bool_)
        asked[shape] = True
        new = np.flatnonzero(asked & ~known)
        if not len(new):
            return
        residence, n = self._residence[new, :width], self.numbers(level)
        logs = np.log(residence / n)
        self._logs[level][new, 0] = 0.0
        self._logs[level][new, 1:] = np.cumsum(logs, axis=1, out=logs)
        self._speeds[level][new] = np.maximum.accumulate(n / residence, axis=1)
        known[new] = True


def _doubled(first: int, below: int) -> list[int]:
    found = []
    while first < below:
        found.append(first)
        first *= 2
    return found


def _most_rates(residence_ms: Floats, widths: list[int]) -> tuple[Floats, Floats]:
    """The largest rate for which each width but the last is enough, (S, widths - 1), and the largest n / R(n), (S,), requests/ms."""
    ends = [0, *(width // 2 for width in widths[:-1]), residence_ms.shape[1]]
    most = np.empty((len(residence_ms), len(widths) - 1))
    behind, quickest = np.zeros(len(residence_ms)), np.full(len(residence_ms), np.inf)
    for level in reversed(range(len(ends) - 1)):
        start, end = ends[level], ends[level + 1]
        part = residence_ms[:, start:end] / np.arange(start + 1, end + 1)
        quickest = np.minimum(quickest, part.min(axis=1))
        behind = np.maximum(behind, part.max(axis=1))
        if level:
            most[:, level - 1] = math.exp(-_UNSEEN / start) / behind
    return most, (1 + _ROUNDING) / quickest
