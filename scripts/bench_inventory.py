"""Inventories of 64 to 16,384 GPUs: racks of 4 to 9 nodes of 8, three GPU types, one node and one rack survived.

Each size runs in a process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import time
from typing import Any

GPUS = ("h100-sxm-80gb", "a100-sxm-80gb", "h200-sxm-141gb")
SIZES = (64, 512, 2_048, 16_384)
TARGET_S = {2_048: 10.0, 16_384: 60.0}
TARGET_GIB = 2.0
REQUESTS_PER_GPU = 0.25


def inventory(gpus: int, seed: int = 1) -> dict[str, Any]:
    """A problem file's contents with so many GPUs."""
    rng = random.Random(seed)
    left, racks = gpus // 8, {}
    while left > 0:
        nodes, gpu = rng.randint(4, 9), rng.choice(GPUS)
        if left - nodes < 4:
            # No rack is left with fewer than four nodes.
            nodes = left if left <= 7 else left // 2
        racks[gpu, nodes] = racks.get((gpu, nodes), 0) + 1
        left -= nodes
    return {
        "name": f"{gpus} GPUs",
        "cluster": [
            {"name": f"{gpu.split('-')[0]}-{nodes}", "gpu": gpu, "nodes": nodes * count, "racks": count}
            for (gpu, nodes), count in sorted(racks.items())
        ],
        "model": "llama3-70b",
        "workload": {"prompt_tokens": 1155, "output_tokens": 211, "requests_per_s": gpus * REQUESTS_PER_GPU},
        "requirements": {
            "ttft_p99_ms": 3000,
            "tpot_p99_ms": 100,
            "max_batch": 64,
            "max_sequence_tokens": 8192,
            "survive": {"node": 1, "rack": 1},
        },
        "search": {"weight_precision": ["fp16", "fp8"]},
    }


def measured(gpus: int, workers: int) -> dict[str, Any]:
    """One solve, verification included, in this process."""
    from optimizer.questions.inventory import solve_inventory
    from optimizer.reading.inventory_file import inventory_from_dict

    problem = inventory_from_dict(inventory(gpus))
    start = time.perf_counter()
    answer = solve_inventory(problem, time_limit_s=120, workers=workers, ranges=False)
    seconds = time.perf_counter() - start
    return {
        "gpus": gpus,
        "groups": len(problem.groups),
        "status": answer.status,
        "objective_ms": answer.objective.value if answer.objective else None,
        "bound_ms": answer.objective.bound if answer.objective else None,
        "gap": answer.objective.gap if answer.objective else None,
        "gpus_used": answer.gpus_used,
        "verified": answer.verification.passed,
        "seconds": seconds,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2,
    }


def bench_inventory(arguments: list[str]) -> None:
    """Print a row for each size."""
    parser = argparse.ArgumentParser(prog="bench.py inventory", description=__doc__)
    parser.add_argument("--gpus", type=int, nargs="*", default=list(SIZES))
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--here", action="store_true", help="run one size in this process and print it as JSON")
    options = parser.parse_args(arguments)
    if options.here:
        print(json.dumps(measured(options.gpus[0], options.workers)))
        return
    rows = []
    for gpus in options.gpus:
        command = [sys.executable, "scripts/bench.py", "inventory", "--here", "--gpus", str(gpus)]
        command += ["--workers", str(options.workers)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        if not options.json:
            print(_line(rows[-1]), flush=True)
    if options.json:
        print(json.dumps(rows, indent=2))


def _line(row: dict[str, Any]) -> str:
    value = "–" if row["objective_ms"] is None else f"{row['objective_ms']:,.0f} ms (bound {row['bound_ms']:,.0f})"
    target = TARGET_S.get(row["gpus"])
    said = "" if target is None else f"  target {target:.0f} s, {TARGET_GIB:.0f} GiB"
    if target is not None:
        good = row["seconds"] <= target and row["peak_gib"] <= TARGET_GIB and (row["gap"] or 0) <= 0.01
        said += "  met" if good and row["verified"] else "  MISSED"
    checked = "verified" if row["verified"] else "NOT verified"
    return (
        f"{row['gpus']:>6,} GPUs in {row['groups']:>2} groups  {row['status']:<10} {value:<32} {row['seconds']:6.1f} s  "
        f"{row['peak_gib']:.2f} GiB  {checked}{said}"
    )
