"""Files that we write: each appears whole or not at all, so that no reader ever sees half of one."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from optimizer.facts.errors import ProblemError


def write_file(path: str | Path, pieces: Iterable[str] | bytes, option: str, *, mode: int | None = None) -> None:
    """Write a file, or replace it in one step; what is no regular file (a pipe, a terminal, a device) is written to as it is.

    Args:
        pieces: text, written in UTF-8 one piece after another; or bytes.
        option: the command-line option that names the file, for the error message.
        mode: permissions; left out, those of the file that is replaced, or what the umask leaves of rw-rw-rw-.

    Raises:
        ProblemError: the file cannot be written; an older one is left as it was. Whatever making the pieces raises passes through.
    """
    target = Path(path)
    try:
        if target.is_dir():
            raise ProblemError(option, f"{path} is a directory; the name of a file is needed")
        if target.exists() and not target.is_file():
            with target.open("wb") as stream:
                stream.writelines(_encoded(pieces))
            return
        target = target.resolve()
        if mode is None:
            mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask()
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:100]}.")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.writelines(_encoded(pieces))
                stream.flush()
                os.fsync(stream.fileno())
            Path(name).chmod(mode)
            Path(name).replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise
    except (OSError, ValueError) as error:
        if isinstance(error, ProblemError):
            raise
        raise ProblemError(option, f"{path} cannot be written ({getattr(error, 'strerror', None) or error})") from None


def _encoded(pieces: Iterable[str] | bytes) -> Iterable[bytes]:
    if isinstance(pieces, bytes):
        return [pieces]
    # A half of a surrogate pair, which UTF-8 has no bytes for, can only come from a file name that is not UTF-8.
    return (piece.encode("utf-8", "backslashreplace") for piece in pieces)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
