"""JSON Schema of ``report.json``, and of everything that the product writes as JSON answers, commands and reports together."""

from __future__ import annotations

from optimizer.render.schema_parts import (
    NULL,
    NUMBER,
    TEXT,
    TEXTS,
    WHOLE,
    YES,
    Schema,
    array,
    closed,
    mapping,
    or_null,
    ref,
)
from optimizer.render.schemas import command_schema
from optimizer.reporting.document import REPORT_SCHEMA_VERSION

_MARK: Schema = {"enum": ["pass", "fail", "warn", "info"]}


def every_schema() -> Schema:
    """JSON Schema (draft 2020-12) of what commands print and of ``report.json``, a branch each."""
    schema = command_schema()
    schema["$defs"] |= {
        "ReportFigure": _figure(),
        "ReportCell": {"anyOf": [TEXT, ref("ReportFigure"), _status(), closed({"parts": array(ref("ReportCell"))})]},
        "ReportBlock": {"oneOf": _blocks()},
        "ReportDerivation": _derivation(),
        "Report": _report(),
    }
    schema["title"] = "Answer of an optimizer command, or report.json"
    schema["oneOf"].append(ref("Report"))
    return schema


def _report() -> Schema:
    section = closed({"id": TEXT, "title": TEXT, "blocks": array(ref("ReportBlock"))})
    kinds = (
        "UniformAnswer", "InventoryAnswer", "ChainAnswer", "PoolsAnswer", "ClusterPoolsAnswer", "SideBySideAnswer",
        "ClusterSideBySideAnswer",
    )  # fmt: skip
    answers = [ref(name) for name in kinds]
    return closed(
        {
            "schema_version": {"const": REPORT_SCHEMA_VERSION},
            "title": TEXT,
            "problem": TEXT,
            "generated": TEXT,
            "version": TEXT,
            "verdict": {"enum": ["pass", "fail", "unknown"]},
            "headline": TEXT,
            "sections": array(section),
            "derivations": mapping(ref("ReportDerivation")),
            "answer": {"oneOf": answers},
        }
    )


def _derivation() -> Schema:
    return closed(
        {
            "title": TEXT,
            "formula": TEXT,
            "numbers": TEXT,
            "figure": ref("ReportFigure"),
            "note": TEXT,
            "inputs": TEXTS,
            "agrees": or_null(YES),
        }
    )


def _figure() -> Schema:
    """A figure as people read it; what it lacks is left out."""
    value: Schema = {"anyOf": [NUMBER, WHOLE, NULL]}
    return closed({"text": TEXT, "value": value, "unit": TEXT, "derivation": TEXT}, ("value", "unit", "derivation"))


def _status() -> Schema:
    return closed({"mark": _MARK, "text": TEXT})


def _blocks() -> list[Schema]:
    cells = array(ref("ReportCell"))
    kinds: dict[str, Schema] = {
        "text": {"parts": cells},
        "list": {"items": array(closed({"mark": _MARK, "parts": cells}))},
        "table": {"id": TEXT, "caption": TEXT, "columns": mapping(TEXT), "rows": array(mapping(ref("ReportCell")))},
        "commands": {"title": TEXT, "language": TEXT, "text": TEXT},
        "picture": {"id": TEXT, "title": TEXT, "alt": TEXT, "file": TEXT},
    }
    return [closed({"kind": {"const": name}, **properties}) for name, properties in kinds.items()]
