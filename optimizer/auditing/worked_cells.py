"""Judges table rows that give a figure in one cell and how it was worked out in another: ``64 % | 30.5 / 48``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from optimizer.auditing.arithmetic import judge_arithmetic
from optimizer.auditing.context import Context
from optimizer.auditing.conversions import conversions
from optimizer.auditing.lexicon import lexicon
from optimizer.auditing.plain import in_english
from optimizer.auditing.reading import Statement
from optimizer.auditing.sentences import sentences_of
from optimizer.results.audit import Claim

_NUMBER = r"\d[\d,]*(?:\.\d+)?"
_EXPRESSION = re.compile(rf"^\(?{_NUMBER}(?:\s*[×x*÷/+−-]\s*\(?{_NUMBER}\)?)+$")
_SAME_AS = re.compile(
    r"^\s*(?:=|≈|i\.e\.|that is|or|soit|c'est-à-dire|d\. ?h\.|das sind|also|entspricht)\s*\d[\d.,\s]*[^\W\d]+(?:/s)?\s*$"
)
_VALUE = re.compile(rf"^(?:about |~|≈)?\s*(?P<number>{_NUMBER})\s?(?P<unit>[^\d\s|].*)?$")


def judge_worked_cells(statement: Statement, context: Context) -> Iterator[Claim]:
    """One claim for a value cell with bare arithmetic in a later one; powers of ten and of 1,024 are the unit's."""
    if statement.kind != "row" or len(statement.cells) < 3:
        return
    equal = [cell for cell in statement.cells[2:] if _SAME_AS.match(cell)]
    if len(equal) == 1:
        told = replace(
            statement, text=f"{statement.cells[1].strip()} {equal[0].strip()}", kind="text", cells=(), header=()
        )
        for sentence in sentences_of(told, lexicon(), context.language(statement)):
            yield from (replace(claim, text=statement.text) for claim in conversions(sentence))
        return
    language = context.language(statement)
    cells = [in_english(cell, language).strip() if language != "en" else cell.strip() for cell in statement.cells]
    worked = [place for place, cell in enumerate(cells[1:], 1) if _EXPRESSION.match(cell)]
    # The result stands in the first cell behind the title, or where the work stands there, in the next one.
    at = 2 if worked == [1] else 1
    value = _VALUE.match(cells[at])
    if len(worked) != 1 or not value:
        return
    expression = re.sub(r"(?<=\d)\s*[xX*]\s*(?=[\d(])", " × ", cells[worked[0]])
    for scale in (
        "",
        " × 1000",
        " × 1000000",
        " / 1000",
        " / 1000000",
        " / 1000000000",
        " / 1024",
        " / 1048576",
        " / 1073741824",
        " × 100",
    ):
        if scale == " × 100" and not (value["unit"] or "").startswith("%"):
            continue
        told = replace(statement, text=f"({expression}){scale} ≈ {value['number']}", kind="text", cells=(), header=())
        claims = list(judge_arithmetic(told, context))
        if any(claim.verdict == "confirmed" for claim in claims):
            yield Claim(
                statement.line,
                statement.text,
                "confirmed",
                f"{expression} gives {statement.cells[at].strip()}.",
                statement.cells[at],
                None,
            )
            return
    told = replace(statement, text=f"{expression} = {value['number']}", kind="text", cells=(), header=())
    if (value["unit"] or "").startswith("%"):
        told = replace(told, text=f"{expression} × 100 = {value['number']}")
    yield from (
        replace(claim, text=statement.text) for claim in judge_arithmetic(told, context) if claim.verdict == "refuted"
    )
