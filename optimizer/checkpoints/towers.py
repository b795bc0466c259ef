"""Vision and audio towers beside a language model: their weights, and what of them could not be counted."""

from __future__ import annotations

from optimizer.checkpoints.select import Selected


def towers(chosen: Selected) -> tuple[int, tuple[str, ...]]:
    """(parameters of towers and projectors, notes)."""
    return 0, ()
