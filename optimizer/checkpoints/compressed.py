"""DeepSeek-V4's attention: one shared key-value vector per token, a window of them, and compressed ones of the whole past.

A layer with compression ratio r keeps one vector for every r tokens and the last ``sliding_window`` in full; at ratio 4 an
indexer chooses which compressed vectors are read, from small keys of its own; ratio 0 has the window only. Counts are those
of the reference implementation published with the weights.
"""

from __future__ import annotations

from optimizer.checkpoints.attention import Attention
from optimizer.checkpoints.config import Config

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
    replicated = hidden * query_rank + hidden * head_dim
    # Norms of queries and keys, a sink per head, and the mixing of the residual streams before both halves of the layer.
    small = query_rank + head_dim + heads + _hyper_connections(config, hidden)
    sharded = query_rank * heads * head_dim + heads * head_dim * output_rank + groups * output_rank * hidden
    if not ratio:
        return Attention(
            sharded=sharded,
            replicated=replicated,
            unquantized=small,
            kv_replicated=head_dim,
            flop_width=2 * heads * head_dim,
            prefill_flop_width=2 * heads * head_dim,
        )
    kept, width = head_dim, 2 * heads * head_dim
    replicated_more, small_more = _compressor(hidden, head_dim, ratio)
    if ratio == OVERLAPPING:
        index_heads, index_dim = config.count("index_n_heads"), config.count("index_head_dim")
        own, own_small = _compressor(hidden, index_dim, ratio)
        replicated_more += own + query_rank * index_heads * index_dim + hidden * index_heads
        small_more += own_small
        kept, width = kept + index_dim, width + index_heads * index_dim
    # Per token of the past, rounded up; what the indexer leaves out is not left out here, an upper bound at long contexts.
    per_token, per_token_width = -(-kept // ratio), -(-width // ratio)
    return Attention(
        sharded=sharded,
        replicated=replicated + replicated_more,
        unquantized=small + small_more,
        kv_replicated=per_token,
        state_replicated=window * head_dim,
        flop_width=per_token_width,
        prefill_flop_width=per_token_width,
    )


def _compressor(hidden: int, head_dim: int, ratio: int) -> tuple[int, int]:
    """(parameters of the projections, of position weights and norm) of a compressor."""
    width = head_dim * (2 if ratio == OVERLAPPING else 1)
    return 2 * hidden * width, ratio * width + head_dim


def _hyper_connections(config: Config, hidden: int) -> int:
    """Manifold-constrained hyper-connections: for each half, a mixing matrix over all streams, its base and three scales."""
    streams = config.count("hc_mult", default=0, minimum=0)
    mixed = (2 + streams) * streams
    return 2 * (mixed * streams * hidden + mixed + 3) if streams else 0
