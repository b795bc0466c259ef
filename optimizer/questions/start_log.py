"""What a start-up log says of a machine: overheads for the problem file, and predictions beside what was printed."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from optimizer.costs.shapes import Shape
from optimizer.costs.startup import StartUp, start_up
from optimizer.engines.memory import overhead_of
from optimizer.engines.printed import printed_by
from optimizer.engines.registry import engine_of
from optimizer.facts.demand import MOST_BATCH
from optimizer.facts.errors import ProblemError
from optimizer.facts.hardware import GIB
from optimizer.facts.overhead import StatedOverhead
from optimizer.facts.problem import Problem
from optimizer.reading.start_log import StartLog


@dataclass(frozen=True, slots=True)
class Printed:
    """One figure of a log beside its prediction without and with the measured overheads."""

    what: str
    unit: str
    printed: float
    predicted: float
    with_log: float


@dataclass(frozen=True, slots=True)
class LogRead:
    """What a log gives a problem."""

    log: StartLog
    overhead: StatedOverhead
    figures: tuple[Printed, ...]


def overhead_from(log: StartLog, problem: Problem | None) -> StatedOverhead:
    """The parts that a log measures; what it does not tell apart from the peak counts with it.

    Args:
        problem: of the machine; None: only what the log states by itself.

    Raises:
        ProblemError: neither parts nor what they leave are in it.
    """
    said = f"start-up log {log.name}" + (f", {log.engine} {log.version}" if log.version else "")
    parts = {"non_torch_mib": log.non_torch_gib, "cuda_graphs_mib": log.graphs_gib, "activations_mib": log.peak_gib}
    values: dict[str, int] = {name: max(0, ceil(gib * 1024)) for name, gib in parts.items() if gib is not None}
    capability = problem.hardware.gpu.capability if problem else "9.0"
    known = overhead_of(log.engine, capability, log.version)
    if "non_torch_mib" in values:
        # The engine prints everything outside its allocator as one figure: what else counts is in it.
        inside = printed_by(log.engine).non_torch_holds
        values |= {f"{name}_mib": 0 for name in sorted(inside) if name in known.counts}
    elif engine_of(log.engine).share == "whole" and log.kv_gib is not None and log.weights_gib is not None:
        total = log.total_gib or (problem.hardware.gpu.memory_bytes / GIB if problem else None)
        share = log.share or (problem.requirements.gpu_memory_utilization if problem else None)
        if total is not None and share is not None:
            beside = known.non_torch.value + (known.context.value if "context" in known.counts else 0)
            if "cuda_graphs" in known.counts:
                beside += values.get("cuda_graphs_mib", known.cuda_graphs.value)
            if "communication" in known.counts and (log.tp or 1) * (log.pp or 1) > 1:
                beside += known.communication.value
            rest = ceil((total * share - log.weights_gib - log.kv_gib) * 1024) - beside
            values["activations_mib"] = max(0, rest)
    if not values:
        raise ProblemError(
            log.name,
            "does not say what the engine takes beside weights and cache: neither activation peak and non-torch memory, nor "
            "weights and available KV cache memory with gpu_memory_utilization (state --problem)",
        )
    return StatedOverhead(**values, measured=said)


def read_for(log: StartLog, problem: Problem, tp: int | None, pp: int | None) -> LogRead:
    """Overheads, and the log's figures beside what is predicted for the problem's model and GPUs.

    Raises:
        ProblemError: the log's layout does not fit the model, or it measures nothing.
    """
    tp, pp = tp or log.tp or 1, pp or log.pp or 1
    model = problem.model
    if pp > model.layers:
        raise ProblemError(log.name, f"says {pp} pipeline stages, {model.name} has {model.layers} layers")
    wanted = problem.requirements.model_copy(
        update={
            "gpu_memory_utilization": _share(log) or problem.requirements.gpu_memory_utilization,
            "max_sequence_tokens": log.longest or problem.max_sequence_tokens,
            "max_batch": min(MOST_BATCH, log.sequences or problem.max_batch),
        }
    )
    search = problem.search
    if log.batched_tokens:
        search = search.model_copy(update={"max_num_batched_tokens": log.batched_tokens})
    here = problem.model_copy(
        update={"engine": log.engine, "engine_version": log.version, "requirements": wanted, "search": search}
    )
    each, over = divmod(model.layers, pp)
    layers = tuple(each + (stage < over) for stage in range(pp))
    weights = (search.weight_precision or (model.native_weight_format,))[0]
    cache = (search.kv_precision or (model.native_kv_format,))[0]
    shape = Shape(tp, pp, 1, weights, cache, layers)
    overhead = overhead_from(log, here)
    before = start_up(here.model_copy(update={"engine_overhead": StatedOverhead()}), shape)
    after = start_up(here.model_copy(update={"engine_overhead": overhead}), shape)
    return LogRead(log, overhead, _figures(log, before, after))


def _share(log: StartLog) -> float | None:
    """The share of a GPU's memory that the engine took. One that prints the cache's share of what was left: its parts tell."""
    if engine_of(log.engine).share != "cache":
        return log.share
    parts = (log.weights_gib, log.peak_gib, log.non_torch_gib, log.kv_gib)
    known = [part for part in parts if part is not None]
    return min(1.0, sum(known) / log.total_gib) if log.total_gib and len(known) == len(parts) else None


def _figures(log: StartLog, before: StartUp, after: StartUp) -> tuple[Printed, ...]:
    def gib(what: str, printed: float | None, name: str) -> list[Printed]:
        if printed is None:
            return []
        return [Printed(what, "GiB", printed, getattr(before, name) / GIB, getattr(after, name) / GIB)]

    tokens = []
    if log.kv_tokens is not None:
        tokens = [Printed("tokens that fit", "tokens", log.kv_tokens, before.kv_tokens, after.kv_tokens)]
    return (
        *gib("weights on a GPU", log.weights_gib, "weights"),
        *gib("activation peak", log.peak_gib, "activation_peak"),
        *gib("memory for the KV cache", log.kv_gib, "kv_memory"),
        *gib("cache of one longest sequence", log.needed_gib, "longest_sequence"),
        *tokens,
    )


__all__ = ["LogRead", "Printed", "overhead_from", "read_for"]
