"""Ctrl-C that ends a command, past typer, which would leave without a word or with a code of its own."""

from __future__ import annotations

import signal
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class _Process:
    """Whether this process is the command's own, so that its signals are the command's too; tests call it inside theirs."""

    owned = False


def own() -> None:
    """The process belongs to the command; SIGTERM ends it as Ctrl-C does."""
    _Process.owned = True
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def answered() -> None:
    """The answer is there: one signal while it is written down changes neither it nor its exit code, a second one raises."""
    if _Process.owned:
        for number in _SIGNALS:
            if signal.getsignal(number) is signal.default_int_handler:
                signal.signal(number, _once)


def ended() -> None:
    """All is written: what comes while the interpreter ends, which puts back the signals' own actions, would kill."""
    if _Process.owned:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)


def _once(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.default_int_handler)


class Interrupted(Exception):
    """The command was interrupted.

    Args:
        code: the exit code of the program.
        said: what the user is told; None: nothing was found yet, in the program's own words.
    """

    def __init__(self, code: int, said: str | None = None) -> None:
        super().__init__(said)
        self.code = code
        self.said = said
