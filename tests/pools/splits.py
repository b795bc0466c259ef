"""Every split of joint instances beside pools solved by itself, and small random questions about them."""

from __future__ import annotations

import math
import random
from typing import Any

from optimizer.facts.problem import Problem
from optimizer.facts.side_by_side import BesideSplit, joint_part, pools_part
from optimizer.questions.both_parts import weighted
from optimizer.questions.uniform_steps import quantities_of
from optimizer.results.pools import FixedPools
from optimizer.search.common.clock import Clock
from optimizer.search.pools.answer import objective_of
from optimizer.search.pools.solve import best, columns_of
from optimizer.search.uniform.solve import Solver


def value_of(problem: Problem, split: BesideSplit) -> float:
    """ms of one split, each part the best there is; infinite where a part cannot be."""
    joint = Solver().best(quantities_of(joint_part(problem, split), None))
    part = pools_part(problem, split)
    columns = columns_of(part)
    found = best(part, FixedPools(), columns, Clock())
    if joint.value is None or columns is None or found.pair is None:
        return math.inf
    return weighted(split, joint.value / 1e6, objective_of(columns, found.pair, None).value)


def generated_split_question(seed: int) -> dict[str, Any]:
    """A random small question near what its GPUs carry: some rule binds in either part, or none can be kept."""
    chance = random.Random(seed)
    nodes, per_node = chance.choice([(1, 3), (1, 4), (2, 3), (3, 2), (4, 2), (2, 8)])
    gpu = chance.choice(["h100-sxm-80gb", "l40s-48gb", "a100-sxm-80gb"])
    prompt = chance.choice([400, 2000, 6000, {"mean": 1500, "cv": 1.0}])
    output = chance.choice([40, 200, 500])
    tokens = (prompt if isinstance(prompt, int) else 1500) + 6 * output
    strong = {"h100-sxm-80gb": 22_000, "a100-sxm-80gb": 9_000, "l40s-48gb": 6_500}[gpu]
    rate = round(chance.uniform(0.15, 1.1) * nodes * per_node * strong / tokens, 2)
    requirements: dict[str, Any] = {
        "ttft_p99_ms": chance.choice([500, 1500, 4000]),
        "tpot_p99_ms": chance.choice([12, 20, 40, 80]),
    }
    for name, choices in (("ttft_p50_ms", [250, 800]), ("tpot_p50_ms", [10, 25]), ("prefill_p99_ms", [700, 2000])):
        if chance.random() < 0.3:
            requirements[name] = chance.choice(choices)
    if chance.random() < 0.4:
        requirements["survive"] = {chance.choice(["gpu", "node"]): 1, "demand_share": chance.choice([0.4, 0.8])}
    return {
        "serving": "any",
        "hardware": {
            "gpu": gpu,
            "nodes": nodes,
            "gpus_per_node": per_node,
            "internode_gbit_per_s": chance.choice([10, 100, 800]),
        },
        "workload": {"prompt_tokens": prompt, "output_tokens": output, "requests_per_s": rate},
        "requirements": requirements,
        "engine": chance.choice(["vllm", "sglang"]),
        "objective": chance.choice(["balanced", "latency", "fault-tolerance"]),
    }
