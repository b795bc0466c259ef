"""From a Hugging Face ``config.json`` of a decoder to ``ModelFacts``.

The formulas count what the reference implementations in ``transformers`` allocate, component by component; the totals
of eight published models agree with their checkpoints within 0.5 % (``tests/facts/test_parameters.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optimizer.facts.base import LARGEST_COUNT
from optimizer.facts.errors import ProblemError
from optimizer.facts.model import LayerKind, ModelFacts, WeightFormat

# MLP with one input projection (h -> f -> h); every other decoder here gates (two input projections).
UNGATED_MODEL_TYPES = frozenset(
    {"falcon", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox", "gptj", "mpt", "nemotron", "opt", "phi", "starcoder2"}
)
# Not decoders, or decoders with another half that the product does not model.
NOT_DECODERS = frozenset(
    {"albert", "bart", "bert", "clip", "deberta", "electra", "mt5", "roberta", "t5", "vit", "whisper"}
)
NOT_MODELLED = frozenset(
    {"bamba", "deepseek_v4", "falcon_h1", "falcon_mamba", "granitemoehybrid", "jamba", "mamba", "mamba2", "nemotron_h",
     "rwkv", "xlstm", "zamba2"}
)
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
NORMS_PER_LAYER = {"gemma2": 4, "gemma3": 4, "gemma3_text": 4}

DTYPES: dict[str, str] = {"float16": "fp16", "bfloat16": "bf16", "float32": "bf16", "half": "fp16"}


class _Config:
    """Typed reads from the config, each error naming the key, the value and what would be right."""

    def __init__(self, values: Mapping[str, Any], field: str) -> None:
        self.values = values
        self.field = field

    def error(self, key: str, message: str) -> ProblemError:
        return ProblemError(f"{self.field}.{key}", message)

    def first(self, *keys: str) -> tuple[str, Any]:
        for key in keys:
            if self.values.get(key) is not None:
                return key, self.values[key]
        return keys[0], None

    def count(self, *keys: str, default: int | None = None, minimum: int = 1) -> int:
        key, value = self.first(*keys)
        if value is None:
            if default is None:
                raise self.error(key, f"is missing; a decoder's config.json states it as a whole number >= {minimum}")
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error(key, f"{value!r} is not a whole number")
        if not minimum <= value <= 100 * LARGEST_COUNT:
            raise self.error(key, f"{value} is out of range; a whole number from {minimum} to {100 * LARGEST_COUNT:,}")
        return value

    def flag(self, key: str, default: bool = False) -> bool:
        value = self.values.get(key)
        return default if value is None else bool(value)


@dataclass(frozen=True)
class _Attention:
    """Parameters and cache of one attention block."""

    sharded: int = 0
    key_value: int = 0
    replicated: int = 0
    unquantized: int = 0
    kv_per_kv_head: int = 0
    kv_replicated: int = 0
    state: int = 0
    flop_width: int = 0
    prefill_flop_width: int = 0


def model_from_config(
    values: Mapping[str, Any], *, name: str, huggingface_id: str = "", field: str = "model"
) -> ModelFacts:
    """Facts of the decoder that ``config.json`` describes.

    Args:
        values: the parsed ``config.json``; a multimodal config is read through its ``text_config``.
        name: how answers call the model.
        huggingface_id: what an engine is told to load; empty when unknown.
        field: where the config came from, for error messages.

    Raises:
        ProblemError: a key is missing, out of range, inconsistent, or the architecture is not a decoder.
    """
    text = values.get("text_config")
    if isinstance(text, Mapping):
        outer = {k: values[k] for k in ("quantization_config", "torch_dtype", "tie_word_embeddings") if k in values}
        values = {**outer, **text}
    config = _Config(values, field)
    model_type = str(values.get("model_type", "")).lower()
    if values.get("is_encoder_decoder") or model_type in NOT_DECODERS:
        raise config.error("model_type", f"{model_type!r} is not a decoder; a decoder-only language model is needed")
    if model_type in NOT_MODELLED or "block_configs" in values:
        raise config.error(
            "model_type", f"{model_type!r} layers are not modelled; attention decoders (MHA, GQA, MLA, MoE) are"
        )

    hidden = config.count("hidden_size", "n_embd", "d_model")
    layers = config.count("num_hidden_layers", "n_layer", "n_layers")
    if layers > 10_000:
        raise config.error("num_hidden_layers", f"{layers} is out of range; decoders have at most 10,000 layers here")
    heads = config.count("num_attention_heads", "n_head", "n_heads")
    vocabulary = config.count("vocab_size")
    mla = config.values.get("kv_lora_rank") is not None
    kv_heads = heads if mla else config.count("num_key_value_heads", "num_kv_heads", "n_head_kv", default=heads)
    if values.get("multi_query") is True and "num_key_value_heads" not in values and "num_kv_heads" not in values:
        kv_heads = 1
    if kv_heads > heads or heads % kv_heads:
        raise config.error("num_key_value_heads", f"{kv_heads} does not divide num_attention_heads = {heads}")
    if "head_dim" not in values and hidden % heads and not mla:
        raise config.error(
            "num_attention_heads", f"{heads} does not divide hidden_size = {hidden}, and no head_dim is given"
        )
    head_dim = config.count("head_dim", default=max(1, hidden // heads))

    linear = _linear_attention(config, hidden) if "linear_num_value_heads" in values else None
    full = _mla(config, hidden, heads) if mla else _gqa(config, model_type, hidden, heads, kv_heads, head_dim)
    windows = _windows(config, layers)
    uses_linear = _linear_layers(config, layers) if linear else [False] * layers
    moe = _moe_layers(config, layers)
    norms = NORMS_PER_LAYER.get(model_type, 1 if model_type in {"falcon", "gptj", "phi"} else 2) * hidden

    widths: set[int] = set()
    expert_width = 0
    kinds: list[LayerKind] = []
    kind_of_layer: list[int] = []
    for layer in range(layers):
        attention = linear if linear and uses_linear[layer] else full
        sharded, unquantized = attention.sharded, attention.unquantized + norms
        experts = per_token = expert_parameters = 0
        if moe[layer]:
            experts, per_token, expert_width, expert_parameters, shared, gate, router = _experts(
                config, model_type, hidden
            )
            sharded += shared
            unquantized += gate + router
            shared_width = _shared_width(config, model_type)
            if shared_width:
                widths.add(shared_width)
        else:
            width = _dense_width(config, hidden)
            widths.add(width)
            projections = 2 if model_type in UNGATED_MODEL_TYPES else 3
            sharded += projections * hidden * width
            if config.flag("mlp_bias"):
                unquantized += (projections - 1) * width + hidden
        kind = LayerKind(
            sharded_parameters=sharded,
            key_value_parameters=attention.key_value,
            replicated_parameters=attention.replicated,
            unquantized_parameters=unquantized,
            experts=experts,
            experts_per_token=per_token,
            expert_parameters=expert_parameters,
            kv_values_per_token_per_kv_head=attention.kv_per_kv_head,
            kv_values_per_token_replicated=attention.kv_replicated,
            window_tokens=0 if attention is linear else windows[layer],
            state_values_per_sequence=attention.state,
            attention_flop_width=attention.flop_width,
            prefill_flop_width=attention.prefill_flop_width,
        )
        if kind not in kinds:
            kinds.append(kind)
        kind_of_layer.append(kinds.index(kind))

    dtype_key, dtype = config.first("torch_dtype", "dtype")
    native_dtype = DTYPES.get(str(dtype or "bfloat16").removeprefix("torch."))
    if native_dtype is None:
        raise config.error(dtype_key, f"{dtype!r} is not a 16-bit or 32-bit float type (float16, bfloat16, float32)")
    return ModelFacts(
        name=name,
        huggingface_id=huggingface_id,
        architecture=("MLA " if mla else "") + ("MoE" if any(moe) else "dense") + f" ({model_type or 'unnamed type'})",
        hidden_size=hidden,
        layers=layers,
        kinds=tuple(kinds),
        kind_of_layer=tuple(kind_of_layer),
        attention_heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        mla=mla,
        ffn_widths=tuple(sorted(widths)),
        expert_ffn_width=expert_width,
        vocabulary=vocabulary,
        tied_embeddings=config.flag(
            "tie_word_embeddings", default=model_type in {"gpt2", "gemma", "gemma2", "gemma3_text"}
        ),
        max_context_tokens=config.count("max_position_embeddings", "n_positions", "max_seq_len", default=2048),
        native_weight_format=_native_format(config, native_dtype),
        native_dtype="fp16" if native_dtype == "fp16" else "bf16",
    )


def _gqa(config: _Config, model_type: str, hidden: int, heads: int, kv_heads: int, head_dim: int) -> _Attention:
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
    return _Attention(
        sharded=query + heads * head_dim * hidden,
        key_value=key_value,
        unquantized=small,
        kv_per_kv_head=2 * head_dim,
        flop_width=2 * heads * head_dim,
        prefill_flop_width=2 * heads * head_dim,
    )


def _mla(config: _Config, hidden: int, heads: int) -> _Attention:
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
    return _Attention(
        sharded=sharded + latent * heads * (nope + value) + heads * value * hidden,
        replicated=replicated + hidden * (latent + rope) + indexer,
        unquantized=norms + indexer_norm,
        kv_replicated=latent + rope + index_width,
        # Decoding uses the absorbed form: scores against latent + rope values, weighted sum over the latent.
        flop_width=heads * (2 * latent + rope),
        prefill_flop_width=heads * (nope + rope + value),
    )


def _indexer(config: _Config, hidden: int, query_rank: int) -> tuple[int, int, int]:
    """(parameters, norm parameters, cached values per token) of DeepSeek-V3.2's sparse-attention indexer, zeros without.

    The tokens it leaves out are not left out here: attention is counted in full, an upper bound at long contexts.
    """
    heads = config.count("index_n_heads", default=0, minimum=0)
    if not heads:
        return 0, 0, 0
    width = config.count("index_head_dim")
    return (query_rank or hidden) * heads * width + hidden * width + hidden * heads, 2 * width, width


def _linear_attention(config: _Config, hidden: int) -> _Attention:
    """Gated DeltaNet layers (Qwen3-Next, Qwen3.5): a recurrent state per value head instead of a growing cache."""
    key_heads, value_heads = config.count("linear_num_key_heads"), config.count("linear_num_value_heads")
    key_dim, value_dim = config.count("linear_key_head_dim"), config.count("linear_value_head_dim")
    kernel = config.count("linear_conv_kernel_dim", default=4)
    keys, values = key_heads * key_dim, value_heads * value_dim
    convolved = 2 * keys + values
    return _Attention(
        sharded=hidden * (2 * keys + 2 * values) + 2 * hidden * value_heads + values * hidden,
        unquantized=convolved * kernel + 2 * value_heads + value_dim,
        state=value_heads * key_dim * value_dim + convolved * (kernel - 1),
    )


def _experts(config: _Config, model_type: str, hidden: int) -> tuple[int, int, int, int, int, int, int]:
    """(experts, experts per token, expert width, parameters of one, shared-expert parameters, shared gate, router)."""
    experts = config.count("n_routed_experts", "num_experts", "num_local_experts")
    per_token = config.count("num_experts_per_tok", "experts_per_token", "num_experts_per_token", "moe_topk")
    if per_token > experts:
        raise config.error("num_experts_per_tok", f"{per_token} is more than the {experts} experts there are")
    width = config.count("moe_intermediate_size", "intermediate_size")
    one = 3 * hidden * width
    router = hidden * experts
    if model_type == "gpt_oss":
        one += 2 * width + hidden
        router += experts
    sigmoid = model_type in {"glm4_moe", "glm4_moe_lite", "glm_moe_dsa", "kimi_k2", "kimi_k25"}
    if config.values.get("topk_method") == "noaux_tc" or config.flag("use_routing_bias") or sigmoid:
        router += experts
    shared_width = _shared_width(config, model_type)
    gated = shared_width and "shared_expert_intermediate_size" in config.values
    return experts, per_token, width, one, 3 * hidden * shared_width, hidden if gated else 0, router


def _shared_width(config: _Config, model_type: str) -> int:
    count = config.count("n_shared_experts", default=1 if model_type == "llama4_text" else 0, minimum=0)
    if count:
        return count * config.count("moe_intermediate_size", "intermediate_size")
    return config.count("shared_expert_intermediate_size", "shared_intermediate_size", default=0, minimum=0)


def _dense_width(config: _Config, hidden: int) -> int:
    return config.count(
        "intermediate_size_mlp", "intermediate_size", "n_inner", "ffn_hidden_size", "ffn_dim", default=4 * hidden
    )


def _moe_layers(config: _Config, layers: int) -> list[bool]:
    """Which layers have routed experts: DeepSeek, Qwen and Mixtral spell it differently."""
    _, experts = config.first("n_routed_experts", "num_experts", "num_local_experts")
    if not experts or experts == 1:
        return [False] * layers
    dense_first = config.count("first_k_dense_replace", default=0, minimum=0)
    step = config.count("decoder_sparse_step", "moe_layer_freq", "interleave_moe_layer_step", default=1)
    offset = 1 if "decoder_sparse_step" in config.values or "interleave_moe_layer_step" in config.values else 0
    dense = config.values.get("mlp_only_layers") or []
    return [i >= dense_first and (i + offset) % step == 0 and i not in dense for i in range(layers)]


def _windows(config: _Config, layers: int) -> list[int]:
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


def _linear_layers(config: _Config, layers: int) -> list[bool]:
    kinds = config.values.get("layer_types")
    if isinstance(kinds, list) and len(kinds) == layers:
        return ["linear" in str(kind) for kind in kinds]
    interval = config.count("full_attention_interval", default=4)
    return [(i + 1) % interval != 0 for i in range(layers)]


def _native_format(config: _Config, dtype: str) -> WeightFormat:
    """The format of the published checkpoint's linear layers."""
    quantization = config.values.get("quantization_config")
    sixteen: WeightFormat = "fp16" if dtype == "fp16" else "bf16"
    if not isinstance(quantization, Mapping):
        return sixteen
    method = str(quantization.get("quant_method", "")).lower()
    bits = quantization.get("bits")
    by_method: dict[str, WeightFormat] = {"mxfp4": "mxfp4", "fp8": "fp8", "fbgemm_fp8": "fp8", "awq": "int4"}
    if method in by_method:
        return by_method[method]
    if method == "gptq":
        return "int8" if bits == 8 else "int4"
    if method in {"compressed-tensors", "modelopt", "bitsandbytes"}:
        text = str(quantization).lower()
        if "nvfp4" in text:
            return "nvfp4"
        if "float" in text or "fp8" in text:
            return "fp8"
        return "int4" if "'num_bits': 4" in text or "load_in_4bit': true" in text else "int8"
    raise config.error(
        "quantization_config.quant_method",
        f"{method!r} is not known; known: awq, bitsandbytes, compressed-tensors, fbgemm_fp8, fp8, gptq, modelopt, mxfp4",
    )
