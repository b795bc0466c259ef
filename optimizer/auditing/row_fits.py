"""Judges a table cell that says whether the size of its row fits on a card: ``TP1 | 93.4 GB | fits on one 48 GB card``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.context import Context
from optimizer.auditing.labels import claim
from optimizer.auditing.measures import measures, shown
from optimizer.auditing.reading import Statement
from optimizer.results.audit import Claim

_FITS = re.compile(
    r"\W*(?P<not>does not |would not |ne |doesn't )?(?:fits?|passt|tient|loge)\s(?P<no>nicht |pas )?(?:on|onto|in|into|auf|in|sur|dans)\s"
    r"(?:a|an|one|ein\w*|une?)\s(?:single\s|einzelne\s|einzige\s|seule\s)?(?P<size>\d[\d.,]*[\s-]?(?:GB|GiB|Go|Gio))[\s-]"
    r"(?:card|GPU|accelerator|Karte|carte)\b\W*",
    re.IGNORECASE,
)
_WEIGHTS = re.compile(r"\b(?:weights?|Gewichte?|poids|model|Modell|modèle|checkpoint)\b", re.IGNORECASE)
_TIGHT = 1.08
"""A card may be named by GB or GiB: sizes within this factor of it are judged neither way."""


def judge_row_fits(statement: Statement, context: Context) -> Iterator[Claim]:
    """The size of the row's weights against the card that the cell names."""
    if statement.kind != "row":
        return
    language = context.language(statement)
    sizes = [
        m
        for title, cell in zip(statement.header[1:], statement.cells[1:], strict=False)
        if _WEIGHTS.search(title)
        for m in measures(cell, language)
        if m.dimension == "bytes"
    ]
    for cell in statement.cells[1:]:
        found = _FITS.fullmatch(cell)
        card = [m for m in measures(found["size"], language) if m.dimension == "bytes"] if found else []
        if found is None or len(sizes) != 1 or len(card) != 1:
            continue
        need, room = sizes[0].value, card[0].value
        if max(need / room, room / need) <= _TIGHT:
            continue
        says = not (found["not"] or found["no"])
        reason = f"{shown(need, 'bytes')} of weights against one card of {shown(room, 'bytes')}."
        yield claim(statement, "confirmed" if says == (need < room) else "refuted", reason, cell.strip(), None)
