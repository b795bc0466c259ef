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
_OF_ONE = re.compile(
    r"(?:(?:[^\W\d]+[\s/-]){0,4})(?:(?:per|of (?:one|a|each)|on (?:one|a|each)|each|je|pro|auf (?:einer|jeder)|einer|par|d'une?|sur chaque)"
    r"\s)(?P<one>GPU|card|accelerator|Karte|carte)\b(?:\s?\([^)]*\))?\W*",
    re.IGNORECASE,
)
"""A heading, or a line of its own above a list, of what is on one GPU: ``Memory per GPU``."""
_BULLET = re.compile(r"\s*(?:[-*•+]|\d+[.)])\s")
_SIZED = re.compile(r"\d\s?(?:[KMGT]i?[Bo]|%)", re.IGNORECASE)
_NAMES_OTHER = re.compile(r"\b(?:per|each|every|total|altogether|overall|je|pro|par|chaque|insgesamt)\b", re.IGNORECASE)


def with_scope_labels(statements: tuple[Statement, ...], lines: list[str]) -> tuple[Statement, ...]:
    """The statements; items indented below such a label begin with it, unless they name what they are per themselves.

    ``lines`` are the report's, for their indentation.
    """
    found: list[Statement] = []
    label, depth, last, above = "", 0, -9, ""
    for one in statements:
        line = lines[one.line - 1] if 0 < one.line <= len(lines) else ""
        indent = len(line) - len(line.lstrip())
        if label and (one.kind in ("row", "code", "heading") or one.line != last + 1 or indent <= depth):
            label = ""
        if above and (one.kind in ("row", "code", "heading") or not _BULLET.match(line)):
            above = ""
        last = one.line
        one = _of_one(one, above)
        if one.kind == "text" and len(one.text) <= LONGEST_LABEL and _OF_ONE.fullmatch(one.text):
            above = one.text
        if one.kind not in ("row", "code", "heading") and _LABEL.fullmatch(one.text):
            label, depth = one.text.strip(" *_-•"), indent
        elif label and not _NAMES_OTHER.search(one.text):
            one = replace(one, text=f"{label} {one.text}")
        found.append(one)
    return tuple(found)


_OF_A_PART = re.compile(
    r"\b(?:GPUs?|cards?|Karten?|cartes?|node|Knoten|server|serveur|replica|Repli\w+|réplique|total|altogether|insgesamt|zusammen)\b|[/÷]",
    re.IGNORECASE,
)
"""Rows under a column "per GPU" that say themselves of what they are."""
LONGEST_LABEL = 40


def _of_one(one: Statement, above: str) -> Statement:
    """Sizes below a heading of what is on one GPU, as sizes per GPU; those that name what they are of stay as they are."""
    heading = _OF_ONE.fullmatch(re.sub(r"^[\d.]+\s", "", one.section.split(" / ")[-1])) if one.kind == "row" else None
    heading = heading or (_OF_ONE.fullmatch(above) if above else None)
    if one.kind == "row" and len(one.header) == len(one.cells) == 2 and _OF_ONE.fullmatch(one.header[1]):
        return one if _OF_A_PART.search(one.cells[0]) else replace(one, cells=(f"{one.cells[0]} per GPU", one.cells[1]))
    if heading is None or not _SIZED.search(one.text) or _NAMES_OTHER.search(one.text) or "/" in one.text:
        return one
    if one.kind == "row":
        return replace(one, cells=(f"{one.cells[0]} per GPU", *one.cells[1:]))
    return one if len(one.text) > LONGEST_ITEM else replace(one, text=f"Per GPU: {one.text}")


LONGEST_ITEM = 60
