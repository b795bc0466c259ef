"""Results on disk: a journal that grows while a sweep runs, and the finished file in input order.

The journal (``FILE.journal``) is append-only JSON Lines: each row is written whole, as soon as this process knows it, so a
killed run loses nothing that was written but a torn last line. A row carries the hash of everything it depends on (``key_of``); a later run
takes over rows whose hash it asks for and solves the rest. The finished file replaces its predecessor in one step and holds
neither times nor the order of work, so that equal questions give equal bytes.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from optimizer.facts.errors import ProblemError
from optimizer.facts.paths import is_file, is_there
from optimizer.writing.files import write_file

SYNC_S = 1.0
"""The journal is forced to disk this often, for the case that the machine and not the process dies."""
KIND = "optimizer sweep"


_locked: set[int] = set()
"""File descriptors of journals that this process has locked."""


def _let_go() -> None:
    """A forked worker must not keep the lock when its parent is killed: the descriptor is another file in the worker."""
    for descriptor in _locked:
        other = os.open(os.devnull, os.O_RDWR)
        os.dup2(other, descriptor)
        os.close(other)
    _locked.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


def line_of(data: Mapping[str, Any]) -> str:
    """One row as a line of JSON."""
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"


class Store:
    """The rows of one output file, by hash. Use as a context manager: it keeps a lock on the journal.

    Raises:
        ProblemError: the file is something else or another sweep's, cannot be written, or another run is writing it.
    """

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        self.path, self.journal_path = path, path.with_name(path.name + ".journal")
        self._header = {"kind": KIND, **header}
        self.known: dict[str, dict[str, Any]] = {}
        self._stream: IO[str] | None = None
        self._synced = time.monotonic()

    def __enter__(self) -> Store:
        finished = _read(self.path)
        try:
            self._stream = self.journal_path.open("a+", encoding="utf-8")
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _locked.add(self._stream.fileno())
        except BlockingIOError:
            self._close()
            raise ProblemError(
                "--out", f"another run is writing {self.path}; wait for it or choose another name"
            ) from None
        except OSError as error:
            raise ProblemError("--out", f"{self.path} cannot be written ({error.strerror or error})") from None
        _cut_torn_line(self._stream)
        for row in (*finished, *_read(self.journal_path)):
            if isinstance(row.get("hash"), str):
                self.known.setdefault(row["hash"], row)
        if self._stream.tell() == 0:
            self._write(self._header)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._stream is not None:
            _locked.discard(self._stream.fileno())
            self._stream.close()
            self._stream = None

    def _write(self, data: Mapping[str, Any]) -> None:
        assert self._stream is not None
        try:
            self._stream.write(line_of(data))
            self._stream.flush()
            if time.monotonic() - self._synced >= SYNC_S:
                os.fsync(self._stream.fileno())
                self._synced = time.monotonic()
        except OSError as error:
            said = f"{self.journal_path} cannot be written ({error.strerror or error}); what it holds is kept"
            raise ProblemError("--out", said) from None

    def add(self, row: Mapping[str, Any]) -> None:
        """Append a row to the journal, unless it is known."""
        if row["hash"] not in self.known:
            self.known[row["hash"]] = dict(row)
            self._write(row)

    def finish(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write the finished file in one step and remove the journal."""
        write_file(self.path, (line_of(self._header) + "".join(map(line_of, rows))).encode(), "--out")
        self.journal_path.unlink(missing_ok=True)


def _read(path: Path) -> list[dict[str, Any]]:
    """Rows of a finished file or journal; a torn last line is left out.

    Raises:
        ProblemError: the file holds something other than a sweep.
    """
    if is_there(path) and not is_file(path):
        raise ProblemError("--out", f"{path} is no regular file; the name of a file is needed")
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ProblemError("--out", f"{path} cannot be read ({error.strerror or error})") from None
    rows = []
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if isinstance(row, dict):
            rows.append(row)
    if any(lines[:-1]) and (not rows or rows[0].get("kind") != KIND):
        raise ProblemError("--out", f"{path} exists and holds no sweep; choose another name")
    return rows[1:]


def _cut_torn_line(stream: IO[str]) -> None:
    """Remove what a killed run wrote of its last row."""
    size = os.fstat(stream.fileno()).st_size
    text = os.pread(stream.fileno(), size, 0)
    whole = text.rfind(b"\n") + 1
    if whole < size:
        os.ftruncate(stream.fileno(), whole)
    stream.seek(0, os.SEEK_END)
