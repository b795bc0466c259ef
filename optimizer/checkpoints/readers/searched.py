"""Decoders made by architecture search (Puzzle, arXiv 2411.19146; DeciLM): layers with fewer KV heads, no attention or narrower MLPs."""

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
    every = [_heads(config, hidden, f"block_configs[{i}]", block) for i, block in enumerate(blocks)]
    attending = [sizes for sizes in every if sizes is not None]
    if not attending:
        raise config.error("block_configs", "lists no layer that attends, so there are no heads")
    widest = max(attending, key=lambda sizes: sizes.kv_heads)
    made = {sizes: grouped_query(config, family, hidden, sizes) for sizes in set(attending)}
    built = []
    for index, block in enumerate(blocks):
        key = f"block_configs[{index}]"
        attention, rest = block["attention"], block["ffn"]
        if attention.get("replace_with_linear") or rest.get("replace_with_linear"):
            raise config.error(key, "has a linear layer in place of a half, which is not modelled")
        half = None
        if not rest.get("no_op"):
            half = dense(config, family, hidden, _width(config, f"{key}.ffn", rest, hidden))
        own = every[index]
        built.append(layer(family, hidden, made[own] if own is not None else None, half))
    return assemble(config, family, widest, tuple(built))


def _width(config: Config, key: str, rest: dict[str, Any], hidden: int) -> int:
    """Width of an MLP: stated, or from its multiple as DeciLM computes it (two thirds of it, up to a multiple of 256)."""
    stated = rest.get("intermediate_size")
    if isinstance(stated, int) and stated > 0:
        return stated
    factor = rest.get("ffn_mult")
    if not isinstance(factor, int | float) or not 0 < factor < 1000:
        raise config.error(f"{key}.ffn_mult", f"{factor!r} is not a positive number")
    return -(-int(2 * factor * hidden / 3) // 256) * 256


def _heads(config: Config, hidden: int, key: str, block: dict[str, Any]) -> Heads | None:
    """Heads of one layer; None where it does not attend.

    Raises:
        ProblemError: it states no group of heads that divides them.
    """
    if block["attention"].get("no_op"):
        return None
    heads = config.size("num_attention_heads")
    group = block["attention"].get("n_heads_in_group")
    if not isinstance(group, int) or isinstance(group, bool) or group < 1 or heads % group:
        raise config.error(key, f"needs an n_heads_in_group that divides the {heads} heads, not {group!r}")
    return Heads(heads, heads // group, config.option("head_dim", default=hidden // heads, minimum=1))


def _blocks(config: Config, layers: int) -> list[dict[str, Any]]:
    blocks = config.values.get("block_configs")
    listed = config.per_layer("num_key_value_heads_per_layer", layers)
    if blocks is None and listed is not None:
        return _by_key_value_heads(config, listed)
    if not isinstance(blocks, list) or len(blocks) != layers:
        raise config.error("block_configs", f"needs one entry for each of the {layers} layers")
    for index, block in enumerate(blocks):
        halves = [block.get(name) for name in ("attention", "ffn")] if isinstance(block, dict) else [None]
        if not all(isinstance(half, dict) for half in halves):
            raise config.error(f"block_configs[{index}]", "needs the mappings attention and ffn")
    return blocks


def _by_key_value_heads(config: Config, listed: list[Any]) -> list[dict[str, Any]]:
    """DeciLM-7B, before Puzzle: the layers differ in their KV heads alone.

    Raises:
        ProblemError: a count is no whole number that divides the heads.
    """
    heads, width = config.size("num_attention_heads"), config.size("intermediate_size")
    for index, count in enumerate(listed):
        if not isinstance(count, int) or isinstance(count, bool) or count < 1 or heads % count:
            key = f"num_key_value_heads_per_layer[{index}]"
            raise config.error(key, f"{count!r} is no whole number that divides the {heads} heads")
    return [
        {"attention": {"n_heads_in_group": heads // count}, "ffn": {"intermediate_size": width}} for count in listed
    ]
