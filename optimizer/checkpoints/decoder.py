"""The common decoder: the same block in every layer but for windows, experts and delta nets."""

from __future__ import annotations

from optimizer.checkpoints.attention import (
    Heads,
    block_indexed,
    block_sparse_layers,
    grouped_query,
    heads_of,
    holds,
    latent,
    own_indexers,
)
from optimizer.checkpoints.config import Config
from optimizer.checkpoints.family import Family
from optimizer.checkpoints.feedforward import dense, dense_width, layers_with_experts, routed
from optimizer.checkpoints.parts import Attention, Decoder, FeedForward, Layer
from optimizer.checkpoints.recurrent import gated_delta_net
from optimizer.checkpoints.windows import layer_windows

NORM_SIZES = {"rms": 1, "layer": 2, "none": 0}


def hidden_size(config: Config) -> int:
    return config.size("hidden_size", "n_embd", "d_model", "n_embed")


def vocabulary_size(config: Config) -> int:
    return config.size("vocab_size", "padded_vocab_size")


def read(config: Config, family: Family) -> Decoder:
    """The decoder of a family with one kind of block.

    Raises:
        ProblemError: a size is missing, out of range or inconsistent.
    """
    hidden, layers = hidden_size(config), config.layers()
    sizes = Heads(*_latent_heads(config)) if family.mla else heads_of(config, hidden)
    attention, guided, choosing = _attention(config, family, hidden, sizes, layers)
    moe = layers_with_experts(config, layers) if family.experts else [False] * layers
    halves = {kind: feed_forward(config, family, hidden, kind) for kind in set(moe)}
    recurrent = delta_layers(config, layers) if family.linear_layers else [False] * layers
    net = gated_delta_net(config, hidden) if any(recurrent) else None
    windows = layer_windows(config, family, layers)
    built = [
        layer(
            family,
            hidden,
            net if net and linear else attention if own else guided,
            halves[kind],
            0 if linear else window,
        )
        for linear, own, kind, window in zip(recurrent, choosing, moe, windows, strict=True)
    ]
    return assemble(config, family, sizes, tuple(built))


def _attention(
    config: Config, family: Family, hidden: int, sizes: Heads, layers: int
) -> tuple[Attention, Attention, list[bool]]:
    """(attention with the indexer of its own, without it, which layers have it); all layers alike where there is none."""
    if family.mla:
        own = latent(config, hidden, sizes.heads)
        if own.index_bytes:
            return own, latent(config, hidden, sizes.heads, indexed=False), own_indexers(config, layers)
        return own, own, [True] * layers
    plain = grouped_query(config, family, hidden, sizes)
    if family.block_indexer and any(sparse := block_sparse_layers(config, layers)):
        return block_indexed(config, plain, hidden), plain, sparse
    return plain, plain, [True] * layers


def _latent_heads(config: Config) -> tuple[int, int, int]:
    heads = config.size("num_attention_heads", "n_head")
    hidden = hidden_size(config)
    return heads, heads, config.option("head_dim", default=max(1, hidden // heads), minimum=1)


def feed_forward(config: Config, family: Family, hidden: int, has_experts: bool) -> FeedForward:
    """The second half of a layer."""
    if has_experts:
        return routed(config, family, hidden)
    own = ("intermediate_size_mlp", "dense_intermediate_size", "prefix_dense_intermediate_size")
    if config.states(*own):
        return dense(config, family, hidden, config.count(*own))
    return dense(config, family, hidden, dense_width(config, family.mlp_multiple * hidden or None))


def layer(family: Family, hidden: int, attention: Attention | None, rest: FeedForward | None, window: int = 0) -> Layer:
    """A layer with the family's norms around the halves that it has."""
    norm = NORM_SIZES[family.norm] * hidden
    return Layer(
        attention=attention,
        rest=rest,
        attention_norms=family.attention_norms * norm if attention else 0,
        rest_norms=family.rest_norms * norm if rest else 0,
        window_tokens=window if attention and (attention.kv_per_kv_head or attention.kv_replicated) else 0,
    )


def assemble(
    config: Config,
    family: Family,
    sizes: Heads,
    layers: tuple[Layer, ...],
    *,
    tables: int = 0,
    more_input: int = 0,
    notes: tuple[str, ...] = (),
) -> Decoder:
    """Layers with the tables, positions, norms and head that a family's files state alike."""
    hidden, vocabulary = hidden_size(config), vocabulary_size(config)
    norm = NORM_SIZES[family.norm] * hidden
    positions = config.size(*family.positions) + family.position_offset if family.positions else 0
    return Decoder(
        hidden=hidden,
        vocabulary=vocabulary,
        heads=sizes.heads,
        kv_heads=sizes.kv_heads,
        head_dim=sizes.head_dim,
        layers=layers,
        output=(norm if family.final_norm else 0) + (vocabulary if holds(config, family.head_bias) else 0),
        tied=tied(config, family),
        mla=family.mla,
        input=positions * hidden + (norm if family.embedding_norm else 0) + more_input,
        tables=tables,
        notes=notes,
    )


def tied(config: Config, family: Family) -> bool:
    """Whether the head is the input table: as stated, else by the family's class default."""
    for key in ("tie_word_embeddings", "tie_embedding", "use_embedding_sharing"):
        if config.states(key):
            return bool(config.values[key])
    return bool(config.defaults.get("tie_word_embeddings", family.tied))


def delta_layers(config: Config, layers: int) -> list[bool]:
    """Which layers are gated delta nets.

    Raises:
        ProblemError: the list in the file does not fit the layers.
    """
    kinds = config.per_layer("layer_types", layers)
    if kinds is not None:
        return ["linear" in str(kind) for kind in kinds]
    interval = config.count("full_attention_interval", default=4)
    return [(i + 1) % interval != 0 for i in range(layers)]
