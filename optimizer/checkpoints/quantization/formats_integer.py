"""Integer weights in groups: AWQ, GPTQ, AutoRound, HQQ, MLX, ExLlama, and GGUF's mixes by file type."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from optimizer.checkpoints.quantization.names import Entries
from optimizer.checkpoints.quantization.plan import QuantizationPlan
from optimizer.checkpoints.quantization.stated import StatedQuantization
from optimizer.checkpoints.quantization.storage import (
    Storage,
    average,
    eight,
    grouped,
    integer_format,
    mxfp4,
    nvfp4,
)

WIDTHS = (2, 3, 4, 5, 6, 8)
# Mean bits a weight by file type, embedding and head included: llama.cpp, tools/quantize/README.md (Llama-3.1-8B); the
# plain block formats by their blocks of 32 (ggml-common.h).
GGUF_BITS = {
    "f16": "16", "bf16": "16", "q8_0": "8.5", "q6_k": "6.5633", "q5_k_m": "5.7036", "q5_k_s": "5.5704", "q5_0": "5.5",
    "q5_1": "6", "q4_k_m": "4.8944", "q4_k_s": "4.6672", "q4_0": "4.5", "q4_1": "5", "q3_k_l": "4.2979",
    "q3_k_m": "3.9960", "q3_k_s": "3.6429", "q2_k": "3.1593", "iq4_nl": "4.6818", "iq4_xs": "4.4597", "iq3_m": "3.7628",
    "iq3_s": "3.6606", "iq3_xs": "3.4977", "iq3_xxs": "3.2548", "iq2_m": "2.9294", "iq2_s": "2.7403", "iq2_xs": "2.5882",
    "iq2_xxs": "2.3824", "iq1_m": "2.1460", "iq1_s": "2.0042",
}  # fmt: skip
GGUF_NUMBERS = {
    1: "f16", 2: "q4_0", 3: "q4_1", 7: "q8_0", 8: "q5_0", 9: "q5_1", 10: "q2_k", 11: "q3_k_s", 12: "q3_k_m", 13: "q3_k_l",
    14: "q4_k_s", 15: "q4_k_m", 16: "q5_k_s", 17: "q5_k_m", 18: "q6_k", 19: "iq2_xxs", 20: "iq2_xs", 22: "iq3_xs", 23: "iq3_xxs",
    24: "iq1_s", 25: "iq4_nl", 26: "iq3_s", 27: "iq3_m", 28: "iq2_s", 29: "iq2_m", 30: "iq4_xs", 31: "iq1_m", 32: "bf16",
}  # fmt: skip
"""``general.file_type`` of a file (llama.cpp, include/llama.h, llama_ftype)."""
GGUF_SHORT = {"q3_k": "q3_k_m", "q4_k": "q4_k_m", "q5_k": "q5_k_m"}
"""Shorter names of the medium mixes (llama.cpp, tools/quantize)."""


def awq(stated: StatedQuantization) -> QuantizationPlan:
    """AWQ: a 16-bit scale and, unless ``zero_point`` is false, a zero of the weights' width for each group."""
    bits = stated.bits("bits", "w_bit", default=4, allowed=(4, 8))
    zero = bits if stated.values.get("zero_point", True) else 0
    group = stated.whole("q_group_size") or stated.group()
    return QuantizationPlan.of(stated.method, grouped(bits, group, 16 + zero), ignored=stated.ignored())


def gptq(stated: StatedQuantization) -> QuantizationPlan:
    """GPTQ: scales, packed zeros and an index per input are always stored; ``dynamic`` (GPTQModel) excepts modules."""
    bits, group = stated.bits("bits", allowed=WIDTHS), stated.group()
    default = grouped(bits, group, 16 + bits, input_bytes=4)
    overrides: list[tuple[Entries, Storage | None]] = []
    dynamic = stated.values.get("dynamic")
    for pattern, change in dynamic.items() if isinstance(dynamic, Mapping) else ():
        entries = stated.entries([f"re:.*(?:{pattern[2:] if pattern[:2] in ('+:', '-:') else pattern})"])
        if pattern.startswith("-:"):
            overrides.append((entries, None))
        elif isinstance(change, Mapping):
            part = stated.inside(f"dynamic.{pattern}", change)
            own, size = part.bits("bits", default=bits, allowed=(*WIDTHS, 16)), part.group(group)
            overrides.append((entries, None if own == 16 else grouped(own, size, 16 + own, input_bytes=4)))
    head = default if stated.values.get("lm_head") is True else None
    return QuantizationPlan.of(stated.method, default, ignored=stated.ignored(), overrides=tuple(overrides), head=head)


def auto_round(stated: StatedQuantization) -> QuantizationPlan:
    """Intel AutoRound: integers packed as GPTQ or AWQ pack them, or microscaling formats by ``data_type``."""
    kind = str(stated.values.get("data_type", "int")).lower()
    if "nv_fp" in kind:
        default = nvfp4()
    elif "mx_fp" in kind:
        default = mxfp4("mxfp4")
    elif "fp8" in kind or ("fp" in kind and stated.values.get("bits") == 8):
        default = eight("fp8", block=stated.block(), output_bytes=0 if stated.block() else 2)
    else:
        bits = stated.bits("bits", allowed=WIDTHS)
        default = grouped(bits, stated.group(), 16 + bits)
    overrides: list[tuple[Entries, Storage | None]] = []
    extra = stated.values.get("extra_config")
    for name, change in extra.items() if isinstance(extra, Mapping) else ():
        if isinstance(change, Mapping) and isinstance(change.get("bits"), int):
            part = stated.inside(f"extra_config.{name}", change)
            own, size = part.bits("bits", allowed=(*WIDTHS, 16, 32)), part.group(stated.group())
            overrides.append((stated.entries([name]), None if own >= 16 else grouped(own, size, 16 + own)))
    return QuantizationPlan.of(stated.method, default, ignored=stated.ignored(), overrides=tuple(overrides))


def hqq(stated: StatedQuantization) -> QuantizationPlan:
    """HQQ: a 16-bit scale and a 16-bit zero for each group; ``quant_config`` may differ by module."""
    config = stated.values.get("quant_config")
    config = config if isinstance(config, Mapping) else stated.values
    weights = config.get("weight_quant_params", config)
    if isinstance(weights, Mapping) and ("nbits" in weights or "bits" in weights):
        return QuantizationPlan.of(stated.method, _hqq(stated, weights), ignored=stated.ignored() or _skip(stated))
    overrides = [
        (stated.entries([name]), _hqq(stated, own.get("weight_quant_params", own)))
        for name, own in config.items()
        if isinstance(own, Mapping)
    ]
    if not overrides:
        raise stated.error("quant_config.weight_quant_params.nbits", "is missing; HQQ states its bit width there")
    return QuantizationPlan.of(stated.method, None, overrides=tuple(overrides), ignored=stated.ignored())


def _hqq(stated: StatedQuantization, weights: Mapping[str, Any]) -> Storage:
    own = StatedQuantization(weights, stated.field, stated.method, False, stated.has_experts, stated.model)
    bits = own.bits("nbits", "bits", allowed=(2, 3, 4, 8))
    # Three-bit weights are packed ten to a 32-bit word.
    stored = Fraction(32, 10) if bits == 3 else Fraction(bits)
    return Storage(integer_format(bits), stored, own.group(64) or 64, 32)


def _skip(stated: StatedQuantization) -> tuple[str, ...]:
    listed = stated.values.get("skip_modules")
    return tuple(map(str, listed)) if isinstance(listed, list) else ()


def mlx(stated: StatedQuantization) -> QuantizationPlan:
    """MLX: a 16-bit scale and a 16-bit bias for each group, embedding and head included; entries by module may differ."""
    mode = str(stated.values.get("mode", "affine")).lower()
    default = _mlx(stated, stated.values, mode)
    overrides: list[tuple[Entries, Storage | None]] = []
    top: dict[str, Storage | None] = {"lm_head": default, "embed_tokens": default}
    for name, own in stated.values.items():
        if not (isinstance(own, Mapping | bool) and "." in name):
            continue
        storage = _mlx(stated, own, mode) if isinstance(own, Mapping) else default if own else None
        last = name.rsplit(".", 1)[-1]
        if last in top and "layers." not in name:
            top[last] = storage
        else:
            overrides.append((stated.entries([name]), storage))
    return QuantizationPlan.of(
        stated.method, default, overrides=tuple(overrides), head=top["lm_head"], embedding=top["embed_tokens"]
    )


def _mlx(stated: StatedQuantization, values: Mapping[str, Any], mode: str) -> Storage:
    if mode == "mxfp4":
        return mxfp4()
    if mode == "nvfp4":
        return Storage("nvfp4", Fraction(4), 16, 8)
    if mode == "mxfp8":
        return Storage("fp8", Fraction(8), 32, 8)
    own = StatedQuantization(values, stated.field, stated.method, False, stated.has_experts, stated.model)
    return grouped(own.bits("bits", default=4, allowed=WIDTHS), own.group(64) or 64, 32)


def exllama(stated: StatedQuantization) -> QuantizationPlan:
    """ExLlama v2 and v3: a mean width over the layers, and one for the head; scales are in it."""
    bits = stated.values.get("bits")
    head = stated.values.get("head_bits", 6)
    for key, value in (("bits", bits), ("head_bits", head)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 1 < value <= 16:
            raise stated.error(key, f"{value!r} is no mean bit width from 1 to 16")
    assert bits is not None
    return QuantizationPlan.of(stated.method, _mean(bits), head=_mean(head))


def _mean(bits: float) -> Storage:
    return average(integer_format(min(WIDTHS, key=lambda width: abs(width - bits))), Fraction(str(bits)))


def gguf(stated: StatedQuantization) -> QuantizationPlan:
    """GGUF by file type: mean widths of llama.cpp's mixes, embedding and head included.

    Raises:
        ProblemError: no file type is stated, or it is not known.
    """
    keys = ("file_type", "ftype", "general.file_type", "type")
    key = next((k for k in keys if stated.values.get(k) is not None), "file_type")
    name = str(stated.values.get(key, "")).lower().removeprefix("llama_ftype_").removeprefix("mostly_")
    name = GGUF_NUMBERS.get(int(name), name) if name.isdecimal() and len(name) < 3 else GGUF_SHORT.get(name, name)
    if name not in GGUF_BITS:
        raise stated.error(key, f"{name!r} is no GGUF file type that is known; known: {', '.join(GGUF_BITS)}")
    bits = Fraction(GGUF_BITS[name])
    if bits == 16:
        return QuantizationPlan.of(stated.method, None)
    # Named after the width of its bulk: Q4_K_M is a four-bit mix although its mean is nearer to five.
    width = min(WIDTHS, key=lambda known: abs(known - int(re.sub(r"\D", "", name)[0])))
    one = average(integer_format(width), bits)
    note = f"GGUF {name.upper()} is counted at its mean of {float(bits):g} bits a weight; its tensors differ"
    return QuantizationPlan.of(stated.method, one, head=one, embedding=one, notes=(note,))


def w4afp8(stated: StatedQuantization) -> QuantizationPlan:
    """SGLang's W4AFP8: routed experts in 4-bit groups of 128 with fp8 inputs, the rest in fp8."""
    experts = grouped(4, stated.group(), 16, activation="fp8")
    rest = eight("fp8", block=stated.block() or (128, 128), activation="fp8")
    return QuantizationPlan.of(stated.method, rest, experts=experts, ignored=stated.ignored())
