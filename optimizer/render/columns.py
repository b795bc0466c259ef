"""Tables that fit their width: columns of less weight are left out, named, before a word is ever broken."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

PIPE_WIDTH = 118
LEAST_WIDTH, MOST_WIDTH = 40, 400


@dataclass(frozen=True, slots=True)
class Shown:
    """A column: its cells in order of rows, and how soon it is left out (0: never, then the highest first).

    ``wraps``: cells may go over several lines, between words, of so many characters at least; 0: they may not.
    """

    heading: str
    cells: Sequence[str]
    weight: int = 0
    right: bool = False
    wraps: int = 0

    @property
    def least(self) -> int:
        """Characters that it needs at least: its longest line, or where cells may wrap the longest word."""
        lines = [line for text in (self.heading, *self.cells) for line in text.split("\n")]
        longest = max(map(len, lines), default=1)
        words = max((len(word) for line in lines for word in line.split()), default=1)
        return max(words, min(longest, self.wraps)) if self.wraps else longest


def output_width() -> int:
    """Characters a line may have on standard output: the terminal's, or in a pipe those that COLUMNS names."""
    if sys.stdout.isatty():
        return Console(file=sys.stdout).width
    asked = os.environ.get("COLUMNS", "")
    return min(MOST_WIDTH, max(LEAST_WIDTH, int(asked))) if asked.isdigit() else PIPE_WIDTH


def fitting(columns: Sequence[Shown], width: int, styles: Sequence[str] = ()) -> tuple[Table, list[str]]:
    """The table as wide as ``width`` allows, and the headings of what is left out of it."""
    left = [column for column in columns if column.heading or any(column.cells)]
    out: list[str] = []
    while True:
        table = _table(left, styles)
        removable = [column for column in left if column.weight]
        if not removable or _least(left) <= width:
            return table, out
        least_needed = max(removable, key=lambda column: column.weight)
        left.remove(least_needed)
        out.insert(0, least_needed.heading.replace("\n", " "))


def _least(columns: Sequence[Shown]) -> int:
    """Characters that the columns need without breaking a word: one before the first, three between two."""
    widths = [column.least for column in columns]
    return sum(widths) + 3 * (len(widths) - 1) + 2


def _table(columns: Sequence[Shown], styles: Sequence[str]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(
            column.heading,
            justify="right" if column.right else "left",
            no_wrap=not column.wraps,
            min_width=column.least,
            overflow="fold",
        )
    many = max((len(column.cells) for column in columns), default=0)
    for number in range(many):
        table.add_row(*(column.cells[number] for column in columns), style=styles[number] if styles else "")
    return table
