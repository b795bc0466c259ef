"""Labels that say of what the items below them are: ``Per GPU:`` above ``16 query heads, 2 KV heads``."""

from __future__ import annotations

import re
from dataclasses import replace

from optimizer.auditing.reading import Statement

_LABEL = re.compile(
    r"\W*(?:(?:per|on each|on every|each|je|pro|auf jeder|par|sur chaque)\s(?:GPU|card|accelerator|node|server|box|replica|instance|Karte"
    r"|Knoten|Server|Replikat|carte|nœud|serveur|réplique))\s?:\s*",
    re.IGNORECASE,
)
_NAMES_OTHER = re.compile(r"\b(?:per|each|every|total|altogether|overall|je|pro|par|chaque|insgesamt)\b", re.IGNORECASE)


def with_scope_labels(statements: tuple[Statement, ...], lines: list[str]) -> tuple[Statement, ...]:
    """The statements; items indented below such a label begin with it, unless they name what they are per themselves.

    ``lines`` are the report's, for their indentation.
    """
    found: list[Statement] = []
    label, depth, last = "", 0, -9
    for one in statements:
        line = lines[one.line - 1] if 0 < one.line <= len(lines) else ""
        indent = len(line) - len(line.lstrip())
        if label and (one.kind in ("row", "code", "heading") or one.line != last + 1 or indent <= depth):
            label = ""
        last = one.line
        if one.kind not in ("row", "code", "heading") and _LABEL.fullmatch(one.text):
            label, depth = one.text.strip(" *_-•"), indent
        elif label and not _NAMES_OTHER.search(one.text):
            one = replace(one, text=f"{label} {one.text}")
        found.append(one)
    return tuple(found)
