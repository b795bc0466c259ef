#!/usr/bin/env python3
"""Wall times against the stated targets: whole processes as a user meets them, and the solve call alone.

Usage: python scripts/bench.py [--runs N] [--json]. Medians are shown with minimum and maximum; a noisy machine shows in
the spread. Chain instances: python scripts/bench.py helix [INSTANCE.json ...].
Sweeps: python scripts/bench.py sweep. Prefill and decode pools: bench.py pools.
What grows with the size of a problem: bench.py growth, and growth uniform.
Nothing here is asserted: CI machines are shared.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = str(ROOT / "problems" / "llama3-70b-8xh100.yaml")


def timed(action: Callable[[], object], runs: int) -> list[float]:
    """Seconds of each run after one that is not counted."""
    action()
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return seconds


def process(*arguments: str) -> Callable[[], object]:
    """The command in a new process, its output thrown away."""
    command = [sys.executable, "-c", "from optimizer.cli import main; main()", *arguments]
    return lambda: subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def candidate_rate() -> float:
    """Candidates (shape × sequences) whose step times are computed per second in one process."""
    from optimizer.costs.analytic import AnalyticCosts
    from optimizer.costs.shapes import Shape
    from optimizer.reading.load import load_problem

    problem = load_problem(EXAMPLE)
    shapes = [Shape(tp, 1, 1, "fp16", "fp16", (problem.model.layers,)) for tp in (1, 2, 4, 8)] * 250
    costs = AnalyticCosts(problem, shapes)
    start = time.perf_counter()
    costs.service(1024)
    return len(shapes) * 1024 / (time.perf_counter() - start)


def rows(runs: int) -> list[dict[str, Any]]:
    """One row per measurement: what, target in seconds (or per second), measured."""
    from optimizer import load_problem, solve

    problem = load_problem(EXAMPLE)
    measured = [
        ("optimizer --help", 0.25, timed(process("--help"), runs)),
        (
            "optimizer check (TP2·PP4·DP1 of the example)",
            0.5,
            timed(process("check", EXAMPLE, "--tp", "2", "--pp", "4", "--dp", "1"), runs),
        ),
        ("optimizer solve (the example)", 1.5, timed(process("solve", EXAMPLE), runs)),
        ("solve call alone, warm, verification included", 0.1, timed(lambda: solve(problem), runs)),
    ]
    return [
        {
            "what": what,
            "target_s": target,
            "median_s": statistics.median(seconds),
            "min_s": min(seconds),
            "max_s": max(seconds),
            "met": statistics.median(seconds) <= target,
        }
        for what, target, seconds in measured
    ]


def main() -> None:
    """Run and print."""
    if sys.argv[1:2] == ["helix"]:
        sys.path.insert(0, str(ROOT))
        from scripts.bench_helix import bench_helix

        bench_helix(sys.argv[2:])
        return
    if sys.argv[1:2] == ["sweep"]:
        sys.path.insert(0, str(ROOT))
        from scripts.bench_sweep import bench_sweep

        bench_sweep()
        return
    if sys.argv[1:2] == ["inventory"]:
        sys.path.insert(0, str(ROOT))
        from scripts.bench_inventory import bench_inventory

        bench_inventory(sys.argv[2:])
        return
    if sys.argv[1:2] == ["pools"]:
        sys.path.insert(0, str(ROOT))
        from scripts.bench_pools import main as pools

        pools(sys.argv[2:])
        return
    if sys.argv[1:2] == ["growth"]:
        sys.path.insert(0, str(ROOT))
        from scripts.bench_growth import bench_growth
        from scripts.bench_growth_uniform import main as uniform

        if sys.argv[2:3] == ["uniform"]:
            uniform(sys.argv[3:])
            return

        bench_growth(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    table = rows(arguments.runs)
    rate = candidate_rate()
    if arguments.json:
        print(json.dumps({"rows": table, "candidates_per_s": rate}, indent=2))
        return
    for row in table:
        verdict = "met" if row["met"] else "MISSED"
        print(
            f"{row['what']:<52} {row['median_s'] * 1e3:7.0f} ms  ({row['min_s'] * 1e3:.0f}–{row['max_s'] * 1e3:.0f})"
            f"  target {row['target_s'] * 1e3:.0f} ms  {verdict}"
        )
    print(f"{'candidate evaluations per second, one core':<52} {rate / 1e6:7.1f} million  target 1 million")


if __name__ == "__main__":
    main()
