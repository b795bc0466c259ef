"""Measured tables of the package aiconfigurator-core as a source of costs. ``docs/model.md``, section 9.

The package holds measured times of single operations (matrix products, attention, collectives) and adds them up to a
decode step and a prefill. Every layout gets an engine object of its own and a stated version; only layouts that fit memory
are asked about, only for sequences that fit. What the package cannot do stays analytic, and a note says why.
"""

from __future__ import annotations

import importlib
import json
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from optimizer.catalog.constants import constants
from optimizer.checkpoints.huggingface import model_from_config
from optimizer.costs.analytic import AnalyticCosts
from optimizer.costs.memory import MemoryTable, memory_budget_bytes
from optimizer.costs.service import ServiceTable
from optimizer.costs.shapes import Floats, Ints, Shape
from optimizer.costs.table import curve
from optimizer.facts.cost_table import Correction, CostTable
from optimizer.facts.errors import ProblemError
from optimizer.facts.model import ModelFacts
from optimizer.facts.problem import Problem
from optimizer.reading.measured_names import plain

PACKAGE, VERSION = "aiconfigurator_core", "0.12.0"
SYSTEMS = {
    "a100-pcie-80gb": "a100_pcie",
    "a100-sxm-80gb": "a100_sxm",
    "b200-sxm-180gb": "b200_sxm",
    "b300-sxm-288gb": "b300_sxm",
    "gb200-nvl72": "gb200",
    "gb300-nvl72": "gb300",
    "h100-pcie-80gb": "h100_pcie",
    "h100-sxm-80gb": "h100_sxm",
    "h200-sxm-141gb": "h200_sxm",
    "l4-24gb": "l4",
    "l40s-48gb": "l40s",
}
WEIGHTS = {"bf16": "bfloat16", "fp16": "bfloat16", "fp8": "fp8", "int8": "int8_wo", "int4": "int4_wo", "nvfp4": "nvfp4"}
CACHES = {"bf16": "bfloat16", "fp16": "bfloat16", "fp8": "fp8", "fp8_e5m2": "fp8", "int8": "int8"}
_ASKED = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
NAMED = 16

Key = tuple[int, int, int, str, str]


class Unsupported(Exception):
    """The tables do not speak of a layout; the message says why."""


@dataclass(frozen=True, slots=True)
class MeasuredTables:
    """The package for one model on one system."""

    open: Callable[[Shape], Any]


def measured_costs(problem: Problem, shapes: Sequence[Shape], tables: MeasuredTables | None = None) -> CostTable:
    """What the measured tables say of each layout.

    Args:
        shapes: the candidates; layer splits of a layout share its factors.
        tables: stands in for the package in tests.

    Raises:
        ProblemError: the package is not installed, or in another version.
    """
    origin = f"{PACKAGE.replace('_', '-')} {VERSION}"
    layouts = list({_key(shape): shape for shape in shapes}.values())
    try:
        tables = tables or _tables(problem)
    except Unsupported as reason:
        note = f"No measured tables for this problem ({reason}): every layout has the analytic model."
        return CostTable(source="measured", origin=origin, corrections=(), notes=(note,))
    costs = AnalyticCosts(problem, layouts)
    memory, slots = costs.memory(), max(_ASKED)
    service = costs.service(slots)
    corrections, refused = [], dict[str, list[str]]()
    for row, shape in enumerate(layouts):
        try:
            most = _fitting(problem, memory, row, slots)
            corrections.append(_correction(problem, shape, row, service, _ask(problem, tables, shape, most)))
        except Unsupported as reason:
            refused.setdefault(str(reason), []).append(_name(shape))
    notes = [f"Analytic model instead of measured tables for {_listed(v)}: {k}." for k, v in refused.items()]
    return CostTable(source="measured", origin=origin, corrections=tuple(corrections), notes=tuple(notes))


def _key(shape: Shape) -> Key:
    return shape.tp, shape.pp, shape.ep, shape.weight_format, shape.kv_format


def _name(shape: Shape) -> str:
    expert = f"·EP{shape.ep}" if shape.ep > 1 else ""
    return f"TP{shape.tp}·PP{shape.pp}{expert} {shape.weight_format}/{shape.kv_format}"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _fitting(problem: Problem, memory: MemoryTable, row: int, slots: int) -> int:
    """Sequences that fit into memory; the tables answer for any number, so it is checked before asking."""
    left = memory_budget_bytes(problem) - memory.fixed[row]
    each = memory.per_sequence[row]
    room = int(np.where(each > 0, left // np.maximum(1, each), np.where(left >= 0, slots, 0)).min())
    if room < 1:
        raise Unsupported("does not fit into memory")
    return min(room, slots)


@dataclass(frozen=True, slots=True)
class _Times:
    """What the tables say, ms."""

    sequences: Ints
    decode: Floats
    prompt: float


def _ask(problem: Problem, tables: MeasuredTables, shape: Shape, most: int) -> _Times:
    """A decode step for several loads, and the prefill of a prompt.

    Raises:
        Unsupported: whatever goes wrong inside the package, or an answer that is no time.
    """
    if shape.pp > 1:
        raise Unsupported("the tables do not tell pipeline stages apart")
    if shape.ep not in (1, shape.tp):
        raise Unsupported("experts shared by several replicas are not asked of the tables")
    work = problem.workload
    asked = [n for n in _ASKED if n <= most]
    try:
        engine = tables.open(shape)
        decode = [float(engine.decode_step_latency(n, work.prompt_tokens, work.output_tokens)) for n in asked]
        prompt = float(engine.predict_prefill_latency(1, work.prompt_tokens))
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # the package raises many types, panics of its compiled part among them
        text = " ".join(str(error).split())
        raise Unsupported(f"{type(error).__name__}: {text[:120]}") from None
    if not all(math.isfinite(ms) and ms > 0 for ms in (*decode, prompt)):
        raise Unsupported("the tables gave no positive time")
    return _Times(np.array(asked), np.array(decode), prompt)


def _correction(problem: Problem, shape: Shape, row: int, service: ServiceTable, said: _Times) -> Correction:
    """Factors that turn the analytic times of a layout into the tables'."""
    n, at, work = said.sequences, said.sequences - 1, problem.workload
    engine = constants().engine(problem.engine, problem.engine_version)
    token = said.decode + (n - 1) / work.output_tokens * said.prompt
    admission = engine.start_ms + engine.admit_steps * said.decode
    prefill = said.prompt + service.chunks * said.decode
    return Correction.model_validate(
        {
            "tensor_parallel": shape.tp,
            "pipeline_parallel": shape.pp,
            "expert_parallel": shape.ep,
            "weight_precision": shape.weight_format,
            "kv_precision": shape.kv_format,
            "round": curve(n, np.log(said.decode / service.round_ms[row, at])),
            "token": curve(n, np.log(token / service.tpot_ms[row, at])),
            "admission": curve(n, np.log(admission / service.admission_ms[row, at])),
            "prefill": curve(n, np.log(prefill / service.prefill_ms[row, at])),
            "prompt": curve(n[:1], np.log([said.prompt / service.prompt_sum_ms[row]]))[0][1],
            "least": 1,
            "most": int(n[-1]),
            "samples": len(n) + 1,
        }
    )


def _tables(problem: Problem) -> MeasuredTables:
    """The package opened for the problem.

    Raises:
        ProblemError: it is not installed, or in another version.
        Unsupported: it does not know the GPU, the engine or the model.
    """
    try:
        from importlib.metadata import version

        found = version("aiconfigurator-core")
        engine = importlib.import_module(f"{PACKAGE}.sdk.engine")
        database = importlib.import_module(f"{PACKAGE}.sdk.perf_database")
    except ImportError:
        raise ProblemError(
            "--costs", "measured needs the package aiconfigurator-core (Linux only): pip install -e .[measured]"
        ) from None
    if found != VERSION:
        raise ProblemError("--costs", f"measured needs aiconfigurator-core {VERSION}; {found} is installed")
    logging.getLogger(PACKAGE).setLevel(logging.ERROR)
    system = SYSTEMS.get(problem.hardware.gpu.name)
    if system is None:
        raise Unsupported(f"no tables for {problem.hardware.gpu.name}")
    name = _model_name(problem, Path(str(importlib.import_module(PACKAGE).__file__)).parent / "model_configs")
    # The version is always stated: without it every query would parse the package's YAML anew.
    slots = database.get_version_slots(system, problem.engine) or {}
    if "current" not in slots:
        raise Unsupported(f"no tables for {problem.engine} on {system}")

    def open_engine(shape: Shape) -> Any:
        """An object of its own for every layout: the package's cache keys omit model and parallelism."""
        weights = None if shape.weight_format == problem.model.native_weight_format else WEIGHTS[shape.weight_format]
        modes: dict[str, Any] = {} if weights is None else {"gemm_quant_mode": weights, "moe_quant_mode": weights}
        if not problem.model.experts:
            modes.pop("moe_quant_mode", None)
        else:
            modes |= {"moe_tp_size": 1 if shape.ep > 1 else shape.tp, "moe_ep_size": shape.ep}
        return engine.EngineHandle.compile(
            name,
            system,
            problem.engine,
            backend_version=slots["current"],
            tp_size=shape.tp,
            kvcache_quant_mode=CACHES[shape.kv_format],
            **modes,
        )

    return MeasuredTables(open_engine)


def _model_name(problem: Problem, folder: Path) -> str:
    """The package's name of the model, or of another of the same architecture, which takes the same time.

    Only configs inside the package count: it would try to download others.

    Raises:
        Unsupported: the package has no config of this architecture.
    """
    wanted = {plain(name) for name in (problem.model.name, problem.model.huggingface_id) if name}
    files = [file for file in folder.glob("*_config.json") if not file.name.endswith("_quant_config.json")]
    names = {file: file.name.removesuffix("_config.json") for file in files}
    for file in sorted(files, key=lambda file: (plain(names[file]) not in wanted, len(file.name), file.name)):
        try:
            theirs = model_from_config(json.loads(file.read_text(encoding="utf-8")), name=names[file])
        except (ProblemError, ValueError):
            continue
        if _architecture(theirs) == _architecture(problem.model):
            return names[file].replace("--", "/")
    raise Unsupported(f"the package has no config of the architecture of {problem.model.name}")


def _architecture(model: ModelFacts) -> tuple[object, ...]:
    """All that step times depend on."""
    weights = "16 bit" if model.native_weight_format in ("bf16", "fp16") else model.native_weight_format
    return model.kinds, model.kind_of_layer, model.hidden_size, model.vocabulary, model.tied_embeddings, weights
