"""Values as a problem file has them, and what a person fixed, in words."""

from __future__ import annotations

from typing import Any

from optimizer.explain.common.numbers import count
from optimizer.results.answer import Fixed


def plain(value: Any) -> str:
    """A value as it is written in the problem file."""
    if isinstance(value, list | tuple):
        return "[" + ", ".join(str(v) for v in value) + "]"
    if isinstance(value, float):
        return f"{value:.10g}"
    return str(value)


def fixed_words(fixed: Fixed | None) -> str:
    """Which decisions a person fixed, for sentences; empty when none."""
    if fixed is None:
        return ""
    words = {
        "TP": fixed.tensor_parallel,
        "PP": fixed.pipeline_parallel,
        "DP": fixed.data_parallel,
        "EP": fixed.expert_parallel,
        "experts sliced over DP ranks ": fixed.expert_slice_ranks,
        "DCP": fixed.decode_context_parallel,
    }
    named = "·".join(f"{name}{value}" for name, value in words.items() if value)
    more = [f"{count(fixed.max_num_seqs, 'sequence')} per replica"] if fixed.max_num_seqs else []
    more += ["layers " + "+".join(str(v) for v in fixed.layers_per_stage)] if fixed.layers_per_stage else []
    more += [f"{fixed.weight_precision} weights"] if fixed.weight_precision else []
    more += [f"{fixed.kv_precision} KV cache"] if fixed.kv_precision else []
    return " with ".join(part for part in (named, " and ".join(more)) if part)
