"""Layers with a recurrent state in place of a growing cache: gated delta nets and Mamba-2."""

from __future__ import annotations

from optimizer.checkpoints.attention import Attention
from optimizer.checkpoints.config import Config


def linear_attention(config: Config, hidden: int) -> Attention:
    """Gated DeltaNet layers (Qwen3-Next, Qwen3.5): a recurrent state per value head instead of a growing cache."""
    key_heads, value_heads = config.count("linear_num_key_heads"), config.count("linear_num_value_heads")
    key_dim, value_dim = config.count("linear_key_head_dim"), config.count("linear_value_head_dim")
    kernel = config.count("linear_conv_kernel_dim", default=4)
    keys, values = key_heads * key_dim, value_heads * value_dim
    convolved = 2 * keys + values
    return Attention(
        sharded=hidden * (2 * keys + 2 * values) + 2 * hidden * value_heads + values * hidden,
        unquantized=convolved * kernel + 2 * value_heads + value_dim,
        state=value_heads * key_dim * value_dim + convolved * (kernel - 1),
    )


def mamba2(config: Config, hidden: int) -> Attention:
    """Mamba-2 blocks (Dao and Gu 2024, arXiv 2405.21060), as Nemotron-H has them: one state per head."""
    heads, head_dim = config.count("mamba_num_heads"), config.count("mamba_head_dim")
    groups, state = config.count("n_groups"), config.count("ssm_state_size")
    kernel = config.count("conv_kernel", default=4)
    inner = heads * head_dim
    convolved = inner + 2 * groups * state
    # States are counted as 16-bit values; a 32-bit state is two of them.
    width = 2 if config.values.get("mamba_ssm_cache_dtype") == "float32" else 1
    return Attention(
        sharded=hidden * (inner + convolved + heads) + inner * hidden,
        unquantized=convolved * (kernel + config.flag("use_conv_bias")) + 3 * heads + inner,
        state=width * heads * head_dim * state + convolved * (kernel - 1),
    )


def layers_with_linear_attention(config: Config, layers: int) -> list[bool]:
    kinds = config.values.get("layer_types")
    if isinstance(kinds, list) and len(kinds) == layers:
        return ["linear" in str(kind) for kind in kinds]
    interval = config.count("full_attention_interval", default=4)
    return [(i + 1) % interval != 0 for i in range(layers)]
