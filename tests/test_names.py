"""One name a concept (docs/glossary.md): its banned words, classes of one name and one-letter parameters do not come back."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
GLOSSARY = (ROOT / "docs/glossary.md").read_text()


def banned(stars: str) -> frozenset[str]:
    """Words of the glossary's column "not" between at least so many stars, and their plurals."""
    rows = [row.split("|")[3] for row in GLOSSARY.splitlines() if row.count("|") == 4]
    words = {word for row in rows for word in re.findall(rf"{re.escape(stars)}(\w+)\*", row)}
    return frozenset(words | {f"{word}s" for word in words})


CODE = banned("**")
"""Banned as a word of an identifier; as English verbs ("an engine offers") some of them are at home in a sentence."""
PROSE = re.compile(rf"\b({'|'.join(sorted(banned('***')))})\b", re.IGNORECASE)
PEOPLES_WORDS = "optimizer/auditing"
"""Where reports that people wrote are read, in their words."""


@cache
def sources() -> dict[str, str]:
    """Every module of the product, the tests and the scripts, by its path."""
    files = [file for room in ("optimizer", "tests", "scripts") for file in sorted((ROOT / room).rglob("*.py"))]
    return {str(file.relative_to(ROOT)): file.read_text() for file in files if file != Path(__file__)}


def trees_with(pattern: str) -> Iterator[tuple[str, ast.Module]]:
    """Modules whose text matches; the others need no parsing."""
    found = re.compile(pattern, re.IGNORECASE)
    return ((path, ast.parse(text)) for path, text in sources().items() if found.search(text))


def identifiers(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """What a module names, each with its line."""
    for node in ast.walk(tree):
        for field in ("id", "attr", "arg", "name"):
            name = getattr(node, field, None)
            if isinstance(name, str):
                yield name, getattr(node, "lineno", 0)


def test_no_identifier_has_a_banned_word() -> None:
    found = [
        f"{path}:{line} {name}"
        for path, tree in trees_with("|".join(CODE))
        for name, line in identifiers(tree)
        if CODE & {word.lower() for word in WORD.findall(name)}
    ]
    assert not found, "\n".join(found)


def test_no_file_has_a_banned_word_in_its_name() -> None:
    found = [path for path in sources() if CODE & set(WORD.findall(Path(path).stem))]
    assert not found


def test_no_text_has_a_banned_word() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
    texts = {str(page.relative_to(ROOT)): page.read_text() for page in pages if page.name != "glossary.md"}
    for path, tree in trees_with(PROSE.pattern):
        if not path.startswith(PEOPLES_WORDS) and path.startswith("optimizer/"):
            strings = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
            texts[path] = "\n".join(text for text in strings if isinstance(text, str))
    found = [f"{path}: {match[0]}" for path, text in texts.items() for match in PROSE.finditer(text)]
    assert not found, "\n".join(found)


def test_the_words_that_are_banned() -> None:
    assert {"fleet", "beaten", "hopeless", "downs", "twin", "lever", "offer", "offers", "born"} <= CODE
    assert {"fleets", "twin", "levers", "hopeless"} <= banned("***") < CODE


def test_no_two_classes_of_the_product_share_a_name() -> None:
    homes: dict[str, list[str]] = defaultdict(list)
    for path, text in sources().items():
        if path.startswith("optimizer/"):
            for name in re.findall(r"^\s*class (\w+)\s*[:(\[]", text, re.MULTILINE):
                homes[name].append(path)
    assert not {name: paths for name, paths in homes.items() if len(paths) > 1}


def test_parameters_say_what_they_are() -> None:
    """No ``q`` for what has a name."""
    found = [
        f"{path}:{node.lineno} {node.name}"
        for path, tree in trees_with(r"\bq\b")
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and any(one.arg == "q" for one in node.args.args + node.args.kwonlyargs)
    ]
    assert not found, "\n".join(found)
