"""Processor seconds of questions about prefill and decode pools, each a command of its own, beside its target.

Usage: python scripts/bench.py pools [--runs N] [--json]. Processor time of the whole command, start and verification included: it
does not change with what else the machine does, as wall time does; on two quiet cores a command takes no longer than that.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
GPUS = ("h100-sxm-80gb", "h200-sxm-141gb", "l40s-48gb", "a100-sxm-80gb") * 2


def mixed(groups: int, nodes: int, **changes: Any) -> dict[str, Any]:
    """Qwen3-32B on groups of different GPUs, so many nodes of eight in all."""
    each = {"nodes": nodes // groups, "gpus_per_node": 8, "internode_gbit_per_s": 3200}
    return {
        "engine": "vllm",
        "serving": "disaggregated",
        "cluster": [{"name": f"g{i}", "gpu": GPUS[i]} | each for i in range(groups)],
        "model": "qwen3-32b",
        "workload": {"prompt_tokens": 3000, "output_tokens": 300, "requests_per_s": 800 * nodes // 256},
        "requirements": {"ttft_p99_ms": 4000, "tpot_p99_ms": 60},
        "search": {"weight_precision": ["fp8"]},
    } | changes


QUESTIONS: list[tuple[str, float | None, str | dict[str, Any]]] = [
    ("DeepSeek-V3 on 32 H200, joint or pools", 5, str(ROOT / "problems" / "deepseek-v3-32xh200.yaml")),
    ("two zones", None, str(ROOT / "problems" / "pools-in-two-zones.yaml")),
    ("by price", None, str(ROOT / "problems" / "prefill-h100-decode-by-price.yaml")),
    ("2,048 GPUs of two types", 30, mixed(2, 256)),
    ("2,048 GPUs of four types", 30, mixed(4, 256)),
    ("2,048 GPUs, a node survived", 30, mixed(2, 256, requirements={"ttft_p99_ms": 4000, "tpot_p99_ms": 60, "survive": {"node": 1}})),
    ("2,048 GPUs of two types, Qwen3-235B", 30, mixed(2, 256, model="qwen3-235b-a22b")),
]  # fmt: skip


def measured(problem: str | dict[str, Any], folder: Path) -> tuple[float, str, float]:
    """(processor seconds, status, gap) of one solve."""
    if isinstance(problem, dict):
        path = folder / "problem.json"
        path.write_text(json.dumps(problem))
        problem = str(path)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", "from optimizer.cli import main; main()", "solve", problem, "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    answer = json.loads(ran.stdout)
    objective = answer.get("objective") or {}
    return seconds, answer["status"], float(objective.get("gap") or 0.0)


def main(arguments: list[str]) -> None:
    """Measure every question and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    stated = parser.parse_args(arguments)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for what, target, problem in QUESTIONS:
            seen = [measured(problem, Path(folder)) for _ in range(stated.runs)]
            seconds = [one[0] for one in seen]
            row = {
                "what": what,
                "target_s": target,
                "median_s": statistics.median(seconds),
                "status": seen[0][1],
                "gap": seen[0][2],
            }
            rows.append(row)
            if not stated.json:
                wanted = f"  (target {target:g} s)" if target else ""
                print(f"{what:40} {row['median_s']:7.1f} s  {row['status']}, gap {row['gap']:.2%}{wanted}", flush=True)
    if stated.json:
        print(json.dumps(rows, indent=2))
