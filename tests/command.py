"""The ``optimizer`` command as a user runs it, in this process: a new one spends most of its second on imports.

What only a process shows (signals, closed streams, lazy imports) is tested in ``tests/interrupt`` and ``tests/safety``, with one.
"""

from __future__ import annotations

import io
import os
from contextlib import ExitStack, chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from optimizer.cli.program import main


@dataclass(frozen=True)
class Ran:
    """What a command left: its exit code and what it wrote."""

    returncode: int
    stdout: str
    stderr: str


def run(*arguments: str, cwd: str | Path | None = None, **env: str) -> Ran:
    """The command with these arguments, in a folder and with more of an environment where they are given."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="") for _ in range(2))
    with ExitStack() as during:
        during.enter_context(patch.dict(os.environ, env))
        if cwd is not None:
            during.enter_context(chdir(cwd))
        during.enter_context(redirect_stdout(out))
        during.enter_context(redirect_stderr(err))
        try:
            main(list(arguments))
        except SystemExit as left:
            code = left.code
    assert isinstance(code, int)
    return Ran(code, *(_text(stream) for stream in (out, err)))


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode("utf-8")
