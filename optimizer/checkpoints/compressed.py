"""DeepSeek-V4's attention: one shared key-value vector per token, a window of them, and compressed ones of the whole past.

A layer with compression ratio r keeps one vector for every r tokens and the last ``sliding_window`` in full; at ratio 4 an
indexer chooses which compressed vectors are read, from small keys of its own; ratio 0 has the window only. Counts are those
of the reference implementation published with the weights.
"""

from __future__ import annotations

from optimizer.checkpoints.attention import Heads
from optimizer.checkpoints.config import Config
from optimizer.checkpoints.decoder import assemble, feed_forward, hidden_size, layer
from optimizer.checkpoints.family import Family
from optimizer.checkpoints.feedforward import layers_with_experts
from optimizer.checkpoints.parts import Attention, Decoder, Linear

OVERLAPPING = 4
"""The ratio at which neighbouring groups overlap (twice the projections) and an indexer chooses."""


def compress_ratios(config: Config, layers: int) -> list[int]:
    """The ratio of each layer; entries beyond the layers belong to the multi-token-prediction module.

    Raises:
        ProblemError: the list is shorter than the layers or holds something else than whole numbers.
    """
    ratios = config.values["compress_ratios"]
    usable = isinstance(ratios, list) and len(ratios) >= layers and all(isinstance(r, int) and r >= 0 for r in ratios)
    if not usable:
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
    kept, width = head_dim, 2 * heads * head_dim
    small += _compressor(linears, "attn.compressor", hidden, head_dim, ratio)
    if ratio == OVERLAPPING:
        index_heads, index_dim = config.count("index_n_heads"), config.count("index_head_dim")
        linears.append(Linear("attn.indexer.wq_b", query_rank, index_heads * index_dim, "replicated"))
        linears.append(Linear("attn.indexer.weights_proj", hidden, index_heads, "replicated"))
        small += _compressor(linears, "attn.indexer.compressor", hidden, index_dim, ratio)
        kept, width = kept + index_dim, width + index_heads * index_dim
    # Per token of the past, rounded up; what the indexer leaves out is not left out here, an upper bound at long contexts.
    per_token, per_token_width = -(-kept // ratio), -(-width // ratio)
    return Attention(
        linears=tuple(linears),
        small=small,
        heads=heads,
        kv_heads=heads,
        kv_replicated=per_token,
        state_replicated=window * head_dim,
        flop_width=per_token_width,
        prefill_flop_width=per_token_width,
    )


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
