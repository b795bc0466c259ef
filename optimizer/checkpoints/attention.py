"""Attention blocks of a Hugging Face config: parameters, cache, and which layers attend to everything.

The counts are those of the reference implementations in ``transformers``.
"""

from __future__ import annotations

from dataclasses import dataclass

from optimizer.checkpoints.config import Config

# q, k and v projections carry a bias although the config has no key for it.
BIASED_QKV = frozenset({"qwen", "qwen2", "qwen2_moe", "gpt2", "gpt_neox", "opt", "phi", "starcoder2"})
# RMS norms over the query and key head dimension.
QUERY_KEY_NORMS = frozenset(
    {
        "qwen3",
        "qwen3_moe",
        "qwen3_vl_moe_text",
        "qwen3_next",
        "qwen3_5",
        "qwen3_5_text",
        "qwen3_5_moe",
        "qwen3_5_moe_text",
        "gemma3",
        "gemma3_text",
        "glm4_moe",
    }
)
# Queries and keys are normalised without parameters, although the config says ``use_qk_norm``.
BARE_QUERY_KEY_NORMS = frozenset({"llama4_text"})


@dataclass(frozen=True)
class Attention:
    """Parameters and cache of one attention block."""

    sharded: int = 0
    key_value: int = 0
    replicated: int = 0
    unquantized: int = 0
    kv_per_kv_head: int = 0
    kv_replicated: int = 0
    state: int = 0
    state_replicated: int = 0
    flop_width: int = 0
    prefill_flop_width: int = 0


def grouped_query(config: Config, model_type: str, hidden: int, heads: int, kv_heads: int, head_dim: int) -> Attention:
    """Multi-head, grouped-query and multi-query attention."""
    query = hidden * heads * head_dim
    if config.flag("attn_output_gate"):
        query *= 2
    key_value = 2 * hidden * kv_heads * head_dim
    small = 0
    if (
        config.flag("attention_bias")
        or config.flag("qkv_bias")
        or config.flag("use_qkv_bias")
        or model_type in BIASED_QKV
    ):
        small += (heads + 2 * kv_heads) * head_dim
    if config.flag("attention_bias") and model_type not in BIASED_QKV and model_type != "glm4_moe":
        small += hidden
    if model_type in QUERY_KEY_NORMS and config.values.get("use_qk_norm") is not False:
        small += 2 * head_dim
    elif config.flag("use_qk_norm") and model_type not in BARE_QUERY_KEY_NORMS:
        # MiniMax-M2 normalises the whole query and key vectors ("per_layer"), not each head.
        small += (heads + kv_heads) * head_dim
    if model_type == "gpt_oss":
        small += heads
    return Attention(
        sharded=query + heads * head_dim * hidden,
        key_value=key_value,
        unquantized=small,
        kv_per_kv_head=2 * head_dim,
        flop_width=2 * heads * head_dim,
        prefill_flop_width=2 * heads * head_dim,
    )


def multi_head_latent(config: Config, hidden: int, heads: int) -> Attention:
    """Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1): the cache is one compressed vector."""
    latent = config.count("kv_lora_rank")
    rope = config.count("qk_rope_head_dim")
    nope = config.count("qk_nope_head_dim")
    value = config.count("v_head_dim")
    query_rank = config.count("q_lora_rank", default=0, minimum=0)
    if query_rank:
        sharded, replicated, norms = query_rank * heads * (nope + rope), hidden * query_rank, query_rank + latent
    else:
        sharded, replicated, norms = hidden * heads * (nope + rope), 0, latent
    indexer, indexer_norm, index_width = _indexer(config, hidden, query_rank)
    return Attention(
        sharded=sharded + latent * heads * (nope + value) + heads * value * hidden,
        replicated=replicated + hidden * (latent + rope) + indexer,
        unquantized=norms + indexer_norm,
        kv_replicated=latent + rope + index_width,
        # Decoding uses the absorbed form: scores against latent + rope values, weighted sum over the latent.
        flop_width=heads * (2 * latent + rope),
        prefill_flop_width=heads * (nope + rope + value),
    )


def _indexer(config: Config, hidden: int, query_rank: int) -> tuple[int, int, int]:
    """(parameters, norm parameters, cached values per token) of DeepSeek-V3.2's sparse-attention indexer, zeros without.

    The tokens it leaves out are not left out here: attention is counted in full, an upper bound at long contexts.
    """
    heads = config.count("index_n_heads", default=0, minimum=0)
    if not heads:
        return 0, 0, 0
    width = config.count("index_head_dim")
    return (query_rank or hidden) * heads * width + hidden * width + hidden * heads, 2 * width, width


def layer_windows(config: Config, layers: int) -> list[int]:
    """Sliding-window length per layer; 0 is full attention. Llama 4's chunks count as windows, its NoPE layers as full."""
    if config.values.get("attention_chunk_size"):
        chunk, interval = config.count("attention_chunk_size"), config.count("no_rope_layer_interval", default=4)
        return [0 if (i + 1) % interval == 0 else chunk for i in range(layers)]
    window = config.values.get("sliding_window")
    if not window or config.values.get("use_sliding_window") is False:
        return [0] * layers
    window = config.count("sliding_window")
    kinds = config.values.get("layer_types")
    if isinstance(kinds, list) and len(kinds) == layers:
        return [window if "sliding" in str(kind) else 0 for kind in kinds]
    pattern = config.count("sliding_window_pattern", default=0, minimum=0)
    if pattern:
        return [0 if (i + 1) % pattern == 0 else window for i in range(layers)]
    return [window] * layers
