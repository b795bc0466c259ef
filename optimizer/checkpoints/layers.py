"""Which attention and which MLP each layer of a Hugging Face config has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from optimizer.checkpoints.attention import Attention, grouped_query, layer_windows, multi_head_latent
from optimizer.checkpoints.compressed import compress_ratios, compressed_attention
from optimizer.checkpoints.config import Config
from optimizer.checkpoints.feedforward import Half, dense, feed_forward, layers_with_experts
from optimizer.checkpoints.recurrent import layers_with_linear_attention, linear_attention, mamba2

BLOCK_LETTERS = {"mamba": "M", "attention": "*", "moe": "E", "mlp": "-"}


@dataclass(frozen=True, slots=True)
class Sizes:
    """What every layer shares."""

    model_type: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int


@dataclass(frozen=True, slots=True)
class LayerParts:
    """One layer; a half that it lacks is None."""

    attention: Attention | None
    rest: Half | None
    window_tokens: int = 0


def layer_parts(config: Config, sizes: Sizes) -> list[LayerParts]:
    """The halves of every layer, first to last.

    Raises:
        ProblemError: the config's lists do not fit its number of layers, or a count is missing.
    """
    if "block_configs" in config.values:
        return _searched(config, sizes)
    if "hybrid_override_pattern" in config.values or "layers_block_type" in config.values:
        return _hybrid(config, sizes)
    moe = layers_with_experts(config, sizes.layers)
    halves = {routed: feed_forward(config, sizes.model_type, sizes.hidden, routed) for routed in set(moe)}
    if "compress_ratios" in config.values:
        ratios = compress_ratios(config, sizes.layers)
        window = config.count("sliding_window")
        compressed = {
            r: compressed_attention(config, sizes.hidden, sizes.heads, sizes.head_dim, r) for r in set(ratios)
        }
        return [
            LayerParts(compressed[ratio], halves[routed], 0 if ratio else window)
            for ratio, routed in zip(ratios, moe, strict=True)
        ]
    full = _full(config, sizes)
    windows = layer_windows(config, sizes.layers)
    if "linear_num_value_heads" not in config.values:
        return [LayerParts(full, halves[routed], window) for routed, window in zip(moe, windows, strict=True)]
    linear = linear_attention(config, sizes.hidden)
    uses_linear = layers_with_linear_attention(config, sizes.layers)
    return [
        LayerParts(linear if recurrent else full, halves[routed], 0 if recurrent else window)
        for recurrent, routed, window in zip(uses_linear, moe, windows, strict=True)
    ]


def _full(config: Config, sizes: Sizes) -> Attention:
    if config.values.get("kv_lora_rank") is not None:
        return multi_head_latent(config, sizes.hidden, sizes.heads)
    return grouped_query(config, sizes.model_type, sizes.hidden, sizes.heads, sizes.kv_heads, sizes.head_dim)


def _hybrid(config: Config, sizes: Sizes) -> list[LayerParts]:
    """Nemotron-H: each layer is one half only, Mamba-2 (M), attention (*), experts (E) or an MLP (-)."""
    key, stated = config.first("hybrid_override_pattern", "layers_block_type")
    pattern = [BLOCK_LETTERS.get(str(block), str(block)) for block in stated]
    if len(pattern) != sizes.layers or set(pattern) - set("M*E-"):
        raise config.error(key, f"needs {sizes.layers} of mamba (M), attention (*), moe (E) and mlp (-), one per layer")
    made = {
        "M": lambda: LayerParts(mamba2(config, sizes.hidden), None),
        "*": lambda: LayerParts(_full(config, sizes), None),
        "E": lambda: LayerParts(None, feed_forward(config, sizes.model_type, sizes.hidden, True)),
        "-": lambda: LayerParts(None, feed_forward(config, sizes.model_type, sizes.hidden, False)),
    }
    parts = {letter: made[letter]() for letter in set(pattern)}
    return [parts[letter] for letter in pattern]


def _searched(config: Config, sizes: Sizes) -> list[LayerParts]:
    """Decoders pruned by architecture search (Puzzle, arXiv 2411.19146): layers with no attention or narrower MLPs."""
    full = _full(config, sizes)
    parts = []
    for index, block in enumerate(_blocks(config, sizes.layers)):
        key = f"block_configs[{index}]"
        attention, rest = block["attention"], block["ffn"]
        if attention.get("replace_with_linear") or rest.get("replace_with_linear"):
            raise config.error(key, "has a linear layer in place of a half, which is not modelled")
        half = None
        if not rest.get("no_op"):
            factor = rest.get("ffn_mult")
            if not isinstance(factor, int | float) or not 0 < factor < 1000:
                raise config.error(f"{key}.ffn.ffn_mult", f"{factor!r} is not a positive number")
            # As DeciLM computes it: two thirds of the multiple, up to a multiple of 256.
            width = -(-int(2 * factor * sizes.hidden / 3) // 256) * 256
            half = dense(config, sizes.model_type, sizes.hidden, width)
        parts.append(LayerParts(None if attention.get("no_op") else full, half))
    return parts


def nas_kv_heads(config: Config, heads: int) -> int:
    """KV heads of a decoder with ``block_configs``, the same in every layer that attends.

    Raises:
        ProblemError: the layers differ in it, or none states it.
    """
    blocks = _blocks(config, config.count("num_hidden_layers"))
    groups = {b["attention"].get("n_heads_in_group") for b in blocks if not b["attention"].get("no_op")}
    group = groups.pop() if len(groups) == 1 else None
    if not isinstance(group, int) or group < 1 or heads % group:
        raise config.error("block_configs", "needs one n_heads_in_group that divides the heads, alike in all layers")
    return heads // group


def _blocks(config: Config, layers: int) -> list[dict[str, Any]]:
    blocks = config.values["block_configs"]
    if not isinstance(blocks, list) or len(blocks) != layers:
        raise config.error("block_configs", f"needs one entry for each of the {layers} layers")
    for index, block in enumerate(blocks):
        halves = [block.get(name) for name in ("attention", "ffn")] if isinstance(block, dict) else [None]
        if not all(isinstance(half, dict) for half in halves):
            raise config.error(f"block_configs[{index}]", "needs the mappings attention and ffn")
    return blocks
