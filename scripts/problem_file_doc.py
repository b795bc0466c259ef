#!/usr/bin/env python3
"""Write docs/problem-file.md: every field of the problem file, with type, default and meaning, from the schemas themselves.

Usage: python scripts/problem_file_doc.py [--check]     (--check: exit 1 where the page is not what the schemas say)
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from optimizer.facts.chain import ChainProblem
from optimizer.facts.file import ProblemFile
from optimizer.facts.profile import DayFile
from optimizer.facts.several import SeveralFile
from optimizer.reading.cluster_models import cluster_models_schema
from optimizer.reading.inventory_input import file_schema

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "problem-file.md"
HEAD = """# The problem file

YAML or JSON, one question a file. `optimizer init [--kind cluster|chain]` writes a commented one to start from, `optimizer schema`
prints the JSON Schema. Limits that are left out do not exist; everything else that is left out has the default shown. This page is
written by `scripts/problem_file_doc.py` from the schemas.
"""
KINDS = (
    ("Equal nodes: `hardware:`", ProblemFile.model_json_schema),
    ("Load that changes over the day: `workload.profile`", DayFile.model_json_schema),
    ("Several models on equal nodes: `models:`", SeveralFile.model_json_schema),
    ("An inventory: `cluster:`", file_schema),
    ("Several models on an inventory: `models:` and `cluster:`", cluster_models_schema),
    ("Many small machines: `kind: chain`", ChainProblem.model_json_schema),
)


def page() -> str:
    """The page as the schemas have it; a section that stood before is not repeated."""
    lines, seen = [HEAD], {}
    for title, schema_of in KINDS:
        schema = schema_of()
        definitions = schema.get("$defs", {})
        lines += [f"## {title}\n", *_table(schema)]
        for name in sorted(definitions):
            section = _table(definitions[name])
            if not definitions[name].get("properties") or seen.get(name) == section:
                continue
            seen[name] = section
            said = definitions[name].get("description", "").split("\n\n")[0].replace("\n", " ")
            lines += [f"### {name}\n", f"{said}\n" if said else "", *section]
    return "\n".join(line for line in lines if line is not None).rstrip() + "\n"


def _table(schema: dict[str, Any]) -> list[str]:
    rows = ["| field | type | default | meaning |", "|---|---|---|---|"]
    needed = set(schema.get("required", ()))
    for field, value in schema.get("properties", {}).items():
        default = "needed" if field in needed else _default(value)
        meaning = value.get("description", "").replace("\n", " ").replace("|", "\\|")
        rows.append(f"| `{field}` | {_type(value)} | {default} | {meaning} |")
    return [*rows, ""]


def _default(value: dict[str, Any]) -> str:
    default = value.get("default")
    if default is None:
        return "–"
    if isinstance(default, dict | list):
        return "see below" if default else "none"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _type(value: dict[str, Any]) -> str:
    if "$ref" in value:
        return value["$ref"].rsplit("/", 1)[-1]
    if "anyOf" in value:
        kinds = [_type(one) for one in value["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in value:
        return ", ".join(f"`{one}`" for one in value["enum"])
    if "const" in value:
        return f"`{value['const']}`"
    kind = str(value.get("type", "any"))
    if kind == "array":
        inner = value.get("items") or (value.get("prefixItems") or [{}])[0]
        return f"list of {_type(inner)}"
    if kind == "object" and isinstance(value.get("additionalProperties"), dict):
        return f"mapping to {_type(value['additionalProperties'])}"
    bounds = [f"{sign} {value[key]:,}" for key, sign in _BOUNDS if isinstance(value.get(key), int | float)]
    return f"{kind} {', '.join(bounds)}".strip()


_BOUNDS = (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"))


def undescribed() -> list[str]:
    """Fields of any kind of problem file that say nothing of themselves."""
    missing = []
    for title, schema_of in KINDS:
        schema = schema_of()
        for name, part in {"": schema, **schema.get("$defs", {})}.items():
            for field, value in part.get("properties", {}).items():
                if not value.get("description"):
                    missing.append(f"{title} {name}.{field}")
    return missing


def main() -> int:
    """Write the page, or compare it."""
    text = page()
    if "--check" in sys.argv[1:]:
        return 0 if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text else 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
