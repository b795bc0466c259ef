"""How long an engine instance needs until it serves again, once GPUs are there."""

from __future__ import annotations

from optimizer.facts.base import Facts, NonNegative, Positive


class RecoveryFacts(Facts):
    """Engine start without its weights, s, and the rate at which a node reads weights, 10^9 bytes/s."""

    engine_start_s: NonNegative
    storage_gb_per_s: Positive
    engine_start_source: str = "stated"
    storage_source: str = "stated"
