"""Words of a text by the classes of ``data/classes.yaml``, matched by stems, so that inflections and compounds need no entry."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from optimizer.auditing.lexicon import DATA

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_WORD = re.compile(r"[^\W\d_]+(?:[-/][^\W\d_]+)*\d?|[€$]")


@dataclass(frozen=True, slots=True)
class Word:
    """A word at its place, with the classes that it belongs to."""

    start: int
    end: int
    classes: frozenset[str]


@cache
def _stems() -> tuple[tuple[str, str, str], ...]:
    """(class, how it matches, stem); phrases are apart."""
    loaded: dict[str, list[str]] = yaml.load((DATA / "classes.yaml").read_text(encoding="utf-8"), _Loader)
    found = []
    for name, stems in loaded.items():
        for stem in (str(one).casefold() for one in stems):
            how = stem[0] if stem[0] in "=~" else " " if " " in stem else "^"
            found.append((name, how, stem.lstrip("=~")))
    return tuple(found)


@cache
def _phrases() -> tuple[tuple[str, re.Pattern[str]], ...]:
    by_class: dict[str, list[str]] = {}
    for name, how, stem in _stems():
        if how == " ":
            by_class.setdefault(name, []).append(re.escape(stem))
    return tuple(
        (name, re.compile(rf"(?<!\w)(?:{'|'.join(listed)})", re.IGNORECASE)) for name, listed in by_class.items()
    )


@cache
def classes_of(word: str) -> frozenset[str]:
    """The classes of one word, whatever its case; the parts of a hyphenated one count as well."""
    low = word.casefold()
    parts = {low, *re.split(r"[-/]", low)}
    found = set()
    for name, how, stem in _stems():
        for part in parts:
            if (how == "^" and part.startswith(stem)) or (how == "=" and part == stem) or (how == "~" and stem in part):
                found.add(name)
                break
    return frozenset(found)


def words_in(text: str, named: Iterable[tuple[int, int, str]] = ()) -> list[Word]:
    """The words of a text that have a class; ``named`` are spans that have one by what they name (a GPU is a card)."""
    found = [Word(m.start(), m.end(), classes) for m in _WORD.finditer(text) if (classes := classes_of(m.group()))]
    for name, pattern in _phrases():
        found += [Word(m.start(), m.end(), frozenset({name})) for m in pattern.finditer(text)]
    found += [Word(start, end, frozenset({name})) for start, end, name in named]
    return sorted(found, key=lambda word: word.start)
