"""NVIDIA Model Optimizer and AMD Quark."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optimizer.checkpoints.quantization.names import Entries
from optimizer.checkpoints.quantization.plan import QuantizationPlan
from optimizer.checkpoints.quantization.stated import StatedQuantization, kv_format
from optimizer.checkpoints.quantization.storage import Storage, eight, grouped, mxfp4, nvfp4
from optimizer.facts.model import KvCacheFormat

MIXED = "modelopt_mixed"
BY_METHOD = {"nvfp4": "NVFP4", "modelopt_fp4": "NVFP4", "petit_nvfp4": "NVFP4", "modelopt_mxfp8": "MXFP8"}


def modelopt(stated: StatedQuantization) -> QuantizationPlan:
    """``config.json``'s flat form or ``hf_quant_config.json``'s nested one; per-module algorithms under ``quantized_layers``.

    Raises:
        ProblemError: the algorithm is missing or not known.
    """
    nested = stated.values.get("quantization")
    values = {**stated.values, **(nested if isinstance(nested, Mapping) else {})}
    own = StatedQuantization(values, stated.field, stated.method, stated.experts_only, stated.has_experts, stated.model)
    # Some methods are named after their one algorithm.
    algorithm = values.get("quant_algo") or BY_METHOD.get(stated.method)
    kv, notes = _modelopt_kv(stated, values)
    layers = values.get("quantized_layers")
    if isinstance(layers, Mapping) and layers:
        # Each expert of each layer has an entry: modules of one algorithm are one list.
        named: dict[Storage, list[str]] = {}
        for name, entry in layers.items():
            if isinstance(entry, Mapping):
                stored = _algorithm(own, entry.get("quant_algo"), entry.get("group_size"))
                named.setdefault(stored, []).append(str(name))
        overrides = tuple((own.entries(names), stored) for stored, names in named.items())
        # Engines have a config of its own for such a checkpoint (``modelopt_mixed``), whatever the file calls its method.
        return QuantizationPlan.of(
            MIXED, None, overrides=overrides, ignored=own.ignored(), kv_cache_format=kv, notes=notes
        )
    if algorithm is None and kv is not None:
        return QuantizationPlan.of(own.method, None, kv_cache_format=kv)
    default = _algorithm(own, algorithm, values.get("group_size"))
    if not own.lists_ignored():
        notes += ("the quantisation lists no exceptions: every linear layer but the head is read as converted",)
    return QuantizationPlan.of(own.method, default, ignored=own.ignored(), kv_cache_format=kv, notes=notes)


def _modelopt_kv(stated: StatedQuantization, values: Mapping[str, Any]) -> tuple[KvCacheFormat | None, tuple[str, ...]]:
    """What the cache is asked to be; a config without ``quant_method`` is not acted on (vLLM ``utils/torch_utils.py``)."""
    asked = kv_format(values.get("kv_cache_scheme") or values.get("kv_cache_quant_algo"))
    nested = isinstance(stated.values.get("quantization"), Mapping)
    if asked and not nested and not stated.values.get("quant_method"):
        note = f"the file asks for a {asked} cache but states no quant_method: engines leave the cache in 16 bit"
        return None, (note,)
    return asked, ()


def _algorithm(stated: StatedQuantization, name: object, group: object) -> Storage:
    text = str(name or "").upper()
    size = group if isinstance(group, int) and not isinstance(group, bool) and group > 0 else 0
    if text in {"NVFP4", "NVFP4_AWQ", "NVFP4_SVDQUANT"}:
        return nvfp4()
    if text == "W4A16_NVFP4":
        return nvfp4(None)
    if text in {"FP8_PB_WO", "FP8_PB_REAL", "FP8_BLOCK_SCALES"}:
        return eight("fp8", block=(128, 128), activation="fp8")
    if text == "FP8_PER_CHANNEL_PER_TOKEN":
        return eight("fp8", output_bytes=4, activation="fp8")
    if text == "FP8":
        return eight("fp8", activation="fp8")
    if text == "MXFP8":
        return Storage("fp8", eight("fp8").bits, 32, 8, activation="fp8")
    if text in {"W4A8_MXFP4_FP8", "MXFP4"}:
        return mxfp4("fp8" if "FP8" in text else None)
    if text in {"W4A16_AWQ", "INT4_AWQ"}:
        return grouped(4, size or 128, 16)
    if text == "W4A8_AWQ":
        return grouped(4, size or 128, 16, activation="fp8")
    if text in {"W8A8_SQ_PER_CHANNEL", "INT8_SQ"}:
        return eight("int8", output_bytes=4, activation="int8")
    known = "FP8, FP8_PB_WO, FP8_PER_CHANNEL_PER_TOKEN, MXFP8, NVFP4, W4A16_NVFP4, W4A8_MXFP4_FP8, W4A16_AWQ, W4A8_AWQ"
    raise stated.error("quant_algo", f"{name!r} is not known; known: {known}")


def quark(stated: StatedQuantization) -> QuantizationPlan:
    """Quark: ``global_quant_config``, then ``layer_quant_config`` by pattern (``layer_type_quant_config`` is by class).

    Raises:
        ProblemError: a weight's dtype is not known.
    """
    whole = stated.values.get("global_quant_config")
    default = _quark(stated, whole if isinstance(whole, Mapping) else {})
    overrides: list[tuple[Entries, Storage | None]] = []
    layers = stated.values.get("layer_quant_config")
    for pattern, own in layers.items() if isinstance(layers, Mapping) else ():
        if isinstance(own, Mapping) and own.get("weight") and not _is_cache(pattern, own):
            overrides.append((stated.entries([pattern]), _quark(stated, own)))
    if default is None and not overrides:
        raise stated.error("global_quant_config.weight", "is missing; Quark states the format of the weights there")
    return QuantizationPlan.of(
        stated.method, default, overrides=tuple(overrides), ignored=stated.ignored(), kv_cache_format=_quark_kv(stated)
    )


def _is_cache(pattern: str, own: Mapping[str, Any]) -> bool:
    """Entries for k_proj and v_proj repeat the weights' format to add that of the cache."""
    return bool(own.get("output_tensors")) and any(name in pattern for name in ("k_proj", "v_proj", "kv"))


def _quark(stated: StatedQuantization, own: Mapping[str, Any]) -> Storage | None:
    weight = own.get("weight")
    # Several stages (INT4-FP8: rounded to fp8, then to int4): the last is what is stored.
    weight = weight[-1] if isinstance(weight, list) and weight else weight
    if not isinstance(weight, Mapping):
        return None
    dtype, scheme = str(weight.get("dtype", "")).lower(), str(weight.get("qscheme", "")).lower()
    inputs = own.get("input_tensors")
    inputs = inputs[0] if isinstance(inputs, list) and inputs else inputs
    active = str(inputs.get("dtype", "")).lower() if isinstance(inputs, Mapping) else ""
    group = weight.get("group_size")
    size = group if isinstance(group, int) and group > 0 else 0
    if dtype in {"fp4", "mxfp4", "float4"}:
        return mxfp4("mxfp4" if "fp4" in active else "fp8" if "fp8" in active else None)
    if dtype.startswith("fp8"):
        return eight("fp8", output_bytes=4 if "channel" in scheme else 0, activation="fp8" if "fp8" in active else None)
    if dtype in {"int8", "uint8"}:
        return eight("int8", output_bytes=4, activation="int8" if "int8" in active else None)
    if dtype in {"int4", "uint4"}:
        zero = 0 if weight.get("symmetric") else 4
        return grouped(4, size or (0 if "channel" in scheme else 128), 16 + zero)
    known = "fp8_e4m3, int8, int4, uint4, fp4"
    raise stated.error("global_quant_config.weight.dtype", f"{weight.get('dtype')!r} is not known; known: {known}")


def _quark_kv(stated: StatedQuantization) -> KvCacheFormat | None:
    """Quark states the cache as the output of the key and value projections, or by name."""
    for name in ("kv_cache_quant_config", "layer_quant_config"):
        layers = stated.values.get(name)
        for pattern, own in layers.items() if isinstance(layers, Mapping) else ():
            if isinstance(own, Mapping) and _is_cache(pattern, own):
                outputs = own["output_tensors"]
                outputs = outputs[0] if isinstance(outputs, list) else outputs
                if isinstance(outputs, Mapping) and str(outputs.get("dtype", "")).lower().startswith("fp8"):
                    return "fp8"
    return None
