"""How long starts and stops of an engine may take."""

from __future__ import annotations

from math import ceil

DRAIN_S = 120
"""Streams may go on so long after an engine was told to stop; most requests of the published traces are over by then."""
STOP_S = DRAIN_S + 10
"""Then what is left is killed."""
ENGINE_START_S = 820
"""Twice the slowest start of ``catalog/data/recovery.yaml``, weights not counted."""
SLOWEST_LOAD_BYTES_PER_S = 125_000_000
"""1 Gbit/s: a download over the slowest network that is common between nodes."""
LEAST_START_S = 3600


def start_limit_s(weight_bytes: int) -> int:
    """Seconds after which a start that does not serve has failed: the engine's start and the weights over a slow network."""
    return max(LEAST_START_S, ENGINE_START_S + ceil(weight_bytes / SLOWEST_LOAD_BYTES_PER_S))
