"""Blocks with a state of fixed size in place of a growing cache: delta nets, Mamba, lightning attention, convolutions.

States are counted as 16-bit values; a 32-bit state is two of them.
"""

from __future__ import annotations

from optimizer.checkpoints.config import Config
from optimizer.checkpoints.parts import Attention, Linear


def _wide(config: Config, *keys: str) -> int:
    """16-bit values per state value: 2 where the file asks for 32 bit."""
    return 2 if str(config.first(*keys)[1] or "").removeprefix("torch.") == "float32" else 1


CHUNK = 64
"""Tokens that kernels of delta nets take together (flash-linear-attention, ops/gated_delta_rule/chunk.py)."""


def gated_delta_net(config: Config, hidden: int) -> Attention:
    """Gated DeltaNet (arXiv 2412.06464) as Qwen3-Next and Qwen3.5 have it: a matrix per value head.

    What its kernels hold of a prompt (vllm/model_executor/layers/fla/ops/chunk.py): the projection and the convolution's output,
    queries and keys once per value head, a matrix of a chunk and its inverse, a state a chunk, and four results as wide as keys or
    values. 119 KB a token with Qwen3.6-35B-A3B, whose starts in steps of 8,192 and 16,384 tokens differ by 1.67 GiB: 1.0 with these,
    0.4 without.
    """
    key_heads, value_heads = config.option("linear_num_key_heads"), config.option("linear_num_value_heads")
    key_dim, value_dim = config.option("linear_key_head_dim"), config.option("linear_value_head_dim")
    kernel = config.option("linear_conv_kernel_dim", default=4)
    keys, values = key_heads * key_dim, value_heads * value_dim
    convolved = 2 * keys + values
    spread = value_heads * key_dim
    chunks = value_heads * (3 * CHUNK + key_dim * value_dim // CHUNK)
    return Attention(
        worked=convolved + values + convolved + 2 * spread + chunks + spread + 3 * values,
        linears=(
            Linear("linear_attn.in_proj_qkvz", hidden, 2 * keys + 2 * values),
            Linear("linear_attn.in_proj_ba", hidden, 2 * value_heads),
            Linear("linear_attn.out_proj", values, hidden),
        ),
        small=convolved * kernel + 2 * value_heads + value_dim,
        heads=key_heads,
        state=_wide(config, "mamba_ssm_dtype") * value_heads * key_dim * value_dim + convolved * (kernel - 1),
    )


def kimi_delta(config: Config, hidden: int) -> Attention:
    """Kimi Delta Attention (arXiv 2510.26692): a delta net with a forget gate per channel."""
    nested = config.values.get("linear_attn_config")
    inner = Config(nested if isinstance(nested, dict) else {}, f"{config.field}.linear_attn_config")
    heads = inner.count("num_heads", default=config.option("linear_num_heads", default=32))
    width = inner.count("head_dim", default=config.option("linear_head_dim", default=128))
    kernel = inner.count("short_conv_kernel_size", default=config.option("linear_conv_kernel_dim", default=4))
    whole = heads * width
    low = "self_attn."
    return Attention(
        linears=(
            *(Linear(f"{low}{name}_proj", hidden, whole) for name in "qkv"),
            Linear(f"{low}f_a_proj", hidden, width, "replicated"),
            Linear(f"{low}f_b_proj", width, whole),
            Linear(f"{low}b_proj", hidden, heads),
            Linear(f"{low}g_a_proj", hidden, width, "replicated"),
            Linear(f"{low}g_b_proj", width, whole),
            Linear(f"{low}o_proj", whole, hidden),
        ),
        small=3 * whole * kernel + whole + heads + width,
        heads=heads,
        # vLLM keeps the matrix in 32 bit and the convolutions in 16.
        state=2 * heads * width * width + 3 * whole * (kernel - 1),
    )


def lightning(config: Config, hidden: int, heads: int, head_dim: int) -> Attention:
    """Lightning attention (MiniMax-01, arXiv 2501.08313): linear attention with a decay per head; its state is 32 bit."""
    whole = heads * head_dim
    return Attention(
        linears=(
            Linear("self_attn.qkv_proj", hidden, 3 * whole),
            Linear("self_attn.output_gate", hidden, whole),
            Linear("self_attn.out_proj", whole, hidden),
        ),
        small=whole,
        heads=heads,
        state=2 * heads * head_dim * head_dim,
    )


def mamba2(
    config: Config, hidden: int, *, heads: int, head_dim: int, groups: int, state: int, kernel: int, norm: bool = True,
    conv_bias: bool = True, proj_bias: bool = False, prefix: str = "mamba",
) -> Attention:  # fmt: skip
    """Mamba-2 blocks (Dao and Gu 2024, arXiv 2405.21060): one state per head."""
    inner = heads * head_dim
    convolved = inner + 2 * groups * state
    projected = inner + convolved + heads
    wide = _wide(config, "mamba_ssm_cache_dtype", "mamba_ssm_dtype")
    return Attention(
        linears=(Linear(f"{prefix}.in_proj", hidden, projected), Linear(f"{prefix}.out_proj", inner, hidden)),
        small=convolved * (kernel + conv_bias)
        + 3 * heads
        + (inner if norm else 0)
        + (projected + hidden if proj_bias else 0),
        heads=heads,
        state=wide * inner * state + convolved * (kernel - 1),
    )


def mamba1(
    hidden: int, *, inner: int, state: int, kernel: int, rank: int, norms: bool, conv_bias: bool, proj_bias: bool,
    prefix: str = "mamba",
) -> Attention:  # fmt: skip
    """Mamba blocks (Gu and Dao 2023, arXiv 2312.00752); ``norms``: over the step and both projections (Jamba)."""
    return Attention(
        linears=(
            Linear(f"{prefix}.in_proj", hidden, 2 * inner),
            Linear(f"{prefix}.x_proj", inner, rank + 2 * state),
            Linear(f"{prefix}.dt_proj", rank, inner),
            Linear(f"{prefix}.out_proj", inner, hidden),
        ),
        small=inner * (kernel + conv_bias)
        + inner * (state + 2)
        + (rank + 2 * state if norms else 0)
        + (2 * inner + hidden if proj_bias else 0),
        state=inner * state + inner * (kernel - 1),
    )


def short_convolution(config: Config, hidden: int) -> Attention:
    """LFM2's gated short convolution: the last inputs of the convolution are all that is kept."""
    kernel, bias = config.option("conv_L_cache", default=3), config.flag("conv_bias")
    return Attention(
        linears=(Linear("conv.in_proj", hidden, 3 * hidden), Linear("conv.out_proj", hidden, hidden)),
        small=hidden * kernel + (hidden + 3 * hidden + hidden if bias else 0),
        state=hidden * (kernel - 1),
    )
