"""Mixtures of experts whose layers hold more, or other heads, than the common ones: Arctic, Grok, LongCat, Step3, MiMo-V2."""

from __future__ import annotations

from dataclasses import replace

from optimizer.checkpoints.attention import Heads, grouped_query, heads_of, latent
from optimizer.checkpoints.config import Config
from optimizer.checkpoints.decoder import assemble, feed_forward, hidden_size, layer
from optimizer.checkpoints.family import Family
from optimizer.checkpoints.feedforward import dense, layers_with_experts, mlp, routed
from optimizer.checkpoints.parts import Attention, Decoder, FeedForward, Linear
from optimizer.checkpoints.windows import layer_windows


def arctic(config: Config, family: Family) -> Decoder:
    """Snowflake Arctic: an MLP of the hidden width beside the experts of each layer, with a norm of its own."""
    hidden, layers, sizes = hidden_size(config), config.layers(), heads_of(config, hidden_size(config))
    attention = grouped_query(config, family, hidden, sizes)
    moe = layers_with_experts(config, layers)
    beside = config.flag("parallel_attn_mlp_res") or config.flag("use_residual")

    def half(has_experts: bool) -> FeedForward:
        if not has_experts:
            return dense(config, family, hidden, config.size("intermediate_size"))
        experts = routed(config, family, hidden, "block_sparse_moe")
        if not beside:
            return experts
        residual = mlp("residual_mlp", hidden, hidden)
        return replace(
            experts,
            linears=(*experts.linears, *residual),
            small=experts.small + hidden,
            widths=(*experts.widths, hidden),
        )

    halves = {kind: half(kind) for kind in set(moe)}
    return assemble(config, family, sizes, tuple(layer(family, hidden, attention, halves[kind]) for kind in moe))


def grok(config: Config, family: Family) -> Decoder:
    """Grok-2: an MLP of its own width beside the experts of every layer; both are averaged."""
    if not config.states("num_local_experts"):
        raise config.error(
            "num_local_experts", "is missing: of model type 'git' only xAI's Grok is a decoder that is read"
        )
    hidden, layers, sizes = hidden_size(config), config.layers(), heads_of(config, hidden_size(config))
    half = routed(config, family, hidden, "block_sparse_moe")
    if config.flag("residual_moe"):
        width = config.size("intermediate_size")
        half = replace(half, linears=(*half.linears, *mlp("mlp", hidden, width)), widths=(*half.widths, width))
    each = layer(family, hidden, grouped_query(config, family, hidden, sizes), half)
    return assemble(config, family, sizes, (each,) * layers)


def longcat(config: Config, family: Family) -> Decoder:
    """LongCat-Flash: a layer is two attentions and two MLPs with experts beside them (shortcut-connected MoE).

    The router also chooses among ``zero_expert_num`` identity experts, which hold no weights and do no work.
    """
    hidden, layers = hidden_size(config), config.layers()
    heads = config.size("num_attention_heads")
    single, width = latent(config, hidden, heads), config.size("ffn_hidden_size")
    attention = replace(
        single,
        linears=tuple(
            replace(linear, module=linear.module.replace("self_attn", f"self_attn.{i}"))
            for i in (0, 1)
            for linear in single.linears
        ),
        small=2 * single.small,
        kv_replicated=2 * single.kv_replicated,
        flop_width=2 * single.flop_width,
        prefill_flop_width=2 * single.prefill_flop_width,
    )
    zero = config.option("zero_expert_num", default=0)
    if zero and config.value("zero_expert_type") not in (None, "identity"):
        raise config.error("zero_expert_type", "is not identity; other experts without weights are not modelled")
    experts = routed(config, family, hidden)
    half = replace(
        experts,
        linears=tuple(linear for i in (0, 1) for linear in mlp(f"mlps.{i}", hidden, width)),
        # The router scores the identity experts too and has a correction for each of all of them.
        small=experts.small + hidden * zero + (experts.experts.count if experts.experts else 0) + zero,
        widths=(width,),
    )
    doubled = replace(family, attention_norms=2, rest_norms=2)
    built = tuple(layer(doubled, hidden, attention, half) for _ in range(layers))
    notes = (f"{zero} identity experts beside the routed ones hold no weights and are not counted",) if zero else ()
    head_dim = config.option("head_dim", default=hidden // heads, minimum=1)
    return assemble(config, family, Heads(heads, heads, head_dim), built, notes=notes)


def step3(config: Config, family: Family) -> Decoder:
    """Step3 (arXiv 2507.19427): multi-matrix factorisation attention, one KV head with low-rank queries."""
    hidden, layers = hidden_size(config), config.layers()
    heads, width = config.size("num_attention_heads"), config.option("head_dim", minimum=1)
    groups, rank = config.option("num_attention_groups", default=1, minimum=1), config.option("share_q_dim", minimum=1)
    attention = Attention(
        linears=(
            Linear("self_attn.q_proj", hidden, rank, "replicated"),
            Linear("self_attn.wq", rank, heads * width),
            Linear("self_attn.k_proj", hidden, groups * width, "key_value"),
            Linear("self_attn.v_proj", hidden, groups * width, "key_value"),
            Linear("self_attn.o_proj", heads * width, hidden),
        ),
        small=rank,
        heads=heads,
        kv_heads=groups,
        kv_per_kv_head=2 * width,
        flop_width=2 * heads * width,
        prefill_flop_width=2 * heads * width,
    )
    moe = layers_with_experts(config, layers)
    halves = {kind: feed_forward(config, family, hidden, kind) for kind in set(moe)}
    built = tuple(layer(family, hidden, attention, halves[kind]) for kind in moe)
    return assemble(config, family, Heads(heads, groups, width), built)


def step3p5(config: Config, family: Family) -> Decoder:
    """Step-3.5 and 3.7 Flash: sliding layers may have other heads; a gate per head; the first layers are dense."""
    hidden, layers, sizes = hidden_size(config), config.layers(), heads_of(config, hidden_size(config))
    other = config.values.get("attention_other_setting")
    other = other if isinstance(other, dict) else {}
    sliding = Heads(
        int(other.get("num_attention_heads") or config.option("num_sliding_attention_heads", default=sizes.heads)),
        int(other.get("num_attention_groups") or sizes.kv_heads),
        int(other.get("head_dim") or sizes.head_dim),
    )
    windows = layer_windows(config, replace(family, window="pattern"), layers)
    full, window_heads = (grouped_query(config, family, hidden, heads) for heads in (sizes, sliding))
    moe = layers_with_experts(config, layers)
    halves = {kind: feed_forward(config, family, hidden, kind) for kind in set(moe)}
    built = tuple(
        layer(family, hidden, window_heads if window else full, halves[kind], window)
        for window, kind in zip(windows, moe, strict=True)
    )
    return assemble(config, family, sizes, built)


def mimo_v2(config: Config, family: Family) -> Decoder:
    """MiMo-V2-Flash: full and sliding layers have heads of their own, values are narrower than keys, sinks by kind."""
    hidden, layers = hidden_size(config), config.layers()
    full = Heads(
        config.size("num_attention_heads"),
        config.size("num_key_value_heads"),
        config.size("head_dim"),
        config.option("v_head_dim", default=0),
    )
    sliding = Heads(
        config.option("swa_num_attention_heads", default=full.heads),
        config.option("swa_num_key_value_heads", default=2 * full.kv_heads),
        config.option("swa_head_dim", default=full.head_dim),
        config.option("swa_v_head_dim", default=full.value_dim),
    )
    pattern = config.per_layer("hybrid_layer_pattern", layers)
    if pattern is None:  # transformers 5 writes words instead
        kinds_of_layers = config.per_layer("layer_types", layers) or ()
        pattern = [int("sliding" in str(kind)) for kind in kinds_of_layers]
    if not pattern:
        raise config.error("hybrid_layer_pattern", f"is missing; {layers} of 0 (full) and 1 (sliding) are needed")
    kinds = {
        0: _with_sinks(config, family, hidden, full, config.flag("add_full_attention_sink_bias")),
        1: _with_sinks(config, family, hidden, sliding, config.flag("add_swa_attention_sink_bias", default=True)),
    }
    window = config.option("sliding_window", "sliding_window_size", default=128, minimum=1)
    moe = layers_with_experts(config, layers)
    halves = {kind: feed_forward(config, family, hidden, kind) for kind in set(moe)}
    built = tuple(
        layer(family, hidden, kinds[int(bool(slides))], halves[kind], window if slides else 0)
        for slides, kind in zip(pattern, moe, strict=True)
    )
    return assemble(config, family, full, built)


def _with_sinks(config: Config, family: Family, hidden: int, sizes: Heads, sinks: bool) -> Attention:
    """vLLM pads values to the width of keys before they are cached (models/mimo_v2_flash.py), so both count as wide."""
    own = grouped_query(config, replace(family, sinks=sinks), hidden, sizes)
    return replace(own, kv_per_kv_head=2 * sizes.head_dim)


def laguna(config: Config, family: Family) -> Decoder:
    """Laguna: query heads differ from layer to layer; a gate for each head, or for each value of all of them."""
    hidden, layers, sizes = hidden_size(config), config.layers(), heads_of(config, hidden_size(config))
    gating = config.values.get("gating", True)
    if gating not in (True, "per-head", "per-element"):
        raise config.error("gating", f"{gating!r} is not known; true, per-head and per-element are")
    gates = replace(family, gate_module=gating == "per-element", head_gate=gating != "per-element")
    listed = config.per_layer("num_attention_heads_per_layer", layers) or [sizes.heads] * layers
    for heads in listed:
        if not isinstance(heads, int) or isinstance(heads, bool) or heads < 1 or heads % sizes.kv_heads:
            message = f"{heads!r} is no multiple of num_key_value_heads = {sizes.kv_heads}"
            raise config.error("num_attention_heads_per_layer", message)
    made = {
        heads: grouped_query(config, gates, hidden, Heads(heads, sizes.kv_heads, sizes.head_dim))
        for heads in set(listed)
    }
    windows = layer_windows(config, family, layers) if config.states("layer_types") else [0] * layers
    moe = layers_with_experts(config, layers)
    halves = {kind: feed_forward(config, family, hidden, kind) for kind in set(moe)}
    built = tuple(
        layer(family, hidden, made[heads], halves[kind], window)
        for heads, kind, window in zip(listed, moe, windows, strict=True)
    )
    return assemble(config, family, sizes, built)
