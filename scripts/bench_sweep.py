"""``scripts/bench.py sweep``: whole sweeps against their targets, and the cost of a point against its size."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "problems" / "llama3-70b-8xh100.yaml"
MANY = {
    "cross": {
        "hardware.gpu": ["h100-sxm-80gb", "h200-sxm-141gb", "a100-sxm-80gb"],
        "model": ["llama3-70b", "llama3.1-8b"],
        "workload.prompt_tokens": [256, 512, 1155, 2048],
        "workload.output_tokens": [64, 128, 211, 400],
        "workload.requests_per_s": {"from": 1, "to": 26, "step": 1},
        "objective": ["balanced", "latency", "throughput", "fault-tolerance"],
    }
}
"""9,984 scenarios."""


def bench_sweep() -> None:
    """Run and print."""
    from optimizer.reading.stated import load_stated

    workers = len(os.sched_getaffinity(0))
    stated = load_stated(EXAMPLE)
    single = replace(
        stated.changed({"hardware.gpus_per_node": 1, "hardware.nvlink_gb_per_s": None, "model": "llama3.1-8b"}),
        model=None,
    )
    print(f"{workers} processes\n{'sweep':<58}{'points':>8}{'wall s':>9}{'target':>9}   proved and verified")
    _row("1 to 1,024 GPUs, nodes of 8", stated, "1..1024", None, workers, 10)
    _row("1 to 1,024 GPUs, nodes of 1 (every count its own problem)", single, "1..1024", None, workers, None)
    _row("scenarios: 3 GPUs, 2 models, lengths, rates, weights", stated, None, MANY, workers, 180)
    print(f"\ncost of a point by its size, one process\n{'GPUs':>12}{'candidates':>14}{'points':>8}{'ms a point':>12}")
    for line in _by_size(stated):
        print(line)


def _row(name: str, stated: Any, gpus: str | None, scenarios: Any, workers: int, target_s: float | None) -> None:
    from optimizer import sweep

    start = time.perf_counter()
    points = list(sweep(stated, gpus, scenarios, workers=workers))
    seconds = time.perf_counter() - start
    fine = sum(p.status in ("optimal", "infeasible") and bool(p.verification and p.verification.passed) for p in points)
    verdict = "" if target_s is None else f"{target_s:.0f} s"
    print(f"{name:<58}{len(points):>8,}{seconds:>9.1f}{verdict:>9}   {fine:,} of {len(points):,}", flush=True)


def _by_size(stated: Any) -> Iterator[str]:
    """Mean time of a point in buckets of equal doubling, its tables shared with all others."""
    from optimizer.questions.many import solve_many
    from optimizer.sweeps.hardware import hardware_of

    problem = stated.problem()
    counts = range(8, 1025, 8)
    problems = [problem.model_copy(update={"hardware": hardware_of(problem.hardware, count)}) for count in counts]
    buckets: dict[int, list[tuple[int, float]]] = {}
    start = time.perf_counter()
    for position, answer in solve_many(list(reversed(problems))):
        seconds, start = time.perf_counter() - start, time.perf_counter()
        gpus = counts[len(problems) - 1 - position]
        # The first point of a family pays for its tables.
        if gpus not in (8, counts[-1]):
            buckets.setdefault(gpus.bit_length(), []).append((answer.verification.candidates, seconds))
    for bits, found in sorted(buckets.items()):
        candidates, seconds = max(c for c, _ in found), sum(s for _, s in found) / len(found)
        yield f"{2 ** (bits - 1):>5} – {2**bits - 1:<4}{candidates:>14,}{len(found):>8}{seconds * 1e3:>12.1f}"
