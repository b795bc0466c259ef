"""The birth–death chain of requests in progress, no longer than its shares can be told from zero. Section 4 of ``docs/model.md``.

A share is λ · R(n) / n times the one before. Behind a state n all factors are at most q = λ · max R(m) / m over the m that
follow; where q < 1, all shares behind it together are at most q / (1 − q) times its own. Where that is below e^-50 of the share
of an idle replica, nothing behind it moves a 64-bit sum, and only the states up to there are worked on. At everyday loads that
is 64 or 128 of 512 to 2,048.

Other homes: ``verify/common/load.py``, ``verify/common/float_states.py``; docs/model.md, section 4.
"""

from __future__ import annotations

import numpy as np

from optimizer.costs.shapes import Floats, Ints

_NARROWEST, _WIDER = 64, 2
_UNSEEN = -50.0
"""Shares below e^-50 of the largest are not seen in sums of 53 bits, not even times the third power of a width."""


class ChainTable:
    """What depends on the shape alone; each shape's line is computed when it is first asked for.

    Args:
        residence_ms: (S, N) time of a whole request with n in progress, column n - 1.
    """

    def __init__(self, residence_ms: Floats) -> None:
        self._residence = residence_ms
        shapes, self.slots = residence_ms.shape
        self.widths = _widths(self.slots)
        self._numbers = np.arange(1, self.slots + 1, dtype=np.float64)
        self._last = residence_ms[:, -1] / self.slots
        self._line = np.full(shapes, -1, dtype=np.int64)
        """Where in the tables below a shape is; -1: not there yet."""
        self._lines = 0
        self._logs = np.empty((0, self.slots + 1))
        self._behind = np.empty((0, len(self.widths) - 1))
        self._at = np.array(self.widths[:-1], dtype=np.int64)

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

    def level_of(self, shape: Ints, rate_per_ms: Floats) -> Ints:
        """The narrowest width that is enough for each pair, (Q,)."""
        line = self._known(shape)
        if not len(self._at):
            return np.zeros(len(shape), dtype=np.int64)
        factor = rate_per_ms[:, None] * self._behind[line]
        falls = factor < 1
        with np.errstate(divide="ignore"):
            rest = np.log(factor / np.where(falls, 1 - factor, 1.0))
        share = self._logs[line[:, None], self._at] + np.log(rate_per_ms)[:, None] * self._at
        enough = falls & (share + rest < _UNSEEN)
        result: Ints = np.where(enough.any(axis=1), enough.argmax(axis=1), len(self.widths) - 1)
        return result

    def logs(self, level: int, shape: Ints) -> Floats:
        """Σ over m ≤ n of log(R(m) / m) for n = 0 … width, (Q, width + 1); a copy."""
        result: Floats = self._logs[self._known(shape), : self.widths[level] + 1]
        return result

    def fewest_completing(self, width: int, shape: Ints, rate_per_ms: Floats) -> Ints:
        """The smallest n with n / R(n) at least the rate, (Q,); width + 1 where none within the width has."""
        enough = self._numbers[:width] / self._residence[shape, :width] >= rate_per_ms[:, None]
        result: Ints = np.where(enough.any(axis=1), enough.argmax(axis=1), width) + 1
        return result

    def _known(self, shape: Ints) -> Ints:
        """The lines of shapes in the tables, computed where they are not there yet."""
        found: Ints = self._line[shape]
        if (found >= 0).all():
            return found
        new = np.array(sorted(set(shape[found < 0].tolist())), dtype=np.int64)
        first, self._lines = self._lines, self._lines + len(new)
        if self._lines > len(self._logs):
            room = min(len(self._line), max(2 * len(self._logs), self._lines))
            self._logs, self._behind = (_larger(table, room) for table in (self._logs, self._behind))
        slowness = self._residence[new] / self._numbers
        place = slice(first, self._lines)
        self._logs[place, 0] = 0.0
        np.cumsum(np.log(slowness), axis=1, out=self._logs[place, 1:])
        ends = [*self.widths[1:], self.slots]
        worst = np.zeros(len(new))
        for level in reversed(range(len(self._at))):
            worst = np.maximum(worst, slowness[:, self._at[level] : ends[level]].max(axis=1))
            self._behind[place, level] = worst
        self._line[new] = np.arange(first, self._lines)
        result: Ints = self._line[shape]
        return result


def _widths(slots: int) -> list[int]:
    found, width = [], _NARROWEST
    while width < slots:
        found.append(width)
        width *= _WIDER
    return [*found, slots]


def _larger(table: Floats, lines: int) -> Floats:
    found = np.empty((lines, table.shape[1]))
    found[: len(table)] = table
    return found


def tail_moments(ratio: Floats, slots: int) -> Floats:
    """Σ over j ≥ 1 of ratio^j · (slots + j)^k for k = 1, 2, 3, (3, Q)."""
    rest = 1 - ratio
    zeroth, first = ratio / rest, ratio / rest**2
    second, third = ratio * (1 + ratio) / rest**3, ratio * (1 + 4 * ratio + ratio**2) / rest**4
    return np.stack(
        [
            slots * zeroth + first,
            slots**2 * zeroth + 2 * slots * first + second,
            slots**3 * zeroth + 3 * slots**2 * first + 3 * slots * second + third,
        ]
    )
