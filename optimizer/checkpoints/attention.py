"""Attention blocks: multi-head, grouped-query and multi-head latent. Counts are those of the implementations named in
``data/families.yaml``."""

from __future__ import annotations

from dataclasses import dataclass, replace

from optimizer.checkpoints.config import Config
from optimizer.checkpoints.family import Family, Keys
from optimizer.checkpoints.parts import Attention, Linear


@dataclass(frozen=True, slots=True)
class Heads:
    """Heads of one kind of layer."""

    heads: int
    kv_heads: int
    head_dim: int
    value_dim: int = 0
    """Of values where it differs from that of queries and keys; 0: the same."""


def holds(config: Config, keys: Keys) -> bool:
    """Always, never, or where one of the keys is true in the file or by the class default."""
    if isinstance(keys, bool):
        return keys
    return any(config.flag(key) for key in ((keys,) if isinstance(keys, str) else keys))


def heads_of(config: Config, hidden: int) -> Heads:
    """Heads as most files state them.

    Raises:
        ProblemError: a count is missing, or the counts do not fit each other.
    """
    heads = config.size("num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads")
    key = next(
        (k for k in ("num_key_value_heads", "num_kv_heads", "n_head_kv", "multi_query_group_num") if config.states(k)),
        "num_key_value_heads",
    )
    kv_heads = config.option(key, default=heads, minimum=1)
    if not config.states(key) and config.flag("multi_query"):
        kv_heads = 1
    if kv_heads > heads or heads % kv_heads:
        raise config.error(key, f"{kv_heads} does not divide num_attention_heads = {heads}")
    head_dim = config.option("head_dim", "attention_head_dim", "kv_channels", default=0)
    if not head_dim and hidden % heads:
        raise config.error(
            "num_attention_heads", f"{heads} does not divide hidden_size = {hidden}, and no head_dim is given"
        )
    return Heads(heads, kv_heads, head_dim or hidden // heads)


def grouped_query(config: Config, family: Family, hidden: int, sizes: Heads, *, prefix: str = "self_attn") -> Attention:
    """Multi-head, grouped-query and multi-query attention."""
    heads, kv_heads, width = sizes.heads, sizes.kv_heads, sizes.head_dim
    values = sizes.value_dim or width
    queries = heads * width * (2 if holds(config, family.output_gate) else 1)
    linears = [
        Linear(f"{prefix}.q_proj", hidden, queries),
        Linear(f"{prefix}.k_proj", hidden, kv_heads * width, "key_value"),
        Linear(f"{prefix}.v_proj", hidden, kv_heads * values, "key_value"),
        Linear(f"{prefix}.o_proj", heads * values, hidden),
    ]
    if family.gate_module:
        linears.append(Linear(f"{prefix}.gate_proj", hidden, heads * values))
    small = queries + kv_heads * (width + values) if holds(config, family.qkv_bias) else 0
    small += hidden if holds(config, family.output_bias) else 0
    small += heads * hidden if family.head_gate else 0
    small += heads if family.sinks else 0
    small += query_key_norms(config, family, sizes)
    return Attention(
        linears=tuple(linears),
        small=small,
        heads=heads,
        kv_heads=kv_heads,
        kv_per_kv_head=width + values,
        flop_width=heads * (width + values),
        prefill_flop_width=heads * (width + values),
    )


def query_key_norms(config: Config, family: Family, sizes: Heads) -> int:
    """Parameters of the norms of queries and keys."""
    stated = config.values.get(family.query_key_norm_key) if family.query_key_norm_key else True
    if family.query_key_norm == "none" or not (config.flag(family.query_key_norm_key) if stated is None else stated):
        return 0
    both = 2 * sizes.head_dim if family.query_key_norm == "head" else (sizes.heads + sizes.kv_heads) * sizes.head_dim
    return both * (2 if family.query_key_norm_bias else 1)


def without_cache(attention: Attention) -> Attention:
    """A layer that reads what an earlier one has cached: no key and value projections, no cache of its own (Gemma 3n)."""
    linears = tuple(linear for linear in attention.linears if linear.group != "key_value")
    return replace(attention, linears=linears, shared_cache=True)


INDEX_BLOCK = 128
"""Values of an index key that share a scale of 4 bytes: DeepseekV32IndexerCache of vLLM, models/deepseek_v2.py (132 B a token)."""


def latent(config: Config, hidden: int, heads: int, *, indexed: bool = True) -> Attention:
    """Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1): the cache is one compressed vector.

    Args:
        indexed: the layer has an indexer of its own where the model has any; else it reads what an earlier one has chosen.
    """
    rank = config.option("kv_lora_rank", minimum=1)
    rope = config.option("qk_rope_head_dim", default=64, minimum=1)
    nope = config.option("qk_nope_head_dim", minimum=1)
    value = config.option("v_head_dim", default=hidden // heads, minimum=1)
    query_rank = config.option("q_lora_rank", default=0)
    if query_rank:
        query = [
            Linear("self_attn.q_a_proj", hidden, query_rank, "replicated"),
            Linear("self_attn.q_b_proj", query_rank, heads * (nope + rope)),
        ]
    else:
        query = [Linear("self_attn.q_proj", hidden, heads * (nope + rope))]
    linears = [
        *query,
        Linear("self_attn.kv_a_proj_with_mqa", hidden, rank + rope, "replicated"),
        Linear("self_attn.kv_b_proj", rank, heads * (nope + value)),
        Linear("self_attn.o_proj", heads * value, hidden),
    ]
    indexer, indexer_norm, index_width = _indexer(config, hidden, query_rank) if indexed else ([], 0, 0)
    biases = query_rank + rank + rope + hidden if config.flag("attention_bias") else 0
    return Attention(
        linears=(*linears, *indexer),
        small=query_rank + rank + indexer_norm + biases,
        heads=heads,
        kv_heads=heads,
        kv_replicated=rank + rope,
        index_bytes=index_width + 4 * -(-index_width // INDEX_BLOCK),
        # Decoding uses the absorbed form: scores against latent + rope values, weighted sum over the latent.
        flop_width=heads * (2 * rank + rope),
        prefill_flop_width=heads * (nope + rope + value),
        index_heads=config.option("index_n_heads", default=0) if indexed else 0,
        copied=rank * heads * (nope + value),
    )


def own_indexers(config: Config, layers: int) -> list[bool]:
    """Which layers choose what they read; the others read what the last of these has chosen (GLM-5.2, arXiv 2603.12201).

    Source: vLLM ``models/deepseek_v32``: ``max(layer - index_skip_topk_offset + 1, 0) % index_topk_freq``, transformers'
    ``GlmMoeDsaConfig``: ``indexer_types``.

    Raises:
        ProblemError: a list in the file does not fit the layers.
    """
    listed = config.per_layer("indexer_types", layers)
    if listed is not None:
        return [kind != "shared" for kind in listed]
    pattern = config.values.get("index_topk_pattern")
    if isinstance(pattern, str) and len(pattern) == layers:
        return [letter != "S" for letter in pattern]
    every = config.option("index_topk_freq", default=1, minimum=1)
    offset = config.option("index_skip_topk_offset", default=2)
    return [max(layer - offset + 1, 0) % every == 0 for layer in range(layers)]


def block_indexed(config: Config, attention: Attention, hidden: int) -> Attention:
    """A layer of MiniMax-M3's sparse attention (arXiv 2606.13392): an indexer beside its heads chooses which blocks they read.

    Sources: vLLM ``models/minimax_m3`` (index queries are cut as KV heads are, ``MiniMaxM3IndexerCache`` keeps one key a token on
    every GPU, in 16 bit unless asked otherwise); SGLang ``model_executor/pool_configurator.py`` (the model's own format). There are
    no index values: ``sparse_disable_index_value`` is set in every such layer. Blocks left out are not left out here.

    Raises:
        ProblemError: there are not as many index heads as KV heads.
    """
    sparse = _sparse_attention(config)
    heads = sparse.count("sparse_num_index_heads", default=config.option("index_n_heads", minimum=1))
    width = sparse.count("sparse_index_dim", default=config.option("index_head_dim", minimum=1))
    if heads != attention.kv_heads:
        raise sparse.error(
            "sparse_num_index_heads",
            f"{heads} is not the number of KV heads, {attention.kv_heads}: engines cut both alike",
        )
    indexer = (
        Linear("self_attn.index_q_proj", hidden, heads * width, "key_value"),
        Linear("self_attn.index_k_proj", hidden, width, "replicated"),
    )
    return replace(
        attention,
        linears=(*attention.linears, *indexer),
        small=attention.small + 2 * width,
        index_heads=heads,
        index_bytes=2 * width,
    )


def block_sparse_layers(config: Config, layers: int) -> list[bool]:
    """Which layers have MiniMax-M3's indexer: ``layer_types`` of transformers 5, else ``sparse_attention_freq``.

    Raises:
        ProblemError: a list in the file does not fit the layers, or the file says that attention is sparse but not where.
    """
    kinds = config.per_layer("layer_types", layers)
    if kinds is not None:
        return [kind == "minimax_m3_sparse" for kind in kinds]
    sparse = _sparse_attention(config)
    listed = sparse.per_layer("sparse_attention_freq", layers)
    if not sparse.flag("use_sparse_attention", default=listed is not None):
        return [False] * layers
    if listed is None:
        raise sparse.error(
            "sparse_attention_freq", f"is missing; it lists a 1 for each of {layers} layers that is sparse"
        )
    return [bool(one) for one in listed]


def _sparse_attention(config: Config) -> Config:
    """The nested part of a file that describes sparse attention; empty where it has none.

    Raises:
        ProblemError: it is no mapping.
    """
    stated = config.values.get("sparse_attention_config")
    if stated is not None and not isinstance(stated, dict):
        raise config.error("sparse_attention_config", f"{stated!r} is no mapping of its fields")
    return Config(stated or {}, f"{config.field}.sparse_attention_config")


def _indexer(config: Config, hidden: int, query_rank: int) -> tuple[list[Linear], int, int]:
    """(matrices, norm parameters, cached values per token) of DeepSeek-V3.2's sparse-attention indexer, empty without.

    The tokens it leaves out are not left out here: attention is counted in full, an upper bound at long contexts.
    """
    heads = config.option("index_n_heads", default=0)
    if not heads:
        return [], 0, 0
    width = config.option("index_head_dim", minimum=1)
    linears = [
        Linear("self_attn.indexer.wq_b", query_rank or hidden, heads * width, "replicated"),
        Linear("self_attn.indexer.wk", hidden, width, "replicated"),
        Linear("self_attn.indexer.weights_proj", hidden, heads, "replicated"),
    ]
    return linears, 2 * width, width
