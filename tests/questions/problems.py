"""Small problems of each kind that are solved at once."""

from __future__ import annotations

from typing import Any

LOAD = {"prompt_tokens": 500, "output_tokens": 100, "requests_per_s": 2}
REQUIREMENTS = {"max_sequence_tokens": 2048, "max_batch": 32}


def hardware(**more: Any) -> dict[str, Any]:
    """Two H100 in one node."""
    there = {"gpu": "h100-sxm-80gb", "nodes": 1, "gpus_per_node": 2}
    return {
        "hardware": there, "model": "llama3.1-8b", "workload": dict(LOAD), "requirements": dict(REQUIREMENTS), **more
    }  # fmt: skip


def inventory(**more: Any) -> dict[str, Any]:
    """One group of two H100 nodes with two GPUs each, priced."""
    groups = [{"name": "a", "gpu": "h100-sxm-80gb", "nodes": 2, "gpus_per_node": 2, "price_per_gpu_hour": 2.0}]
    return {
        "cluster": groups, "model": "llama3.1-8b", "workload": dict(LOAD), "requirements": dict(REQUIREMENTS), **more
    }  # fmt: skip


def two_groups(**more: Any) -> dict[str, Any]:
    """A group of H100 and one of L4, priced: the load needs more than one of either."""
    groups = [
        {"name": "h", "gpu": "h100-sxm-80gb", "nodes": 2, "gpus_per_node": 1, "price_per_gpu_hour": 3.0, "rack": "r"},
        {"name": "l", "gpu": "l4-24gb", "nodes": 3, "gpus_per_node": 1, "price_per_gpu_hour": 0.7, "rack": "s"},
    ]
    load = {**LOAD, "requests_per_s": 4}
    needs = {**REQUIREMENTS, "tpot_p99_ms": 150, "survive": {"gpu": 1}}
    search = {"weight_precision": ["bf16"], "kv_precision": ["bf16"]}
    return {
        "cluster": groups,
        "model": "llama3.1-8b",
        "workload": load,
        "requirements": needs,
        "search": search,
        **more,
    }


def chain(**more: Any) -> dict[str, Any]:
    """Three nodes that hold up to two of four layers each."""
    types = {"t": {"throughput_tokens_per_s_by_layers": {1: 100.0, 2: 60.0}}}
    nodes = [{"name": f"n{i}", "type": "t", "partition": "p"} for i in range(3)]
    return {
        "kind": "chain",
        "model": {"name": "m", "layers": 4, "activation_bytes": 2, "token_bytes": 2},
        "cluster": {"types": types, "nodes": nodes},
        **more,
    }


def several(**more: Any) -> dict[str, Any]:
    """Two models on one node of two H100."""
    entry = {"workload": dict(LOAD), "requirements": dict(REQUIREMENTS), "search": {"pipeline_parallel": [1]}}
    models = [{**entry, "model": "llama3.1-8b"}, {**entry, "model": "qwen3-8b"}]
    return {"hardware": {"gpu": "h100-sxm-80gb", "nodes": 1, "gpus_per_node": 2}, "models": models, **more}


def day(**more: Any) -> dict[str, Any]:
    """A day of two rates on two H100."""
    profile = [{"hours": [8, 20], "requests_per_s": 12}, {"hours": [20, 8], "requests_per_s": 2}]
    return hardware(workload={"prompt_tokens": 500, "output_tokens": 100, "profile": profile}, **more)


def cluster_models(**more: Any) -> dict[str, Any]:
    """Two models on a node of two H100 and two of one L40S."""
    groups = [
        {"name": "h", "gpu": "h100-sxm-80gb", "nodes": 1, "gpus_per_node": 2},
        {"name": "l", "gpu": "l40s-48gb", "nodes": 2, "gpus_per_node": 1},
    ]
    entry = {"workload": dict(LOAD), "requirements": dict(REQUIREMENTS), "search": {"pipeline_parallel": [1]}}
    models = [{"model": name, **entry} for name in ("llama3.1-8b", "qwen3-8b")]
    return {"cluster": groups, "models": models, **more}


SMALL = {
    "hardware": hardware,
    "cluster": inventory,
    "chain": chain,
    "models": several,
    "cluster-models": cluster_models,
    "day": day,
}
