"""How many KV blocks were held over time: a line from event to event, and the share of the time above any number."""

from __future__ import annotations

from array import array

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Occupancy:
    """Blocks held, straight between the moments noted; jumps are two notes at one moment."""

    def __init__(self) -> None:
        self._at, self._blocks = array("d"), array("d")

    def note(self, at_ms: float, blocks: int) -> None:
        """So many blocks at a moment that is not before the last one noted."""
        self._at.append(at_ms)
        self._blocks.append(blocks)

    def share_above(self, blocks: float, batches: int = 1, from_ms: float = 0.0) -> Floats:
        """Share of the time with more than so many blocks held, in so many equal parts of the time since ``from_ms``."""
        at, held = np.frombuffer(self._at), np.frombuffer(self._blocks)
        begin, end, low, high = at[:-1], at[1:], held[:-1], held[1:]
        length = end - begin
        edges = np.linspace(from_ms, float(at[-1]), batches + 1)
        least, most = np.minimum(low, high), np.maximum(low, high)
        span = np.where(most > least, most - least, 1.0)
        above = np.where(least > blocks, 1.0, np.where(most <= blocks, 0.0, (most - blocks) / span)) * length
        part = np.clip(np.searchsorted(edges, (begin + end) / 2, side="right") - 1, -1, batches - 1)
        counted = part >= 0
        total = np.bincount(part[counted], weights=above[counted], minlength=batches)
        shares: Floats = total / np.bincount(part[counted], weights=length[counted], minlength=batches)
        return shares
