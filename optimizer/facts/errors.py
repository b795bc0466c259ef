"""The one error a wrong input raises: the field, the value found, and what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from optimizer.facts.text import LONGEST_SHOWN, shortened

MOST_NAMED = 60
"""Known names that a message lists."""


class ProblemError(ValueError):
    """Input that cannot be used. ``field`` is the dotted path in the problem file, or the option or file name.

    Whatever of the input is repeated is cut, and what cannot be seen is escaped: a message is one line that a terminal may show.
    """

    def __init__(self, field: str, message: str) -> None:
        self.field = shortened(field)[: 2 * LONGEST_SHOWN]
        self.message = shortened(message)
        super().__init__(f"{self.field}: {self.message}" if field else self.message)


def near_names(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Known names that are spelled much like one, nearest first; none where nothing is near."""
    return difflib.get_close_matches(name.lower()[:LONGEST_SHOWN], sorted(set(known)), n=count, cutoff=0.5)


def closest(name: str, known: Iterable[str], count: int = 3) -> str:
    """Words that point from a mistyped name to the known ones, e.g. ``"did you mean h100-sxm-80gb?"``."""
    names = sorted(set(known))
    near = near_names(name, names, count)
    if near:
        return f"did you mean {' or '.join(near)}?"
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"known: {', '.join(names[:MOST_NAMED])}{more}"
