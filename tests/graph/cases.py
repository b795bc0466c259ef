"""Problems small enough to draw by hand, and strategies of every kind."""

from __future__ import annotations

import random
from typing import Any

from optimizer.facts.problem import Problem
from optimizer.graph import build_graph, plan_of
from optimizer.reading.load import problem_from_dict
from optimizer.results.answer import Strategy
from optimizer.results.graph import Graph

GPU: dict[str, Any] = {
    "name": "round-gpu",
    "memory_mib": 100_000,
    "memory_bandwidth_gb_per_s": 1000,
    "dense_tflops": {"bf16": 1000},
    "compute_capability": "9.0",
    "nvlink_gb_per_s": 200,
    "nvlink_domain_gpus": 4,
    "pcie_gb_per_s": 50,
    "gpus_per_node": 4,
}
TINY: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 1024,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "intermediate_size": 4096,
    "vocab_size": 64_000,
    "max_position_embeddings": 4096,
    "torch_dtype": "bfloat16",
}
EXPERTS = TINY | {
    "model_type": "qwen3_moe",
    "num_hidden_layers": 3,
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 512,
    "mlp_only_layers": [0],
}


def problem(model: dict[str, Any] | str = TINY, **hardware: Any) -> Problem:
    """A problem on two nodes of four GPUs; keywords replace hardware fields."""
    return problem_from_dict(
        {
            "name": "tiny",
            "hardware": {"gpu": GPU, "nodes": 2, "internode_gbit_per_s": 80, "internode_latency_us": 5, **hardware},
            "model": model,
            "workload": {"prompt_tokens": 100, "output_tokens": 20, "requests_per_s": 1},
            "requirements": {"max_batch": 8, "max_sequence_tokens": 512},
        }
    )


def strategy(
    tp: int = 1, pp: int = 1, dp: int = 1, ep: int = 1, layers: tuple[int, ...] | None = None, total: int = 2
) -> Strategy:
    """A strategy with an even split unless another is given."""
    split = layers or tuple(total // pp + (stage < total % pp) for stage in range(pp))
    return Strategy(tp, pp, dp, ep, 8, split, "bf16", "bf16")


def graph(stated: Problem, chosen: Strategy, running: int = 3) -> Graph:
    """The graph of a strategy with so many sequences in progress."""
    return build_graph(plan_of(stated, chosen, running), chosen)


def random_strategy(stated: Problem, rng: random.Random) -> Strategy:
    """Any strategy that fits the GPUs there are: uneven splits, experts within and across replicas."""
    model, there = stated.model, stated.hardware.gpus
    tp = rng.choice([t for t in range(1, 9) if model.attention_heads % t == 0 and t <= there])
    pp = rng.randint(1, max(1, min(4, there // tp, model.layers)))
    dp = rng.randint(1, there // (tp * pp))
    spread = [
        ep
        for ep in range(2, tp * dp + 1)
        if model.experts and model.experts % ep == 0 and (tp % ep == 0 or (ep % tp == 0 and dp % (ep // tp) == 0))
    ]
    cuts = sorted(rng.sample(range(1, model.layers), pp - 1))
    split = tuple(end - start for start, end in zip([0, *cuts], [*cuts, model.layers], strict=True))
    formats = rng.choice(["bf16", "fp8", "int4"]), rng.choice(["bf16", "fp8"])
    return Strategy(tp, pp, dp, rng.choice([1, *spread, *spread]), rng.choice([1, 7, 64]), split, *formats)
