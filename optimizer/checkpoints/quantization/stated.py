"""Typed reads from a quantisation config; each error names the key and what would be right."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from optimizer.checkpoints.quantization.names import Entries
from optimizer.facts.base import LARGEST_COUNT
from optimizer.facts.errors import ProblemError
from optimizer.facts.model import KvCacheFormat


@dataclass(frozen=True, slots=True)
class StatedQuantization:
    """One quantisation config and what the rest of the file says beside it."""

    values: Mapping[str, Any]
    field: str
    method: str
    experts_only: bool
    has_experts: bool
    model: Mapping[str, Any]

    def error(self, key: str, message: str) -> ProblemError:
        return ProblemError(f"{self.field}.{key}", message)

    def inside(self, key: str, values: Mapping[str, Any]) -> StatedQuantization:
        """A mapping that this one holds under a key."""
        return StatedQuantization(
            values, f"{self.field}.{key}", self.method, self.experts_only, self.has_experts, self.model
        )

    def bits(self, *keys: str, default: int | None = None, allowed: tuple[int, ...] = (2, 3, 4, 8)) -> int:
        """A bit width.

        Raises:
            ProblemError: missing without a default, or not one of the allowed.
        """
        key = next((k for k in keys if self.values.get(k) is not None), keys[0])
        value = self.values.get(key, default)
        if value is None and default is not None:
            value = default
        if isinstance(value, bool) or not isinstance(value, int) or value not in allowed:
            raise self.error(key, f"{value!r} is no bit width of {self.method}; {', '.join(map(str, allowed))} are")
        return int(value)

    def whole(self, key: str, default: int = 0) -> int:
        """A whole number; −1 stands for none."""
        value = self.values.get(key, default)
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, int) or not -1 <= value <= LARGEST_COUNT:
            raise self.error(key, f"{value!r} is not a whole number up to {LARGEST_COUNT:,}")
        return 0 if value == -1 else value

    def group(self, default: int = 128) -> int:
        """``group_size``; 0 where each output is one group."""
        return self.whole("group_size", default)

    def block(self) -> tuple[int, int] | None:
        """``weight_block_size``."""
        value = self.values.get("weight_block_size")
        if value is None:
            return None
        usable = (
            isinstance(value, list | tuple)
            and len(value) == 2
            and all(isinstance(v, int) and 0 < v <= LARGEST_COUNT for v in value)
        )
        if not usable:
            raise self.error("weight_block_size", f"{value!r} is not two whole numbers up to {LARGEST_COUNT:,}")
        return int(value[0]), int(value[1])

    def ignored(self) -> tuple[str, ...]:
        """The modules left in 16 bit, whatever the method calls the list."""
        found: list[str] = []
        for key in (
            "ignore",
            "ignored_layers",
            "modules_to_not_convert",
            "exclude_modules",
            "exclude",
            "llm_int8_skip_modules",
        ):
            value = self.values.get(key)
            if isinstance(value, list | tuple):
                found += [str(name) for name in value if name is not None]
        return tuple(dict.fromkeys(found))

    def lists_ignored(self) -> bool:
        """The file has such a list, be it empty."""
        keys = ("ignore", "ignored_layers", "modules_to_not_convert", "exclude_modules", "exclude")
        return any(key in self.values for key in keys)

    def entries(self, names: Iterable[object], *, exact: bool = False) -> Entries:
        """Entries of a list; ``exact``: as ``Entries`` has it.

        Raises:
            ProblemError: one is no regular expression although it begins like one.
        """
        names = list(names)
        try:
            return Entries(names, exact=exact)
        except re.error as error:
            raise self.error("ignore", f"holds what is no regular expression ({error})") from None


def kv_format(scheme: object) -> KvCacheFormat | None:
    """The cache format that a scheme names; None where it names none that engines act on."""
    if isinstance(scheme, Mapping):
        kind, bits = str(scheme.get("type", "")).lower(), scheme.get("num_bits")
        if kind == "float" and bits == 8:
            return "fp8"
        if kind == "int" and bits == 8:
            return "int8"
        return "nvfp4" if kind == "float" and bits == 4 else None
    text = str(scheme or "").lower()
    if text.startswith("fp8"):
        return "fp8"
    return {"int8": "int8", "nvfp4": "nvfp4"}.get(text)  # type: ignore[return-value]
