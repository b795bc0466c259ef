"""A plan of runs, as data and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from optimizer.results.bench_plan import BenchPlan


def bench_plan_data(plan: BenchPlan, commands: Sequence[str]) -> dict[str, Any]:
    """Everything as plain data."""
    return {
        "strategy": plan.strategy.label,
        "in_progress": plan.in_progress,
        "open_percent": round(plan.open_percent, 1),
        "runs": [asdict(run) | {"tpot_percent": round(run.tpot_percent, 1)} for run in plan.runs],
        "commands": list(commands),
    }


def bench_plan_text(plan: BenchPlan, commands: Sequence[str]) -> str:
    """The runs, what each leaves open, and the commands."""
    lines = [
        f"# {plan.strategy.label}, {plan.in_progress} sequences in progress at an engine: the shipped constants leave its time per output",
        f"# token open by {plan.open_percent:.0f} % either way (90 %). What remains after each of these runs, most telling first:",
    ]
    for number, run in enumerate(plan.runs, 1):
        load = f"TP {run.tensor_parallel}, {run.concurrency} in progress"
        lengths = f"{run.prompt_tokens:,} + {run.output_tokens:,} tokens"
        lines.append(f"#   {number}. {load}, {lengths}: {run.tpot_percent:.0f} %")
    return "\n".join([*lines, "", *commands])
