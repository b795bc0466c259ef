"""Files that commands write: replaced in one step, so that no reader ever sees half of one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from optimizer.facts.errors import ProblemError


def write_whole(path: str | Path, text: str, option: str) -> None:
    """Write a text file, or replace it in one step; what is no regular file (a pipe, a terminal) is written to as it is.

    Args:
        option: the command-line option that names the file, for the error message.

    Raises:
        ProblemError: the file cannot be written; an older one is left as it was.
    """
    target = Path(path)
    try:
        if target.exists() and not target.is_file():
            target.write_text(text, encoding="utf-8")
            return
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask()
        with tempfile.NamedTemporaryFile(
            "w", dir=target.resolve().parent, prefix=f".{target.name}.", delete=False, encoding="utf-8", newline=""
        ) as stream:
            stream.write(text)
        temporary = Path(stream.name)
        try:
            temporary.chmod(mode)
            temporary.replace(target.resolve())
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ProblemError(option, f"{path} cannot be written ({error.strerror})") from None


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
