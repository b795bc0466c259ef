"""Problem files of the three reports in ``reports/``."""

from __future__ import annotations

from typing import Any

PROBLEMS: dict[str, dict[str, Any]] = {
    "deepseek_h200_cluster": {
        "engine": "sglang",
        "hardware": {"gpu": "h200-sxm-141gb", "nodes": 2, "gpus_per_node": 8, "internode_gbit_per_s": 400},
        "model": "deepseek-v3",
        "workload": {"prompt_tokens": 1000, "output_tokens": 200, "requests_per_s": 4},
        "requirements": {"max_batch": 128, "max_sequence_tokens": 32768},
    },
    "qwen_l40s_note": {
        "engine": "vllm",
        "hardware": {"gpu": "l40s-48gb", "nodes": 1, "gpus_per_node": 4},
        "model": "qwen3-32b",
        "workload": {"prompt_tokens": 800, "output_tokens": 150, "requests_per_s": 3},
        "requirements": {"ttft_p99_ms": 2000, "tpot_p99_ms": 80, "max_batch": 64, "max_sequence_tokens": 8192},
    },
    "llama8b_replicas": {
        "engine": "vllm",
        "hardware": {"gpu": "h100-sxm-80gb", "nodes": 1, "gpus_per_node": 8},
        "model": "llama3.1-8b",
        "workload": {"prompt_tokens": 1000, "output_tokens": 200, "requests_per_s": 10},
        "requirements": {"max_batch": 64, "gpu_memory_utilization": 0.9, "max_sequence_tokens": 131072},
    },
}
