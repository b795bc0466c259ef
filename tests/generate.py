"""Seeded generator of small problems, feasible and infeasible ones, over dense, MoE and MLA models and odd clusters."""

from __future__ import annotations

import random
from typing import Any

DENSE = {
    "name": "tiny-dense",
    "model_type": "llama",
    "hidden_size": 2048,
    "num_hidden_layers": 10,
    "num_attention_heads": 12,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "intermediate_size": 6144,
    "vocab_size": 32_000,
    "max_position_embeddings": 8192,
}
MOE = DENSE | {
    "name": "tiny-moe",
    "model_type": "qwen3_moe",
    "num_attention_heads": 16,
    "num_experts": 16,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 1536,
}
MLA = {
    "name": "tiny-mla",
    "model_type": "deepseek_v3",
    "hidden_size": 2048,
    "num_hidden_layers": 9,
    "num_attention_heads": 16,
    "intermediate_size": 6144,
    "moe_intermediate_size": 1024,
    "n_routed_experts": 8,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "first_k_dense_replace": 2,
    "q_lora_rank": 512,
    "kv_lora_rank": 256,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "vocab_size": 32_000,
    "max_position_embeddings": 8192,
}
WINDOWED = DENSE | {
    "name": "tiny-windowed",
    "sliding_window": 256,
    "layer_types": ["sliding_attention", "full_attention"] * 5,
    "tie_word_embeddings": True,
}
REAL = ["llama3.1-8b", "qwen3-32b", "mixtral-8x7b", "gpt-oss-120b"]


def random_problem(seed: int) -> dict[str, Any]:
    """A problem file's contents; roughly half are feasible."""
    rng = random.Random(seed)
    model: Any = rng.choice([DENSE, DENSE, MOE, MLA, WINDOWED, rng.choice(REAL)])
    gpu = rng.choice(["h100-sxm-80gb", "l4-24gb", "a100-sxm-40gb", "l40s-48gb", "b200-sxm-180gb", "gb200-nvl72"])
    requirements: dict[str, Any] = {
        "max_batch": rng.choice([2, 8, 32, 128]),
        "max_sequence_tokens": rng.choice([2048, 4096, 8192]),
        "gpu_memory_utilization": rng.choice([0.5, 0.85, 0.9]),
    }
    for field, low, high in (
        ("ttft_p99_ms", 20, 2000),
        ("tpot_p50_ms", 2, 60),
        ("tpot_p99_ms", 3, 120),
        ("prefill_p99_ms", 10, 900),
        ("ttft_p50_ms", 20, 900),
    ):
        if rng.random() < 0.45:
            requirements[field] = round(rng.uniform(low, high), 3)
    if rng.random() < 0.4:
        requirements["survive"] = {
            rng.choice(["gpu", "node"]): rng.choice([1, 1, 2]),
            "demand_share": rng.choice([1, 0.5]),
        }
    if rng.random() < 0.2:
        requirements["min_batch"] = rng.randint(1, requirements["max_batch"])
    preset = rng.choice(["balanced", "latency", "fault-tolerance", "throughput", "fewest-gpus"])
    objective: Any = preset if rng.random() < 0.7 else {"preset": preset, "gpu_ms": rng.choice([0, 3.5, 100])}
    prompt = rng.choice([16, 200, 1155, 1900])
    workload: dict[str, Any] = {
        "prompt_tokens": prompt,
        "output_tokens": rng.choice([1, 20, 100]),
        "requests_per_s": round(rng.choice([0.05, 1, 8, 60]) * rng.uniform(0.5, 2), 3),
    }
    if rng.random() < 0.3:
        workload["prompt_tokens_p99"] = min(1940, prompt + rng.randint(0, 600))
    search: dict[str, Any] = {"pipeline_parallel": rng.choice([[1], [1, 2], [1, 2, 3, 4]])}
    if rng.random() < 0.4:
        search["weight_precision"] = rng.choice([["bf16", "fp8"], ["fp8"], ["int4", "bf16"]])
        search["kv_precision"] = rng.choice([["bf16"], ["bf16", "fp8"]])
    search["layer_imbalance"] = rng.choice([0, 1, 2])
    if rng.random() < 0.2:
        search["max_num_batched_tokens"] = rng.choice([512, 2048])
    if rng.random() < 0.15:
        search["disabled_rules"] = [rng.choice(["nvlink_locality", "concurrency", "memory"])]
    hardware = {
        "gpu": gpu,
        "nodes": rng.choice([1, 1, 2, 3]),
        "gpus_per_node": rng.choice([1, 2, 3, 4, 7, 8]) if gpu != "gb200-nvl72" else 4,
        "internode_gbit_per_s": rng.choice([25, 400]),
        "failures": {"gpu_mtbf_hours": rng.choice([500, 79_230]), "repair_hours": rng.choice([2.2, 96])},
    }
    return {
        "name": f"generated-{seed}",
        "engine": "trtllm" if seed % 5 == 4 else rng.choice(["vllm", "sglang"]),
        "hardware": hardware,
        "model": model,
        "workload": workload,
        "requirements": requirements,
        "objective": objective,
        "search": search,
    }
