"""Typed reads from a Hugging Face ``config.json``: each error names the key, the value and what would be right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optimizer.facts.base import LARGEST_COUNT
from optimizer.facts.errors import ProblemError


class Config:
    """The parsed config and where it came from, for error messages."""

    def __init__(self, values: Mapping[str, Any], field: str) -> None:
        self.values = values
        self.field = field

    def error(self, key: str, message: str) -> ProblemError:
        return ProblemError(f"{self.field}.{key}", message)

    def first(self, *keys: str) -> tuple[str, Any]:
        for key in keys:
            if self.values.get(key) is not None:
                return key, self.values[key]
        return keys[0], None

    def count(self, *keys: str, default: int | None = None, minimum: int = 1) -> int:
        key, value = self.first(*keys)
        if value is None:
            if default is None:
                raise self.error(key, f"is missing; a decoder's config.json states it as a whole number >= {minimum}")
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error(key, f"{value!r} is not a whole number")
        if not minimum <= value <= 100 * LARGEST_COUNT:
            raise self.error(key, f"{value} is out of range; a whole number from {minimum} to {100 * LARGEST_COUNT:,}")
        return value

    def flag(self, key: str, default: bool = False) -> bool:
        value = self.values.get(key)
        return default if value is None else bool(value)
