"""The one place where real quantities become the solver's integers: times to whole nanoseconds, rounded up.

Rounding up is pessimistic: a limit that holds for the integer holds for the real value. What is not finite (an overloaded
replica) becomes ``NEVER_NS``, larger than any limit that a problem file may state.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache

import numpy as np

from optimizer.costs.shapes import Floats, Ints

NS_PER_MS = 1_000_000
NEVER_NS = 10**16
NEVER_BYTES = 2**60
"""More bytes than any GPU has."""
RESOLUTION = "times rounded up to 1 ns, sizes to 1 byte; objectives equal to the nanosecond are ties"


def time_ns(milliseconds: Floats) -> Ints:
    """Whole nanoseconds, rounded up; ``NEVER_NS`` where not finite."""
    finite = np.where(np.isfinite(milliseconds), milliseconds, 0.0)
    result: Ints = np.where(np.isfinite(milliseconds), np.ceil(finite * NS_PER_MS), NEVER_NS).astype(np.int64)
    return result


def bytes_up(values: Floats) -> Ints:
    """Whole bytes, rounded up; what has no finite value becomes ``NEVER_BYTES``."""
    finite = np.where(np.isfinite(values), values, 0.0)
    result: Ints = np.where(np.isfinite(values), np.ceil(finite), NEVER_BYTES).astype(np.int64)
    return result


@lru_cache(maxsize=4096)
def limit_ns(milliseconds: float, margin: float = 0) -> int:
    """What may be predicted under a limit planned with a margin, in whole nanoseconds, rounded down."""
    return math.floor(_planned(milliseconds, margin) * NS_PER_MS)


def planned_ms(milliseconds: float, margin: float) -> float:
    """The same in milliseconds, not rounded."""
    return float(_planned(milliseconds, margin)) if margin else milliseconds


def _planned(milliseconds: float, margin: float) -> Fraction:
    """Predicted · (1 + margin) ≤ limit, solved for the prediction."""
    return Fraction(repr(milliseconds)) / (1 + Fraction(repr(margin)))


PARTS = 10**12
"""Shares of requests not served are counted in parts of this: fine enough for twelve nines."""


def lost_parts(share: Floats) -> Ints:
    """Shares of requests that are not served in whole parts of ``PARTS``, rounded up (pessimistic)."""
    result: Ints = np.ceil(share * PARTS).astype(np.int64)
    return result


def milliseconds(nanoseconds: int) -> float:
    """Back to milliseconds for people."""
    return nanoseconds / NS_PER_MS
