"""Seeded small inventories: odd nodes, several groups, racks and zones, feasible and infeasible."""

from __future__ import annotations

import random
from typing import Any

from tests.generate import DENSE, MOE, WINDOWED

GPUS = ("h100-sxm-80gb", "a100-sxm-80gb", "l40s-48gb", "a100-sxm-40gb")


def random_inventory(seed: int) -> dict[str, Any]:
    """A problem file's contents with at most 12 GPUs."""
    rng = random.Random(seed)
    model: Any = rng.choice([DENSE, MOE, WINDOWED, "llama3.1-8b", "qwen3-32b"])
    cluster: list[dict[str, Any]] = []
    left = rng.choice([3, 5, 7, 8, 12])
    while left > 0 and len(cluster) < 3:
        per_node = min(left, rng.choice([1, 2, 3, 4, 7, 8]))
        nodes = rng.randint(1, min(3, left // per_node))
        group: dict[str, Any] = {"gpu": rng.choice(GPUS), "nodes": nodes, "gpus_per_node": per_node}
        if per_node > 1 and rng.random() < 0.3:
            group["free_gpus"] = per_node - 1
        place = rng.random()
        if place < 0.3:
            group["rack"] = rng.choice(["r1", "r2"])
        elif place < 0.5:
            group["racks"] = rng.choice([k for k in range(1, nodes + 1) if nodes % k == 0])
        if rng.random() < 0.4:
            group["zone"] = rng.choice(["a", "b"])
        cluster.append(group)
        left -= nodes * per_node
    survive: dict[str, Any] = {}
    levels = ["gpu", "node"]
    levels += ["rack"] if any("rack" in g or "racks" in g for g in cluster) else []
    levels += ["zone"] if any("zone" in g for g in cluster) else []
    for level in levels:
        if rng.random() < 0.3:
            survive[level] = rng.choice([1, 1, 2])
    if survive and rng.random() < 0.5:
        survive["demand_share"] = rng.choice([0.5, 0.8])
    requirements: dict[str, Any] = {"max_batch": rng.choice([4, 16, 64]), "max_sequence_tokens": 2048}
    if rng.random() < 0.5:
        requirements["tpot_p99_ms"] = rng.choice([20, 50, 200])
    if rng.random() < 0.4:
        requirements["ttft_p99_ms"] = rng.choice([300, 1000, 4000])
    if survive:
        requirements["survive"] = survive
    values: dict[str, Any] = {
        "name": f"inventory-{seed}",
        "cluster": cluster,
        "model": model,
        "workload": {
            "prompt_tokens": rng.choice([200, 900]),
            "output_tokens": rng.choice([50, 300]),
            "requests_per_s": rng.choice([0.2, 1, 3, 8]),
        },
        "requirements": requirements,
        "objective": rng.choice(
            ["balanced", "balanced", "fault-tolerance", "latency", "fewest-gpus", "throughput", {"gpu_ms": 20.0}]
        ),
    }
    if rng.random() < 0.3:
        values["failures"] = {"zone_mtbf_hours": 5000, "gpu_mtbf_hours": 2000, "repair_hours": 20}
    if rng.random() < 0.3:
        values["search"] = {"weight_precision": ["bf16", "fp8"], "layer_imbalance": rng.choice([0, 1])}
    return values


def tight_inventory(seed: int) -> dict[str, Any]:
    """Few GPUs of two or three kinds, and a model that a single node hardly holds: pipelines over two groups matter."""
    rng = random.Random(10_000 + seed)
    model, gpus = rng.choice(
        [
            ("qwen3-32b", ("l40s-48gb", "a100-sxm-40gb")),
            ("mixtral-8x7b", ("l40s-48gb", "a100-sxm-40gb", "h100-sxm-80gb")),
            ("llama3-70b", ("h100-sxm-80gb", "a100-sxm-80gb", "l40s-48gb")),
        ]
    )
    rack = rng.choice([None, None, "r1"])
    cluster: list[dict[str, Any]] = []
    for _ in range(rng.choice([2, 2, 3])):
        group: dict[str, Any] = {
            "gpu": rng.choice(gpus),
            "nodes": rng.choice([1, 1, 2]),
            "gpus_per_node": rng.choice([1, 2, 2, 3]),
            "internode_gbit_per_s": rng.choice([100, 400]),
        }
        if rack is not None:
            group["rack"] = rng.choice([rack, rack, "r2"])
        if rng.random() < 0.4:
            group["zone"] = rng.choice(["a", "b"])
        if rng.random() < 0.3:
            group["price_per_gpu_hour"] = rng.choice([1.0, 2.5])
        cluster.append(group)
    survive: dict[str, Any] = {}
    for level in ["gpu", "node", *(["zone"] if any("zone" in g for g in cluster) else [])]:
        if rng.random() < 0.2:
            survive[level] = rng.choice([1, 1, 2])
    if survive:
        survive["demand_share"] = rng.choice([0.3, 0.6])
    requirements: dict[str, Any] = {"max_batch": rng.choice([4, 16]), "max_sequence_tokens": 2048}
    if rng.random() < 0.4:
        requirements["tpot_p99_ms"] = rng.choice([60, 200])
    if survive:
        requirements["survive"] = survive
    values: dict[str, Any] = {
        "name": f"tight-{seed}",
        "cluster": cluster,
        "model": model,
        "workload": {"prompt_tokens": 400, "output_tokens": 100, "requests_per_s": rng.choice([0.05, 0.3, 0.8])},
        "requirements": requirements,
        "objective": rng.choice(["balanced", "balanced", "latency", "fewest-gpus", "throughput", {"gpu_ms": 50.0}]),
        "search": {"pipeline_parallel": [1, 2, 3]},
    }
    if rng.random() < 0.3:
        values["failures"] = {"zone_mtbf_hours": 5000, "gpu_mtbf_hours": 2000, "repair_hours": 20}
    return values
