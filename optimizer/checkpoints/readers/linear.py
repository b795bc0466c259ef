"""Linear attention and short convolutions beside full attention: Kimi-Linear, MiniMax-01 and M1, LFM2."""

from __future__ import annotations

from dataclasses import replace

from optimizer.checkpoints.attention import Heads, grouped_query, heads_of, latent
from optimizer.checkpoints.config import Config
from optimizer.checkpoints.decoder import assemble, feed_forward, hidden_size, layer
from optimizer.checkpoints.family import Family
from optimizer.checkpoints.feedforward import dense, layers_with_experts, routed
from optimizer.checkpoints.parts import Decoder
from optimizer.checkpoints.recurrent import kimi_delta, lightning, short_convolution

KIMI_K3_KEYS = ("routed_expert_hidden_size", "attn_res_block_size", "activation_situ_beta")


def kimi_linear(config: Config, family: Family) -> Decoder:
    """Kimi-Linear: three layers of Kimi Delta Attention, then one of latent attention without positions.

    Raises:
        ProblemError: the file states what Kimi K3 adds, whose layers are not published as code.
    """
    newer = next((key for key in KIMI_K3_KEYS if config.states(key)), None)
    if newer:
        raise config.error(newer, "is of Kimi K3, whose latent experts and residual attention are not modelled")
    hidden, layers = hidden_size(config), config.layers()
    heads = config.size("num_attention_heads")
    nested = config.values.get("linear_attn_config")
    full = nested.get("full_attn_layers") if isinstance(nested, dict) else None
    kinds = config.per_layer("layer_types", layers)
    if isinstance(full, list):
        # Counted from 1 in the published files.
        attends = [index + 1 in full for index in range(layers)]
    elif kinds is not None:
        attends = ["linear" not in str(kind) for kind in kinds]
    else:
        raise config.error("linear_attn_config.full_attn_layers", "is missing; it lists the layers that attend in full")
    moe = layers_with_experts(config, layers)
    halves = {kind: feed_forward(config, family, hidden, kind) for kind in set(moe)}
    blocks = {True: latent(config, hidden, heads), False: kimi_delta(config, hidden)}
    built = tuple(
        layer(family, hidden, blocks[attending], halves[kind]) for attending, kind in zip(attends, moe, strict=True)
    )
    width = config.option("v_head_dim", default=128, minimum=1)
    return assemble(config, replace(family, mla=True), Heads(heads, heads, width), built)


def minimax(config: Config, family: Family) -> Decoder:
    """MiniMax-Text-01 and M1: seven layers of lightning attention, then one of softmax attention."""
    hidden, layers, sizes = hidden_size(config), config.layers(), heads_of(config, hidden_size(config))
    kinds = config.per_layer("layer_types", layers)
    codes = config.per_layer("attn_type_list", layers)
    if kinds is not None:
        attends = ["linear" not in str(kind) for kind in kinds]
    elif codes is not None:
        attends = [bool(code) for code in codes]
    else:
        raise config.error("layer_types", f"is missing; {layers} of linear_attention and full_attention are needed")
    blocks = {
        True: grouped_query(config, family, hidden, sizes),
        False: lightning(config, hidden, sizes.heads, sizes.head_dim),
    }
    half = routed(config, family, hidden, "block_sparse_moe")
    return assemble(config, family, sizes, tuple(layer(family, hidden, blocks[a], half) for a in attends))


def lfm2(config: Config, family: Family) -> Decoder:
    """LFM2: gated short convolutions, some layers of grouped-query attention; LFM2-MoE has experts after the first layers."""
    hidden, layers, sizes = hidden_size(config), config.layers(), heads_of(config, hidden_size(config))
    kinds = config.per_layer("layer_types", layers)
    listed = config.values.get("full_attn_idxs")
    if kinds is not None:
        attends = ["attention" in str(kind) for kind in kinds]
    elif isinstance(listed, list):
        attends = [index in listed for index in range(layers)]
    else:
        raise config.error("layer_types", f"is missing; {layers} of conv and full_attention are needed")
    blocks = {True: grouped_query(config, family, hidden, sizes), False: short_convolution(config, hidden)}
    moe = layers_with_experts(config, layers) if family.experts else [False] * layers
    halves = {
        kind: routed(config, family, hidden, "feed_forward")
        if kind
        else dense(config, family, hidden, _lfm2_width(config, family), "feed_forward")
        for kind in set(moe)
    }
    built = tuple(layer(family, hidden, blocks[a], halves[kind]) for a, kind in zip(attends, moe, strict=True))
    return assemble(config, family, sizes, built)


def _lfm2_width(config: Config, family: Family) -> int:
    """As the reference computes it: two thirds of the stated width, up to a multiple, where the file says so."""
    width = config.size("block_ff_dim", "intermediate_size")
    if family.experts or not config.flag("block_auto_adjust_ff_dim"):
        return width
    adjusted = int(2 * width / 3)
    factor = config.values.get("block_ffn_dim_multiplier", 1.0)
    if factor is not None:
        adjusted = int(factor * adjusted)
    multiple = config.option("block_multiple_of", default=256, minimum=1)
    return -(-adjusted // multiple) * multiple
