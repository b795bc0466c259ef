"""Mamba beside attention: Jamba, Bamba, Falcon-H1, Granite 4 hybrids, Nemotron-H."""

from __future__ import annotations

from dataclasses import replace

from optimizer.checkpoints.attention import grouped_query, heads_of
from optimizer.checkpoints.config import Config
from optimizer.checkpoints.decoder import assemble, hidden_size, layer
from optimizer.checkpoints.family import Family
from optimizer.checkpoints.feedforward import EXPERTS, dense, dense_width, routed
from optimizer.checkpoints.parts import Attention, Decoder, FeedForward
from optimizer.checkpoints.recurrent import mamba1, mamba2

BLOCK_LETTERS = {
    "mamba": "M", "linear_attention": "M", "attention": "*", "full_attention": "*", "moe": "E", "mlp": "-",
}  # fmt: skip
"""Kinds of blocks by their words; ``linear_attention`` and ``full_attention`` are those of transformers 5."""


def _heads_and_width(config: Config, hidden: int) -> tuple[int, int]:
    """Heads of a Mamba-2 block; a width of "auto" is what the expansion leaves for each head."""
    heads = config.option("mamba_n_heads", "mamba_num_heads", default=128, minimum=1)
    width = config.values.get(
        "mamba_d_head", config.values.get("mamba_head_dim", config.defaults.get("mamba_d_head", "auto"))
    )
    if not isinstance(width, int):
        width = config.option("mamba_expand", default=2, minimum=1) * hidden // heads
    return heads, width


def _mamba2(config: Config, hidden: int, *, norm: bool = True) -> Attention:
    heads, width = _heads_and_width(config, hidden)
    return mamba2(
        config,
        hidden,
        heads=heads,
        head_dim=width,
        groups=config.option("mamba_n_groups", default=1, minimum=1),
        state=config.option("mamba_d_state", default=256, minimum=1),
        kernel=config.option("mamba_d_conv", default=4, minimum=1),
        norm=norm,
        conv_bias=config.flag("mamba_conv_bias", default=True),
        proj_bias=config.flag("mamba_proj_bias"),
    )


def jamba(config: Config, family: Family) -> Decoder:
    """Jamba (arXiv 2403.19887): one attention layer in a period, experts in every other layer, else Mamba and MLPs."""
    hidden, layers, sizes = hidden_size(config), config.layers(), heads_of(config, hidden_size(config))
    rank = config.values.get("mamba_dt_rank", "auto")
    block = mamba1(
        hidden,
        inner=config.option("mamba_expand", default=2, minimum=1) * hidden,
        state=config.option("mamba_d_state", default=16, minimum=1),
        kernel=config.option("mamba_d_conv", default=4, minimum=1),
        rank=rank if isinstance(rank, int) else -(-hidden // 16),
        norms=True,
        conv_bias=config.flag("mamba_conv_bias", default=True),
        proj_bias=config.flag("mamba_proj_bias"),
    )
    attention = grouped_query(config, family, hidden, sizes)
    period, offset = (config.option(f"attn_layer_{what}", default=d) for what, d in (("period", 8), ("offset", 4)))
    routed_period, routed_offset = (
        config.option(f"expert_layer_{w}", default=d) for w, d in (("period", 2), ("offset", 1))
    )
    halves: dict[bool, FeedForward] = {
        True: routed(config, family, hidden, "feed_forward"),
        False: dense(config, family, hidden, dense_width(config), "feed_forward"),
    }
    several = (config.value(*EXPERTS) or 1) > 1
    built = tuple(
        layer(
            family,
            hidden,
            attention if i % period == offset else block,
            halves[several and i % routed_period == routed_offset],
        )
        for i in range(layers)
    )
    return assemble(config, family, sizes, built)


def bamba(config: Config, family: Family) -> Decoder:
    """Bamba: Mamba-2 with an MLP in every layer; ``attn_layer_indices`` attend instead."""
    hidden, layers, sizes = hidden_size(config), config.layers(), heads_of(config, hidden_size(config))
    attends = config.values.get("attn_layer_indices") or []
    blocks = {True: grouped_query(config, family, hidden, sizes), False: _mamba2(config, hidden)}
    half = dense(config, family, hidden, dense_width(config), "feed_forward")
    built = tuple(layer(family, hidden, blocks[i in attends], half) for i in range(layers))
    return assemble(config, family, sizes, built)


def falcon_h1(config: Config, family: Family) -> Decoder:
    """Falcon-H1 (arXiv 2507.22448): attention and Mamba-2 side by side in every layer, behind one norm."""
    hidden, layers, sizes = hidden_size(config), config.layers(), heads_of(config, hidden_size(config))
    heads = config.option("mamba_n_heads", default=128, minimum=1)
    inner = config.option(
        "mamba_d_ssm", default=config.option("mamba_expand", default=2, minimum=1) * hidden, minimum=1
    )
    block = mamba2(
        config,
        hidden,
        heads=heads,
        head_dim=inner // heads,
        groups=config.option("mamba_n_groups", default=1, minimum=1),
        state=config.option("mamba_d_state", default=256, minimum=1),
        kernel=config.option("mamba_d_conv", default=4, minimum=1),
        norm=config.flag("mamba_rms_norm"),
        conv_bias=config.flag("mamba_conv_bias", default=True),
        proj_bias=config.flag("mamba_proj_bias"),
    )
    attention = grouped_query(config, family, hidden, sizes)
    both = replace(
        attention, linears=(*attention.linears, *block.linears), small=attention.small + block.small, state=block.state
    )
    half = dense(config, family, hidden, dense_width(config), "feed_forward")
    return assemble(config, family, sizes, tuple(layer(family, hidden, both, half) for _ in range(layers)))


def granite_hybrid(config: Config, family: Family) -> Decoder:
    """Granite 4: Mamba-2 (``linear_attention`` in files of transformers 5) or attention; experts beside a shared MLP, or it alone."""
    hidden, layers, sizes = hidden_size(config), config.layers(), heads_of(config, hidden_size(config))
    kinds = config.per_layer("layer_types", layers) or config.per_layer("layers_block_type", layers)
    if kinds is None:
        raise config.error("layer_types", f"is missing; {layers} of mamba and attention are needed")
    attends = ["attention" in str(kind) and "linear" not in str(kind) for kind in kinds]
    blocks = {
        attending: grouped_query(config, family, hidden, sizes) if attending else _mamba2(config, hidden)
        for attending in set(attends)
    }
    if config.option(*EXPERTS, default=0):
        half = routed(config, family, hidden, "block_sparse_moe")
    else:
        half = dense(config, family, hidden, config.option("shared_intermediate_size", minimum=1), "shared_mlp")
    return assemble(config, family, sizes, tuple(layer(family, hidden, blocks[a], half) for a in attends))


def nemotron_h(config: Config, family: Family) -> Decoder:
    """Nemotron-H: each layer is one half only, Mamba-2 (M), attention (*), experts (E) or an MLP (-)."""
    hidden, layers, sizes = hidden_size(config), config.layers(), heads_of(config, hidden_size(config))
    key, stated = config.first("hybrid_override_pattern", "layers_block_type")
    pattern = [BLOCK_LETTERS.get(str(block), str(block)) for block in stated or ()]
    if len(pattern) != layers or set(pattern) - set("M*E-"):
        raise config.error(key, f"needs {layers} of mamba (M), attention (*), moe (E) and mlp (-), one per layer")
    made = {
        "M": lambda: layer(family, hidden, _nemotron_mamba(config, hidden), None),
        "*": lambda: layer(family, hidden, grouped_query(config, family, hidden, sizes, prefix="mixer"), None),
        "E": lambda: layer(family, hidden, None, routed(config, family, hidden, "mixer")),
        "-": lambda: layer(family, hidden, None, dense(config, family, hidden, dense_width(config), "mixer")),
    }
    parts = {letter: made[letter]() for letter in set(pattern)}
    return assemble(config, family, sizes, tuple(parts[letter] for letter in pattern))


def _nemotron_mamba(config: Config, hidden: int) -> Attention:
    return mamba2(
        config,
        hidden,
        heads=config.option("mamba_num_heads", minimum=1),
        head_dim=config.option("mamba_head_dim", minimum=1),
        groups=config.option("n_groups", "mamba_n_groups", default=8, minimum=1),
        state=config.option("ssm_state_size", minimum=1),
        kernel=config.option("conv_kernel", default=4, minimum=1),
        conv_bias=config.flag("use_conv_bias", default=True),
        proj_bias=config.flag("mamba_proj_bias"),
        prefix="mixer",
    )
