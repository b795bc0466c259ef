"""The figures of the product's own report as quantities of the audit: each derivation is known by its title.

Whatever the report derives for a strategy is auditable with no further code; ``data/derived.yaml`` adds names that people use
instead of a title, and says which figures confirm a claim and never refute one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

import yaml

from optimizer.auditing.lexicon import DATA, Lexicon, Quantity
from optimizer.reporting.document import Derivation
from optimizer.reporting.ledger import Ledger

UNITS = {
    "B": ("bytes", 1.0), "GB/s": ("bytes/s", 1e9), "ms": ("ms", 1.0), "s": ("ms", 1e3), "h": ("ms", 3.6e6), "%": ("%", 1.0),
    "tokens/s": ("tokens/s", 1.0), "requests/s": ("requests/s", 1.0), "FLOP": ("FLOP", 1.0), "TFLOP/s": ("FLOP/s", 1e12),
}  # fmt: skip
"""Base unit of the audit and factor to it; any other unit of the ledger counts something."""
_PREDICTED = frozenset({"ms", "tokens/s", "requests/s", "%", "bytes/s"})
_LONGEST = 8
"""Words of a title; longer ones are sentences that nobody repeats."""


@cache
def _data() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DATA / "derived.yaml").read_text(encoding="utf-8"))
    return loaded


def derived_lexicon(ledger: Ledger) -> Lexicon:
    """A lexicon of nothing but the ledger's figures."""
    return Lexicon(tuple(quantity for one in ledger.derivations for quantity in _quantities(one)), base=False)


def _quantities(one: Derivation) -> Iterator[Quantity]:
    """A derivation by its title, and by the names people have for it, which say less exactly what they mean."""
    value = one.figure.value
    if value is None:
        return
    unit, factor = UNITS.get(one.figure.unit, ("", 1.0))
    figure: dict[str, tuple[str, ...]] = {"": (repr(float(value) * factor),)}
    near = 0.012 if unit else 0.0
    weak = unit in _PREDICTED or any(fnmatchcase(one.id, pattern) for pattern in _data()["varies"])
    title, others = _short(one.title), tuple(_data()["names"].get(one.id, ()))
    if title:
        yield Quantity(
            f"derived:{one.id}", unit, (title,), figure, near=near, weak=weak, by_title=True, least=-math.inf
        )
    if others:
        yield Quantity(
            f"derived:{one.id}:named", unit, others, figure, near=near, weak=True, by_title=True, least=-math.inf
        )


def _short(title: str) -> str:
    """A title without what its symbol is called and without its bracketed remarks; empty where it is a sentence."""
    bare = re.sub(r"\([^)]*\)", "", title)
    bare = re.sub(r"^[^\w]*\w{1,3}:\s+|:\s*\w{1,4}(?:\[\w+\])?$", "", bare).strip()
    words = re.findall(r"\w+", bare)
    return bare if 2 <= len(words) <= _LONGEST else ""
