"""Several files into a folder: each appears whole or not at all, and none is replaced unasked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from optimizer.facts.errors import ProblemError
from optimizer.facts.paths import is_folder, is_there
from optimizer.render.files import write_out
from optimizer.writing.files import write_file

EXECUTABLE, PLAIN = 0o755, 0o644


def check_folder(path: str | None, field: str = "--out") -> None:
    """Refuse a folder that cannot be made, before any time is spent.

    Raises:
        ProblemError: the path is a file, or the folder above it is missing.
    """
    if path is None:
        return
    folder = Path(path)
    if is_there(folder) and not is_folder(folder):
        raise ProblemError(field, f"{path} is a file; a folder is needed")
    if not is_there(folder) and not is_folder(folder.absolute().parent):
        raise ProblemError(field, f"{folder.parent} is no directory")


def write_folder(files: Mapping[str, str], path: str | None, *, overwrite: bool, field: str = "--out") -> int:
    """Write files by name, scripts (``.sh``) executable; without a folder, show them on standard output.

    Returns:
        How many were written.

    Raises:
        ProblemError: a file exists and may not be replaced (then none is written), or cannot be written.
    """
    if path is None:
        for name, text in files.items():
            write_out([f"==> {name} <==\n{text}\n"], None)
        return len(files)
    folder = Path(path)
    there = [name for name in files if is_there(folder / name)]
    if there and not overwrite:
        said = f"and {len(there) - 1} more exist" if len(there) > 1 else "exists"
        raise ProblemError(field, f"{folder / there[0]} {said} already; choose another folder or add --force")
    try:
        folder.mkdir(exist_ok=True)
        for name in files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ProblemError(field, f"{path} cannot be made ({error.strerror or error})") from None
    for name, text in files.items():
        write_file(folder / name, [text], field, mode=EXECUTABLE if name.endswith(".sh") else PLAIN)
    return len(files)
