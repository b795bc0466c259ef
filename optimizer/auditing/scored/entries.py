"""The entries of ``data/entries.yaml``: what figures may be of, with unit, values and the words that tell them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from optimizer.auditing.lexicon import DATA, quantities

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class LedgerEntry:
    """A figure of the ledger by what it is called and what it is worth."""

    id: str
    unit: str
    title: str
    values: dict[str, tuple[str, ...]]
    """Per scope ("gpu token") the formulas that it may have."""
    cues: dict[str, float]
    """Weight of each word class."""
    needs: tuple[frozenset[str], ...]
    """Alternatives, of which one has to be there in full."""
    never: frozenset[str]
    counted: frozenset[str]
    beside: frozenset[str]
    """Classes one of whose words stands within four words of the figure, nothing else between."""
    between: tuple[str, ...]
    """Least and most: a figure between them may be right as well, for a reason that the report does not give."""
    near: float
    base: float
    """Score that the unit alone gives."""
    least: float
    most: float
    confirms_only: bool
    limit: bool
    """A bound itself: "at most 32" states it."""
    unless: str

    @property
    def predicted(self) -> bool:
        """Whether a formula needs a figure of the cost model."""
        return any("p_" in text and _PREDICTED.search(text) for listed in self.values.values() for text in listed)


_PREDICTED = re.compile(r"\bp_")


@cache
def entries() -> tuple[LedgerEntry, ...]:
    """All of them."""
    loaded: dict[str, dict[str, Any]] = yaml.load((DATA / "entries.yaml").read_text(encoding="utf-8"), _Loader)
    return tuple(entry_of(id, given) for id, given in loaded.items())


def entry_of(id: str, given: dict[str, Any]) -> LedgerEntry:
    """An entry as a data file states it."""
    quantity = quantities()[given["of"]] if "of" in given else None
    values = (
        quantity.values if quantity else {k: tuple(str(v) for v in listed) for k, listed in given["values"].items()}
    )
    return LedgerEntry(
        id, given["unit"], given["title"], values, given["cues"], tuple(frozenset(one) for one in given.get("needs", [[]])),
        frozenset(given.get("never", ())), frozenset(given.get("counted", ())), frozenset(given.get("beside", ())),
        tuple(given.get("between", ())),
        given.get("near", 0.0), given.get("base", 0.0),
        given.get("least", 0.0), given.get("most", float("inf")), given.get("only") == "confirm", given.get("limit", False),
        given.get("unless") or (quantity.unless if quantity else ""),
    )  # fmt: skip


@cache
def by_unit(unit: str) -> tuple[LedgerEntry, ...]:
    """The entries of a base unit."""
    return tuple(one for one in entries() if one.unit == unit)
