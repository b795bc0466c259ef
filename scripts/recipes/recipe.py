"""What a worked addition is: edits of files, and tests that only pass with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

Edit = Callable[[str], str]
"""From a file's text to its text with the addition; a new file starts empty."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One addition. ``files`` are those that it touches, tests apart; ``most`` is how many they may be."""

    name: str
    most: int
    files: Mapping[str, Edit]
    test: str
    """A test module of its own: it fails without the addition."""
    also: tuple[str, ...] = ()
    """Tests of the project that the addition must not break, as arguments of pytest."""


def after(anchor: str, added: str) -> Edit:
    """Put a text behind another that stands once in the file."""
    return replaced(anchor, anchor + added)


def replaced(old: str, new: str) -> Edit:
    """Replace a text that stands once in the file.

    Raises:
        LookupError: it does not, on applying: the recipe is out of date.
    """

    def edit(text: str) -> str:
        if text.count(old) != 1:
            raise LookupError(f"{old!r} stands {text.count(old)} times")
        return text.replace(old, new)

    return edit


def both(*edits: Edit) -> Edit:
    """Several edits of one file, in order."""

    def edit(text: str) -> str:
        for one in edits:
            text = one(text)
        return text

    return edit


def new(content: str) -> Edit:
    """A file that was not there."""
    return lambda _: content
