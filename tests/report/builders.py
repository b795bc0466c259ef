"""Reports for tests: each built once, from problems that differ in model, links, stages and experts."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from optimizer import Fixed, check, problem_from_dict, simulate, solve
from optimizer.reporting.build import Built, build_report
from optimizer.reporting.curves import FrontRow, SweepPoint
from tests.conftest import ROOT

EXAMPLE = ROOT / "problems" / "llama3-70b-8xh100.yaml"
REQUIREMENTS = {"tpot_p99_ms": 300, "ttft_p99_ms": 8000, "max_sequence_tokens": 8192, "max_batch": 96}
CASES: dict[str, tuple[dict[str, Any], Fixed]] = {
    "experts inside a replica": (
        {"hardware": {"gpu": "h100-sxm-80gb", "nodes": 1}, "model": "gpt-oss-120b", "engine": "sglang"},
        Fixed(4, 1, 2, 4),
    ),
    "experts over all replicas, two nodes": (
        {
            "hardware": {"gpu": "h100-sxm-80gb", "nodes": 2, "internode_gbit_per_s": 400},
            "model": "qwen3-235b-a22b",
            "workload": {"prompt_tokens": 2000, "output_tokens": 300, "requests_per_s": 4, "prompt_tokens_p99": 20000},
            "requirements": {**REQUIREMENTS, "max_sequence_tokens": 32768},
        },
        Fixed(8, 1, 2, 16),
    ),
    "latent attention, stages over the network": (
        {"hardware": {"gpu": "h200-sxm-141gb", "nodes": 2, "internode_gbit_per_s": 400}, "model": "deepseek-v3"},
        Fixed(8, 2, 1),
    ),
    "PCIe only, uneven stages": (
        {"hardware": {"gpu": "l40s-48gb", "nodes": 3, "internode_gbit_per_s": 100}, "model": "llama3-70b"},
        Fixed(4, 3, 1),
    ),
    "overloaded": (
        {
            "hardware": {"gpu": "h100-sxm-80gb", "nodes": 1},
            "model": "llama3-70b",
            "workload": {"prompt_tokens": 1000, "output_tokens": 200, "requests_per_s": 500},
        },
        Fixed(8, 1, 1),
    ),
    "one GPU": (
        {"hardware": {"gpu": "h100-sxm-80gb", "nodes": 1, "gpus_per_node": 1}, "model": "llama3.1-8b"},
        Fixed(1, 1, 1),
    ),
}
FRONT = (
    FrontRow(5990, 0.99987, 8, "TP4·PP1·DP2"),
    FrontRow(5200, 0.99981, 8, "TP8·PP1·DP1"),
    FrontRow(3000, 1.0, 32, "TP8·PP1·DP4"),
)
CURVE = (
    SweepPoint(4, "infeasible", "", None, None, None, None),
    SweepPoint(8, "optimal", "TP4·PP1·DP2", 456, 38, 5990, 8.257),
    SweepPoint(16, "optimal", "TP8·PP1·DP2", 300, 20, 3300, 14.0),
)


@cache
def case(name: str) -> Built:
    """The report of a strategy that was checked."""
    values, fixed = CASES[name]
    workload = {"prompt_tokens": 1000, "output_tokens": 200, "requests_per_s": 1}
    problem = problem_from_dict({"name": name, "workload": workload, "requirements": REQUIREMENTS, **values})
    return build_report(problem, check(problem, fixed, repairs=False))


@cache
def example(fixed: Fixed | None = None) -> Built:
    """The report of the case that the product was created from: solved, or a strategy of it checked."""
    values = yaml.safe_load(Path(EXAMPLE).read_text())
    problem = problem_from_dict(values)
    answer = simulate(problem, solve(problem) if fixed is None else check(problem, fixed))
    return build_report(problem, answer, front=FRONT, curve=CURVE)


PROPOSED = Fixed(tensor_parallel=2, pipeline_parallel=2, data_parallel=2)
"""The strategy of the report that the project was created from."""
