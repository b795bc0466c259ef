"""A live line on standard error for anything over two seconds; nothing when that is not a terminal."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optimizer.search.solve import Progress

PATIENCE_S = 2.0


class LiveLine:
    """Context manager; call it with each ``Progress`` of the solver."""

    def __init__(self) -> None:
        self._latest: Progress | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)
        self._shown = False
        self._started = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        self._latest = progress

    def __enter__(self) -> LiveLine:
        if sys.stderr.isatty():
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        if self._thread.is_alive():
            self._thread.join(timeout=1)
        if self._shown:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()

    def _show(self) -> None:
        if self._done.wait(PATIENCE_S):
            return
        while not self._done.wait(0.2):
            text = f"{time.monotonic() - self._started:.0f} s"
            if self._latest is not None:
                best, bound = self._latest.incumbent, self._latest.bound
                gap = (best - bound) / max(abs(best), 1e-9)
                text += f"  incumbent {best:,.0f}  bound {bound:,.0f}  gap {gap:.2%}"
            sys.stderr.write(f"\r\033[Ksolving: {text}  (Ctrl-C returns the incumbent)")
            sys.stderr.flush()
            self._shown = True
