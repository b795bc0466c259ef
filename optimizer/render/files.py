"""Documents to a file or to standard output; a file appears whole or not at all."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from optimizer.facts.errors import ProblemError


def write_out(pieces: Iterable[str], path: str | None, field: str = "--out") -> None:
    """Write the pieces one after another; an existing file is replaced once all of them are written.

    Args:
        path: the file; None for standard output.
        field: the option to name when the file cannot be written.

    Raises:
        ProblemError: the file cannot be written. Whatever making the pieces raises passes through; the file is untouched.
    """
    if path is None:
        for piece in pieces:
            sys.stdout.write(piece)
        return
    file = Path(path)
    if file.is_dir():
        raise ProblemError(field, f"{path} is a directory; the name of a file is needed")
    try:
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    except OSError as error:
        raise ProblemError(field, f"{path} cannot be written ({error.strerror or error})") from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.writelines(pieces)
        Path(name).chmod(0o644)
        Path(name).replace(file)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise ProblemError(field, f"{path} cannot be written ({error.strerror or error})") from None
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
