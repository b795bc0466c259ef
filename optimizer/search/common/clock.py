"""When a search of several solves has to end."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from optimizer.search.common.solver import CtrlC


@dataclass(slots=True)
class Clock:
    """A time limit over everything that is done with it, and Ctrl-C."""

    limit_s: float | None = None
    ctrl_c: CtrlC | None = None
    _start: float = field(default_factory=time.monotonic)

    @property
    def left_s(self) -> float | None:
        """Seconds left; None: no limit."""
        return None if self.limit_s is None else max(0.01, self.limit_s - (time.monotonic() - self._start))

    def within(self, seconds: float) -> Clock:
        """A clock for a part of what is done, which takes so many seconds at most."""
        left = self.left_s
        return Clock(seconds if left is None else min(seconds, left), self.ctrl_c)

    @property
    def deadline(self) -> float | None:
        """When it ends, on the monotonic clock; None: no limit."""
        return None if self.limit_s is None else self._start + self.limit_s

    @property
    def over(self) -> bool:
        """Whether nothing more should be begun."""
        late = self.limit_s is not None and time.monotonic() - self._start > self.limit_s
        return late or (self.ctrl_c is not None and self.ctrl_c.came)
