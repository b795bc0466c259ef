"""An inventory whose model needs GPUs of two groups, and a true answer about it."""

from __future__ import annotations

from typing import Any

from optimizer.facts.inventory import InventoryProblem
from tests.verify.builders import GPU
from tests.verify_inventory.builders import SLOW_GPU, What, Where, answer_for, problem, shape, split_shape

SMALL_FAST = {**GPU, "name": "small-fast", "memory_mib": 4400}
SMALL_SLOW = {**SLOW_GPU, "name": "small-slow", "memory_mib": 4250, "layer_time_factor": 1.25}


def groups(**changes: dict[str, Any]) -> list[dict[str, Any]]:
    """Small GPUs, fast and slow, in one rack; slow ones in another; large ones that need no other. Keywords add to a group."""
    stated: list[dict[str, Any]] = [
        {"name": "a", "gpu": SMALL_FAST, "nodes": 2, "gpus_per_node": 2, "rack": "r1", "zone": "east"},
        {"name": "b", "gpu": SMALL_SLOW, "nodes": 2, "gpus_per_node": 2, "rack": "r1", "zone": "east"},
        {"name": "c", "gpu": SMALL_SLOW, "nodes": 2, "gpus_per_node": 2, "rack": "r2", "zone": "west"},
        {"name": "e", "gpu": GPU, "nodes": 2, "gpus_per_node": 1, "rack": "r1"},
    ]
    prices = {"a": 2.0, "b": 1.0, "c": 1.0, "e": 3.0}
    network = {"a": (200, 10), "b": (100, 5), "c": (100, 5), "e": (400, 5)}
    for group in stated:
        name = group["name"]
        group["price_per_gpu_hour"] = prices[name]
        group["internode_gbit_per_s"], group["internode_latency_us"] = network[name]
        group.update(changes.get(name, {}))
    return stated


def small(**changes: Any) -> InventoryProblem:
    """The model fits on four small GPUs and not on two; keywords replace whole sections."""
    return problem(
        **{
            "cluster": groups(),
            "domains": {"switch": {"s1": ["a", "c"], "s2": ["b", "e"]}},
            "failures": {"zone_mtbf_hours": 9000, "domain_mtbf_hours": 20_000},
            "workload": {"prompt_tokens": 900, "output_tokens": 128, "requests_per_s": 90.0},
            "requirements": {
                "max_batch": 32,
                "max_sequence_tokens": 1536,
                "tpot_p99_ms": 60,
                "survive": {"gpu": 1},
            },
            "search": {"layer_imbalance": 0, "kv_reservation": "full"},
            # More than engines take, so that the small GPUs hold a share of the model only.
            "engine_overhead": {
                "non_torch_mib": 3072,
                "communication_mib": 0,
                "cuda_graphs_mib": 0,
                "activations_mib": 152,
            },
            **changes,
        }
    )


PIPELINE = split_shape(2, (8,), (6,))
CHOSEN: list[tuple[Where, What, int]] = [((0, 1), PIPELINE, 2), (3, shape(1), 1)]
SMALL = small()
TRUE = answer_for(SMALL, CHOSEN, status="feasible")
