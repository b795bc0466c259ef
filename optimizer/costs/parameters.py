"""Per-layer-kind quantities one GPU holds or computes, for each shape: arrays (S, K). ``docs/model.md``, section 2.

Other homes: ``verify/common/layer.py``, ``verify/common/weights.py``; docs/model.md, section 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from optimizer.catalog.constants import CostConstants
from optimizer.costs.loaded import beyond_checkpoint
from optimizer.costs.shapes import Bools, Floats, Ints, ShapeTable
from optimizer.engines.kernels import kernels_of
from optimizer.engines.memory import overhead_on
from optimizer.facts.hardware import GpuFacts
from optimizer.facts.model import ModelFacts
from optimizer.facts.problem import Problem
from optimizer.facts.workload import KV_BLOCK_TOKENS

KV_BYTES = {"fp16": 2, "bf16": 2, "fp8": 1, "fp8_e5m2": 1, "int8": 1}
VOCABULARY_PADDING = 64
NARROW_BYTES = (1.5, 0.75)
"""Bytes per parameter below which a format counts as 8 and as 4 bits wide."""


def peak_flops(gpu: GpuFacts, constants: CostConstants, preferences: tuple[str, ...]) -> float:
    """FLOP/s to plan with for a matrix product: the 16-bit peak times the speed-up of the first preferred format there is."""
    rates = {str(k): v for k, v in gpu.dense_tflops.items()}
    peak16 = rates.get("bf16", rates.get("fp16", 0.0))
    found = next((rates[name] for name in preferences if name in rates and name not in {"bf16", "fp16"}), peak16)
    ratio = found / peak16
    shares = constants.generations[gpu.kernel_generation]
    if ratio >= 2.5:
        return peak16 * constants.speedup_4bit * (shares.flops_4bit or shares.flops) * 1e12
    return peak16 * (1.0 if ratio < 1.5 else constants.speedup_8bit) * shares.flops * 1e12


def read_bandwidth(gpu: GpuFacts, constants: CostConstants, bytes_per_parameter: float) -> float:
    """Bytes per millisecond to plan with when weights of such a width stream in; times ETA_BW."""
    narrow = 1.0
    if bytes_per_parameter < NARROW_BYTES[0]:
        narrow = constants.bandwidth_8bit if bytes_per_parameter >= NARROW_BYTES[1] else constants.bandwidth_4bit
    return gpu.memory_bandwidth_gb_per_s * 1e6 * constants.generations[gpu.kernel_generation].bandwidth * narrow


LongFloats = npt.NDArray[np.longdouble]
"""Bytes that the memory of a GPU sums to the byte."""


@dataclass(frozen=True, slots=True)
class LayerArrays:
    """Bytes, parameters and FLOP widths per layer of each kind, on one GPU of each shape."""

    linear_parameters: Floats  # (S, K) p_lin
    resident_bytes: LongFloats  # (S, K) w: weights of a layer, experts and what engines hold beyond them included
    beyond_bytes: Ints  # (S, K) the part of resident_bytes that no checkpoint holds
    read_bytes: Floats  # (S, K) weights a decode step reads, experts excluded
    kv_bytes_per_token: Floats  # (S, K) kappa, of this GPU's share of the tokens
    state_bytes: Floats  # (S, K) per sequence
    unread_bytes: Floats  # (S, K) per sequence, beside state_bytes
    in_flight_bytes: Floats  # (K,) per token of a prompt's steps that are not done
    embedding_bytes: LongFloats  # (S,) e
    head_bytes: LongFloats  # (S,) the same of the output head
    head_parameters: Floats  # (S,)
    first_bytes: LongFloats  # (S,) beside the embedding on the first stage, towers included
    tower_bytes: LongFloats  # (S,) of vision towers, which engines load on every stage
    last_bytes: int  # beside the head on the last stage
    experts: Ints  # (K,)
    experts_per_token: Ints  # (K,)
    expert_parameters: Ints  # (K,)
    windows: Ints  # (K,)
    decode_width: Ints  # (K,)
    prefill_width: Ints  # (K,)
    linear_bytes: Floats  # (S, K) of all linear parameters beside experts
    small_bytes: Floats  # (S, K) of what stays in 16 bit
    attention_launch_ms: Floats  # (K,) beside T_LAYER, for what kind of attention it is
    one_expert_bytes: Floats  # (S, K) of one routed expert
    loaded_expert_bytes: Floats  # (S, K) the same as the engine's kernels pad it
    linear_peak: Floats  # (S,) FLOP/s of linear products
    expert_peak: Floats  # (S,) FLOP/s of expert products
    peak16: float
    linear_bandwidth: Floats  # (S,) bytes/ms of linear weights, times ETA_BW
    expert_bandwidth: Floats  # (S,) bytes/ms of expert weights, times ETA_EXPERT_BW
    bandwidth: float  # bytes/ms of what is kept in 16 bit
    expert_width: int  # FFN width of a whole expert


def layer_arrays(problem: Problem, constants: CostConstants, table: ShapeTable) -> LayerArrays:
    """Everything in section 2 that does not depend on the stage."""
    model, gpu = problem.model, problem.hardware.gpu
    tp = table.tp[:, None].astype(np.float64)
    b_lin, b_exp, linear_peak, expert_peak = _formats(model, gpu, constants, table)
    own = np.array([shape.weight_format == model.native_weight_format for shape in table.shapes])[:, None]
    kinds = model.kinds
    kv_heads = np.array([k.kv_heads or model.kv_heads for k in kinds], dtype=np.int64)[None, :]
    kv_per_gpu = np.maximum(1, -(-kv_heads // table.tp[:, None]))

    def of(name: str) -> Floats:
        return np.array([getattr(k, name) for k in kinds], dtype=np.float64)

    def per_gpu(unit: str) -> LongFloats:
        key_value = of(f"key_value_{unit}") * kv_per_gpu / kv_heads
        held: LongFloats = of(f"sharded_{unit}") / tp.astype(np.longdouble) + key_value + of(f"replicated_{unit}")
        return held

    linear = per_gpu("parameters")
    small, experts, expert_parameters = of("unquantized_parameters"), of("experts"), of("expert_parameters")
    # As the checkpoint stores them, or converted to another format.
    linear_bytes = np.where(own, per_gpu("bytes"), linear * b_lin[:, None])
    small_bytes = np.where(own, of("unquantized_bytes"), small * 2)
    one_expert_bytes = np.where(own, of("expert_bytes"), expert_parameters * b_exp[:, None])
    read = linear_bytes + small_bytes
    loaded = one_expert_bytes * _expert_padding(problem, table)[:, None]
    spread = loaded * experts / table.expert_gpus[:, None].astype(np.longdouble)
    beyond = beyond_checkpoint(model, table.tp, own[:, 0], overhead_on(problem).measures_device)
    kv_byte = np.array([KV_BYTES[s.kv_format] for s in table.shapes], dtype=np.float64)[:, None]
    per_head, latent = of("kv_values_per_token_per_kv_head"), of("kv_values_per_token_replicated")
    state, state_everywhere = of("state_values_per_sequence"), of("state_values_replicated")
    padded = -(-model.vocabulary // VOCABULARY_PADDING) * VOCABULARY_PADDING
    tables = _tables(model, own[:, 0], padded, table.tp)
    held = (per_head * kv_per_gpu + latent) * kv_byte + of("index_bytes_per_token")
    per_token = np.ceil(held / table.dcp[:, None] - 1e-9)
    return LayerArrays(
        linear_parameters=linear.astype(np.float64),
        resident_bytes=(read + spread).astype(np.longdouble) + beyond,
        beyond_bytes=beyond,
        read_bytes=read.astype(np.float64),
        kv_bytes_per_token=per_token,
        state_bytes=(state / tp + state_everywhere) * 2,
        # Tokens are dealt out to the ranks in turn: a rank may hold a block more than its share.
        unread_bytes=of("unread_bytes_per_sequence") + KV_BLOCK_TOKENS * (table.dcp[:, None] - 1) * per_token,
        in_flight_bytes=of("bytes_per_token_in_flight"),
        embedding_bytes=tables[0],
        head_bytes=tables[1],
        head_parameters=padded * model.hidden_size / table.tp,
        first_bytes=tables[2],
        tower_bytes=model.vision_bytes / table.tp.astype(np.longdouble),
        last_bytes=model.output_parameters * 2,
        experts=experts.astype(np.int64),
        experts_per_token=np.array([k.experts_per_token for k in kinds], dtype=np.int64),
        expert_parameters=expert_parameters.astype(np.int64),
        windows=np.array([k.window_tokens for k in kinds], dtype=np.int64),
        decode_width=np.array([k.attention_flop_width for k in kinds], dtype=np.int64),
        prefill_width=np.array([k.prefill_flop_width for k in kinds], dtype=np.int64),
        linear_bytes=linear_bytes.astype(np.float64),
        small_bytes=small_bytes,
        attention_launch_ms=np.array(
            [constants.t_latent * kind.latent + constants.t_indexer * (kind.index_heads > 0) for kind in kinds]
        ),
        one_expert_bytes=one_expert_bytes,
        loaded_expert_bytes=loaded.astype(np.float64),
        linear_peak=linear_peak,
        expert_peak=expert_peak,
        peak16=peak_flops(gpu, constants, ()),
        linear_bandwidth=np.array([read_bandwidth(gpu, constants, b) for b in b_lin.tolist()], dtype=np.float64),
        expert_bandwidth=np.full(len(table.shapes), read_bandwidth(gpu, constants, 2.0)),
        bandwidth=read_bandwidth(gpu, constants, 2.0),
        expert_width=max(1, model.expert_ffn_width),
    )


def _expert_padding(problem: Problem, table: ShapeTable) -> LongFloats:
    """How much larger the kernels of a weight format make each routed expert when they load it, (S,)."""
    model, known = problem.model, kernels_of(problem.engine)
    factors = []
    for shape in table.shapes:
        own = shape.weight_format == model.native_weight_format
        rule = known.padding_of(
            model.expert_format if own else shape.weight_format,
            problem.hardware.gpu,
            problem.engine_version,
            model.quantization.method.lower() if own and model.quantization else None,
        )
        width = model.expert_ffn_width
        if rule is None or not width:
            factors.append(np.longdouble(1))
            continue
        cut = (1 if shape.ep > 1 else shape.tp) * shape.slice_ranks
        here = -(-width // (cut * rule.width_multiple)) * rule.width_multiple
        hidden = -(-model.hidden_size // rule.hidden_multiple) * rule.hidden_multiple
        held, stored = rule.held
        factors.append(np.longdouble(here * cut * hidden * held) / (width * model.hidden_size * stored))
    return np.array(factors, dtype=np.longdouble)


def _tables(model: ModelFacts, own: Bools, padded: int, gpus: Ints) -> tuple[LongFloats, LongFloats, LongFloats]:
    """(embedding, output head, what else the first stage holds) in bytes on one GPU of each shape."""
    tp = gpus.astype(np.longdouble)
    head = model.embedding_bytes if model.tied_embeddings else model.head_bytes
    width = model.embedding_width or model.hidden_size
    embedding = np.where(own, np.longdouble(padded * model.embedding_bytes) / model.vocabulary, padded * width * 2) / tp
    output = (
        np.where(
            own,
            np.longdouble(padded * head) / model.vocabulary,
            padded * (width if model.tied_embeddings else model.hidden_size) * 2,
        )
        / tp
    )
    beside = np.where(own, model.table_bytes, model.table_parameters * 2) + model.vision_bytes
    first = beside / tp + np.where(own, model.input_bytes, model.input_parameters * 2)
    return embedding, output, first


def _formats(
    model: ModelFacts, gpu: GpuFacts, constants: CostConstants, table: ShapeTable
) -> tuple[Floats, Floats, Floats, Floats]:
    """(bytes per linear parameter, per expert parameter, linear FLOP/s, expert FLOP/s) of each shape's weight format.

    Bytes per parameter hold where the weights are converted; as published, the model's own bytes are exact.
    """
    peak16 = peak_flops(gpu, constants, ())
    by_format: dict[str, tuple[float, float, float, float]] = {}
    for name in {shape.weight_format for shape in table.shapes}:
        entry = constants.formats[name]
        peak = peak_flops(gpu, constants, entry.compute)
        if name == model.native_weight_format:
            own = [constants.formats[f].compute for f in (model.linear_format, model.expert_format)]
            peaks = [peak_flops(gpu, constants, compute) for compute in own]
            by_format[name] = (constants.formats[model.linear_format].linear, entry.expert, peaks[0], peaks[1])
            continue
        # 4-bit checkpoints of MoE models convert the routed experts only: gpt-oss keeps the rest in 16 bit, nvfp4 ones in fp8, those with
        # latent attention in 16 bit (nvidia/DeepSeek-R1-FP4: 94.5 GiB on each of four B200; GLM-5.2-NVFP4: 106.7 on each of four GB200).
        if model.experts > 0 and (name == "mxfp4" or (name == "nvfp4" and model.mla)):
            by_format[name] = (2.0, entry.expert, peak16, peak)
        elif name == "nvfp4" and model.experts > 0:
            eight = constants.formats["fp8"]
            by_format[name] = (eight.linear, entry.expert, peak_flops(gpu, constants, eight.compute), peak)
        else:
            by_format[name] = (entry.linear, entry.expert, peak, peak)
    values = np.array([by_format[shape.weight_format] for shape in table.shapes], dtype=np.float64).reshape(-1, 4)
    return values[:, 0], values[:, 1], values[:, 2], values[:, 3]
