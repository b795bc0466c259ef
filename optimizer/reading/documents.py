"""The values in YAML and JSON as they are written: nothing guessed, nothing said twice, and no more than memory is meant for.

YAML is read by the rules of its version 1.2 (core schema, https://yaml.org/spec/1.2.2/#103-core-schema): ``yes`` is a word and
``1:30`` no number. A key that stands twice is refused, in YAML and in JSON; so are merge keys, tags and aliases that multiply.
"""

from __future__ import annotations

import json
import re
from typing import Any

from optimizer.facts.text import shown, visible

MOST_ENTRIES = 250_000
"""Values in one file, those that aliases repeat counted each time: an inventory of 2,000 groups has a third of that."""

DEEPEST = 100
"""Levels of a YAML file: problem files have eight."""

_PLAIN, _TEXT = "plain", "tag:yaml.org,2002:str"
_NULL = {"", "~", "null", "Null", "NULL"}
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_OTHER_INT = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_SEPARATORS = ",\n:[{-?"


class Refused(ValueError):
    """What is wrong with the text of a file."""


def json_values(text: str, *, endless: bool = False) -> Any:
    """What a JSON text holds.

    Args:
        endless: Infinity and NaN are read too, which Python's ``json`` writes although JSON has no such numbers.

    Raises:
        Refused: malformed, too many values, a key that stands twice, or a number that JSON does not know.
    """
    if text.count(",") + text.count("[") + text.count("{") > 2 * MOST_ENTRIES:
        raise Refused(f"holds more than {MOST_ENTRIES:,} values")
    try:
        constant = float if endless else _no_constant
        return json.loads(text, object_pairs_hook=_pairs, parse_constant=constant, parse_int=_whole)
    except json.JSONDecodeError as error:
        raise Refused(f"is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for number, name in enumerate(names) if name in names[:number])
        raise Refused(f"states {shown(twice)} twice in one mapping; the second would replace the first: keep one")
    return found


def _no_constant(name: str) -> Any:
    raise Refused(f"holds {name}, which is no number in JSON")


def _whole(digits: str) -> int:
    if len(digits) > 400:
        raise Refused(f"holds a number of {len(digits):,} digits")
    return int(digits)


def yaml_values(text: str) -> Any:
    """What a YAML text holds; None where it holds nothing.

    Raises:
        Refused: malformed, too many values, a key that stands twice, a tag, a merge key or an alias inside what it names.
    """
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
        raise Refused(f"is not valid YAML: {said}{where}") from None
    except Refused:
        raise
    except ValueError as error:
        raise Refused(f"is not valid YAML: {error}") from None
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
                raise Refused(f"holds more than {MOST_ENTRIES:,} values")
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
            """Leaves every plain scalar as it stands; goes no deeper than a file needs to, since libyaml's tree is built by recursion in
            C, which ends the process where the stack does."""

            depth = 0

            def descend_resolver(self, parent: Any, index: Any) -> None:
                self.depth += 1
                if self.depth > DEEPEST:
                    raise Refused(f"exceeds the nesting depth of {DEEPEST} levels")

            def ascend_resolver(self) -> None:
                self.depth -= 1

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
            Refused: a key stands twice, a tag, a merge key, an alias inside what it names, or too many values.
        """
        self.entries += 1
        if self.entries > MOST_ENTRIES:
            raise Refused(f"holds more than {MOST_ENTRIES:,} values, those that aliases repeat counted each time")
        kind = node.id
        if kind == "scalar":
            return _scalar(node)
        if node.tag not in ("list", "dict", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"):
            raise Refused(f"has the tag {shown(node.tag)} on line {_line(node)}; tags have no meaning here, remove it")
        if id(node) in self.open:
            raise Refused(f"has an alias on line {_line(node)} that stands inside what it names")
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
                raise Refused(f"has a key on line {_line(key_node)} that is no word or number")
            if key == "<<" and key_node.tag == _PLAIN:
                raise Refused(
                    f"has a merge key (<<) on line {_line(key_node)}, which YAML 1.2 does not know; write the fields out"
                )
            if str(key) in lines:
                both = f"lines {lines[str(key)]} and {_line(key_node)}"
                raise Refused(f"states {shown(key)} twice, on {both}; the second would replace the first: keep one")
            lines[str(key)] = _line(key_node)
            found[key] = self.value(value_node)
        return found


def _scalar(node: Any) -> Any:
    text: str = node.value
    if node.tag == _TEXT:
        return text
    if node.tag != _PLAIN:
        raise Refused(f"has the tag {shown(node.tag)} on line {_line(node)}; tags have no meaning here, remove it")
    if not text or text[0].isalpha() or text[0] == "~":
        return None if text in _NULL else _BOOL.get(text, text)
    if len(text) > 400 and text[0] in "+-.0123456789":
        return text
    if _INT.fullmatch(text):
        return int(text)
    if FLOAT.fullmatch(text):
        return float(text)
    if _NOT_FINITE.fullmatch(text):
        return float(text.replace(".", ""))
    return int(text, 0) if _OTHER_INT.fullmatch(text) else text


def _line(node: Any) -> int:
    line: int = node.start_mark.line + 1
    return line


def line_of(text: str, field: str) -> int | None:
    """The line of a dotted field in a YAML text, or of its innermost section that is there; None where there is none."""
    try:
        node = _composed(text)
    except (Refused, RecursionError):
        return None
    return None if node is None else _line_within(node, field.split("."))


def _line_within(node: Any, parts: list[str]) -> int | None:
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
