"""Eight-bit formats, gpt-oss's mxfp4, bitsandbytes, torchao and quanto."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from optimizer.checkpoints.quantization.plan import QuantizationPlan
from optimizer.checkpoints.quantization.stated import StatedQuantization
from optimizer.checkpoints.quantization.storage import Activation, Storage, eight, grouped, mxfp4, nvfp4


def fp8(stated: StatedQuantization) -> QuantizationPlan:
    """fp8 with a scale per block or per tensor; DeepSeek-V4's experts are mxfp4 (``expert_dtype``)."""
    default = eight("fp8", block=stated.block(), activation="fp8")
    experts = mxfp4("fp8") if str(stated.model.get("expert_dtype", "")).lower() == "fp4" else None
    return _with_converted_experts(stated, default, experts)


def mxfp8(stated: StatedQuantization) -> QuantizationPlan:
    """MXFP8: an 8-bit scale for each 32 weights (OCP Microscaling Formats v1.0)."""
    return _with_converted_experts(stated, Storage("fp8", Fraction(8), 32, 8, activation="fp8"), None)


def _with_converted_experts(stated: StatedQuantization, default: Storage, experts: Storage | None) -> QuantizationPlan:
    """A plan whose routed experts Model Optimizer has converted once more where ``moe_quant_algo`` says so.

    Its list of exceptions is then of that conversion: what it names stays in the default format (SGLang 0.5.23,
    ``configs/model_config.py``: hybrid NVFP4 experts).
    """
    again = str(stated.values.get("moe_quant_algo") or "").upper()
    if not again:
        return QuantizationPlan.of(stated.method, default, experts=experts, ignored=stated.ignored())
    if again != "NVFP4":
        raise stated.error("moe_quant_algo", f"{stated.values['moe_quant_algo']!r} is not known; NVFP4 is")
    own = stated.inside(
        "moe_quant_algo",
        {key: value for key, value in stated.values.items() if key not in ("ignore", "exclude_modules")},
    )
    return QuantizationPlan.of(stated.method, default, experts=nvfp4(), ignored=own.ignored())


def fp_quant(stated: StatedQuantization) -> QuantizationPlan:
    """FP-Quant (arXiv 2509.23202): NVFP4 or MXFP4 by the type of the forward pass.

    Raises:
        ProblemError: another type.
    """
    kind = str(stated.values.get("forward_dtype") or "nvfp4").lower()
    if kind not in {"nvfp4", "mxfp4"}:
        raise stated.error("forward_dtype", f"{stated.values['forward_dtype']!r} is not known; nvfp4 and mxfp4 are")
    return QuantizationPlan.of(stated.method, nvfp4() if kind == "nvfp4" else mxfp4("mxfp4"), ignored=stated.ignored())


def block_int8(stated: StatedQuantization) -> QuantizationPlan:
    """SGLang's blockwise int8: a 32-bit scale for each block."""
    storage = eight("int8", block=stated.block() or (128, 128), activation="int8")
    return QuantizationPlan.of(stated.method, storage, ignored=stated.ignored())


def fbgemm_fp8(stated: StatedQuantization) -> QuantizationPlan:
    """Meta's fp8: a 32-bit scale per output."""
    return QuantizationPlan.of(stated.method, eight("fp8", output_bytes=4, activation="fp8"), ignored=stated.ignored())


def channel_fp8(stated: StatedQuantization) -> QuantizationPlan:
    """fp8 with a 32-bit scale per output."""
    return QuantizationPlan.of(stated.method, eight("fp8", output_bytes=4, activation="fp8"), ignored=stated.ignored())


def channel_int8(stated: StatedQuantization) -> QuantizationPlan:
    """int8 with a 32-bit scale per output."""
    rounded = stated.method.startswith("w8a8")
    storage = eight("int8", output_bytes=4, activation="int8" if rounded else None)
    return QuantizationPlan.of(stated.method, storage, ignored=stated.ignored())


def experts_int8(stated: StatedQuantization) -> QuantizationPlan:
    """vLLM's experts_int8: routed experts become int8 with a scale per output; a dense model stays in 16 bit."""
    note = () if stated.has_experts else ("experts_int8 converts routed experts only; this model has none",)
    return QuantizationPlan.of(stated.method, None, experts=eight("int8", output_bytes=4), notes=note)


def mxfp4_experts(stated: StatedQuantization) -> QuantizationPlan:
    """gpt-oss: routed experts only, whatever else the list of exceptions leaves."""
    if not stated.has_experts:
        return QuantizationPlan.of(stated.method, mxfp4(), ignored=stated.ignored())
    return QuantizationPlan.of(stated.method, None, experts=mxfp4(), ignored=stated.ignored())


def bitsandbytes(stated: StatedQuantization) -> QuantizationPlan:
    """bitsandbytes: nf4 or fp4 with a 32-bit scale per 64 weights (8 bit where scales are quantised again), or int8."""
    skipped = stated.ignored()
    if stated.values.get("load_in_8bit") or stated.values.get("_load_in_8bit"):
        return QuantizationPlan.of(stated.method, eight("int8", output_bytes=4, activation="int8"), ignored=skipped)
    if not (stated.values.get("load_in_4bit") or stated.values.get("_load_in_4bit")):
        raise stated.error("load_in_4bit", "neither load_in_4bit nor load_in_8bit is true; one of them has to be")
    double = bool(stated.values.get("bnb_4bit_use_double_quant"))
    # Scales of groups of 64 in 32 bit, or in 8 bit with a 32-bit scale for 256 of them.
    scale = Fraction(8, 64) + Fraction(32, 64 * 256) if double else Fraction(32, 64)
    return QuantizationPlan.of(stated.method, Storage("int4", 4 + scale), ignored=skipped)


def quanto(stated: StatedQuantization) -> QuantizationPlan:
    """Quanto: 8-bit formats with a scale per output, narrower integers in groups of 128."""
    weights = str(stated.values.get("weights", "int8")).lower()
    if weights in {"int8", "float8"}:
        storage = eight("int8" if weights == "int8" else "fp8", output_bytes=2)
    elif weights in {"int4", "int2"}:
        storage = grouped(int(weights[3:]), 128, 32)
    else:
        raise stated.error("weights", f"{weights!r} is not known; int2, int4, int8 and float8 are")
    return QuantizationPlan.of(stated.method, storage, ignored=stated.ignored())


def torchao(stated: StatedQuantization) -> QuantizationPlan:
    """torchao: the configuration's class says the format, of every linear layer or by module (``FqnToConfig``, with ``_default``).

    Raises:
        ProblemError: a class is not known.
    """
    kind = stated.values.get("quant_type")
    more = stated.values.get("quant_type_kwargs")
    if not isinstance(kind, Mapping):
        own = {"_type": kind, "_data": more if isinstance(more, Mapping) else {}}
        return QuantizationPlan.of(stated.method, _torchao(stated, own), ignored=stated.ignored())
    inner = kind.get("default", kind)
    inner = inner if isinstance(inner, Mapping) else {}
    data = inner.get("_data")
    by_module = (
        next(
            (data[key] for key in ("fqn_to_config", "module_fqn_to_config") if isinstance(data.get(key), Mapping)), None
        )
        if isinstance(data, Mapping)
        else None
    )
    if by_module is None:
        return QuantizationPlan.of(stated.method, _torchao(stated, inner), ignored=stated.ignored())
    stores = {name: _torchao(stated, own) if isinstance(own, Mapping) else None for name, own in by_module.items()}
    default = stores.pop("_default", None)
    top = {place: stores.get(place, stores.get(f"model.{place}")) for place in ("lm_head", "embed_tokens")}
    layered = {name: storage for name, storage in stores.items() if "layers" in name or name.startswith("re:")}
    return QuantizationPlan.of(
        stated.method,
        default,
        overrides=tuple((stated.entries([name]), storage) for name, storage in layered.items()),
        ignored=stated.ignored(),
        head=top["lm_head"],
        embedding=top["embed_tokens"],
    )


def _torchao(stated: StatedQuantization, own: Mapping[str, Any]) -> Storage:
    """How one configuration stores weights; 4-bit ones have a 16-bit scale and zero per group."""
    data = own.get("_data")
    options = data if isinstance(data, Mapping) else {}
    name = re.sub(r"[^a-z0-9]", "", str(own.get("_type", "")).lower()).removesuffix("config")
    group = stated.inside("quant_type", options).whole("group_size")
    if "intxweight" in name:
        return _intx(stated, options, "int8" if "int8dynamic" in name else None)
    formats: dict[str, Storage] = {
        "int4weightonly": grouped(4, group or 128, 32),
        "int8weightonly": eight("int8", output_bytes=2),
        "int8dynamicactivationint8weight": eight("int8", output_bytes=4, activation="int8"),
        "int8dynamicactivationint4weight": grouped(4, group or 32, 32, activation="int8"),
        "float8weightonly": eight("fp8", output_bytes=4),
        "float8dynamicactivationfloat8weight": eight("fp8", output_bytes=4, activation="fp8"),
        "float8staticactivationfloat8weight": eight("fp8", output_bytes=4, activation="fp8"),
        "float8dynamicactivationint4weight": grouped(4, group or 128, 16, activation="fp8"),
    }
    if name not in formats:
        known = ", ".join((*sorted(formats), "intxweightonly, int8dynamicactivationintxweight, fqn_to_config"))
        raise stated.error("quant_type", f"{own.get('_type')!r} is not known; known: {known}")
    return formats[name]


def _intx(stated: StatedQuantization, options: Mapping[str, Any], activation: Activation) -> Storage:
    """Integers of any width, by group or by output."""
    dtype = options.get("weight_dtype")
    dtype = str(dtype.get("_data") if isinstance(dtype, Mapping) else dtype).removeprefix("torch.")
    if dtype not in {"int8", "int4"}:
        raise stated.error("quant_type.weight_dtype", f"{dtype!r} is not known; int8 and int4 are")
    granularity = next((options[key] for key in ("weight_granularity", "granularity") if key in options), None)
    inner = granularity.get("_data") if isinstance(granularity, Mapping) else None
    size = stated.inside("quant_type", inner).whole("group_size") if isinstance(inner, Mapping) else 0
    if dtype == "int8" and not size:
        return eight("int8", output_bytes=2, activation=activation)
    width = 8 if dtype == "int8" else 4
    return grouped(width, size or 32, 16, activation=activation)
