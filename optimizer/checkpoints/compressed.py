"""DeepSeek-V4's attention: one shared key-value vector per token, a window of them, and compressed ones of the whole past.

A layer with compression ratio r keeps one vector for every r tokens and the last ``sliding_window`` in full; at ratio 4 an
indexer chooses which compressed vectors are read, from small keys of its own; ratio 0 has the window only. Counts are those
of the reference implementation published with the weights.

The cache is that of vLLM (``vllm/models/deepseek_v4`` and ``_get_packed_kv_cache_groups`` in ``vllm/v1/core/kv_cache_utils.py`` of
0.32.0), in its fp8_ds_mla format: 584 B a vector and 132 B an index key, pages of 256 tokens in multiples of 576 B. Windows (blocks
of 64 tokens, in two groups) and the states of both compressors (blocks of 4 and 8 tokens) take blocks of the same pool, each as large
as the pages of all layers together, so each layer's share of a block stands for them. Against start-up logs:
https://github.com/vllm-project/vllm/issues/44376 (6.66 GiB for 30,000 tokens in steps of 16,384; here 6.3), and 1.34 GiB for
131,072 tokens in steps of 2,048 (here 1.27).
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil

from optimizer.checkpoints.attention import Heads
from optimizer.checkpoints.config import Config
from optimizer.checkpoints.decoder import assemble, feed_forward, hidden_size, layer
from optimizer.checkpoints.family import Family
from optimizer.checkpoints.feedforward import layers_with_experts
from optimizer.checkpoints.parts import Attention, Decoder, Linear

BLOCK_TOKENS, VECTOR_BYTES, INDEX_BYTES, PAGE_MULTIPLE = 256, 584, 132, 576
BLOCKS_IN_FLIGHT = Fraction(2, 64) + Fraction(1, 4) + Fraction(1, 8)
"""Blocks of the pool that a token holds until its step is done: two groups of windows, two of compressor states."""
BLOCKS_OF_SEQUENCE = 26
"""The same of a sequence between steps: windows of 128 tokens, 8 and 128 tokens of states, and what blocks round up to."""
OVERLAPPING = 4
"""The ratio at which neighbouring groups overlap (twice the projections) and an indexer chooses."""


RATIOS = {"sliding_attention": 0, "compressed_sparse_attention": OVERLAPPING, "heavily_compressed_attention": 128}
"""Kinds of layers as transformers 5 writes them, and their ratio where ``compress_rates`` states none."""


def compress_ratios(config: Config, layers: int) -> list[int]:
    """The ratio of each layer; entries beyond the layers belong to the multi-token-prediction module.

    Files written by transformers 5 name the kind of each layer in ``layer_types`` instead.

    Raises:
        ProblemError: the list is missing, shorter than the layers or holds something else.
    """
    ratios = config.values.get("compress_ratios")
    kinds = config.per_layer("layer_types", layers) if ratios is None else None
    if kinds is not None:
        stated = config.values.get("compress_rates")
        known = {**RATIOS, **(stated if isinstance(stated, dict) else {})}
        if set(kinds) - set(known):
            raise config.error("layer_types", f"needs one of {', '.join(RATIOS)} for each of the {layers} layers")
        ratios = [known[kind] for kind in kinds]
    if not isinstance(ratios, list) or len(ratios) < layers or not all(isinstance(r, int) and r >= 0 for r in ratios):
        raise config.error("compress_ratios", f"needs one whole number >= 0 for each of the {layers} layers")
    return list(ratios[:layers])


def compressed_attention(config: Config, hidden: int, heads: int, head_dim: int, ratio: int) -> Attention:
    """A layer's attention at a compression ratio; at ratio 0 its window has to be set on the layer."""
    query_rank, output_rank = config.count("q_lora_rank"), config.count("o_lora_rank")
    groups, window = config.count("o_groups"), config.count("sliding_window")
    # Norms of queries and keys, a sink per head, and the mixing of the residual streams before both halves of the layer.
    small = query_rank + head_dim + heads + _hyper_connections(config, hidden)
    linears = [
        Linear("attn.wq_a", hidden, query_rank, "replicated"),
        Linear("attn.wq_b", query_rank, heads * head_dim),
        Linear("attn.wkv", hidden, head_dim, "replicated"),
        Linear("attn.wo_a", heads * head_dim // groups, output_rank, copies=groups),
        Linear("attn.wo_b", groups * output_rank, hidden),
    ]
    if not ratio:
        return Attention(
            linears=tuple(linears),
            small=small,
            heads=heads,
            kv_heads=heads,
            kv_replicated=head_dim,
            flop_width=2 * heads * head_dim,
            prefill_flop_width=2 * heads * head_dim,
        )
    width = 2 * heads * head_dim
    small += _compressor(linears, "attn.compressor", hidden, head_dim, ratio)
    if ratio == OVERLAPPING:
        index_heads, index_dim = config.count("index_n_heads"), config.count("index_head_dim")
        linears.append(Linear("attn.indexer.wq_b", query_rank, index_heads * index_dim, "replicated"))
        linears.append(Linear("attn.indexer.weights_proj", hidden, index_heads, "replicated"))
        small += _compressor(linears, "attn.indexer.compressor", hidden, index_dim, ratio)
        width += index_heads * index_dim
    # Per token of the past, rounded up; what the indexer leaves out is not left out here, an upper bound at long contexts.
    per_token_width = -(-width // ratio)
    page = _page(BLOCK_TOKENS // ratio * VECTOR_BYTES)
    page += _page(BLOCK_TOKENS // ratio * INDEX_BYTES) if ratio == OVERLAPPING else 0
    state = window * head_dim
    return Attention(
        linears=tuple(linears),
        small=small,
        heads=heads,
        kv_heads=heads,
        kv_replicated=-(-page // BLOCK_TOKENS),
        state_replicated=state,
        unread=max(0, page * BLOCKS_OF_SEQUENCE - 2 * state),
        in_flight=ceil(page * BLOCKS_IN_FLIGHT),
        flop_width=per_token_width,
        prefill_flop_width=per_token_width,
        index_heads=config.count("index_n_heads") if ratio == OVERLAPPING else 0,
    )


def _page(size: int) -> int:
    return -(-size // PAGE_MULTIPLE) * PAGE_MULTIPLE


def _compressor(linears: list[Linear], name: str, hidden: int, head_dim: int, ratio: int) -> int:
    """Adds a compressor's two projections; returns the parameters of its position weights and norm."""
    width = head_dim * (2 if ratio == OVERLAPPING else 1)
    linears += [Linear(f"{name}.{part}", hidden, width, "replicated") for part in ("wkv", "wgate")]
    return ratio * width + head_dim


def _hyper_connections(config: Config, hidden: int) -> int:
    """Manifold-constrained hyper-connections: for each half, a mixing matrix over all streams, its base and three scales."""
    streams = config.count("hc_mult", default=0, minimum=0)
    mixed = (2 + streams) * streams
    return 2 * (mixed * streams * hidden + mixed + 3) if streams else 0


def read(config: Config, family: Family) -> Decoder:
    """DeepSeek-V4: each layer at its compression ratio, experts in every layer.

    Raises:
        ProblemError: the ratios do not fit the layers, or a size is missing.
    """
    hidden, layers = hidden_size(config), config.layers()
    heads, head_dim = config.size("num_attention_heads"), config.size("head_dim")
    window, ratios = config.count("sliding_window"), compress_ratios(config, layers)
    blocks = {ratio: compressed_attention(config, hidden, heads, head_dim, ratio) for ratio in set(ratios)}
    moe = layers_with_experts(config, layers)
    halves = {kind: feed_forward(config, family, hidden, kind) for kind in set(moe)}
    built = tuple(
        layer(family, hidden, blocks[ratio], halves[kind], 0 if ratio else window)
        for ratio, kind in zip(ratios, moe, strict=True)
    )
    kv_heads = config.count("num_key_value_heads", default=heads)
    return assemble(config, family, Heads(heads, kv_heads, head_dim), built)
