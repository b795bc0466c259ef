"""Tables of sines and cosines that engines build when they load a model: one row for each position of the whole context.

Source: vLLM ``model_executor/layers/rotary_embedding`` (``RotaryEmbedding`` and its subclasses): a table has the rotary width of a
head in each row; layers with equal settings share one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optimizer.checkpoints.compressed import compress_ratios
from optimizer.checkpoints.config import Config
from optimizer.checkpoints.context import LENGTHS, scaled
from optimizer.checkpoints.family import Family
from optimizer.checkpoints.parts import Decoder

LOCAL = ("rope_local_base_freq", "local_rope_theta", "swa_rope_theta")
"""Bases of a second table, of layers with windows, whose positions are not scaled."""
WIDE = 4
"""Bytes of a value of DeepSeek-V4's tables, which engines keep in 32 bits (vLLM ``DeepseekV4ScalingRotaryEmbedding``)."""
MULTIMODAL = 4
"""Rows for each position of models whose positions have three axes (``MRotaryEmbedding``): indices of videos go further."""


def rotary_values(config: Config, family: Family, decoder: Decoder) -> int:
    """Values of all tables; 0 where positions are not rotary."""
    other = config.flag("alibi") or config.value("position_embedding_type") in ("nope", "alibi", "absolute")
    if not family.rotary or family.positions or other:
        return 0
    stated = [config.count(key) for key in LENGTHS if config.states(key)]
    length = min(stated) if stated else config.option(*LENGTHS, default=0)
    rope = next((config.values[k] for k in ("rope_scaling", "rope_parameters") if config.values.get(k)), None)
    tables = [rope]
    if isinstance(rope, Mapping) and rope and all(isinstance(value, Mapping) for value in rope.values()):
        # One entry for each type of layer (Gemma 3 and 4 since transformers 5).
        tables = list(rope.values())
    elif family.local_rotary or config.states(*LOCAL):
        tables = [rope, None]
    elif config.states("compress_ratios"):
        # Layers that compress have a base of their own; the length is scaled alike.
        tables *= len({ratio > 1 for ratio in compress_ratios(config, len(decoder.layers))})
    return sum(_rows(table, length) * _width(config, table, decoder) for table in tables)


def rotary_value_bytes(config: Config) -> int:
    """Bytes of a value where every engine keeps the tables alike; 0: as the engine keeps them."""
    return WIDE if config.states("compress_ratios") else 0


def _rows(rope: Any, length: int) -> int:
    if not isinstance(rope, Mapping):
        return length
    kind = str(rope.get("rope_type", rope.get("type", "default")))
    original = rope.get("original_max_position_embeddings")
    if kind in ("longrope", "su") and isinstance(original, int):
        return length + original
    return scaled(rope, length) * (MULTIMODAL if rope.get("mrope_section") else 1)


def _width(config: Config, rope: Any, decoder: Decoder) -> int:
    """Rotary dimensions of a head."""
    if config.states("qk_rope_head_dim"):
        return config.count("qk_rope_head_dim", minimum=0)
    if config.states("rotary_dim"):
        return config.count("rotary_dim", minimum=0)
    inner = rope.get("partial_rotary_factor") if isinstance(rope, Mapping) else None
    stated = next((config.value(key) for key in ("partial_rotary_factor", "rotary_pct") if config.value(key)), inner)
    part = stated if isinstance(stated, int | float) and not isinstance(stated, bool) and 0 < stated <= 1 else 1
    return int(decoder.head_dim * part)
