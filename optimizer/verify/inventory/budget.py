"""How long the verifier looks for better choices: a budget of its own, and never past the time that a person gave."""

from __future__ import annotations

import time

from optimizer.verify.inventory.choices import TooMany

ENUMERATED_WITHIN_S = 8.0
"""Seconds of processor time for proofs beyond the recomputation of what is claimed."""

BESIDE_WITHIN_S = 1.0
"""The same for what stands beside an optimum only to be compared with it, as decisions that a person fixed do."""
PRICED_WITHIN_S = 4.0
"""The same for the bound by what nodes are worth, before anything is enumerated."""
CERTIFIED_WITHIN_S = 1.5
"""The same for the bound by what is spent, at the multipliers that an answer names."""
SPARED_WITHIN_S = 1.5
"""The same for going through what is within the tolerance of larger inventories, where that bound did not close."""

_LOOK_S = 0.02


class OutOfTime(TooMany):
    """The budget is used up: nothing is said about all choices."""


class Budget:
    """Time for one verification.

    Args:
        seconds: of processor time.
        deadline: of the monotonic clock; None where no one waits.
    """

    def __init__(self, seconds: float = ENUMERATED_WITHIN_S, deadline: float | None = None) -> None:
        self._seconds, self._deadline = seconds, deadline
        self._end: float | None = None
        self._look_at = 0.0

    def part(self, seconds: float) -> Budget:
        """A budget of its own within the same deadline."""
        return Budget(seconds, self._deadline)

    def spend(self) -> None:
        """Go on, if there is time; the budget begins with the first call.

        Raises:
            OutOfTime: there is none left.
        """
        clock = time.monotonic()
        if self._deadline is not None and clock > self._deadline:
            raise OutOfTime
        if clock < self._look_at:
            return
        # Processor time is asked of the system, which takes up to a millisecond where that is a virtual one.
        self._look_at = clock + _LOOK_S
        now = time.process_time()
        if self._end is None:
            self._end = now + self._seconds
        if now > self._end:
            raise OutOfTime
