"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from optimizer.facts.errors import ProblemError


def replace_file(path: Path, content: bytes, option: str) -> None:
    """Write a file in one step.

    Raises:
        ProblemError: it cannot be written; the message names the option that asked for it.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ProblemError(option, f"{path} cannot be written ({error.strerror or error})") from None
