"""Programs that go beside launch files as they are: standard library or bash only, they run without this product."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent


def program(name: str) -> str:
    """The text of a program."""
    return (_FOLDER / name).read_text(encoding="utf-8")
