"""``--gpus``: which counts are asked for."""

from __future__ import annotations

import re
from typing import Literal

from optimizer.facts.base import LARGEST_COUNT
from optimizer.facts.errors import ProblemError

MOST_COUNTS = 100_000
FORMS = "1..64 (a range), 1..64:4 (every fourth), 1,2,4,8 (a list) or pow2:1..64 (powers of two)"
_RANGE = re.compile(r"(\d{1,9})\.\.(\d{1,9})(?::(\d{1,9}))?")


def parse_counts(text: str, by: Literal["gpu", "node"] = "gpu", per_node: int = 1, field: str = "--gpus") -> list[int]:
    """Counts of GPUs, ascending, each once.

    Args:
        text: ranges and numbers, separated by commas; ``pow2:`` in front keeps powers of two only.
        by: ``node`` keeps whole nodes of ``per_node`` GPUs only.

    Raises:
        ProblemError: not of these forms, or nothing is left.
    """
    powers = text.startswith("pow2:")
    found: set[int] = set()
    for part in text.removeprefix("pow2:").split(","):
        found |= _part(part.strip(), text, field)
    if powers:
        found = {count for count in found if count & (count - 1) == 0}
    if by == "node":
        found = {count for count in found if count % per_node == 0}
        if not found:
            raise ProblemError(
                field, f"{text!r} holds no whole number of nodes of {per_node} GPUs; name {per_node} or a multiple"
            )
    if not found:
        raise ProblemError(field, f"{text!r} holds no power of two; use {FORMS}")
    return sorted(found)


def _part(part: str, text: str, field: str) -> set[int]:
    matched = _RANGE.fullmatch(part)
    if matched:
        first, last, step = int(matched[1]), int(matched[2]), int(matched[3] or 1)
    elif part.isascii() and part.isdigit() and len(part) <= 9:
        first = last = int(part)
        step = 1
    else:
        raise ProblemError(field, f"{text!r} names no counts of GPUs; use {FORMS}")
    if not 1 <= first <= last <= LARGEST_COUNT or step < 1:
        raise ProblemError(field, f"{part!r} is not allowed; counts go upward from 1 to at most {LARGEST_COUNT:,}")
    if (last - first) // step >= MOST_COUNTS:
        raise ProblemError(
            field, f"{part!r} names more than {MOST_COUNTS:,} counts; use steps, as in {first}..{last}:8"
        )
    return set(range(first, last + 1, step))
