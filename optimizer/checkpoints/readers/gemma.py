"""Gemma 3n and Gemma 4: tables per layer, shared caches, wider heads in full layers, experts beside an MLP.

Sources: transformers models/gemma3n and models/gemma4, 5.24.0.
"""

from __future__ import annotations

from dataclasses import replace

from optimizer.checkpoints.attention import Heads, grouped_query, heads_of, holds, without_cache
from optimizer.checkpoints.config import Config
from optimizer.checkpoints.decoder import assemble, hidden_size, layer
from optimizer.checkpoints.family import Family
from optimizer.checkpoints.feedforward import PER_TOKEN, dense, mlp
from optimizer.checkpoints.parts import Attention, Decoder, Experts, FeedForward, Layer, Linear
from optimizer.checkpoints.windows import layer_windows


def gemma3n(config: Config, family: Family) -> Decoder:
    """Gemma 3n: four residual streams (AltUp), low-rank residuals (LAuReL), a table per layer, shared caches."""
    hidden, layers, sizes = hidden_size(config), config.layers(), heads_of(config, hidden_size(config))
    attention = grouped_query(config, family, hidden, sizes)
    widths = config.per_layer("intermediate_size", layers) or [config.size("intermediate_size")] * layers
    shared = config.option("num_kv_shared_layers", default=0)
    streams, rank = config.option("altup_num_inputs", default=4), config.option("laurel_rank", default=64)
    per_layer = config.option("hidden_size_per_layer_input", default=256)
    # Mixing of the streams, its router and its norm; LAuReL's norm; the norm after the layer's own input.
    small = 3 * hidden + streams**2 + streams**3 + streams * hidden + hidden
    extra = (
        Linear("laurel.linear_left", hidden, rank, "replicated"),
        Linear("laurel.linear_right", rank, hidden, "replicated"),
        Linear("per_layer_input_gate", hidden, per_layer, "replicated"),
        Linear("per_layer_projection", per_layer, hidden, "replicated"),
    )
    built = []
    for index, window in enumerate(layer_windows(config, family, layers)):
        own = attention if index < layers - shared else _reading_earlier(config, family, attention)
        half = dense(config, family, hidden, widths[index])
        half = replace(half, linears=(*half.linears, *extra), small=half.small + small)
        built.append(layer(family, hidden, own, half, window))
    tables, more = _per_layer_tables(config, hidden, layers, per_layer)
    more += 2 * (streams - 1) * hidden * hidden
    return assemble(config, family, sizes, tuple(built), tables=tables, more_input=more)


def gemma4(config: Config, family: Family) -> Decoder:
    """Gemma 4: full layers have heads and KV heads of their own, keys may serve as values, experts may stand beside the MLP."""
    hidden, layers, sizes = hidden_size(config), config.layers(), heads_of(config, hidden_size(config))
    windows = layer_windows(config, family, layers)
    shared = config.option("num_kv_shared_layers", default=0)
    per_layer = config.option("hidden_size_per_layer_input", default=0)
    wide = config.flag("use_double_wide_mlp")
    kinds = {False: _gemma4_attention(config, family, hidden, sizes), True: _global(config, family, hidden, sizes)}
    built: list[Layer] = []
    for index, window in enumerate(windows):
        reads_earlier = index >= layers - shared > 0
        own = kinds[not window]
        own = _reading_earlier(config, family, own) if reads_earlier else own
        width = config.size("intermediate_size") * (2 if wide and reads_earlier else 1)
        half = dense(config, family, hidden, width)
        if config.flag("enable_moe_block"):
            half = _with_experts(config, hidden, half)
        if per_layer:
            gates = (
                Linear("per_layer_input_gate", hidden, per_layer, "replicated"),
                Linear("per_layer_projection", per_layer, hidden, "replicated"),
            )
            half = replace(half, linears=(*half.linears, *gates), small=half.small + hidden)
        built.append(layer(family, hidden, own, half, window))
    tables, more = _per_layer_tables(config, hidden, layers, per_layer) if per_layer else (0, 0)
    return assemble(config, family, sizes, tuple(built), tables=tables, more_input=more)


def _reading_earlier(config: Config, family: Family, attention: Attention) -> Attention:
    """A layer that shares a cache has no keys and values of its own, so no norm and no biases of theirs either."""
    bare, width = without_cache(attention), attention.kv_per_kv_head // 2
    biases = 2 * attention.kv_heads * width if holds(config, family.qkv_bias) else 0
    return replace(bare, small=bare.small - width - biases)


def _per_layer_tables(config: Config, hidden: int, layers: int, width: int) -> tuple[int, int]:
    """(parameters of the tables of all layers, of their projection and norm)."""
    vocabulary = config.option("vocab_size_per_layer_input", default=262_144)
    return vocabulary * layers * width, hidden * layers * width + width


def _gemma4_attention(config: Config, family: Family, hidden: int, sizes: Heads) -> Attention:
    return grouped_query(config, family, hidden, sizes)


def _global(config: Config, family: Family, hidden: int, sizes: Heads) -> Attention:
    """Full layers: ``global_head_dim``; with ``attention_k_eq_v`` fewer KV heads and no value projection."""
    equal = config.flag("attention_k_eq_v")
    kv_heads = config.option("num_global_key_value_heads", default=sizes.kv_heads) if equal else sizes.kv_heads
    width = config.option("global_head_dim", default=512)
    own = grouped_query(config, family, hidden, Heads(sizes.heads, kv_heads, width))
    if not equal:
        return own
    return replace(own, linears=tuple(linear for linear in own.linears if not linear.module.endswith("v_proj")))


def _with_experts(config: Config, hidden: int, half: FeedForward) -> FeedForward:
    """Experts beside the MLP: a router with scales per input and per expert, and three further norms."""
    count, width = config.option("num_experts"), config.option("moe_intermediate_size", "expert_intermediate_size")
    experts = Experts(count, config.option(*PER_TOKEN, minimum=1), width, mlp("experts.0", hidden, width))
    return replace(half, small=half.small + hidden * count + hidden + count + 3 * hidden, experts=experts)
