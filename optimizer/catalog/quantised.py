"""Published checkpoints of models in other formats than their own repository is stored in."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "data" / "quantised.yaml"


@cache
def _checkpoints() -> dict[str, dict[str, dict[str, str]]]:
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found: dict[str, dict[str, dict[str, str]]] = yaml.load(FILE.read_bytes(), Loader=loader)["checkpoints"]
    return found


def published(repository: str | None, weight_format: str, methods: Collection[str] = ()) -> str | None:
    """A repository with the weights of another in a format; None where none is known.

    Args:
        methods: ``quant_method`` of those that can be used; empty: any.
    """
    stored = _checkpoints().get(repository or "", {}).get(weight_format, {})
    return next((name for name, method in stored.items() if not methods or method in methods), None)
