"""Where memory and time of one strategy go, term by term, for people who check the numbers. ``docs/model.md``, 2 and 3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from optimizer.costs.analytic import AnalyticCosts
from optimizer.costs.corrected import costs_of
from optimizer.costs.memory import cache_by_stage, memory_budget_bytes
from optimizer.costs.shapes import Shape
from optimizer.facts.problem import Problem


def breakdown(
    problem: Problem, shape: Shape, slots: int, in_progress: int, budgets: Sequence[int] | None = None
) -> dict[str, Any]:
    """Every term of the analytic model, and what another source of costs makes of their sum.

    Args:
        slots: max_num_seqs.
        budgets: bytes of one GPU that may be used, by stage; left out, those of the problem's GPU.
        in_progress: sequences in progress at the replica, for the decode step.

    Returns:
        ``memory_bytes_by_stage``: one mapping of terms per pipeline stage; they sum to the stage's memory.
        ``decode_ms``: terms of one token for every running sequence, summed over the stages, with the sends between
        them, what the pipeline waits for its slowest stage, and what another source of costs adds or takes off. They
        sum to ``round_ms``.
        ``prefill_ms``: terms of one mean prompt through all stages, without the decodes that share its steps.
    """
    costs = AnalyticCosts(problem, [shape])
    memory, steps = costs.memory(), costs.steps
    stages = []
    budgets = budgets or [memory_budget_bytes(problem)] * shape.pp
    cache = cache_by_stage(memory, costs.table, budgets, slots)
    for stage, column in enumerate(costs.table.class_of_stage[0]):
        stages.append(
            {
                "weights": int(memory.weights[0, column]),
                "KV cache": cache[stage],
                "activations": int(memory.activations[0, column]),
                "logits": int(memory.logits(slots)[0, column]),
                "communication buffers": int(memory.communication[0, column]),
                "engine": int(memory.engine[0, column]),
            }
        )
    multiplicity = costs.table.multiplicity[0].astype(np.float64)
    batch = -(-in_progress // shape.pp)
    decode = {
        name: float(values[0, :, 0] @ multiplicity) for name, values in steps.decode_terms(np.array([[batch]])).items()
    }
    decode["sends between stages"] = float(steps.send_ms(np.array([[float(batch)]]))[0, 0])
    round_ms = float(costs.service(in_progress).round_ms[0, in_progress - 1])
    decode["waiting for the slowest stage"] = max(0.0, round_ms - sum(decode.values()))
    if problem.costs is not None:
        # The terms are the analytic model's; the source corrects their sum, not its parts.
        corrected = float(costs_of(problem, [shape]).service(in_progress).round_ms[0, in_progress - 1])
        decode[f"correction by {problem.costs.label}"] = corrected - round_ms
        round_ms = corrected
    prompt = problem.workload.prompt_tokens
    prefill = {name: float(values[0] @ multiplicity) for name, values in steps.prefill_terms(prompt).items()}
    return {
        "memory_bytes_by_stage": stages,
        "sequences_in_progress": in_progress,
        "round_ms": round_ms,
        "decode_ms": {name: value for name, value in decode.items() if value},
        "prefill_ms": {name: value for name, value in prefill.items() if value},
    }
