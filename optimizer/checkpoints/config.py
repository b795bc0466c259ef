"""Typed reads from a Hugging Face ``config.json``: each error names the key, the value and what would be right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optimizer.facts.base import LARGEST_COUNT
from optimizer.facts.errors import ProblemError

LAYERS_AT_MOST = 10_000


class Config:
    """The parsed config, its family's class defaults, and where it came from, for error messages.

    Args:
        values: what the file states; nested text configs leave out what equals the class default.
        defaults: the class defaults, read only where the file may leave a key out.
        complete: the file states every size itself (top level), so that a size left out is an error.
    """

    def __init__(
        self, values: Mapping[str, Any], field: str, defaults: Mapping[str, Any] | None = None, *, complete: bool = True
    ) -> None:
        self.values = values
        self.field = field
        self.defaults = defaults or {}
        self.complete = complete
        self.defaulted: dict[str, Any] = {}
        """Sizes taken from the class defaults, for the notes."""

    def error(self, key: str, message: str) -> ProblemError:
        return ProblemError(f"{self.field}.{key}", message)

    def first(self, *keys: str) -> tuple[str, Any]:
        for key in keys:
            if self.values.get(key) is not None:
                return key, self.values[key]
        return keys[0], None

    def states(self, *keys: str) -> bool:
        """The file itself gives one of the keys a value."""
        return self.first(*keys)[1] is not None

    def value(self, *keys: str) -> Any:
        """The stated value, else the class default, else None; a stated null is None."""
        _, value = self.first(*keys)
        return self._default(*keys) if value is None else value

    def _default(self, *keys: str) -> Any:
        """The class default where the file says nothing of the keys, not even null."""
        if any(key in self.values for key in keys):
            return None
        return next((self.defaults[key] for key in keys if self.defaults.get(key) is not None), None)

    def size(self, *keys: str, default: int | None = None) -> int:
        """A size that every file at top level states; in a nested config the class default stands for one left out."""
        if not self.states(*keys) and not self.complete:
            found = next(((key, self.defaults[key]) for key in keys if self.defaults.get(key) is not None), None)
            if found:
                self.defaulted[found[0]] = found[1]
                return int(found[1])
        return self.count(*keys, default=default)

    def count(self, *keys: str, default: int | None = None, minimum: int = 1) -> int:
        """A whole number as stated, else ``default``; class defaults are left to ``size`` and ``option``.

        Raises:
            ProblemError: missing without a default, not a whole number, or out of range.
        """
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

    def option(self, *keys: str, default: int | None = None, minimum: int = 0) -> int:
        """A whole number as stated, else the class default, else ``default``."""
        found = self._default(*keys)
        return self.count(*keys, default=default if found is None else int(found), minimum=minimum)

    def flag(self, key: str, default: bool = False) -> bool:
        value = self.values.get(key)
        return bool(self.defaults.get(key, default)) if value is None else bool(value)

    def layers(self) -> int:
        """Number of layers.

        Raises:
            ProblemError: missing or more than any decoder has.
        """
        key, listed = self.first("layers_block_type", "hybrid_override_pattern")
        if not isinstance(listed, str | list | None):
            raise self.error(key, f"{listed!r} is no list of layers")
        layers = self.size(
            "num_hidden_layers", "n_layer", "n_layers", "num_layers", default=len(listed) if listed else None
        )
        if layers > LAYERS_AT_MOST:
            raise self.error(
                "num_hidden_layers", f"{layers} is out of range; decoders have at most {LAYERS_AT_MOST:,} layers here"
            )
        return layers

    def per_layer(self, key: str, layers: int) -> list[Any] | None:
        """A list with one entry for each layer; None where the file has none.

        Raises:
            ProblemError: the list does not fit the layers.
        """
        listed = self.values.get(key)
        if not isinstance(listed, list):
            return None
        if len(listed) != layers:
            raise self.error(key, f"lists {len(listed)} layers, the model has {layers}")
        return listed
