"""How long explanations may take: what is cut short says so."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

EXPLAIN_WITHIN_S = 30.0
"""Seconds for the repairs where no time limit is stated."""
NOT_ALL_TRIED = (
    "Changes that help were looked for as long as there was time, and not all were tried to their end; "
    "a longer --time-limit has them all."
)


class TimeUpError(Exception):
    """The time for an explanation is over."""


@dataclass(slots=True)
class Patience:
    """Time that a part of an explanation may take; ``until`` is on the monotonic clock, None has no end."""

    until: float | None = None
    cut: bool = field(default=False, init=False)
    """Whether something was left undone for it."""

    @staticmethod
    def within(deadline: float | None, seconds: float) -> Patience:
        """Until a deadline, or for so many seconds where there is none."""
        return Patience(time.monotonic() + seconds if deadline is None else deadline)

    def ask(self) -> None:
        """Go on, or raise ``TimeUpError`` and remember that something was cut."""
        if self.until is not None and time.monotonic() >= self.until:
            self.cut = True
            raise TimeUpError
