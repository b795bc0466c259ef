"""Standard output and error that never fail while a command runs, and say at the end what came of it.

Whoever reads our output may stop (``| head -1``), the disk may be full, the stream closed, or the terminal know ASCII only. None of
these says anything about the problem, so none may end a command with a code that does.
"""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

_PLAIN = {
    "—": "-", "–": "-", "−": "-", "·": ".", "×": "x", "≤": "<=", "≥": ">=", "…": "...", "✓": "ok", "✗": "X", "→": "->",
    "─": "-", "═": "=", "│": "|", "≈": "~", "µ": "u", "’": "'", "“": '"', "”": '"', "\u202f": " ", "\xa0": " ", "²": "2", "ö": "oe",
}  # fmt: skip
"""What our own sentences and tables use beyond ASCII, for a terminal that knows nothing else."""


def _plainly(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_PLAIN.get(one, "?") for one in error.object[error.start : error.end]), error.end


codecs.register_error("optimizer-plain", _plainly)


class Output:
    """A text stream that keeps its first failure and takes what follows without a word.

    It has no ``buffer``, so that nobody goes around it.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.failure: OSError | None = None
        if stream is None:
            self.failure = OSError(9, "it is closed")
        elif not _is_unicode(stream.encoding):
            stream.reconfigure(errors="optimizer-plain")

    @property
    def encoding(self) -> str:
        """Of the stream; UTF-8 where there is none."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    @property
    def errors(self) -> str:
        """What happens to characters that the encoding does not have."""
        return getattr(self._stream, "errors", None) or "strict"

    def write(self, text: str) -> int:
        """As of a text file."""
        self._try("write", text)
        return len(text)

    def writelines(self, lines: Any) -> None:
        """As of a text file."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """As of a text file."""
        self._try("flush")

    def isatty(self) -> bool:
        """Whether a person watches."""
        return self._stream is not None and bool(self._stream.isatty())

    def writable(self) -> bool:
        """Always."""
        return True

    def fileno(self) -> int:
        """Of the stream.

        Raises:
            OSError: there is none.
        """
        if self._stream is None:
            raise OSError("the stream is closed")
        number: int = self._stream.fileno()
        return number

    def in_unicode(self) -> None:
        """Write UTF-8 from now on, whatever the terminal knows: what follows is a document whose format asks for that."""
        if self._stream is not None:
            self._stream.reconfigure(encoding="utf-8", errors="backslashreplace")

    @property
    def stopped(self) -> bool:
        """Whether the reader went away, which is no failure."""
        return isinstance(self.failure, BrokenPipeError)

    def _try(self, method: str, *arguments: Any) -> None:
        if self.failure is not None:
            return
        try:
            getattr(self._stream, method)(*arguments)
        except OSError as error:
            self.failure = error
            self._drop()

    def _drop(self) -> None:
        """What is still in the buffer goes nowhere, so that the interpreter's last flush does not fail."""
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
        except OSError:
            pass


@dataclass(frozen=True, slots=True)
class Streams:
    """Guarded standard output and error."""

    out: Output
    err: Output

    def code(self, code: int) -> int:
        """The exit code once everything is written: the answer's own, or 2 where it could not be written down."""
        self.out.flush()
        if self.out.failure is not None and not self.out.stopped:
            said = self.out.failure.strerror or self.out.failure
            self.err.write(f"error: standard output: cannot be written ({said})\n")
            code = 2
        self.err.flush()
        return code


@contextmanager
def guarded() -> Iterator[Streams]:
    """Guarded streams in place of standard output and error."""
    # Closed standard streams would give their numbers to the next files that are opened, which would then be written to.
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    before = sys.stdout, sys.stderr
    streams = Streams(Output(sys.stdout), Output(sys.stderr))
    sys.stdout, sys.stderr = streams.out, streams.err
    try:
        yield streams
    finally:
        sys.stdout, sys.stderr = before


def _is_unicode(encoding: str | None) -> bool:
    try:
        return codecs.lookup(encoding or "utf-8").name.startswith("utf")
    except LookupError:
        return False
