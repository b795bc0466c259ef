"""A report as Markdown (GitHub's flavour): every derived figure links to its derivation in the appendix."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from optimizer.reporting.document import (
    Block,
    Bullets,
    Cell,
    Column,
    Commands,
    Derivation,
    Figure,
    Picture,
    Report,
    Section,
    Status,
    Table,
    Text,
)
from optimizer.writing.quoting import markdown, markdown_block, markdown_code

VERDICTS = {"pass": "PASS", "fail": "FAIL", "unknown": "NOT DECIDED"}
MARKS = {"pass": "✓", "fail": "✗", "warn": "!", "info": "·"}


def report_markdown(report: Report) -> str:
    """The whole report."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield f"# {markdown(report.title)}"
    yield ""
    yield f"**{VERDICTS[report.verdict]}: {markdown(report.headline)}.**"
    for section in report.sections:
        yield from _section(section)
    yield from _appendix(report)
    yield ""
    yield "---"
    yield ""
    yield f"Generated {report.generated} by optimizer {report.version}."


def _section(section: Section) -> Iterator[str]:
    yield ""
    yield f'<a id="{section.id}"></a>'
    yield ""
    yield f"## {markdown(section.title)}"
    for block in section.blocks:
        lines = list(_block(block))
        if lines:
            yield ""
            yield from lines


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, Text):
        yield _parts(block.parts)
    elif isinstance(block, Bullets):
        for mark, parts in block.items:
            yield f"- {MARKS[mark] + ' ' if mark != 'info' else ''}{_parts(parts)}"
    elif isinstance(block, Table):
        yield from _table(block)
    elif isinstance(block, Commands):
        yield f"{markdown(block.title)}:"
        yield ""
        yield from markdown_block(block.text, block.language)
    elif isinstance(block, Picture):
        if block.file:
            yield f"![{markdown(block.title)}]({block.file})"
            yield ""
        where = block.file or "report.html"
        yield f"*{markdown(block.title)} (drawn in {where}).* {markdown(block.alt)}"


def _table(table: Table) -> Iterator[str]:
    if table.caption:
        yield f"**{markdown(table.caption)}**"
        yield ""
    yield _row(markdown(column.title) or " " for column in table.columns)
    yield _row(_rule(column) for column in table.columns)
    for row in table.rows:
        yield _row(_cell(cell) for cell in row)


def _rule(column: Column) -> str:
    return "---:" if column.right else "---"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: Cell) -> str:
    if isinstance(cell, Figure):
        return f"[{markdown(cell.text)}](#d-{anchor(cell.derivation)})" if cell.derivation else markdown(cell.text)
    if isinstance(cell, Status):
        return f"{MARKS[cell.mark]} {markdown(cell.text)}"
    if isinstance(cell, Text):
        return _parts(cell.parts)
    return markdown(cell)


def _parts(parts: Iterable[str | Figure]) -> str:
    return "".join(_cell(part) for part in parts)


def _appendix(report: Report) -> Iterator[str]:
    evaluated = [one for one in report.derivations if one.agrees is not None]
    wrong = report.disagreeing
    yield ""
    yield '<a id="derivations"></a>'
    yield ""
    yield "## Appendix: derivations"
    yield ""
    yield markdown(derivations_sentence(len(evaluated), len(wrong)))
    for one in report.derivations:
        yield from _derivation(one)


def derivations_sentence(evaluated: int, wrong: int) -> str:
    """What was done with the written arithmetic."""
    outcome = (
        "all give the figure they stand for"
        if not wrong
        else f"{wrong} do NOT give their figure: a defect; do not rely on them"
    )
    return (
        f"{evaluated:,} derivations are written with their numbers. Each was evaluated as written, units included: {outcome}. "
        "Figures without numbers are read from the facts, or computed by the method that is named."
    )


def _derivation(one: Derivation) -> Iterator[str]:
    yield ""
    yield f'<a id="d-{anchor(one.id)}"></a>'
    yield ""
    yield f"**{markdown(one.title)}: {markdown(one.figure.text)}**  "
    yield f"{markdown(one.formula)}  "
    if one.numbers:
        yield f"{markdown_code(f'= {one.numbers} = {one.figure.text}')}  "
    if one.agrees is False:
        yield "**The numbers as written do not give this figure.**  "
    if one.note:
        yield f"{markdown(one.note)}  "
    if one.inputs:
        yield "From: " + ", ".join(f"[{markdown(id)}](#d-{anchor(id)})" for id in one.inputs)


def anchor(id: str | None) -> str:
    """An id as a fragment of a URL."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", id or "")
