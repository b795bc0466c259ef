"""Files that a person hands in, read as they are written: bounded, and with nothing guessed."""

from __future__ import annotations

import csv
import io
import os
import re
import stat
from pathlib import Path
from typing import Any

from optimizer.facts.errors import ProblemError
from optimizer.facts.paths import is_folder
from optimizer.facts.text import shown
from optimizer.reading import local_files
from optimizer.reading.documents import Refused, json_values, line_of, yaml_values

LARGEST_FILE_BYTES = 16 * 1024 * 1024


class Document(dict[str, Any]):
    """The mapping in a file, which still knows on which line a field stands."""

    text: str = ""

    def line(self, field: str) -> int | None:
        """The line of a dotted field in a YAML file; None where it cannot be told."""
        return line_of(self.text, field) if self.text else None


def read_text(
    path: Path,
    field: str,
    *,
    largest: int = LARGEST_FILE_BYTES,
    what: str = "problem file or config.json",
    lenient: bool = False,
) -> str:
    """The text of a regular file, at most so many bytes of it.

    Args:
        field: the option or field that names the file, for messages.
        what: what a larger file cannot be.
        lenient: bytes that are not UTF-8 become U+FFFD in place of a refusal: for what a machine printed and what a person wrote.

    Raises:
        ProblemError: no such file, no regular file (a directory, pipe or device), too large, not readable, or not UTF-8; or no
            files may be named (``reading.local_files``).
    """
    local_files.refuse(field, "state what it holds in its place")
    try:
        # Not blocking: opening a pipe that nobody writes to would wait for ever.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise ProblemError(field, "no such file") from None
    except (OSError, ValueError) as error:
        raise ProblemError(field, f"cannot be read ({getattr(error, 'strerror', None) or error})") from None
    try:
        facts = os.fstat(handle)
        if stat.S_ISDIR(facts.st_mode):
            raise ProblemError(field, "is a directory; the name of a file is needed")
        if not stat.S_ISREG(facts.st_mode):
            raise ProblemError(field, "is no regular file but a pipe or device; write it to a file first")
        if facts.st_size > largest:
            raise ProblemError(field, f"is larger than {largest >> 20} MiB; that is no {what}")
        with os.fdopen(handle, "rb", closefd=False) as stream:
            content = stream.read(largest + 1)
    except OSError as error:
        raise ProblemError(field, f"cannot be read ({error.strerror or error})") from None
    finally:
        os.close(handle)
    if len(content) > largest:
        raise ProblemError(field, f"is larger than {largest >> 20} MiB; that is no {what}")
    try:
        return content.decode("utf-8-sig", errors="replace" if lenient else "strict")
    except UnicodeDecodeError:
        raise ProblemError(field, "is not a UTF-8 text file") from None


PROBLEM = "a mapping with hardware, model, workload and requirements"
_HELD: dict[type, str] = {type(None): "nothing", str: "plain text", list: "a list", int: "a number", float: "a number"}


def read_mapping(file: Path, field: str, wanted: str = PROBLEM, *, endless: bool = False) -> Document:
    """The mapping in a YAML or JSON file.

    Args:
        wanted: what it should hold, for the message where it holds something else.
        endless: as ``json_values`` has it.

    Raises:
        ProblemError: see ``read_text``; or not a mapping; or what ``documents`` refuses.
    """
    local_files.refuse(field, "state what it holds in its place")
    if is_folder(file):
        raise ProblemError(field, "is a directory; a YAML or JSON file is needed")
    is_json = file.suffix.lower() == ".json"
    return mapping_of(read_text(file, field), field, wanted, is_json=is_json, endless=endless)


def mapping_of(
    text: str, field: str, wanted: str = PROBLEM, *, is_json: bool = False, endless: bool = False
) -> Document:
    """The mapping in a text, YAML unless it is said to be JSON.

    Raises:
        ProblemError: not a mapping, or what ``documents`` refuses.
    """
    try:
        values = json_values(text, endless=endless) if is_json else yaml_values(text)
    except Refused as refused:
        raise ProblemError(field, str(refused)) from None
    except RecursionError:
        raise ProblemError(field, "cannot be parsed (it is nested too deep)") from None
    if _ESCAPED_HALF.search(text) and _has_half(values):
        raise ProblemError(field, "holds half of a character (an escape such as \\ud800); write the character itself")
    if not isinstance(values, dict):
        found = _HELD.get(type(values), "a single value")
        raise ProblemError(field, f"holds {found}; {wanted} is needed")
    document = Document(values)
    document.text = "" if is_json else text
    return document


_ESCAPED_HALF = re.compile(r"\\(?:u|U0000)[dD][89a-fA-F]")
"""What alone can put half of a UTF-16 pair into a text, which no file can then be written with."""


def _has_half(values: Any) -> bool:
    """Whether any key or text holds half of a UTF-16 pair."""
    if isinstance(values, str):
        return any("\ud800" <= one <= "\udfff" for one in values)
    if isinstance(values, dict):
        return any(_has_half(one) for pair in values.items() for one in pair)
    return isinstance(values, list) and any(_has_half(one) for one in values)


def read_csv(path: Path, field: str, largest: int = LARGEST_FILE_BYTES) -> tuple[tuple[str, ...], list[dict[str, str]]]:
    """Columns and rows of a CSV file whose first line names the columns; cells that are missing are empty.

    Raises:
        ProblemError: see ``read_text``; or a column stands twice, or a cell is longer than 128 KiB.
    """
    reader = csv.DictReader(io.StringIO(read_text(path, field, largest=largest, what="CSV file of ours"), newline=""))
    try:
        columns = tuple(reader.fieldnames or ())
        rows = [{name: row.get(name) or "" for name in columns} for row in reader]
    except csv.Error as error:
        raise ProblemError(field, f"cannot be read as CSV ({error})") from None
    twice = next((name for number, name in enumerate(columns) if name in columns[:number]), None)
    if twice is not None:
        raise ProblemError(field, f"has the column {shown(twice)} twice; one of each is needed")
    return columns, rows
