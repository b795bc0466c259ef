"""Every public field of the typed results, and of the constants of the cost model, says what it is."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "optimizer"
ROOMS = (*sorted((PACKAGE / "results").glob("*.py")), PACKAGE / "catalog" / "constants.py")


def fields_without_words(text: str) -> Iterator[str]:
    """``Class.field`` of each field of a class that no string follows and no ``Field(description=…)`` describes."""
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.ClassDef):
            continue
        for one, after in zip(node.body, [*node.body[1:], None], strict=True):
            if not isinstance(one, ast.AnnAssign) or not isinstance(one.target, ast.Name):
                continue
            said = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            described = one.value is not None and "description=" in ast.unparse(one.value)
            if not (said or described or one.target.id.startswith("_")):
                yield f"{node.name}.{one.target.id}"


@pytest.mark.parametrize("file", ROOMS, ids=lambda file: file.stem)
def test_every_field_says_what_it_is(file: Path) -> None:
    assert list(fields_without_words(file.read_text())) == []


def test_times_rates_and_bytes_name_their_unit() -> None:
    """A field whose name ends in a unit has it in words."""
    units = {"_ms": "ms", "_bytes": "ytes", "_tokens_per_s": "tokens/s", "_gb_per_s": "bytes/s"}
    for file in sorted((PACKAGE / "results").glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            body = node.body if isinstance(node, ast.ClassDef) else []
            for one, after in pairwise(body):
                if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and isinstance(after, ast.Expr):
                    name = one.target.id
                    unit = next((unit for end, unit in units.items() if name.endswith(end)), "")
                    assert unit in ast.unparse(after), f"{node.name}.{name}"  # type: ignore[attr-defined]


def test_what_is_missing_is_seen() -> None:
    assert list(fields_without_words('class A:\n    x: int\n    y: int\n    """Said."""\n')) == ["A.x"]
