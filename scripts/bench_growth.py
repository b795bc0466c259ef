"""Inventories that grow along one axis at a time: time, memory, gap and the slope, verification included.

Each point runs in a process of its own, so that its peak memory is its own. Slopes are of log time over log size, between neighbours.
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

GPUS = (
    "h100-sxm-80gb", "a100-sxm-80gb", "h200-sxm-141gb", "a100-sxm-40gb", "l40s-48gb", "b200-sxm-180gb", "l4-24gb", "mi300x-192gb",
)  # fmt: skip
PRECISIONS = ("fp16", "fp8", "int8", "int4")
AXES: dict[str, tuple[int, ...]] = {
    "gpus": (64, 512, 4_096, 32_768, 131_072),
    "groups": (1, 4, 16, 64),
    "types": (1, 2, 4, 6, 8),
    "levels": (0, 1, 2, 3),
    "precisions": (1, 2, 3, 4),
}
USUAL = {"gpus": 1_024, "groups": 4, "types": 2, "levels": 1, "precisions": 2}
LEVELS = ("node", "rack", "zone")
REQUESTS_PER_GPU = 0.2


def inventory(gpus: int, groups: int, types: int, levels: int, precisions: int, racks: bool) -> dict[str, Any]:
    """A problem file's contents; groups are dealt to GPU types and two zones in turn, sizes differ by a node or two."""
    each = max(2, gpus // 8 // groups)
    racks = racks or levels > 1
    cluster = []
    for number in range(groups):
        nodes = max(2, each + number % 3 - 1)
        group: dict[str, Any] = {"name": f"g{number}", "gpu": GPUS[number % types], "nodes": nodes, "gpus_per_node": 8}
        if racks:
            per_rack = next(n for n in (8, 7, 6, 5, 4, 3, 2, 1) if nodes % n == 0)
            group["racks"] = nodes // per_rack
        if levels > 2:
            group["zone"] = "ab"[number // 2 % 2]
        cluster.append(group)
    asked: dict[str, Any] = dict.fromkeys(LEVELS[:levels], 1)
    if levels > 2:
        asked["demand_share"] = 0.4
    return {
        "name": "growth",
        "cluster": cluster,
        "model": "llama3-70b",
        "workload": {
            "prompt_tokens": 1155,
            "output_tokens": 211,
            "requests_per_s": sum(g["nodes"] for g in cluster) * 8 * REQUESTS_PER_GPU / types,
        },
        "requirements": {
            "ttft_p99_ms": 5000,
            "tpot_p99_ms": 150,
            "max_batch": 64,
            "max_sequence_tokens": 8192,
            "survive": asked,
        },
        "search": {"weight_precision": list(PRECISIONS[:precisions])},
    }


def measured(sizes: dict[str, int], racks: bool, limit_s: float) -> dict[str, Any]:
    """One solve, verification included, in this process."""
    from optimizer.questions.inventory import solve_inventory
    from optimizer.reading.inventory_file import inventory_from_dict

    problem = inventory_from_dict(inventory(**sizes, racks=racks))
    start, used = time.perf_counter(), time.process_time()
    answer = solve_inventory(problem, time_limit_s=limit_s, ranges=False)
    return {
        **sizes,
        "racks": racks,
        "status": answer.status,
        "gap": answer.objective.gap if answer.objective else None,
        "optimality": answer.verification.optimality,
        "verified": answer.verification.passed,
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - used,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2,
    }


def bench_growth(arguments: list[str]) -> None:
    """Print a row for each point of each axis."""
    parser = argparse.ArgumentParser(prog="bench.py growth", description=__doc__)
    parser.add_argument("--axis", choices=[*AXES, "largest"], nargs="*", default=[*AXES, "largest"])
    parser.add_argument("--racks", action="store_true", help="state racks on every axis")
    parser.add_argument("--time-limit", type=float, default=120.0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--here", help="run one point, given as JSON, in this process and print it as JSON")
    options = parser.parse_args(arguments)
    if options.here:
        point = json.loads(options.here)
        racks = point.pop("racks")
        print(json.dumps(measured(point, racks, options.time_limit)))
        return
    rows = []
    for axis in options.axis:
        before: dict[str, Any] | None = None
        for sizes, racks in _points(axis, options.racks):
            row = _apart({**sizes, "racks": racks}, options.time_limit)
            rows.append(row | {"axis": axis})
            if not options.json:
                print(_line(axis, row, before), flush=True)
            before = row
    if options.json:
        print(json.dumps(rows, indent=2))


def _points(axis: str, racks: bool) -> list[tuple[dict[str, int], bool]]:
    if axis == "largest":
        return [({"gpus": 131_072, "groups": 64, "types": 6, "levels": 3, "precisions": 2}, True)]
    found = []
    for size in AXES[axis]:
        sizes = USUAL | {axis: size}
        # Every type and every group has at least two nodes.
        sizes["groups"] = max(sizes["groups"], sizes["types"])
        if axis == "gpus":
            sizes["groups"] = min(sizes["groups"], max(1, size // 64 * 2))
        found.append((sizes, racks))
    return found


def _apart(point: dict[str, Any], limit_s: float) -> dict[str, Any]:
    command = [sys.executable, "scripts/bench.py", "growth", "--here", json.dumps(point), "--time-limit", str(limit_s)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def _line(axis: str, row: dict[str, Any], before: dict[str, Any] | None) -> str:
    slope = ""
    if before is not None and axis in row and min(row[axis], before[axis]) > 0 and row[axis] != before[axis]:
        slope = (
            f"  slope {math.log(row['cpu_seconds'] / before['cpu_seconds']) / math.log(row[axis] / before[axis]):5.2f}"
        )
    gap = "–" if row["gap"] is None else f"{row['gap']:.2%}"
    checked = row["optimality"] if row["verified"] else "NOT verified"
    size = (
        f"{row[axis]:>7,}" if axis in row else f"{row['gpus']:>7,} GPUs in {row['groups']} groups, {row['types']} types"
    )
    return (
        f"{axis:<10} {size}  {row['status']:<10} gap {gap:>6}  {row['seconds']:6.1f} s ({row['cpu_seconds']:.1f} s of a core)"
        f"  {row['peak_gib']:.2f} GiB  {checked}{slope}"
    )
