"""One direction of imports between modules, those for type checking included (docs/decisions/0001-rooms.md)."""

from __future__ import annotations

import ast
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]


def imports_of_modules() -> dict[str, set[str]]:
    """Module → the modules of the product that it imports, anywhere in it."""
    files = {file: file.relative_to(ROOT).with_suffix("") for file in (ROOT / "optimizer").rglob("*.py")}
    names = {file: ".".join(path.parts).removesuffix(".__init__") for file, path in files.items()}
    modules = set(names.values())
    found: dict[str, set[str]] = defaultdict(set)
    for file, name in names.items():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                inner = {f"{node.module}.{one.name}" for one in node.names}
                found[name] |= {one if one in modules else node.module for one in inner}
            elif isinstance(node, ast.Import):
                found[name] |= {one.name for one in node.names}
    return {name: {one for one in there if one in modules} for name, there in found.items()}


def cycle(imports: dict[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle; empty when there are none."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_modules_import_each_other_in_a_circle() -> None:
    found = imports_of_modules()
    assert len(found) > 300
    # The package and its lazy front door name what they offer; nothing inside imports them back.
    assert cycle(found) == []


def test_a_circle_is_seen() -> None:
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}})
