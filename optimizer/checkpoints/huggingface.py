"""From a Hugging Face ``config.json`` of a decoder to ``ModelFacts``.

The formulas count what the reference implementations in ``transformers`` allocate, component by component; the totals
of every model in the catalog agree with their checkpoints within 0.5 % (``tests/checkpoints/test_parameters.py``). The
components are in ``attention``, ``compressed``, ``recurrent`` and ``feedforward``; ``layers`` says which layer has which.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from optimizer.checkpoints.attention import Attention
from optimizer.checkpoints.config import Config
from optimizer.checkpoints.feedforward import Half
from optimizer.checkpoints.layers import LayerParts, Sizes, layer_parts, nas_kv_heads
from optimizer.facts.model import LayerKind, ModelFacts, Quantization, WeightFormat
from optimizer.facts.text import shown

# Not decoders, or decoders with another half that the product does not model.
NOT_DECODERS = frozenset(
    {"albert", "bart", "bert", "clip", "deberta", "electra", "mt5", "roberta", "t5", "vit", "whisper"}
)
NOT_MODELLED = frozenset(
    {
        "bamba",
        "falcon_h1",
        "falcon_mamba",
        "gemma4",
        "gemma4_text",
        "granitemoehybrid",
        "jamba",
        "mamba",
        "mamba2",
        "mimo_v2_flash",
        "rwkv",
        "step3p5",
        "step3p7",
        "xlstm",
        "zamba2",
    }
)
# Keys of architectures whose layers would be counted wrongly, whatever the model type says.
NOT_MODELLED_KEYS = ("linear_attn_config", "routed_expert_hidden_size", "hybrid_layer_pattern", "global_head_dim")
NORMS_PER_LAYER = {"gemma2": 4, "gemma3": 4, "gemma3_text": 4}

DTYPES: dict[str, str] = {"float16": "fp16", "bfloat16": "bf16", "float32": "bf16", "half": "fp16"}


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
    config = Config(values, field)
    model_type = str(values.get("model_type", "")).lower()
    if not re.fullmatch(r"[a-z0-9_.-]{0,100}", model_type):
        raise config.error("model_type", f"{shown(model_type)} is the name of no architecture")
    if values.get("is_encoder_decoder") or model_type in NOT_DECODERS:
        raise config.error("model_type", f"{model_type!r} is not a decoder; a decoder-only language model is needed")
    unknown = next((key for key in NOT_MODELLED_KEYS if values.get(key) is not None), None)
    if model_type in NOT_MODELLED or unknown:
        raise config.error(
            unknown or "model_type",
            f"{model_type!r} layers are not modelled; attention decoders (MHA, GQA, MLA, MoE), gated delta nets and"
            " Mamba-2 hybrids are",
        )

    hidden = config.count("hidden_size", "n_embd", "d_model")
    blocks = values.get("layers_block_type")
    layers = config.count(
        "num_hidden_layers", "n_layer", "n_layers", default=len(blocks) if isinstance(blocks, list) else None
    )
    if layers > 10_000:
        raise config.error("num_hidden_layers", f"{layers} is out of range; decoders have at most 10,000 layers here")
    heads = config.count("num_attention_heads", "n_head", "n_heads")
    vocabulary = config.count("vocab_size")
    mla = config.values.get("kv_lora_rank") is not None
    kv_heads = heads if mla else config.count("num_key_value_heads", "num_kv_heads", "n_head_kv", default=heads)
    if "block_configs" in values:
        kv_heads = nas_kv_heads(config, heads)
    if values.get("multi_query") is True and "num_key_value_heads" not in values and "num_kv_heads" not in values:
        kv_heads = 1
    if kv_heads > heads or heads % kv_heads:
        raise config.error("num_key_value_heads", f"{kv_heads} does not divide num_attention_heads = {heads}")
    if "head_dim" not in values and hidden % heads and not mla:
        raise config.error(
            "num_attention_heads", f"{heads} does not divide hidden_size = {hidden}, and no head_dim is given"
        )
    head_dim = config.count("head_dim", default=max(1, hidden // heads))

    dtype_key, dtype = config.first("torch_dtype", "dtype")
    native_dtype = DTYPES.get(str(dtype or "bfloat16").removeprefix("torch."))
    if native_dtype is None:
        raise config.error(dtype_key, f"{dtype!r} is not a 16-bit or 32-bit float type (float16, bfloat16, float32)")
    sixteen: WeightFormat = "fp16" if native_dtype == "fp16" else "bf16"
    native = _native_format(config, native_dtype)
    tied = config.flag("tie_word_embeddings", default=model_type in {"gpt2", "gemma", "gemma2", "gemma3_text"})
    parts = layer_parts(config, Sizes(model_type, hidden, layers, heads, kv_heads, head_dim))
    norms = NORMS_PER_LAYER.get(model_type, 1 if model_type in {"falcon", "gptj", "phi"} else 2)
    kinds: list[LayerKind] = []
    kind_of_layer: list[int] = []
    for part in parts:
        kind = _kind(part, norms, hidden, native)
        if kind not in kinds:
            kinds.append(kind)
        kind_of_layer.append(kinds.index(kind))
    routed = [part.rest.experts for part in parts if part.rest and part.rest.experts]

    return ModelFacts(
        name=name,
        huggingface_id=huggingface_id,
        architecture=("MLA " if mla else "") + ("MoE" if routed else "dense") + f" ({model_type or 'unnamed type'})",
        hidden_size=hidden,
        layers=layers,
        kinds=tuple(kinds),
        kind_of_layer=tuple(kind_of_layer),
        attention_heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        mla=mla,
        ffn_widths=tuple(sorted({part.rest.width for part in parts if part.rest and part.rest.width})),
        expert_ffn_width=routed[-1].width if routed else 0,
        vocabulary=vocabulary,
        tied_embeddings=tied,
        max_context_tokens=config.count("max_position_embeddings", "n_positions", "max_seq_len", default=2048),
        native_weight_format=native,
        native_dtype="fp16" if native_dtype == "fp16" else "bf16",
        linear_format=native if not routed or native not in {"mxfp4", "nvfp4"} else sixteen,
        expert_format=native,
        embedding_bytes=2 * vocabulary * hidden,
        head_bytes=0 if tied else 2 * vocabulary * hidden,
        output_parameters=hidden,
        quantization=_quantization(config, native),
    )


BYTES: dict[str, Fraction] = {
    **dict.fromkeys(("fp16", "bf16"), Fraction(2)),
    **dict.fromkeys(("fp8", "int8"), Fraction(1)),
    **{f"int{bits}": Fraction(bits * 128 + 16 + bits, 128 * 8) for bits in (2, 3, 4, 5, 6)},
    "mxfp4": Fraction(17, 32),
    "nvfp4": Fraction(9, 16),
}


def _kind(part: LayerParts, norms: int, hidden: int, native: WeightFormat) -> LayerKind:
    """A layer's halves added up; a single norm stands before both halves and counts as attention's."""
    attention, rest = part.attention or Attention(), part.rest or Half()
    ffn_unquantized = rest.unquantized + (norms // 2 * hidden if part.rest else 0)
    experts = rest.experts
    one = BYTES[native]
    linear = Fraction(2) if experts and native == "mxfp4" else Fraction(1) if experts and native == "nvfp4" else one
    small = attention.unquantized + ((norms - norms // 2) * hidden if part.attention else 0) + ffn_unquantized
    return LayerKind(
        sharded_parameters=attention.sharded + rest.sharded,
        key_value_parameters=attention.key_value,
        replicated_parameters=attention.replicated,
        unquantized_parameters=small,
        experts=experts.count if experts else 0,
        experts_per_token=experts.per_token if experts else 0,
        expert_parameters=experts.parameters if experts else 0,
        kv_values_per_token_per_kv_head=attention.kv_per_kv_head,
        kv_values_per_token_replicated=attention.kv_replicated,
        window_tokens=part.window_tokens,
        state_values_per_sequence=attention.state,
        state_values_replicated=attention.state_replicated,
        attention_flop_width=attention.flop_width,
        prefill_flop_width=attention.prefill_flop_width,
        ffn_sharded_parameters=rest.sharded,
        ffn_unquantized_parameters=ffn_unquantized,
        sharded_bytes=math.ceil((attention.sharded + rest.sharded) * linear),
        key_value_bytes=math.ceil(attention.key_value * linear),
        replicated_bytes=math.ceil(attention.replicated * linear),
        unquantized_bytes=2 * small,
        expert_bytes=math.ceil(experts.parameters * one) if experts else 0,
        ffn_sharded_bytes=math.ceil(rest.sharded * linear),
        ffn_unquantized_bytes=2 * ffn_unquantized,
    )


def _native_format(config: Config, dtype: str) -> WeightFormat:
    """The format of the published checkpoint's linear layers."""
    quantization = config.values.get("quantization_config")
    if config.values.get("expert_dtype") == "fp4":
        # DeepSeek-V4: experts in 4 bit, the rest in fp8, as nvfp4 checkpoints have it (whose scales take more, not less).
        return "nvfp4"
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


def _quantization(config: Config, native: WeightFormat) -> Quantization | None:
    stated = config.values.get("quantization_config")
    if not isinstance(stated, Mapping):
        return None
    block, group = stated.get("weight_block_size"), stated.get("group_size")
    return Quantization(
        method=str(stated.get("quant_method", "")),
        weight_format=native,
        weight_block=(int(block[0]), int(block[1])) if isinstance(block, list) and len(block) == 2 else None,
        group_size=group if isinstance(group, int) and group > 0 else None,
        ignored=tuple(str(n) for n in stated.get("modules_to_not_convert") or stated.get("ignore") or ()),
    )
