"""Ctrl-C that ends a command, past typer, which would leave without a word or with a code of its own."""

from __future__ import annotations


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
