"""Files that a person hands in, read as they are written: bounded, and with nothing guessed.

YAML is read by the rules of its version 1.2 (core schema, https://yaml.org/spec/1.2.2/#103-core-schema): ``yes`` is a word and
``1:30`` no number. A key that stands twice is refused, in YAML and in JSON; so are merge keys, tags and aliases that multiply.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import stat
from pathlib import Path
from typing import Any

from optimizer.facts.errors import ProblemError
from optimizer.facts.text import shown, visible

LARGEST_FILE_BYTES = 16 * 1024 * 1024
MOST_ENTRIES = 250_000
"""Values in one file, those that aliases repeat counted each time: an inventory of 2,000 groups has a third of that."""

_PLAIN, _TEXT = "plain", "tag:yaml.org,2002:str"
_NULL = {"", "~", "null", "Null", "NULL"}
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_OTHER_INT = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_SEPARATORS = ",\n:[{-?"


class Document(dict[str, Any]):
    """The mapping in a file, which still knows on which line a field stands."""

    text: str = ""

    def line(self, field: str) -> int | None:
        """The line of a dotted field in a YAML file; None where it cannot be told."""
        try:
            return _line_of(_composed(self.text), field.split(".")) if self.text else None
        except Exception:
            return None


def read_text(
    path: Path, field: str, *, largest: int = LARGEST_FILE_BYTES, what: str = "problem file or config.json"
) -> str:
    """The text of a regular file, at most so many bytes of it.

    Args:
        field: the option or field that names the file, for messages.
        what: what a larger file cannot be.

    Raises:
        ProblemError: no such file, no regular file (a directory, pipe or device), too large, not readable, or not UTF-8.
    """
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
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ProblemError(field, "is not a UTF-8 text file") from None


def read_mapping(file: Path, field: str) -> Document:
    """The mapping in a YAML or JSON file.

    Raises:
        ProblemError: see ``read_text``; or malformed, not a mapping, a key that stands twice, or more than ``MOST_ENTRIES`` values.
    """
    if file.is_dir():
        raise ProblemError(field, "is a directory; a YAML or JSON file is needed")
    text = read_text(file, field)
    is_json = file.suffix.lower() == ".json"
    try:
        values = _json(text) if is_json else _yaml(text)
    except _Refused as refused:
        raise ProblemError(field, str(refused)) from None
    except RecursionError:
        raise ProblemError(field, "cannot be parsed (it is nested too deep)") from None
    if not isinstance(values, dict):
        found = "nothing" if values is None else f"a {type(values).__name__}"
        raise ProblemError(field, f"holds {found}; a mapping with hardware, model, workload and requirements is needed")
    document = Document(values)
    document.text = "" if is_json else text
    return document


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


class _Refused(ValueError):
    """What is wrong with the text of a file."""


def _json(text: str) -> Any:
    if text.count(",") + text.count("[") + text.count("{") > 2 * MOST_ENTRIES:
        raise _Refused(f"holds more than {MOST_ENTRIES:,} values")
    try:
        return json.loads(text, object_pairs_hook=_pairs, parse_constant=_no_constant, parse_int=_whole)
    except json.JSONDecodeError as error:
        raise _Refused(f"is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for number, name in enumerate(names) if name in names[:number])
        raise _Refused(f"states {shown(twice)} twice in one mapping; the second would replace the first: keep one")
    return found


def _no_constant(name: str) -> Any:
    raise _Refused(f"holds {name}, which is no number in JSON")


def _whole(digits: str) -> int:
    if len(digits) > 400:
        raise _Refused(f"holds a number of {len(digits):,} digits")
    return int(digits)


def _yaml(text: str) -> Any:
    # An upper bound of the values first: most files need no count.
    if sum(map(text.count, _SEPARATORS)) > MOST_ENTRIES:
        _count(text)
    root = _composed(text)
    return None if root is None else _Builder().value(root)


def _composed(text: str) -> Any:
    """The document's tree, of which nothing is interpreted yet."""
    loader = _loader()(text)
    try:
        return loader.get_single_node()
    except _yaml_error() as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        said = visible(str(getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable"))
        raise _Refused(f"is not valid YAML: {said}{where}") from None
    except ValueError as error:
        raise _Refused(f"is not valid YAML: {error}") from None
    finally:
        loader.dispose()


def _count(text: str) -> None:
    import yaml

    loader = _loader()(text)
    entries = 0
    try:
        while loader.check_event():
            event = loader.get_event()
            entries += isinstance(event, yaml.NodeEvent)
            if entries > MOST_ENTRIES:
                raise _Refused(f"holds more than {MOST_ENTRIES:,} values")
    except _yaml_error():
        return  # What is wrong is said by whoever reads the tree.
    finally:
        loader.dispose()


def _yaml_error() -> type[Exception]:
    import yaml

    error: type[Exception] = yaml.YAMLError
    return error


def _loader() -> Any:
    import yaml

    global _Loader
    if _Loader is None:
        base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

        class Loader(base):  # type: ignore[misc]
            """Leaves every plain scalar as it stands."""

            def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
                if kind is yaml.ScalarNode:
                    return _PLAIN if implicit[0] else _TEXT
                return "list" if kind is yaml.SequenceNode else "dict"

        _Loader = Loader
    return _Loader


_Loader: Any = None


class _Builder:
    """Plain data from a document's tree."""

    def __init__(self) -> None:
        self.entries = 0
        self.open: set[int] = set()

    def value(self, node: Any) -> Any:
        """The value of a node.

        Raises:
            _Refused: a key stands twice, a tag, a merge key, an alias inside what it names, or too many values.
        """
        self.entries += 1
        if self.entries > MOST_ENTRIES:
            raise _Refused(f"holds more than {MOST_ENTRIES:,} values, those that aliases repeat counted each time")
        kind = node.id
        if kind == "scalar":
            return _scalar(node)
        if node.tag not in ("list", "dict", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"):
            raise _Refused(f"has the tag {shown(node.tag)} on line {_line(node)}; tags have no meaning here, remove it")
        if id(node) in self.open:
            raise _Refused(f"has an alias on line {_line(node)} that stands inside what it names")
        self.open.add(id(node))
        found = [self.value(item) for item in node.value] if kind == "sequence" else self.mapping(node)
        self.open.remove(id(node))
        return found

    def mapping(self, node: Any) -> dict[Any, Any]:
        """A mapping, its keys once each."""
        found: dict[Any, Any] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            key = self.value(key_node) if key_node.id == "scalar" else None
            if key_node.id != "scalar" or key is None or isinstance(key, bool):
                raise _Refused(f"has a key on line {_line(key_node)} that is no word or number")
            if key == "<<" and key_node.tag == _PLAIN:
                raise _Refused(
                    f"has a merge key (<<) on line {_line(key_node)}, which YAML 1.2 does not know; write the fields out"
                )
            if str(key) in lines:
                both = f"lines {lines[str(key)]} and {_line(key_node)}"
                raise _Refused(f"states {shown(key)} twice, on {both}; the second would replace the first: keep one")
            lines[str(key)] = _line(key_node)
            found[key] = self.value(value_node)
        return found


def _scalar(node: Any) -> Any:
    text: str = node.value
    if node.tag == _TEXT:
        return text
    if node.tag != _PLAIN:
        raise _Refused(f"has the tag {shown(node.tag)} on line {_line(node)}; tags have no meaning here, remove it")
    if not text or text[0].isalpha() or text[0] == "~":
        return None if text in _NULL else _BOOL.get(text, text)
    if len(text) > 400 and text[0] in "+-.0123456789":
        return text
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _NOT_FINITE.fullmatch(text):
        return float(text.replace(".", ""))
    return int(text, 0) if _OTHER_INT.fullmatch(text) else text


def _line(node: Any) -> int:
    line: int = node.start_mark.line + 1
    return line


def _line_of(node: Any, parts: list[str]) -> int | None:
    """The line of the field, or of its innermost section that is there."""
    line = None
    for number, part in enumerate(parts):
        if node.id == "sequence":
            if not part.isdigit() or int(part) >= len(node.value):
                break
            node = node.value[int(part)]
            line = _line(node)
            continue
        if node.id != "mapping":
            break
        pairs = {key.value: (key, value) for key, value in node.value if key.id == "scalar"}
        rest = ".".join(parts[number:])
        if rest in pairs:
            return _line(pairs[rest][0])
        if part not in pairs:
            break
        line, node = _line(pairs[part][0]), pairs[part][1]
    return line


def said_of_number(value: object) -> str:
    """What may have been meant by a value that stands where a number is needed; empty where nothing is known."""
    if isinstance(value, bool):
        return f"a number is needed, and YAML's {str(value).lower()} is none"
    if not isinstance(value, str):
        return ""
    text = value.strip()
    if text.lower() in {"yes", "no", "on", "off", "y", "n"}:
        return f"{text} is a word, not a number"
    if re.fullmatch(r"0[0-9]+", text):
        octal = (
            f", or 0o{text.lstrip('0')} = {int(text, 8)} for an octal number"
            if re.fullmatch(r"0+[1-7][0-7]*", text)
            else ""
        )
        return f"a number has no leading zeros: write {int(text)}{octal}"
    if re.fullmatch(r"[0-9]+(:[0-5]?[0-9])+(\.[0-9]*)?", text):
        return f"minutes and seconds are written as one number, such as {_base_sixty(text):g}"
    plain = text.replace("_", "").replace(",", "").replace(" ", "")
    if _FLOAT.fullmatch(plain) and len(plain) < 40:
        return f"write {plain} without quotes" if plain == text else f"write {plain}"
    found = re.fullmatch(r"([-+]?[0-9.]+)\s*[A-Za-z%/]+\S*", text)
    return f"write the number alone, without its unit: {found[1]}" if found and _FLOAT.fullmatch(found[1]) else ""


def _base_sixty(text: str) -> float:
    value = 0.0
    for part in text.split(":"):
        value = 60 * value + float(part)
    return value
