"""Time and memory of ``solve`` against the size of a problem with equal nodes, one axis at a time: ``bench.py growth uniform``.

Axes: GPUs (64 to 131,072, the load in step), weight formats (1 to 4), failure levels (0 to 2), experts (dense and MoE). Each
point runs in a process of its own, whose CPU seconds and peak memory count; the slope is that of log time on log size.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import time
from typing import Any

GPUS = (64, 256, 1024, 4096, 16384, 65536, 131072)
FORMATS = (("bf16",), ("bf16", "fp8"), ("bf16", "fp8", "int8"), ("bf16", "fp8", "int8", "int4"))
LEVELS: tuple[dict[str, int], ...] = ({}, {"gpu": 1}, {"gpu": 1, "node": 1})
MODELS = ("llama3-70b", "deepseek-v3")
RATE_PER_NODE = {"llama3-70b": 6.0, "deepseek-v3": 3.0}


def stated(model: str, gpus: int, formats: tuple[str, ...], survive: dict[str, int]) -> dict[str, Any]:
    """A problem of a size."""
    nodes = gpus // 8
    return {
        "hardware": {"gpu": "h200-sxm-141gb", "nodes": nodes, "gpus_per_node": 8, "internode_gbit_per_s": 400},
        "model": model,
        "workload": {"prompt_tokens": 1155, "output_tokens": 211, "requests_per_s": RATE_PER_NODE[model] * nodes},
        "requirements": {"ttft_p99_ms": 5000, "tpot_p99_ms": 200, "max_sequence_tokens": 4096, "survive": survive},
        "search": {"weight_precision": list(formats)},
    }


def points() -> list[tuple[str, int, dict[str, Any]]]:
    """(axis, size, problem)."""
    found = []
    for model in MODELS:
        native = ("bf16",) if model == "llama3-70b" else ("fp8",)
        found += [(f"GPUs, {model}", gpus, stated(model, gpus, native, {})) for gpus in GPUS]
    found += [("weight formats", len(f), stated("llama3-70b", 1024, f, {})) for f in FORMATS]
    found += [("failure levels", i + 1, stated("llama3-70b", 1024, ("bf16",), s)) for i, s in enumerate(LEVELS)]
    return found


def measure(problem: dict[str, Any]) -> dict[str, Any]:
    """One point in this process: seconds of CPU and MiB at most, after the imports."""
    from optimizer import problem_from_dict, solve

    asked = problem_from_dict(problem)
    started, clock = time.process_time(), time.perf_counter()
    answer = solve(asked, repairs=False)
    return {
        "cpu_s": time.process_time() - started,
        "wall_s": time.perf_counter() - clock,
        "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "status": answer.status,
        "strategy": answer.strategy.label if answer.strategy else None,
        "optimality": answer.verification.optimality,
        "compared": answer.verification.compared,
        "candidates": answer.verification.candidates,
        "verified": answer.verification.passed,
    }


def slope(sizes: list[int], seconds: list[float]) -> float:
    """Least squares of log seconds on log size."""
    x, y = [math.log(s) for s in sizes], [math.log(max(1e-3, s)) for s in seconds]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    spread = sum((a - mean_x) ** 2 for a in x)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread if spread else 0.0


def main(arguments: list[str]) -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        print(json.dumps(measure(json.loads(options.one))))
        return
    by_axis: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for axis, size, problem in points():
        command = [sys.executable, __file__, "--one", json.dumps(problem)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        by_axis.setdefault(axis, []).append((size, json.loads(done.stdout)))
        if not options.json:
            row = by_axis[axis][-1][1]
            print(
                f"{axis:20} {size:>8,}  {row['cpu_s']:6.2f} s CPU {row['wall_s']:6.2f} s  {row['mib']:6.0f} MiB  {row['status']:10} "
                f"{row['strategy'] or '':24} {row['compared']:>12,} of {row['candidates']:>14,} compared",
                flush=True,
            )
    slopes = {
        axis: slope([size for size, _ in rows], [row["cpu_s"] for _, row in rows]) for axis, rows in by_axis.items()
    }
    if options.json:
        print(json.dumps({"points": by_axis, "slopes": slopes}, indent=2))
        return
    for axis, value in slopes.items():
        print(f"{axis:20} time grows as size^{value:.2f}")


if __name__ == "__main__":
    main(sys.argv[1:])
