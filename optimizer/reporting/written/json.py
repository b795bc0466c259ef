"""A report as JSON data: sections by id, tables as rows of objects, every figure with text, value, unit and derivation."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from optimizer.reporting.document import (
    REPORT_SCHEMA_VERSION,
    Block,
    Bullets,
    Cell,
    Commands,
    Figure,
    Picture,
    Report,
    Status,
    Table,
    Text,
)


def report_data(report: Report) -> dict[str, Any]:
    """The whole report; what ``report.json`` holds beside the answer."""
    return {
        "schema_version": REPORT_SCHEMA_VERSION,
        "title": report.title,
        "problem": report.problem,
        "generated": report.generated,
        "version": report.version,
        "verdict": report.verdict,
        "headline": report.headline,
        "sections": [
            {"id": section.id, "title": section.title, "blocks": [_block(block) for block in section.blocks]}
            for section in report.sections
        ],
        "derivations": {
            one.id: {
                "title": one.title,
                "formula": one.formula,
                "numbers": one.numbers,
                "figure": _cell(one.figure),
                "note": one.note,
                "inputs": list(one.inputs),
                "agrees": one.agrees,
            }
            for one in report.derivations
        },
    }


def _block(block: Block) -> dict[str, Any]:
    if isinstance(block, Text):
        return {"kind": "text", "parts": [_cell(part) for part in block.parts]}
    if isinstance(block, Bullets):
        items = [{"mark": mark, "parts": [_cell(part) for part in parts]} for mark, parts in block.items]
        return {"kind": "list", "items": items}
    if isinstance(block, Table):
        keys = [column.id for column in block.columns]
        rows = [dict(zip(keys, [_cell(cell) for cell in row], strict=True)) for row in block.rows]
        titles = {column.id: column.title for column in block.columns}
        return {"kind": "table", "id": block.id, "caption": block.caption, "columns": titles, "rows": rows}
    if isinstance(block, Commands):
        return {"kind": "commands", **asdict(block)}
    assert isinstance(block, Picture)
    return {"kind": "picture", **asdict(block)}


def _cell(cell: Cell) -> Any:
    if isinstance(cell, Figure):
        return {name: value for name, value in asdict(cell).items() if value is not None and value != ""}
    if isinstance(cell, Text):
        return {"parts": [_cell(part) for part in cell.parts]}
    return asdict(cell) if isinstance(cell, Status) else cell
