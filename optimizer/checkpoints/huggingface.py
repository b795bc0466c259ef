"""From a Hugging Face ``config.json`` of a decoder to ``ModelFacts``.

A model type is read only where ``data/families.yaml`` lists it; anything else is refused by name, or read as a listed
family where the person says so (``architecture: like-llama``). Counts are those of the implementations that the list names,
held against models built from them (``tests/checkpoints``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optimizer.checkpoints.assemble import Stores, layer_kinds
from optimizer.checkpoints.config import Config
from optimizer.checkpoints.context import max_context
from optimizer.checkpoints.mtp import mtp_modules
from optimizer.checkpoints.parts import Decoder, Linear
from optimizer.checkpoints.quantization.plan import QuantizationPlan
from optimizer.checkpoints.quantization.read import plan_of
from optimizer.checkpoints.quantization.storage import Storage, sixteen
from optimizer.checkpoints.readers import reader
from optimizer.checkpoints.rotary import rotary_value_bytes, rotary_values
from optimizer.checkpoints.select import Selected, select
from optimizer.checkpoints.towers import towers
from optimizer.facts.derived import following
from optimizer.facts.model import ModelFacts, WeightFormat

DTYPES: dict[str, WeightFormat] = {
    "float16": "fp16", "half": "fp16", "bfloat16": "bf16", "float32": "bf16", "float": "bf16",
}  # fmt: skip


def model_from_config(
    values: Mapping[str, Any], *, name: str, huggingface_id: str = "", field: str = "model"
) -> ModelFacts:
    """Facts of the decoder that ``config.json`` describes.

    Args:
        values: the parsed ``config.json``; of a multimodal one the language model is read, towers are counted beside it.
        name: how answers call the model.
        huggingface_id: what an engine is told to load; empty when unknown.
        field: where the config came from, for error messages.

    Raises:
        ProblemError: the model type or the quantisation is not known, or a key is missing, out of range or inconsistent.
    """
    chosen = select(values, field)
    config, kind = chosen.config, chosen.family
    with following(field):
        decoder = reader(kind.reader)(config, kind)
        native_dtype = _dtype(config)
        has_experts = any(layer.rest and layer.rest.experts for layer in decoder.layers)
        plan = plan_of(chosen.values, field, experts_only=kind.quantized_experts_only, has_experts=has_experts)
        return _facts(chosen, decoder, plan, native_dtype, name=name, huggingface_id=huggingface_id)


def _dtype(config: Config) -> WeightFormat:
    key, dtype = config.first("torch_dtype", "dtype")
    found = DTYPES.get(str(dtype or "bfloat16").removeprefix("torch."))
    if found is None:
        raise config.error(key, f"{dtype!r} is not a 16-bit or 32-bit float type (float16, bfloat16, float32)")
    return found


def _facts(
    chosen: Selected,
    decoder: Decoder,
    plan: QuantizationPlan | None,
    dtype: WeightFormat,
    *,
    name: str,
    huggingface_id: str,
) -> ModelFacts:
    config, stores = chosen.config, Stores(plan, dtype)
    kinds, kind_of_layer = layer_kinds(decoder, stores)
    bulk = stores.most(stores.linear, stores.expert, quantized=True)
    linear = stores.most(stores.linear) or sixteen(dtype)
    expert = stores.most(stores.expert)
    table_bytes = _table(decoder, decoder.embedding_width or decoder.hidden, plan.embedding if plan else None)
    head_bytes = 0 if decoder.tied else _table(decoder, decoder.hidden, plan.head if plan else None)
    more_bytes = _table_bytes(decoder.tables, plan.embedding if plan else None)
    vision, run, vision_notes = towers(chosen, decoder.hidden)
    mtp, mtp_bytes = mtp_modules(chosen, decoder, stores)
    heads = {layer.attention.heads for layer in decoder.layers if layer.attention and layer.attention.heads}
    routed = [layer.rest.experts for layer in decoder.layers if layer.rest and layer.rest.experts]
    outputs, inputs = stores.cut(decoder)
    latent = "MLA " if decoder.mla else ""
    return ModelFacts(
        name=name,
        huggingface_id=huggingface_id,
        architecture=f"{latent}{'MoE' if routed else 'dense'} ({chosen.model_type or 'unnamed type'})",
        hidden_size=decoder.hidden,
        layers=len(decoder.layers),
        kinds=kinds,
        kind_of_layer=kind_of_layer,
        attention_heads=decoder.heads,
        kv_heads=decoder.kv_heads,
        head_dim=decoder.head_dim,
        mla=decoder.mla,
        ffn_widths=tuple(sorted({width for layer in decoder.layers if layer.rest for width in layer.rest.widths})),
        expert_ffn_width=routed[-1].width if routed else 0,
        vocabulary=decoder.vocabulary,
        tied_embeddings=decoder.tied,
        max_context_tokens=max_context(config, chosen.model_type),
        native_weight_format=bulk.weight_format if bulk else dtype,
        native_dtype="fp16" if dtype == "fp16" else "bf16",
        linear_format=linear.weight_format,
        expert_format=(expert or linear).weight_format,
        embedding_width=decoder.embedding_width,
        embedding_bytes=table_bytes,
        head_bytes=head_bytes,
        input_parameters=decoder.input,
        input_bytes=2 * decoder.input,
        table_parameters=decoder.tables,
        table_bytes=more_bytes,
        output_parameters=decoder.output,
        vision_parameters=vision,
        vision_bytes=2 * vision,
        tower_run=run,
        rotary_values=rotary_values(config, chosen.family, decoder),
        rotary_value_bytes=rotary_value_bytes(config),
        mtp_parameters=mtp,
        mtp_bytes=mtp_bytes,
        attention_head_counts=tuple(sorted(heads)) if len(heads) > 1 else (),
        attention_outputs=outputs,
        attention_inputs=inputs,
        quantization=stores.quantization(),
        notes=(*chosen.notes, *decoder.notes, *_defaults_note(chosen), *vision_notes, *_plan_notes(plan)),
    )


def _table(decoder: Decoder, width: int, stored: Storage | None) -> int:
    """Bytes of a table over the vocabulary."""
    return stored.bytes_of(Linear("", width, decoder.vocabulary)) if stored else 2 * decoder.vocabulary * width


def _table_bytes(parameters: int, stored: Storage | None) -> int:
    return stored.bytes_of(Linear("", parameters, 1)) if stored and parameters else 2 * parameters


def _defaults_note(chosen: Selected) -> tuple[str, ...]:
    if not chosen.config.defaulted:
        return ()
    stated = ", ".join(f"{key} = {value:,}" for key, value in chosen.config.defaulted.items())
    return (f"left out of the file and read as the class default of {chosen.model_type} in transformers: {stated}",)


def _plan_notes(plan: QuantizationPlan | None) -> tuple[str, ...]:
    if plan is None:
        return ()
    if plan.kv_cache_format != "nvfp4":
        return plan.notes
    return (*plan.notes, "the file asks for an nvfp4 cache, which is not planned here: the cache is taken in 16 bit")
