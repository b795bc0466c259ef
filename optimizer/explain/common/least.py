"""The least change that is enough, where more of it always is too."""

from __future__ import annotations

from collections.abc import Callable


def least_that_fits(low: int, high: int, fits: Callable[[int], bool]) -> int | None:
    """The least whole number above ``low`` and up to ``high`` that fits; more always fits where less does."""
    if not fits(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high
