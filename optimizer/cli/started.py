"""When the program began: what it took to load counts in the time that a person gives. And how to load without what nobody uses."""

from __future__ import annotations

import gc
import os
import time

_began: float | None = None
_FEWEST_FOR_A_LOOK = 100_000
"""Objects made between two looks for garbage in cycles. Of 700, as Python has it, a tenth of a short command goes into looking at modules
that are being loaded, none of which is garbage."""


def begin() -> None:
    """Note that the program begins now."""
    global _began
    _began = time.monotonic()


def seconds() -> float:
    """Seconds since then; 0 where commands are called from Python."""
    return 0.0 if _began is None else time.monotonic() - _began


def lightly() -> None:
    """Set what libraries read once, while they are loaded; what the user's environment says of them stands."""
    gc.set_threshold(_FEWEST_FOR_A_LOOK, 20, 50)
    # No product of matrices here is worth a thread: OpenBLAS would start one a core while numpy is loaded.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Pydantic looks through every installed package for plugins, none of which belongs to us.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")


def leave() -> None:
    """Keep the interpreter's end short: what is there now is not looked through for garbage once more."""
    gc.freeze()
