"""Defaults of engine start and weight loading, with sources: ``data/recovery.yaml``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from optimizer.facts.recovery import RecoveryFacts

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
FILE = Path(__file__).parent / "data" / "recovery.yaml"


def recovery_facts(engine_start_s: float | None = None, storage_gb_per_s: float | None = None) -> RecoveryFacts:
    """The facts, each the default where it is not stated."""
    with FILE.open("rb") as stream:
        known: dict[str, Any] = yaml.load(stream, Loader=_Loader)
    start, storage = known["engine_start_s"], known["storage_gb_per_s"]
    return RecoveryFacts(
        engine_start_s=start["value"] if engine_start_s is None else engine_start_s,
        storage_gb_per_s=storage["value"] if storage_gb_per_s is None else storage_gb_per_s,
        engine_start_source=_source(start, "s") if engine_start_s is None else "--engine-start-s",
        storage_source=_source(storage, "GB/s") if storage_gb_per_s is None else "--storage-gb-per-s",
    )


def _source(entry: dict[str, Any], unit: str) -> str:
    return f"an assumption ({entry['low']:g} to {entry['high']:g} {unit} seen): {entry['source'].strip()}"
