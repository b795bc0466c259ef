"""Documents to a file or to standard output; a file appears whole or not at all."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from optimizer.writing.files import write_file


def write_out(pieces: Iterable[str], path: str | None, field: str = "--out") -> None:
    """Write the pieces one after another; an existing file is replaced once all of them are written.

    Args:
        path: the file; None for standard output.
        field: the option to name when the file cannot be written.

    Raises:
        ProblemError: the file cannot be written. Whatever making the pieces raises passes through; the file is untouched.
    """
    if path is None:
        in_unicode = getattr(sys.stdout, "in_unicode", None)
        if in_unicode is not None:
            in_unicode()
        for piece in pieces:
            sys.stdout.write(piece)
        return
    write_file(path, pieces, field)
