"""The one error a wrong input raises: the field, the value found, and what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ProblemError(ValueError):
    """Input that cannot be used. ``field`` is the dotted path in the problem file, or the option or file name."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        self.message = message
        super().__init__(f"{field}: {message}" if field else message)


def closest(name: str, known: Iterable[str], count: int = 3) -> str:
    """Words that point from a mistyped name to the known ones, e.g. ``"did you mean h100-sxm-80gb?"``."""
    names = sorted(set(known))
    near = difflib.get_close_matches(name.lower(), names, n=count, cutoff=0.5)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"known: {', '.join(names)}"
