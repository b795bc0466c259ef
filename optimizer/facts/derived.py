"""Facts that follow from what is stated: each figure may be within its range and what they make not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError

from optimizer.facts.errors import ProblemError
from optimizer.facts.text import shown

_WORDS = {"greater_than": "above", "greater_than_equal": "at least", "less_than": "below", "less_than_equal": "at most"}


@contextmanager
def following(field: str) -> Iterator[None]:
    """While facts are made of what stands in a section, a figure out of range is input that cannot be used.

    Args:
        field: the section, dotted; the figure's own name is added.

    Raises:
        ProblemError: a figure that follows is out of range.
    """
    try:
        yield
    except ValidationError as error:
        found = error.errors(include_url=False)[0]
        # The place in a list of several says nothing about the file.
        name = ".".join(str(part) for part in found["loc"] if isinstance(part, str))
        bound = next(iter(found.get("ctx", {}).values()), None)
        kind = _WORDS.get(found["type"])
        wanted = f"it must be {kind} {bound:,}" if kind else found["msg"]
        said = f"{shown(found['input'])}, which follows from what is stated, is not allowed; {wanted}"
        raise ProblemError(f"{field}.{name}" if name else field, said) from None
