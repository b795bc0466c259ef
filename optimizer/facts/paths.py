"""Paths as a person states them: looking whether something is there never fails, whatever the text is.

A name may be too long for the disk, hold what no file name may, go round in links, or start at the home of nobody.
"""

from __future__ import annotations

from pathlib import Path

from optimizer.facts.errors import ProblemError
from optimizer.facts.text import shown


def is_there(path: str | Path) -> bool:
    """Whether anything has this name."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def is_file(path: str | Path) -> bool:
    """Whether a regular file has this name."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: str | Path) -> bool:
    """Whether a folder has this name."""
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):
        return False


def beside(stated: str, folder: Path, field: str) -> Path:
    """The path that a problem states in a field; a relative one starts where the problem's file is.

    Raises:
        ProblemError: it starts at the home of a user who is not known.
    """
    try:
        path = Path(stated).expanduser()
    except RuntimeError:
        raise ProblemError(field, f"{shown(stated)} starts at the home of a user who is not known here") from None
    return path if path.is_absolute() else folder / path
