"""Which fields a problem file has where, and what a name that is none may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from pydantic.fields import FieldInfo

from optimizer.facts.errors import closest
from optimizer.facts.file import ProblemFile

SLIP = 0.8
"""From this likeness on (``difflib``) a name is a slip of the pen for the other: ``node`` for ``nodes`` is 0.89."""

MOST_SECTIONS = 2
"""Sections that are named where the field exists; one that is in more of them says nothing by its name."""


def what_is_one(location: Sequence[int | str], schema: Any = ProblemFile) -> str:
    """What to write for a field that is not known where it stands: where its very name belongs, or the names that are near."""
    name, known = str(location[-1]), known_fields(location[:-1], schema)
    if difflib.get_close_matches(name, known, n=1, cutoff=SLIP):
        return closest(name, known)
    there = sorted({path for path in _fields(schema) if path.rsplit(".", 1)[-1] == name and "." in path})
    if 0 < len(there) <= MOST_SECTIONS:
        return f"{' and '.join(there)} {'is' if len(there) == 1 else 'are'}: state it there"
    return closest(name, known) if known else "remove it"


def known_fields(location: Sequence[int | str], schema: Any = ProblemFile) -> list[str]:
    """Field names allowed at a location of the problem file; none where anything is allowed, or nothing more."""
    found: list[Any] = [schema]
    for part in location:
        inner = [kind for kind in found if hasattr(kind, "model_fields")]
        if part in {kind.__name__ for kind in inner}:
            continue  # not a key but the branch of a union.
        fields = [kind.model_fields[part].annotation for kind in inner if part in kind.model_fields]
        if fields:  # else an index, or a key of a mapping whose values are in found already
            found = [one for kind in fields for one in _kinds(kind)]
    return sorted({name for kind in found for name in getattr(kind, "model_fields", {})})


def _kinds(annotation: Any) -> list[Any]:
    """What an annotation is made of: the branches of a union, the values of a list or mapping."""
    inner = [one for one in get_args(annotation) if not isinstance(one, FieldInfo)]
    return [kind for one in inner for kind in _kinds(one)] if inner else [annotation]


def _fields(schema: Any, above: tuple[str, ...] = (), seen: tuple[Any, ...] = ()) -> Iterator[str]:
    """The dotted path of every field of a file; a kind that holds itself is gone through once."""
    for name, field in getattr(schema, "model_fields", {}).items():
        yield ".".join((*above, name))
        for kind in _kinds(field.annotation):
            if hasattr(kind, "model_fields") and kind not in seen:
                yield from _fields(kind, (*above, name), (*seen, kind))
