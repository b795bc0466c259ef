"""A live line on standard error for anything over two seconds; nothing when that is not a terminal."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optimizer.search.uniform.solve import Progress

PATIENCE_S = 2.0
NS_PER_MS = 1e6


class LiveLine:
    """Context manager; call it with each ``Progress`` of the search. The line has no colours."""

    def __init__(self) -> None:
        self._latest: Progress | None = None
        self._phase = ""
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)
        self._shown = False
        self._started = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        self._phase = progress.phase
        if progress.incumbent is not None:
            self._latest = progress

    def say(self, phase: str) -> None:
        """What is being done, where no search tells it."""
        self._phase = phase

    def __enter__(self) -> LiveLine:
        if sys.stderr.isatty() and os.environ.get("TERM", "") != "dumb":
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

    def line(self) -> str:
        """What is shown now, without the terminal's control characters."""
        text = f"{self._phase or 'working'}: {time.monotonic() - self._started:.0f} s"
        latest = self._latest
        if latest is None or latest.incumbent is None:
            return f"{text}  no incumbent yet  (Ctrl-C stops)"
        text += f"  incumbent {_value(latest.incumbent, latest.unit)}"
        if latest.bound is not None:
            gap = abs(latest.incumbent - latest.bound) / max(abs(latest.incumbent), 1e-9)
            text += f"  bound {_value(latest.bound, latest.unit)}  gap {gap:.2%}"
        return f"{text}  (Ctrl-C returns the incumbent)"

    def _show(self) -> None:
        if self._done.wait(PATIENCE_S):
            return
        while True:
            width = max(20, shutil.get_terminal_size().columns - 1)
            sys.stderr.write(f"\r\033[K{self.line()[:width]}")
            sys.stderr.flush()
            self._shown = True
            if self._done.wait(0.2):
                return


def _value(value: float, unit: str) -> str:
    return f"{value / NS_PER_MS:,.0f} ms" if unit == "ns" else f"{value:,.1f} {unit}"
