"""Tables pasted from a spreadsheet: lines of tab-separated cells become rows; a column of units joins its figures.

``KV → Per token → 160 → KiB`` under ``Area, Item, Figure, Unit`` is the row ``KV Per token | 160 KiB`` under ``Item, Figure``.
"""

from __future__ import annotations

import re
from dataclasses import replace

from optimizer.auditing.reading import Statement

LEAST_ROWS = 3
_UNIT_TITLES = re.compile(r"^(?:units?|einheit|unité|uom)$", re.IGNORECASE)
_FIGURE_TITLES = re.compile(
    r"^(?:values?|figures?|amounts?|numbers?|quantity|count|wert|zahl|menge|betrag|valeur|chiffre|quantité|montant)$",
    re.IGNORECASE,
)

_NOTHING = frozenset({"-", "–", "—"})
"""Cells of what has no unit, or no value."""


def with_sheets(statements: tuple[Statement, ...]) -> tuple[Statement, ...]:
    """The statements, with runs of tab-separated lines as table rows and units beside their figures."""
    found: list[Statement] = []
    start = 0
    while start < len(statements):
        end = start
        while (
            end < len(statements)
            and _is_row(statements[end])
            and statements[end].line - statements[start].line == end - start
        ):
            end += 1
        if end - start >= LEAST_ROWS:
            found += _rows(statements[start:end])
        else:
            end = start + 1
            found.append(statements[start])
        start = end
    return tuple(_arranged(one) if one.kind == "row" else one for one in found)


def _is_row(statement: Statement) -> bool:
    return statement.kind == "text" and "\t" in statement.source.strip("\t ")


def _rows(run: tuple[Statement, ...]) -> list[Statement]:
    cells = [tuple(cell.strip() for cell in one.source.split("\t")) for one in run]
    header: tuple[str, ...] = ()
    if not re.search(r"\d", "".join(cells[0])):
        header, run, cells = cells[0], run[1:], cells[1:]
    return [
        replace(one, kind="row", cells=row, header=header, text=" | ".join(cell for cell in row if cell))
        for one, row in zip(run, cells, strict=True)
    ]


def _arranged(row: Statement) -> Statement:
    """Units behind their figures, the columns before the figure as one title."""
    titles = [title.strip() for title in row.header]
    cells = ["" if cell.strip() in _NOTHING else cell for cell in row.cells]
    cells += [""] * (len(titles) - len(cells))
    unit = next((i for i, title in enumerate(titles) if _UNIT_TITLES.match(title)), None)
    figure = next((i for i, title in enumerate(titles) if _FIGURE_TITLES.match(title)), None)
    if not figure or (unit is None and figure < 2):
        return row
    value = cells[figure]
    if unit is not None and cells[unit] and re.fullmatch(r"[~≈]?\s?[\d.,\s]+", value):
        value = f"{value} {cells[unit]}"
    rest = [i for i in range(figure + 1, min(len(titles), len(cells))) if i != unit]
    title = " ".join(cell for cell in cells[:figure] if cell)
    return replace(
        row,
        cells=(title, value, *(cells[i] for i in rest)),
        header=(titles[figure - 1], "value", *(titles[i] for i in rest)),
    )
