"""Decoders pruned by architecture search (Puzzle, arXiv 2411.19146): layers with no attention or narrower MLPs."""

from __future__ import annotations

from typing import Any

from optimizer.checkpoints.attention import Heads, grouped_query
from optimizer.checkpoints.config import Config
from optimizer.checkpoints.decoder import assemble, hidden_size, layer
from optimizer.checkpoints.family import Family
from optimizer.checkpoints.feedforward import dense
from optimizer.checkpoints.parts import Decoder


def read(config: Config, family: Family) -> Decoder:
    """The decoder that ``block_configs`` lists layer by layer.

    Raises:
        ProblemError: the list does not fit, or a layer has a half that is not modelled.
    """
    hidden, layers = hidden_size(config), config.layers()
    blocks = _blocks(config, layers)
    sizes = _heads(config, hidden, blocks)
    full = grouped_query(config, family, hidden, sizes)
    built = []
    for index, block in enumerate(blocks):
        key = f"block_configs[{index}]"
        attention, rest = block["attention"], block["ffn"]
        if attention.get("replace_with_linear") or rest.get("replace_with_linear"):
            raise config.error(key, "has a linear layer in place of a half, which is not modelled")
        half = None
        if not rest.get("no_op"):
            half = dense(config, family, hidden, _width(config, f"{key}.ffn", rest, hidden))
        built.append(layer(family, hidden, None if attention.get("no_op") else full, half))
    return assemble(config, family, sizes, tuple(built))


def _width(config: Config, key: str, rest: dict[str, Any], hidden: int) -> int:
    """Width of an MLP: stated, or from its multiple as DeciLM computes it (two thirds of it, up to a multiple of 256)."""
    stated = rest.get("intermediate_size")
    if isinstance(stated, int) and stated > 0:
        return stated
    factor = rest.get("ffn_mult")
    if not isinstance(factor, int | float) or not 0 < factor < 1000:
        raise config.error(f"{key}.ffn_mult", f"{factor!r} is not a positive number")
    return -(-int(2 * factor * hidden / 3) // 256) * 256


def _heads(config: Config, hidden: int, blocks: list[dict[str, Any]]) -> Heads:
    """Heads, alike in every layer that attends.

    Raises:
        ProblemError: the layers differ in them, or none states them.
    """
    heads = config.size("num_attention_heads")
    groups = {b["attention"].get("n_heads_in_group") for b in blocks if not b["attention"].get("no_op")}
    group = groups.pop() if len(groups) == 1 else None
    if not isinstance(group, int) or group < 1 or heads % group:
        raise config.error("block_configs", "needs one n_heads_in_group that divides the heads, alike in all layers")
    return Heads(heads, heads // group, config.option("head_dim", default=hidden // heads, minimum=1))


def _blocks(config: Config, layers: int) -> list[dict[str, Any]]:
    blocks = config.values.get("block_configs")
    if not isinstance(blocks, list) or len(blocks) != layers:
        raise config.error("block_configs", f"needs one entry for each of the {layers} layers")
    for index, block in enumerate(blocks):
        halves = [block.get(name) for name in ("attention", "ffn")] if isinstance(block, dict) else [None]
        if not all(isinstance(half, dict) for half in halves):
            raise config.error(f"block_configs[{index}]", "needs the mappings attention and ffn")
    return blocks
