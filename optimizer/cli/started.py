"""When the program began: what it took to load counts in the time that a person gives."""

from __future__ import annotations

import time

_began: float | None = None


def begin() -> None:
    """Note that the program begins now."""
    global _began
    _began = time.monotonic()


def seconds() -> float:
    """Seconds since then; 0 where commands are called from Python."""
    return 0.0 if _began is None else time.monotonic() - _began
