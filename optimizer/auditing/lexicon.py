"""The words of ``data/*.yaml`` and of the catalogs, found in running text by their longest match.

A phrase matches whatever joins its words (space, hyphen, slash) and in the plural; one phrase may have several meanings
("layer" is counted, and figures are said per layer), which are kept side by side.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DATA = Path(__file__).parent / "data"
_WORD = re.compile(r"[^\W_]+|[%≈~<>≤≥✓✅✔✗✘❌]")
_JOIN = re.compile(r"[\s\u00a0\-‐–/_.'’&]{0,3}$")
_ENDINGS = ("s", "es", "n", "en", "e", "er", "x")
LONGEST = 6

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Term:
    """A phrase of the lexicon in a text; ``meanings`` are (kind, id), e.g. ("quantity", "layers")."""

    start: int
    end: int
    text: str
    meanings: tuple[tuple[str, str], ...]

    def ids(self, kind: str) -> tuple[str, ...]:
        """What it means as a word of one kind."""
        return tuple(id for one, id in self.meanings if one == kind)

    def id(self, kind: str) -> str | None:
        """The first meaning of a kind."""
        return next((id for one, id in self.meanings if one == kind), None)


@dataclass(frozen=True)
class Quantity:
    """One entry of ``quantities.yaml`` or a figure of the report's ledger."""

    id: str
    unit: str
    names: tuple[str, ...]
    values: dict[str, tuple[str, ...]]
    near: float = 0.0
    loose: bool = False
    weak: bool = False
    least: float = 0.0
    unless: str = ""
    counted: bool = False
    """A number behind its name without a verb or colon ("layer 5") is an index and no count."""
    of: tuple[str, ...] = ()
    """What its figures are counted in: "a context of 8,192 tokens"."""
    possessed: bool = False
    """A figure beside the name may as well be what is in use, unless a verb of possession says otherwise."""
    rest: bool = False
    """It is what is left of something, so words such as "left" change nothing."""
    weak_unless_bound: bool = False
    """Its names say little by themselves ("at once"): wrong only with "up to", "at most", "admits"."""
    by_title: bool = False
    """Its name says per what and of what it is, so it has no scopes."""
    limit: bool = False
    """It is a limit itself, so "up to 64" states it and does not bound it."""
    needs: str = ""
    """A word (regular expression) that has to stand in the sentence for the name to mean this quantity."""
    per_gpus: str = ""
    """What one GPU has of it: a number of GPUs beside the figure multiplies it."""
    only_with: tuple[str, ...] = ()
    per_tokens: tuple[tuple[str, str], ...] = ()
    times_tokens: bool = False
    """Its values are of one token: a number of tokens beside the figure multiplies them."""

    @property
    def title(self) -> str:
        """The name that messages use."""
        return self.names[0]


def words_of(phrase: str) -> Key:
    """The words of a phrase as the index has them."""
    return tuple(word.casefold() for word in _WORD.findall(phrase))


@cache
def quantities() -> dict[str, Quantity]:
    """Everything a figure may be stated of, by id."""
    found = {}
    for id, entry in yaml.load((DATA / "quantities.yaml").read_text(encoding="utf-8"), _Loader).items():
        given = dict(entry)
        given["names"] = tuple(given["names"])
        given["values"] = {scope: tuple(str(one) for one in listed) for scope, listed in given["values"].items()}
        given["per_tokens"] = tuple(given.get("per_tokens", {}).items())
        for listed in ("of", "only_with"):
            given[listed] = tuple(given.get(listed, ()))
        found[id] = Quantity(id, **given)
    return found


@cache
def words() -> dict[str, Any]:
    """The word classes."""
    loaded: dict[str, Any] = yaml.load((DATA / "words.yaml").read_text(encoding="utf-8"), _Loader)
    return loaded


@cache
def afterwards() -> frozenset[str]:
    """Words that may stand right behind a count and are not what it counts."""
    return frozenset(str(word).casefold() for word in words()["afterwards"])


@cache
def filler_words() -> frozenset[str]:
    """Words that may stand between a name and its figure and change nothing."""
    return frozenset(str(word).casefold() for word in words()["fillers"])


@cache
def common_words() -> frozenset[str]:
    """Words of everyday language, which carry no quantity of their own."""
    return frozenset(word.casefold() for line in words()["common"].values() for word in str(line).split())


class Lexicon:
    """An index of phrases; ``terms`` finds them in a text."""

    def __init__(self, extra: tuple[Quantity, ...] = (), *, base: bool = True) -> None:
        self.index: dict[Key, list[tuple[str, str]]] = {}
        self.metrics: dict[Key, list[tuple[str, str]]] = {}
        self.quantities = (quantities() if base else {}) | {one.id: one for one in extra}
        for id, quantity in self.quantities.items():
            self._add("quantity", id, quantity.names)
        for kind, entry in words().items():
            if kind in ("fillers", "afterwards", "languages", "common"):
                continue
            if isinstance(entry, dict):
                for id, names in entry.items():
                    self._add(kind, str(id), names)
            else:
                self._add(kind, kind, entry)

    def _add(self, kind: str, id: str, names: tuple[str, ...] | list[str]) -> None:
        index = self.metrics if kind == "metrics" else self.index
        for name in names:
            key = words_of(str(name))
            if key and (kind, id) not in index.setdefault(key, []):
                index[key].append((kind, id))

    def terms(self, text: str, taken: list[tuple[int, int]]) -> list[Term]:
        """Phrases from left to right, longest first, outside of what is taken (figures); metrics may lie over others."""
        found = self._terms(text, taken, self.index) + self._terms(text, taken, self.metrics)
        return sorted(found, key=lambda term: term.start)

    def _terms(self, text: str, taken: list[tuple[int, int]], index: dict[Key, list[tuple[str, str]]]) -> list[Term]:
        found: list[Term] = []
        tokens = [m for m in _WORD.finditer(text) if not any(a <= m.start() < b for a, b in taken)]
        at = 0
        while at < len(tokens):
            for size in range(min(LONGEST, len(tokens) - at), 0, -1):
                part = tokens[at : at + size]
                if any(not _JOIN.match(text[a.end() : b.start()]) for a, b in itertools.pairwise(part)):
                    continue
                meanings = self._look(tuple(m.group().casefold() for m in part), index)
                if meanings:
                    found.append(
                        Term(part[0].start(), part[-1].end(), text[part[0].start() : part[-1].end()], meanings)
                    )
                    at += size
                    break
            else:
                at += 1
        return found

    def _look(self, key: Key, index: dict[Key, list[tuple[str, str]]]) -> tuple[tuple[str, str], ...]:
        found = list(index.get(key, ()))
        last = key[-1]
        for ending in _ENDINGS:
            if last.endswith(ending) and len(last) > len(ending) + 2:
                single = index.get((*key[:-1], last[: -len(ending)]), ())
                found += [
                    one for one in single if one[0] in ("quantity", "objects", "metrics", "target") and one not in found
                ]
        return tuple(found)


@cache
def lexicon() -> Lexicon:
    """The lexicon of the data files."""
    return Lexicon()
