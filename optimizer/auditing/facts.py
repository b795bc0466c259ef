"""The facts that claims are judged by, as named values of one situation: a model on a GPU under a strategy.

A sentence may speak of another GPU, model or strategy than the report as a whole, so values belong to a ``Situation`` and
not to the problem. Bytes, bytes/s, ms, FLOP/s; counts have no unit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

from optimizer.catalog.constants import constants
from optimizer.costs.parameters import KV_BYTES
from optimizer.engines.registry import engine_of
from optimizer.facts.hardware import GpuFacts
from optimizer.facts.model import ModelFacts
from optimizer.facts.problem import Problem
from optimizer.facts.workload import KV_BLOCK_TOKENS

Values = dict[str, float]
NOMINAL_GB = (16, 24, 32, 40, 48, 64, 80, 94, 96, 128, 141, 180, 192, 256, 288)
"""Memory sizes that device names speak of; a device offers somewhat more or less."""


def memory_words(each: float, count: float = 1.0) -> str:
    """Memory of GPUs by the size that their name speaks of, which is of 2^30 bytes, and in GB of 10^9 bytes where that differs."""
    named = min(NOMINAL_GB, key=lambda size: abs(size * 2**30 - each))
    total = f"{each * count / 1e9:,.4g} GB"
    if abs(named * 2**30 - each) > 0.04 * each or named * 1e9 == each:
        return total
    return f"{named * count:,.0f} GB by name ({total} of 10⁹ bytes)"


@dataclass(frozen=True)
class Degrees:
    """The degrees of a parallel strategy."""

    tp: int
    pp: int
    dp: int
    ep: int

    @property
    def gpus(self) -> int:
        """GPUs in use; EP spreads over GPUs that already exist."""
        return self.tp * self.pp * self.dp

    @property
    def label(self) -> str:
        """``TP2·PP4·DP1``."""
        return f"TP{self.tp}·PP{self.pp}·DP{self.dp}" + (f"·EP{self.ep}" if self.ep > 1 else "")


@dataclass(frozen=True, eq=False)
class Situation:
    """What a sentence is about. ``degrees`` None: no strategy is known; ``own``: the report's own strategy, GPU and model."""

    problem: Problem
    gpu: GpuFacts
    model: ModelFacts
    degrees: Degrees | None
    weight_format: str
    kv_format: str
    own_hardware: bool = True
    own_model: bool = True
    own_strategy: bool = True

    def with_degrees(self, degrees: Degrees) -> Situation:
        """The same under another strategy."""
        return replace(self, degrees=degrees, own_strategy=False)

    @property
    def own(self) -> bool:
        """Whether nothing differs from what the report as a whole is about."""
        return self.own_hardware and self.own_model and self.own_strategy

    @property
    def key(self) -> tuple[object, ...]:
        """What tells situations of one audit apart."""
        return (
            self.gpu.name, self.model.name, self.degrees, self.weight_format, self.kv_format, self.own_hardware,
            self.own_model, self.own_strategy,
        )  # fmt: skip

    @cached_property
    def holds(self) -> frozenset[str]:
        """Conditions by which a quantity does not apply (``unless`` in quantities.yaml)."""
        found = set()
        if self.model.mla:
            found.add("mla")
        if not self.model.experts:
            found.add("dense")
        if not self.nvlink_gb_per_s:
            found.add("no_nvlink")
        if len(set(self.model.ffn_widths)) > 1:
            found.add("several_widths")
        hardware = self.problem.hardware
        if not self.own_hardware or hardware.host_memory_gb is None:
            found.add("no_host_memory")
        if not self.own_hardware or hardware.cpu_cores is None:
            found.add("no_cpu_cores")
        if not self.own_hardware or hardware.price_per_gpu_hour is None:
            found.add("no_price")
        if engine_of(self.problem.engine).kv_block_tokens is None or not self.own_model:
            found.add("no_blocks")
        if self.degrees is None:
            found.add("no_strategy")
        if self.degrees is None or self.degrees.tp == 1:
            found.add("no_tp")
        if self.degrees is None or self.degrees.pp > 1:
            found.add("pipeline")
        return frozenset(found)

    @property
    def nvlink_gb_per_s(self) -> float:
        """NVLink of one GPU; the problem's own where it states one."""
        return self.problem.hardware.nvlink_gb_per_s if self.own_hardware else self.gpu.nvlink_gb_per_s

    @cached_property
    def values(self) -> Values:
        """Every fact by the name it has in ``data/quantities.yaml``; what does not apply is missing."""
        found = {**self._model(), **self._gpu()}
        if self.own_hardware:
            found |= self._cluster()
        if self.own_model:
            found |= self._demand()
        if self.degrees is not None:
            found |= self._strategy(found)
        return found

    def _model(self) -> Values:
        model = self.model
        kinds = [model.kinds[k] for k in model.kind_of_layer]
        largest = max(kinds, key=lambda kind: kind.parameters)
        each = constants().formats[self.weight_format]
        expert_parameters = sum(kind.experts * kind.expert_parameters for kind in kinds)
        linear = 2.0 if self.weight_format == "mxfp4" and expert_parameters else each.linear
        weights = expert_parameters * each.expert + (model.parameters - expert_parameters) * linear
        if self.weight_format == model.native_weight_format:
            weights = float(model.weight_bytes)  # as the checkpoint is, 16-bit parts and scales included
        per_value = KV_BYTES[self.kv_format]
        cached = sum(kind.kv_bytes(model.kv_heads, per_value) for kind in kinds)
        found: Values = {
            "layers": model.layers,
            "hidden": model.hidden_size,
            "heads": model.attention_heads,
            "kv_heads": model.kv_heads,
            "head_dim": model.head_dim,
            "vocab": model.vocabulary,
            "context": model.max_context_tokens,
            "parameters": model.parameters,
            "active": model.active_parameters,
            "experts": model.experts,
            "experts_per_token": max(kind.experts_per_token for kind in kinds),
            "shared_experts": 1,
            "bytes_per_parameter": each.linear if each.linear == each.expert else weights / model.parameters,
            "weights": weights,
            "layer_parameters": largest.parameters,
            "layer_weights": largest.parameters * weights / model.parameters,
            "kv_token": cached,
        }  # fmt: skip
        full = sum(not model.kinds[k].window_tokens for k in model.kind_of_layer)
        sparse = sum(bool(model.kinds[k].experts) for k in model.kind_of_layer)
        of_window = sum(kind.kv_bytes(model.kv_heads, per_value) for kind in kinds if kind.window_tokens)
        found |= {
            "kv_token_window": of_window, "kv_token_full": cached - of_window if of_window else 0,
            "layers_full": full, "layers_window": model.layers - full, "layers_moe": sparse, "layers_dense": model.layers - sparse,
            "window": max((kind.window_tokens for kind in kinds), default=0),
        }  # fmt: skip
        if len(set(model.ffn_widths)) == 1 or not model.experts:
            found["ffn"] = max(model.ffn_widths, default=0)
        if model.expert_ffn_width:
            found["expert_ffn"] = model.expert_ffn_width
        return {name: value for name, value in found.items() if value}

    def _gpu(self) -> Values:
        gpu = self.gpu
        hardware = self.problem.hardware
        found: Values = {
            "memory": gpu.memory_bytes,
            "nominal_memory": min(NOMINAL_GB, key=lambda size: abs(size * 1e9 - gpu.memory_bytes)) * 1e9,
            "bandwidth": gpu.memory_bandwidth_gb_per_s * 1e9,
            "pcie": (hardware.pcie_gb_per_s if self.own_hardware else gpu.pcie_gb_per_s) * 1e9,
            "peak": gpu.dense_tflops.get("bf16", gpu.dense_tflops.get("fp16", 0)) * 1e12,
        }
        if self.nvlink_gb_per_s:
            found["nvlink"] = self.nvlink_gb_per_s * 1e9
        if gpu.tdp_watts:
            found["tdp"] = gpu.tdp_watts
        if gpu.idle_watts:
            found["idle_power"] = gpu.idle_watts
        for name, rate in gpu.dense_tflops.items():
            found[f"peak_{name}"] = rate * 1e12
        if not self.own_hardware:
            found["gpus_per_node"] = gpu.gpus_per_node
        return found

    def _cluster(self) -> Values:
        hardware, needs = self.problem.hardware, self.problem.requirements
        found: Values = {
            "gpus": hardware.gpus,
            "nodes": hardware.nodes,
            "gpus_per_node": hardware.gpus_per_node,
            "network": hardware.internode_gbit_per_s / 8 * 1e9,
            "utilization": needs.gpu_memory_utilization,
        }
        if hardware.host_memory_gb is not None:
            found["host_memory"] = hardware.host_memory_gb * 1e9
        if hardware.cpu_cores is not None:
            found["cpu_cores"] = hardware.cpu_cores
        if hardware.price_per_gpu_hour is not None:
            found["price"] = hardware.price_per_gpu_hour
        return found

    def _demand(self) -> Values:
        work = self.problem.workload
        limits = {
            f"limit_{one.metric}_p{one.percentile}": float(one.limit_ms)
            for one in self.problem.requirements.latency_limits
        }
        survive = self.problem.requirements.survive
        return limits | {
            "survive_gpus": survive.gpu,
            "survive_nodes": survive.node,
            "demand_share": survive.demand_share,
            "prompt": work.prompt_tokens,
            "output": work.output_tokens,
            "rate": work.requests_per_s,
            "max_batch": self.problem.max_batch,
            "max_length": self.problem.max_sequence_tokens,
            "block_tokens": KV_BLOCK_TOKENS,
        }

    def _strategy(self, known: Values) -> Values:
        degrees = self.degrees
        assert degrees is not None
        model, per_node = self.model, known.get("gpus_per_node", 8)
        tp, pp = degrees.tp, degrees.pp
        kinds = [model.kinds[k] for k in model.kind_of_layer]
        per_value = KV_BYTES[self.kv_format]
        split = min(tp, model.kv_heads)
        cached = sum(
            k.kv_values_per_token_per_kv_head * model.kv_heads / split
            + k.kv_values_per_token_replicated
            + k.index_bytes_per_token / per_value
            for k in kinds
        )
        experts = sum(k.experts * k.expert_parameters for k in kinds) / model.parameters
        spread = max(tp, degrees.ep)
        if model.experts and degrees.ep > 1:
            known = known | {"experts_gpu": model.experts / spread}
        elif model.experts:
            # Without EP each GPU holds a slice of every expert; or EP goes unsaid.
            known = known | {"experts_all": model.experts, "experts_by_tp": model.experts / tp}
        return {name: known[name] for name in ("experts_gpu", "experts_all", "experts_by_tp") if name in known} | {
            "tp": tp,
            "pp": pp,
            "dp": degrees.dp,
            "ep": degrees.ep,
            "ep_ranks": max(1, degrees.ep // tp),
            "gpus_used": degrees.gpus,
            "nodes_used": math.ceil(degrees.gpus / per_node),
            "kv_split": split,
            "kv_token_gpu": cached * per_value / pp,
            "weights_gpu": known["weights"] * ((1 - experts) / tp + experts / spread) / pp,
        }
