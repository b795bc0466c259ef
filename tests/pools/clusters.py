"""Small questions about pools on inventories."""

from __future__ import annotations

import copy
from typing import Any

from optimizer.facts.inventory import InventoryProblem
from optimizer.reading.inventory_file import inventory_from_dict

TWO_GROUPS: dict[str, Any] = {
    "name": "two groups",
    "serving": "disaggregated",
    "cluster": [
        {"name": "a", "gpu": "h100-sxm-80gb", "nodes": 2, "gpus_per_node": 2, "internode_gbit_per_s": 400, "price_per_gpu_hour": 2.5},
        {"name": "b", "gpu": "l40s-48gb", "nodes": 2, "gpus_per_node": 2, "internode_gbit_per_s": 100, "price_per_gpu_hour": 0.9},
    ],
    "model": "llama3-8b",
    "workload": {"prompt_tokens": 1500, "output_tokens": 200, "requests_per_s": 8},
    "requirements": {"ttft_p99_ms": 2000, "tpot_p99_ms": 30},
}  # fmt: skip


def cluster_values(**changes: Any) -> dict[str, Any]:
    """``TWO_GROUPS`` with sections changed; a mapping updates its section."""
    values = copy.deepcopy(TWO_GROUPS)
    for name, value in changes.items():
        if isinstance(value, dict) and isinstance(values.get(name), dict):
            values[name] |= value
        else:
            values[name] = value
    return values


def cluster_with(**changes: Any) -> InventoryProblem:
    """The same, resolved."""
    return inventory_from_dict(cluster_values(**changes))
