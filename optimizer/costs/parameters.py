"""Per-layer-kind quantities one GPU holds or computes, for each shape: arrays (S, K). ``docs/model.md``, section 2."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from optimizer.catalog.constants import CostConstants
from optimizer.costs.shapes import Floats, Ints, ShapeTable
from optimizer.facts.hardware import GpuFacts
from optimizer.facts.model import ModelFacts
from optimizer.facts.problem import Problem

KV_BYTES = {"fp16": 2, "bf16": 2, "fp8": 1}
KV_BLOCK_TOKENS = 16
VOCABULARY_PADDING = 64


def peak_flops(gpu: GpuFacts, constants: CostConstants, preferences: tuple[str, ...]) -> float:
    """FLOP/s to plan with for a matrix product: the 16-bit peak times the speed-up of the first preferred format there is."""
    rates = {str(k): v for k, v in gpu.dense_tflops.items()}
    peak16 = rates.get("bf16", rates.get("fp16", 0.0))
    found = next((rates[name] for name in preferences if name in rates and name not in {"bf16", "fp16"}), peak16)
    ratio = found / peak16
    speedup = 1.0 if ratio < 1.5 else constants.speedup_8bit if ratio < 2.5 else constants.speedup_4bit
    return peak16 * speedup * 1e12


@dataclass(frozen=True, slots=True)
class LayerArrays:
    """Bytes, parameters and FLOP widths per layer of each kind, on one GPU of each shape."""

    linear_parameters: Floats  # (S, K) p_lin
    resident_bytes: npt.NDArray[
        np.longdouble
    ]  # (S, K) w: weights of a layer, experts included, to a fraction of a byte
    read_bytes: Floats  # (S, K) weights a decode step reads, experts excluded
    kv_bytes_per_token: Floats  # (S, K) kappa
    state_bytes: Floats  # (S, K) per sequence
    embedding_bytes: Floats  # (S,) e
    experts: Ints  # (K,)
    experts_per_token: Ints  # (K,)
    expert_parameters: Ints  # (K,)
    windows: Ints  # (K,)
    decode_width: Ints  # (K,)
    prefill_width: Ints  # (K,)
    linear_bytes: Floats  # (S,)
    expert_bytes: Floats  # (S,)
    linear_peak: Floats  # (S,) FLOP/s of linear products
    expert_peak: Floats  # (S,) FLOP/s of expert products
    peak16: float


def layer_arrays(problem: Problem, constants: CostConstants, table: ShapeTable) -> LayerArrays:
    """Everything in section 2 that does not depend on the stage."""
    model, gpu = problem.model, problem.hardware.gpu
    tp = table.tp[:, None].astype(np.float64)
    b_lin, b_exp, linear_peak, expert_peak = _formats(model, gpu, constants, table)
    kv_per_gpu = np.maximum(1, -(-model.kv_heads // table.tp))[:, None]
    kinds = model.kinds
    sharded = np.array([k.sharded_parameters for k in kinds], dtype=np.float64)
    key_value = np.array([k.key_value_parameters for k in kinds], dtype=np.float64)
    replicated = np.array([k.replicated_parameters for k in kinds], dtype=np.float64)
    small = np.array([k.unquantized_parameters for k in kinds], dtype=np.float64)
    experts = np.array([k.experts for k in kinds], dtype=np.int64)
    expert_parameters = np.array([k.expert_parameters for k in kinds], dtype=np.int64)
    linear = sharded / tp.astype(np.longdouble) + key_value * kv_per_gpu / model.kv_heads + replicated
    read = linear * b_lin[:, None] + small * 2
    spread = (expert_parameters * experts) * b_exp[:, None] / table.expert_gpus[:, None].astype(np.longdouble)
    kv_byte = np.array([KV_BYTES[s.kv_format] for s in table.shapes], dtype=np.float64)[:, None]
    per_head = np.array([k.kv_values_per_token_per_kv_head for k in kinds], dtype=np.float64)
    latent = np.array([k.kv_values_per_token_replicated for k in kinds], dtype=np.float64)
    state = np.array([k.state_values_per_sequence for k in kinds], dtype=np.float64)
    state_everywhere = np.array([k.state_values_replicated for k in kinds], dtype=np.float64)
    padded = -(-model.vocabulary // VOCABULARY_PADDING) * VOCABULARY_PADDING
    return LayerArrays(
        linear_parameters=linear.astype(np.float64),
        resident_bytes=(read + spread).astype(np.longdouble),
        read_bytes=read.astype(np.float64),
        kv_bytes_per_token=(per_head * kv_per_gpu + latent) * kv_byte,
        state_bytes=(state / tp + state_everywhere) * 2,
        embedding_bytes=padded * model.hidden_size * 2 / table.tp,
        experts=experts,
        experts_per_token=np.array([k.experts_per_token for k in kinds], dtype=np.int64),
        expert_parameters=expert_parameters,
        windows=np.array([k.window_tokens for k in kinds], dtype=np.int64),
        decode_width=np.array([k.attention_flop_width for k in kinds], dtype=np.int64),
        prefill_width=np.array([k.prefill_flop_width for k in kinds], dtype=np.int64),
        linear_bytes=b_lin,
        expert_bytes=b_exp,
        linear_peak=linear_peak,
        expert_peak=expert_peak,
        peak16=peak_flops(gpu, constants, ()),
    )


def _formats(
    model: ModelFacts, gpu: GpuFacts, constants: CostConstants, table: ShapeTable
) -> tuple[Floats, Floats, Floats, Floats]:
    """(bytes per linear parameter, per expert parameter, linear FLOP/s, expert FLOP/s) of each shape's weight format."""
    peak16 = peak_flops(gpu, constants, ())
    by_format: dict[str, tuple[float, float, float, float]] = {}
    for name in {shape.weight_format for shape in table.shapes}:
        entry = constants.formats[name]
        peak = peak_flops(gpu, constants, entry.compute)
        # 4-bit checkpoints of MoE models convert the routed experts only: gpt-oss keeps the rest in 16 bit, nvfp4 ones in fp8.
        if name == "mxfp4" and model.experts > 0:
            by_format[name] = (2.0, entry.expert, peak16, peak)
        elif name == "nvfp4" and model.experts > 0:
            eight = constants.formats["fp8"]
            by_format[name] = (eight.linear, entry.expert, peak_flops(gpu, constants, eight.compute), peak)
        else:
            by_format[name] = (entry.linear, entry.expert, peak, peak)
    values = np.array([by_format[shape.weight_format] for shape in table.shapes], dtype=np.float64).reshape(-1, 4)
    return values[:, 0], values[:, 1], values[:, 2], values[:, 3]
