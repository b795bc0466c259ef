"""What a relaxation is, and those that problems on equal nodes and inventories share: formats, memory, batches, switches.

A relaxation knows the rules it relaxes, its steps from the stated value outward, and its furthest useful value. Steps are
the resolution that "least change" refers to: 0.01 ms, 0.001 requests/s, one KV block of 16 tokens, 0.1 % of memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, get_args

from optimizer.costs.load import chain_length
from optimizer.engines.kernels import kernels_of
from optimizer.facts.demand import KvFormat
from optimizer.facts.model import WeightFormat
from optimizer.facts.problem import Problem
from optimizer.results.answer import Change, Fixed

Changes = Mapping[str, Any]

PERCENT = 100

MOST_UTILIZATION = 0.95
"""Beyond this share engines fail to start: what the driver and other contexts hold is not theirs."""

MS_STEPS, RATE_STEPS, SHARE_STEPS, BLOCK_TOKENS = 100, 1000, 1000, 16


@dataclass(frozen=True, slots=True)
class Relaxation:
    """A field that may move.

    Args:
        id: for code; people read ``field``.
        kind: ``limit`` (tables stay), ``rate``, ``context``, ``candidate`` (more candidates), ``nodes`` or ``choice``.
        rules: ids of the rules it relaxes.
        steps: how many settings there are beyond the stated one.
        at: the changes of setting 1…steps; further settings allow more, unless the kind is ``candidate`` or ``choice``.
        full: the changes that allow the most; None for ``choice``, whose settings stand side by side.
        weight: what giving it up counts, smaller is offered first.
    """

    id: str
    kind: str
    field: str
    rules: tuple[str, ...]
    weight: int
    steps: int
    at: Callable[[int], Changes]
    full: Changes | None


def counted(id: str, kind: str, field: str, rules: tuple[str, ...], weight: int, start: int, end: int) -> Relaxation:
    """A whole number that moves from ``start`` (stated) to ``end`` one by one."""
    sign = 1 if end > start else -1
    full = None if kind == "choice" else {field: end}
    return Relaxation(id, kind, field, rules, weight, abs(end - start), lambda k: {field: start + sign * k}, full)


def one_value(id: str, kind: str, field: str, rules: tuple[str, ...], weight: int, value: Any) -> Relaxation:
    return Relaxation(id, kind, field, rules, weight, 1, lambda k: {field: value}, {field: value})


def offered_formats(problem: Problem, fixed: Fixed | None) -> list[Relaxation]:
    """Narrower weights, and a narrower KV cache, beside what is considered, where the GPU runs them."""
    search, model = problem.search, problem.model
    kernels, gpu = kernels_of(problem.engine), problem.hardware.gpu
    relaxations = []
    weights = search.weight_precision or (model.native_weight_format,)
    narrow = set(get_args(WeightFormat)) - {"fp16", "bf16"}
    # As wide as is enough: 8 bit before 4, which costs more of the answers' quality.
    narrower: tuple[WeightFormat, ...] = ("fp8", "int4")
    runs = [form for form in narrower if kernels.runs_weights(form, model.quantization, gpu)]
    if runs and not (fixed and fixed.weight_precision) and not narrow & set(weights):
        field, most = "search.weight_precision", {"search.weight_precision": [*weights, *runs]}
        relaxations.append(
            Relaxation(
                "fp8 weights", "candidate", field, (), 2, len(runs), lambda k: {field: [*weights, *runs[:k]]}, most
            )
        )
    caches = search.kv_precision or (model.native_kv_format,)
    if (
        kernels.runs_cache("fp8", model.quantization, gpu)
        and not (fixed and fixed.kv_precision)
        and "fp8" not in caches
    ):
        assert "fp8" in get_args(KvFormat)
        relaxations.append(one_value("fp8 KV", "candidate", "search.kv_precision", (), 2, [*caches, "fp8"]))
    return relaxations


def shorter_sequences(problem: Problem) -> list[Relaxation]:
    """Shorter sequences, in KV blocks, down to the workload's own longest."""
    start = problem.max_sequence_tokens
    least = problem.longest_request_tokens
    if least >= start:
        return []
    first = (start - 1) // BLOCK_TOKENS * BLOCK_TOKENS
    steps = max(0, -(-(first - least) // BLOCK_TOKENS)) + 1
    field = "requirements.max_sequence_tokens"
    return [
        Relaxation("context", "context", field, (), 3, steps,
              lambda k: {field: max(least, first - (k - 1) * BLOCK_TOKENS)}, {field: least})
    ]  # fmt: skip


def batches(problem: Problem, fixed: Fixed | None) -> list[Relaxation]:
    needs = problem.requirements
    relaxations = []
    most = chain_length(problem) // 2
    if needs.max_batch is not None and needs.max_batch < most:
        relaxations.append(
            counted("max_batch", "limit", "requirements.max_batch", ("max_batch",), 6, needs.max_batch, most)
        )
    if needs.min_batch > 1:
        relaxations.append(
            counted("min_batch", "limit", "requirements.min_batch", ("min_batch",), 6, needs.min_batch, 1)
        )
    return relaxations


def room_in_memory(problem: Problem) -> list[Relaxation]:
    """Shorter sequences, and a larger share of the memory."""
    return [*shorter_sequences(problem), *more_of_memory(problem)]


def more_of_memory(problem: Problem) -> list[Relaxation]:
    share, field = problem.requirements.gpu_memory_utilization, "requirements.gpu_memory_utilization"
    first = math.floor(Fraction(repr(share)) * SHARE_STEPS)
    steps = round(MOST_UTILIZATION * SHARE_STEPS) - first
    if steps < 1:
        return []

    def at(k: int) -> Changes:
        return {field: (first + k) / SHARE_STEPS}

    return [Relaxation("utilization", "limit", field, ("memory", "kv_cache", "state_blocks"), 6, steps, at, at(steps))]


def switch_off(problem: Problem) -> list[Relaxation]:
    """Rules of placement that a person may switch off; rules that an engine enforces are never offered."""
    rule, off = "nvlink_locality", problem.search.disabled_rules
    if rule in off:
        return []
    return [one_value(rule, "limit", "search.disabled_rules", (rule,), 10, [*off, rule])]


def only_opens(changes: Iterable[Change], fields: Sequence[str]) -> bool:
    """Whether changes do nothing but open the limits in these fields."""
    return all(change.field in fields for change in changes)
