"""From ``quantization_config`` (or ``hf_quant_config.json``, or MLX's ``quantization``) to a plan.

Sources: the quantisation configs of transformers 5.24.0 (``utils/quantization_config.py``) and of vLLM
(``model_executor/layers/quantization``), compressed-tensors ``quantization/quant_args.py``, NVIDIA Model Optimizer's and
AMD Quark's export formats; each reader names what differs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from optimizer.checkpoints.quantization import formats_amd_nvidia, formats_integer, formats_other, tensors
from optimizer.checkpoints.quantization.plan import QuantizationPlan
from optimizer.checkpoints.quantization.stated import StatedQuantization
from optimizer.facts.errors import ProblemError, closest

Reader = Callable[[StatedQuantization], QuantizationPlan]

READERS: dict[str, Reader] = {
    "fp8": formats_other.fp8,
    "deepseek_v4_fp8": formats_other.fp8,
    "mxfp8": formats_other.mxfp8,
    "fp_quant": formats_other.fp_quant,
    "blockwise_int8": formats_other.block_int8,
    "fbgemm_fp8": formats_other.fbgemm_fp8,
    "ptpc_fp8": formats_other.channel_fp8,
    "w8a8_fp8": formats_other.channel_fp8,
    "w8a8_int8": formats_other.channel_int8,
    "experts_int8": formats_other.experts_int8,
    "mxfp4": formats_other.mxfp4_experts,
    "bitsandbytes": formats_other.bitsandbytes,
    "eetq": formats_other.channel_int8,
    "quanto": formats_other.quanto,
    "torchao": formats_other.torchao,
    "hqq": formats_integer.hqq,
    "mlx": formats_integer.mlx,
    "exl2": formats_integer.exllama,
    "exl3": formats_integer.exllama,
    "gguf": formats_integer.gguf,
    "awq": formats_integer.awq,
    "awq_marlin": formats_integer.awq,
    "gptq": formats_integer.gptq,
    "gptq_marlin": formats_integer.gptq,
    "gptqmodel": formats_integer.gptq,
    "auto-round": formats_integer.auto_round,
    "auto_round": formats_integer.auto_round,
    "intel/auto-round": formats_integer.auto_round,
    "inc": formats_integer.auto_round,
    "moe_wna16": formats_integer.gptq,
    "w4afp8": formats_integer.w4afp8,
    "compressed-tensors": tensors.compressed_tensors,
    "compressed_tensors": tensors.compressed_tensors,
    "modelopt": formats_amd_nvidia.modelopt,
    "modelopt_fp4": formats_amd_nvidia.modelopt,
    "modelopt_mxfp8": formats_amd_nvidia.modelopt,
    "modelopt_mixed": formats_amd_nvidia.modelopt,
    "nvfp4": formats_amd_nvidia.modelopt,
    "petit_nvfp4": formats_amd_nvidia.modelopt,
    "quark": formats_amd_nvidia.quark,
    "quark_mxfp4": formats_amd_nvidia.quark,
}


def plan_of(values: Mapping[str, Any], field: str, *, experts_only: bool, has_experts: bool) -> QuantizationPlan | None:
    """The plan of a checkpoint; None where it is not quantised.

    Args:
        values: the config, with ``hf_quant_config`` merged in where the folder has one.
        field: where it came from, for error messages.
        experts_only: published checkpoints of the family convert routed experts only.
        has_experts: the model has routed experts.

    Raises:
        ProblemError: the method is not known, or a value of it is not.
    """
    stated, key = _stated(values)
    if stated is None:
        return None
    if not isinstance(stated, Mapping):
        raise ProblemError(f"{field}.{key}", f"{stated!r} is not a mapping")
    method = _method(stated, key, values)
    reader = READERS.get(method)
    if reader is None:
        known = sorted(READERS)
        raise ProblemError(
            f"{field}.{key}.quant_method",
            f"{method!r} is not known; {closest(method, known)}; known: {', '.join(known)}",
        )
    return reader(StatedQuantization(stated, f"{field}.{key}", method, experts_only, has_experts, values))


def _stated(values: Mapping[str, Any]) -> tuple[Any, str]:
    for key in ("quantization_config", "compression_config", "hf_quant_config", "quantization"):
        if values.get(key):
            return values[key], key
    return None, "quantization_config"


def _method(stated: Mapping[str, Any], key: str, values: Mapping[str, Any]) -> str:
    """The method, lower case; files of Model Optimizer and MLX may leave it out."""
    method = str(stated.get("quant_method") or "").lower()
    producer = stated.get("producer")
    if not method and isinstance(producer, Mapping):
        method = str(producer.get("name") or "").lower()
    if not method and (stated.get("quant_algo") or isinstance(stated.get("quantization"), Mapping)):
        method = "modelopt"
    # MLX writes the same mapping under both names, and a mode since 0.29.
    if not method and "bits" in stated and (key == "quantization" or "quantization" in values or "mode" in stated):
        method = "mlx"
    if not method and (stated.get("load_in_4bit") or stated.get("load_in_8bit")):
        method = "bitsandbytes"
    if not method and "config_groups" in stated:
        method = "compressed-tensors"
    return method
