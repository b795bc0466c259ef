"""The types of a report: sections of paragraphs, lists, tables, commands and pictures. Data only, no layout.

Every number in it is a ``Figure``: its text with unit, its value, and the name of the derivation that explains it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

REPORT_SCHEMA_VERSION = "1.0"

Verdict = Literal["pass", "fail", "unknown"]
Mark = Literal["pass", "fail", "warn", "info"]


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure as people read it, with its value in ``unit``; ``derivation`` names an entry of the appendix."""

    text: str
    value: float | int | None = None
    unit: str = ""
    derivation: str | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """The outcome of a requirement or rule, in a word."""

    mark: Mark
    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph, or a cell of several parts: words and figures, one after the other."""

    parts: tuple[str | Figure, ...]


Cell = str | Figure | Status | Text


@dataclass(frozen=True, slots=True)
class Bullets:
    """Points, each with a mark that says how it is meant. ``folded``: a page shows them under these words."""

    items: tuple[tuple[Mark, tuple[str | Figure, ...]], ...]
    folded: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A table column; ``id`` is its key in JSON."""

    id: str
    title: str
    right: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under columns; ``id`` names the table in JSON.

    ``folded``: where people read it, only the first ``open_rows`` rows are open, the others under these words.
    """

    id: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    folded: str = ""
    open_rows: int = 0


@dataclass(frozen=True, slots=True)
class Commands:
    """Text to copy: commands or a configuration file."""

    title: str
    language: str
    text: str


@dataclass(frozen=True, slots=True)
class Picture:
    """Where a picture goes; ``id`` is its key among the pictures. ``alt`` says what it shows, figures included.

    ``file``: its own file beside the report, for pictures that need nothing to be drawn.
    """

    id: str
    title: str
    alt: str
    file: str = ""


Block = Text | Bullets | Table | Commands | Picture


@dataclass(frozen=True, slots=True)
class Section:
    """One section; ``id`` is stable and serves as anchor. ``gist``: what it says in a line, under which the page folds it."""

    id: str
    title: str
    blocks: tuple[Block, ...]
    gist: str = ""


@dataclass(frozen=True, slots=True)
class Derivation:
    """Where a figure comes from.

    Args:
        id: the anchor.
        formula: in words or symbols of docs/model.md.
        numbers: the formula with numbers filled in; empty for a figure that is read or counted, not computed.
        figure: what it gives.
        note: where inputs or the method come from.
        inputs: derivations whose figures appear in ``numbers``.
        agrees: the numbers as written, evaluated with their units, give the figure; None when there are none.
    """

    id: str
    title: str
    formula: str
    numbers: str
    figure: Figure
    note: str
    inputs: tuple[str, ...]
    agrees: bool | None


@dataclass(frozen=True, slots=True)
class Report:
    """The whole report."""

    title: str
    problem: str
    generated: str
    version: str
    verdict: Verdict
    headline: str
    sections: tuple[Section, ...]
    derivations: tuple[Derivation, ...]

    @property
    def disagreeing(self) -> tuple[Derivation, ...]:
        """Derivations whose written numbers do not give their figure; a defect if there are any."""
        return tuple(one for one in self.derivations if one.agrees is False)
