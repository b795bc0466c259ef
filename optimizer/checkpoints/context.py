"""The longest context of a checkpoint, as engines derive it from positions and rotary scaling.

Source: vLLM ``_get_and_verify_max_len`` (config/model.py): the smallest of the stated lengths, ``model_max_length`` before
all, then the rotary scaling unless it is already in the length.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optimizer.checkpoints.config import Config

LENGTHS = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "seq_length",
    "max_sequence_length",
    "max_seq_length",
    "seq_len",
    "n_ctx",
)
SCALED_ALREADY = frozenset({"su", "longrope", "llama3", "default", "mrope", "proportional"})
FALLBACK = 2048


def max_context(config: Config, model_type: str) -> int:
    """Tokens that the checkpoint was made for.

    Raises:
        ProblemError: a stated length is not a whole number.
    """
    if config.states("model_max_length"):
        return config.count("model_max_length")
    stated = [config.count(key) for key in LENGTHS if config.states(key)]
    length = min(stated) if stated else config.option(*LENGTHS, default=FALLBACK, minimum=1)
    rope = next((config.values[k] for k in ("rope_scaling", "rope_parameters") if config.values.get(k)), None)
    if not isinstance(rope, Mapping) or "gemma3" in model_type:
        return length
    return scaled(rope, length)


def scaled(rope: Mapping[str, Any], length: int) -> int:
    """Positions with the rotary scaling that a file states."""
    kind = str(rope.get("rope_type", rope.get("type", "default")))
    factor = rope.get("factor")
    if kind in SCALED_ALREADY or isinstance(factor, bool) or not isinstance(factor, int | float) or factor <= 0:
        return length
    original = rope.get("original_max_position_embeddings")
    base = original if "yarn" in kind and isinstance(original, int) and original > 0 else length
    return max(1, int(base * factor))
