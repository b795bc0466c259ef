"""Tables with each unit behind its figure: tab-separated lines become rows; units of a column or a heading join their figures.

``KV → Per token → 160 → KiB`` under ``Area, Item, Figure, Unit`` is the row ``KV Per token | 160 KiB`` under ``Item, Figure``;
``Weights | 45.1`` under ``What | GiB`` is ``Weights | 45.1 GiB``.
"""

from __future__ import annotations

import re
from dataclasses import replace

from optimizer.auditing.measures import measures, units_in
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
    return tuple(_with_unit_of_title(_arranged(one)) if one.kind == "row" else one for one in found)


_TITLE_UNIT = re.compile(r".+?\s?[(\[](?P<unit>[^()\[\]]{1,12})[)\]]")


def _with_unit_of_title(row: Statement) -> Statement:
    """``Memory bandwidth (GB/s) | 3,350 | 864``: the unit of the title behind each bare figure of several columns."""
    unit = _TITLE_UNIT.fullmatch(row.cells[0].strip()) if len(row.cells) > 2 and len(row.header) > 2 else None
    if unit is None or not any(one.dimension for one in measures(f"1 {unit['unit']}")):
        return row
    bare = [bool(re.fullmatch(r"[~≈]?\s?\d[\d.,]*", cell.strip())) for cell in row.cells[1:]]
    cells = [
        f"{cell.strip()} {unit['unit']}" if is_bare else cell for cell, is_bare in zip(row.cells[1:], bare, strict=True)
    ]
    return replace(row, cells=(row.cells[0], *cells))


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
    for place in range(1, min(len(titles), len(cells))):
        said = cells[unit] if unit is not None else _unit_of_heading(titles[place])
        if place != unit and _BARE.fullmatch(cells[place]):
            cells[place] = _with_unit(cells[place], said, cells[0])
    figure = next((i for i, title in enumerate(titles) if _FIGURE_TITLES.match(title)), None)
    if not figure or (unit is None and figure < 2):
        kept = [i for i in range(len(cells)) if i != unit]
        return replace(
            row, cells=tuple(cells[i] for i in kept), header=tuple(titles[i] for i in kept if i < len(titles))
        )
    rest = [i for i in range(figure + 1, min(len(titles), len(cells))) if i != unit]
    title = " ".join(cell for i, cell in enumerate(cells[:figure]) if cell and i != unit)
    return replace(
        row,
        cells=(title, cells[figure], *(cells[i] for i in rest)),
        header=(titles[0 if unit == figure - 1 else figure - 1], "value", *(titles[i] for i in rest)),
    )


_BARE = re.compile(r"[~≈<>≤≥]?\s?\d[\d.,'\s]*(?:\s(?:at most|at least|max\.?|höchstens|au plus))?")
_POWERS = {"10^9": "billion", "10⁹": "billion", "1e9": "billion", "10^6": "million", "10⁶": "million", "1e6": "million"}
_NO_UNIT = re.compile(r"[-–—.]?|(?:count|number|anzahl|nombre|#|n)", re.IGNORECASE)
_A_SECOND = re.compile(
    r"(?:1\s?/\s?s|/\s?s|s-1|s\^-1|s⁻¹|per second|je Sekunde|pro Sekunde|par seconde)", re.IGNORECASE
)
_TOKENS = re.compile(r"tokens?\b|jetons?\b", re.IGNORECASE)


def _unit_of_heading(title: str) -> str:
    """The unit that a heading is, or has in brackets or behind a comma."""
    for part in (title, *re.findall(r"[(\[]([^()\[\]]+)[)\]]", title), title.rsplit(", ", 1)[-1]):
        bare = part.strip()
        if bare in _POWERS or (units_in(bare) == [bare] and not re.fullmatch(r"[A-Z]|s|h|min", bare)):
            return str(bare)
    return ""


def _with_unit(figure: str, unit: str, title: str) -> str:
    """A figure with the unit of its column: a power of ten as a word, "1/s" by what the title counts."""
    unit = unit.strip()
    if _NO_UNIT.fullmatch(unit):
        return figure
    if _A_SECOND.fullmatch(unit):
        return f"{figure} {'tokens/s' if _TOKENS.search(title) else 'requests/s'}"
    found = re.match(r"([~≈<>≤≥]?\s?\d[\d.,'\s]*\d|[~≈<>≤≥]?\s?\d)(.*)", figure)
    number, rest = (found[1], found[2]) if found else (figure, "")
    return f"{number} {_POWERS.get(unit, unit)}{rest}"
