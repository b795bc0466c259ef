"""One case of a start-up log as a problem, and the figure that is asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from memory_logs.unstated import why_not
from memory_logs.versions import Defaults, before_v1_defaults, defaults_of, version_of
from optimizer.catalog import lookup as catalog
from optimizer.checkpoints.huggingface import model_from_config
from optimizer.costs.shapes import Shape
from optimizer.costs.startup import StartUp, start_up
from optimizer.engines.kernels import ordered
from optimizer.facts.errors import ProblemError
from optimizer.facts.model import ModelFacts
from optimizer.facts.problem import Problem
from optimizer.reading.load import problem_from_dict

GIB = 2**30
PER_GPU = {
    "weights GiB/GPU": lambda found: found.weights / GIB,
    "KV memory GiB/GPU": lambda found: found.kv_memory / GIB,
    "KV tokens that fit": lambda found: float(found.kv_tokens),
    "KV bytes per token per GPU": lambda found: float(found.kv_per_token),
    "KV GiB one full-length request needs per GPU": lambda found: found.longest_sequence / GIB,
    "peak activation GiB": lambda found: found.activation_peak / GIB,
    "overhead GiB (activation + non-torch)": lambda found: found.overhead / GIB,
    "derived overhead GiB (budget - weights - KV)": lambda found: found.overhead / GIB,
}
SAME_WEIGHTS = {"kimi-k2-thinking": "kimi-k2.5"}
"""Checkpoints that the catalog has under another name: the language model of both is int4 experts of the same shape."""
FIRST_RELEASES: dict[str, tuple[str, dict[str, int]]] = {"llama3.1-405b": ("0.6", {"num_key_value_heads": 16})}
"""Checkpoints that were replaced: up to which version of the engine logs are of the first, and what its config.json said."""
FUSED_ALL_REDUCE_FROM = "0.18"
NCCL_MIB = 430
"""Of two or more GPUs before all-reduces were fused (``engines/data/memory/vllm.yaml``)."""
BITS = {"int8": 8, "int4": 4}
NICKNAMES = {"dgxspark": "gb10", "spark": "gb10", "rtx6000": "rtxpro6000server", "rtxpro6000": "rtxpro6000server"}
"""Other words for a card; the RTX PRO 6000 has the same memory on every board."""
GENERATIONS = {"2": "7.5", "3": "8.6", "4": "8.9", "5": "12.0"}
"""Compute capability by the first digit of a GeForce RTX card."""
CACHE_FORMATS = {
    "fp8_e5m2": "fp8",
    "fp8_e4m3": "fp8",
    "int8": "fp8",
    "half": "fp16",
    "float16": "fp16",
    "bfloat16": "bf16",
}


@dataclass(frozen=True)
class Case:
    """What a log says of how the engine was started."""

    source: str
    model: str
    gpu: str
    tp: int
    pp: int
    dp: int
    kv: str
    weights: str
    share: float
    longest: int
    note: str

    @classmethod
    def of(cls, row: Mapping[str, str]) -> Case:
        """From a row of the file.

        Raises:
            ProblemError: a figure is missing or no number.
        """
        try:
            return cls(
                row.get("source", ""),
                row["model"].split(" (")[0].strip(),
                row["gpu"].strip(),
                int(row["tp"]),
                int(row["pp"]),
                int(row["dp"]),
                row["kv dtype"].strip(),
                row["weights"].strip(),
                float(row["util"]),
                int(row["max_model_len"]),
                row.get("note", ""),
            )
        except (KeyError, ValueError) as error:
            raise ProblemError("logs", f"cannot be read: {error}") from None

    @property
    def engine(self) -> str:
        """vllm or sglang: named in the note, else by the project that the source belongs to."""
        said = f"{self.source} {self.note}".lower()
        return "sglang" if "sglang" in said else "vllm"


@cache
def predicted(case: Case, quantity: str) -> float | str:
    """The figure that the engine prints.

    Raises:
        ProblemError: the model or the GPU is not known, or the quantity is none of those.
    """
    version = version_of(case.engine, case.source, case.note)
    why = why_not(quantity, case.note, case.engine, version, catalog.model(case.model), case.weights, _named(case))
    if why is not None:
        raise ProblemError(quantity, f"is not predicted: {why}")
    found = _start_up(case)
    if quantity.startswith("fits"):
        blocks = found.sequences_of_states
        return "yes" if found.spare >= 0 and (blocks is None or blocks >= problem_of(case)[0].max_batch) else "no"
    if quantity not in PER_GPU:
        raise ProblemError("measured quantity", f"{quantity!r} is not predicted")
    return PER_GPU[quantity](found)


@cache
def _start_up(case: Case) -> StartUp:
    problem, shape = problem_of(case)
    return start_up(problem, shape)


def start_of(case: Case) -> tuple[StartUp, str]:
    """What a case prints, and the compute capability of its GPU.

    Raises:
        ProblemError: the model or the GPU is not known.
    """
    return _start_up(case), problem_of(case)[0].hardware.gpu.capability


def problem_of(case: Case) -> tuple[Problem, Shape]:
    """The problem that a user would write, and the layout."""
    gpu, model = _gpu(case.gpu), _model(case)
    version = version_of(case.engine, case.source, case.note)
    longest = model.max_context_tokens if "max-model-len not stated" in case.note else case.longest
    first = before_v1_defaults(case.source, case.note)
    usual = defaults_of(case.engine, version, _memory(gpu), case.gpu, longest, case.note, model.mla, first)
    model = without_images(model) if re.search(r"\btext only\b|\blanguage-model-only\b", case.note) else model
    ranks = case.dp if re.search(r"\bEP\b|\+EP", case.note) else 1
    values: dict[str, Any] = {
        "engine": case.engine,
        "engine_version": version,
        "hardware": {"gpu": gpu, "nodes": max(1, case.tp * case.pp * case.dp // 8), "gpus_per_node": 8},
        "model": model.name,
        "workload": {"prompt_tokens": 1, "output_tokens": 1, "requests_per_s": 0.1},
        "requirements": {
            "max_sequence_tokens": case.longest,
            "gpu_memory_utilization": case.share,
            "max_batch": usual.sequences,
        },
        "search": {"max_num_batched_tokens": usual.tokens, "disabled_rules": ["context"]},
    }
    if re.search(r"\beager\b", case.note):
        values["engine_overhead"] = without_graphs(version)
    problem = problem_from_dict(values, default_name="log", model=model)
    kv = CACHE_FORMATS.get(case.kv, case.kv)
    kv = model.native_kv_format if kv == "auto" else kv
    return problem, Shape(
        case.tp, case.pp, ranks * case.tp if ranks > 1 else 1, _weights(case, model), kv, _layers(model.layers, case.pp)
    )


def _weights(case: Case, model: ModelFacts) -> str:
    """The weights' format: as published where it is the checkpoint's own, also where 16 bit is said of one that has none."""
    four = {"mxfp4", "nvfp4"}
    same = case.weights in ("bf16", "fp16") or {case.weights, model.expert_format} <= four
    return model.native_weight_format if same else case.weights


def _model(case: Case) -> ModelFacts:
    """The checkpoint: one that the note names, else the published one of the format, else the model's own.

    Raises:
        ProblemError: the catalog has none.
    """
    own = catalog.model(case.model)
    for name in _named(case):
        own = catalog.model(name)
        break
    until, said = FIRST_RELEASES.get(case.model, ("0", {}))
    if said and ordered(version_of(case.engine, case.source, case.note)) < ordered(until):
        own = as_stated(own.name, said)
    method = re.search(r"\b(GPTQ|AWQ)\b", case.note)
    if method and case.weights in BITS and own.quantization is None:
        # As such checkpoints are stored: groups of 128, scales and zero points.
        stored = {
            "quant_method": method.group(1).lower(),
            "bits": BITS[case.weights],
            "group_size": 128,
            "zero_point": True,
        }
        own = as_stated(own.name, {"quantization_config": stored})
    if (
        case.weights == "nvfp4"
        and own.quantization is None
        and any(kind.state_values_per_sequence for kind in own.kinds)
    ):
        own = as_stated(own.name, {"quantization_config": mixed_nvfp4(own.layers)})
    return without_latents(own) if re.search(r"MLA not used|no MLA", case.note) else own


def _named(case: Case) -> list[str]:
    """Checkpoints of the catalog that a note names, or that are the model in the format of the weights."""
    names = (*re.findall(r"[A-Za-z][\w.]*(?:-[\w.]+)+", case.note), f"{catalog.model(case.model).name}-{case.weights}")
    # GLM-5.2-FP8 is GLM-5.2 in fp8; of other formats a name does not say which modules they are for.
    plain = [name[: -len("-fp8")] for name in names if case.weights == "fp8" and name.lower().endswith("-fp8")]
    meant = [SAME_WEIGHTS.get(name.lower(), name) for name in (*names, *plain)]
    return [name for name in meant if name.lower() in checkpoint_names()]


def mixed_nvfp4(layers: int) -> dict[str, Any]:
    """How NVIDIA publishes models with linear attention in NVFP4: the MLP in it, attention of both kinds in fp8 (vllm-project/recipes
    pull request 663, Qwen3.6-27B-NVFP4)."""
    mlp = [f"model.layers.{layer}.mlp.{name}_proj" for layer in range(layers) for name in ("gate", "up", "down")]
    full = [f"model.layers.{layer}.self_attn.{name}_proj" for layer in range(layers) for name in "qkvo"]
    linear = [
        f"model.layers.{layer}.linear_attn.{name}" for layer in range(layers) for name in ("in_proj_qkvz", "out_proj")
    ]
    formats = {name: {"quant_algo": "NVFP4", "group_size": 16} for name in mlp}
    formats |= {name: {"quant_algo": "FP8"} for name in (*full, *linear)}
    return {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "quantized_layers": formats}


def as_stated(name: str, stated: Mapping[str, Any]) -> ModelFacts:
    """A model of the catalog with some fields of its config.json stated otherwise."""
    entry = catalog.entry("models", name)
    return model_from_config({**entry["config"], **stated}, name=entry["name"], huggingface_id=entry["huggingface_id"])


@cache
def checkpoint_names() -> frozenset[str]:
    """Names and aliases of the catalog's models."""
    found: set[str] = set()
    for name in catalog.names("models"):
        entry = catalog.entry("models", name)
        found |= {
            name,
            *(alias.lower() for alias in entry.get("aliases", ())),
            entry["huggingface_id"].split("/")[-1].lower(),
        }
    return frozenset(found)


def without_latents(model: ModelFacts) -> ModelFacts:
    """The model as engines ran it before they had latent attention: keys and values of every head are cached."""
    kinds = tuple(
        kind.model_copy(
            update={
                "kv_values_per_token_per_kv_head": kind.prefill_flop_width // model.attention_heads // 2 * 2 + 64,
                "kv_values_per_token_replicated": 0,
            }
        )
        for kind in model.kinds
    )
    return model.model_copy(update={"kinds": kinds, "mla": False, "kv_heads": model.attention_heads})


def without_images(model: ModelFacts) -> ModelFacts:
    """The model as engines load it for text alone: no towers, and no profiling run for them."""
    return model.model_copy(update={"vision_parameters": 0, "vision_bytes": 0, "tower_run": None})


def without_graphs(version: str) -> dict[str, int]:
    """What an engine that runs eagerly takes otherwise: no CUDA graphs, and no all-reduce fused into them (vLLM's ``fuse_allreduce_rms``
    is off then), whose buffers are those beyond NCCL's own."""
    found = {"cuda_graphs_mib": 0}
    return found | {"communication_mib": NCCL_MIB} if ordered(version) >= ordered(FUSED_ALL_REDUCE_FROM) else found


def _layers(layers: int, stages: int) -> tuple[int, ...]:
    each, over = divmod(layers, stages)
    # What does not divide goes to the stages before the last, as vLLM shares layers out (vllm/distributed/utils.py).
    return tuple(each + (stages - 1 - over <= stage < stages - 1 if over else False) for stage in range(stages))


def _gpu(name: str) -> Any:
    """A card of the catalog, also by a part of its name and its memory, or one of which only the memory is known."""
    try:
        catalog.gpu(name)
        return name
    except ProblemError:
        found = re.search(r"(\d+)gb$", name)
        if found is None:
            raise
    like = _like(name[: found.start()], int(found.group(1)))
    if like is not None:
        return like
    total = int(found.group(1)) * 1024
    return {
        "name": name,
        "memory_mib": total,
        "reserved_mib": total * 18 // 1000,
        "compute_capability": _capability(name),
        "memory_bandwidth_gb_per_s": 900,
        "dense_tflops": {"fp16": 120, "bf16": 120},
    }


def _like(card: str, memory_gb: int) -> str | None:
    """The card of the catalog whose name holds this one and that has as much memory, its module (SXM) before its boards."""
    word = re.sub(r"[^a-z0-9]", "", card.lower())
    word = NICKNAMES.get(word, re.sub(r"(\d)(?:ti|d|super)$", r"\1", word))
    held = [one for one in catalog.names("gpus") if word and word in re.sub(r"[^a-z0-9]", "", one)]
    same = [one for one in held if abs(catalog.gpu(one).memory_mib / 1024 / memory_gb - 1) < 0.08]
    return next((one for one in same if "sxm" in one), same[0] if same else None)


def _capability(name: str) -> str:
    """As a name says it (``sm89``), or of the generation of a GeForce card; else that of most cards."""
    said = re.match(r"sm(\d+)(\d)\b", name)
    if said:
        return f"{said.group(1)}.{said.group(2)}"
    card = re.match(r"rtx[-_]?([2-5])0", name.lower())
    return GENERATIONS[card.group(1)] if card else "8.6"


def _memory(gpu: Any) -> int:
    return int(gpu["memory_mib"]) if isinstance(gpu, dict) else catalog.gpu(gpu).memory_mib


__all__ = ["Case", "Defaults", "predicted", "problem_of"]
