"""Problems from inline facts, and answers built from the exact code: what the tests of ``verify`` start from."""

from __future__ import annotations

import math
import random
from typing import Any

from optimizer.facts.problem import Problem
from optimizer.reading.load import problem_from_dict
from optimizer.results.answer import Answer, Fixed, ObjectiveResult, RuleResult, Strategy, Verification
from optimizer.verify.common.arithmetic import sixty_digits
from optimizer.verify.common.rules import Finding
from optimizer.verify.common.space import rows
from optimizer.verify.common.stage import Stages
from optimizer.verify.uniform.float_candidate import survey
from optimizer.verify.uniform.recompute import (
    candidate_of,
    metrics_of,
    nanoseconds_up,
    objective_of,
    rules_of,
    thousandths_down,
)

GPU: dict[str, Any] = {
    "name": "test-gpu",
    "memory_mib": 81559,
    "memory_bandwidth_gb_per_s": 3350,
    "dense_tflops": {"fp16": 989.4, "bf16": 989.4, "fp8": 1978.9},
    "nvlink_gb_per_s": 900,
    "nvlink_domain_gpus": 8,
    "pcie_gb_per_s": 64,
    "gpus_per_node": 8,
}
LLAMA3_70B: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 8192,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "intermediate_size": 28672,
    "vocab_size": 128256,
    "max_position_embeddings": 8192,
    "torch_dtype": "float16",
}
SMALL_DENSE: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 2048,
    "num_hidden_layers": 14,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "intermediate_size": 5632,
    "vocab_size": 32000,
    "max_position_embeddings": 4096,
    "torch_dtype": "bfloat16",
    "tie_word_embeddings": True,
}
SMALL_MOE: dict[str, Any] = {
    "model_type": "mixtral",
    "hidden_size": 2048,
    "num_hidden_layers": 9,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "intermediate_size": 4096,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
    "vocab_size": 32001,
    "sliding_window": 1024,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"] * 3,
    "max_position_embeddings": 4096,
    "torch_dtype": "bfloat16",
}


def problem(**changes: Any) -> Problem:
    """A feasible problem on one node of eight GPUs; keywords replace whole sections."""
    values: dict[str, Any] = {
        "hardware": {"gpu": GPU, "nodes": 1},
        "model": SMALL_DENSE,
        "workload": {"prompt_tokens": 900, "output_tokens": 128, "requests_per_s": 3.0},
        "requirements": {"max_batch": 32, "ttft_p99_ms": 900, "tpot_p99_ms": 40, "survive": {"gpu": 1}},
        **changes,
    }
    return problem_from_dict(values)


def random_problem(seed: int) -> Problem:
    """Some small problem; feasible and infeasible ones both occur."""
    pick = random.Random(seed)
    nvlink = pick.choice([True, True, False])
    gpu = {**GPU, "nvlink_gb_per_s": 900 if nvlink else 0, "nvlink_domain_gpus": 8 if nvlink else 1}
    gpu["memory_mib"] = pick.choice([12_000, 24_564, 81_559])
    if pick.random() < 0.3:
        gpu["dense_tflops"] = {"bf16": 181.05, "fp8": 733.0, "fp4": 1466.3}
    node = pick.choice([2, 4])
    requirements: dict[str, Any] = {"max_batch": pick.choice([8, 40]), "max_sequence_tokens": 3072}
    for metric, usual in (("prefill", 60.0), ("ttft", 300.0), ("tpot", 12.0)):
        for percentile in (50, 99):
            if pick.random() < 0.3:
                requirements[f"{metric}_p{percentile}_ms"] = round(usual * pick.uniform(0.5, 4), 3)
    if pick.random() < 0.5:
        survive = {pick.choice(["gpu", "node"]): pick.choice([1, 2]), "demand_share": pick.choice([0.5, 1.0])}
        requirements["survive"] = survive
    return problem(
        engine=pick.choice(["vllm", "sglang"]),
        hardware={
            "gpu": gpu,
            "nodes": pick.choice([1, 2, 3]),
            "gpus_per_node": node,
            "internode_gbit_per_s": pick.choice([25, 100, 400]),
            "failures": {"gpu_mtbf_hours": pick.choice([500.0, 50_000.0]), "repair_hours": pick.choice([0.0, 2.2])},
        },
        model=pick.choice([SMALL_DENSE, SMALL_MOE]),
        workload={
            "prompt_tokens": pick.choice([200, 1000]),
            "prompt_tokens_p99": pick.choice([None, 2500]),
            "output_tokens": pick.choice([1, 64, 400]),
            "requests_per_s": pick.choice([0.01, 2.5, 30.0, 400.0]),
        },
        requirements=requirements,
        objective=pick.choice(["balanced", "latency", "fault-tolerance", "throughput", "fewest-gpus"]),
        search={
            "pipeline_parallel": [1, 2, 3, 20] if pick.random() < 0.3 else [1, 2, 4],
            "layer_imbalance": pick.choice([0, 1]),
            "weight_precision": pick.choice([["bf16"], ["fp8", "bf16"], ["int4"], ["mxfp4"], ["nvfp4"]]),
            "kv_precision": pick.choice([["bf16"], ["fp8"]]),
            "max_num_batched_tokens": pick.choice([256, 2048]),
            "disabled_rules": pick.choice([[], [], ["concurrency"], ["memory", "layer_split"]]),
        },
    )


def result_of(stated: Problem, finding: Finding) -> RuleResult:
    """A rule as an answer states it."""
    enabled = finding.id not in stated.search.disabled_rules
    if finding.limit is None:
        return RuleResult(finding.id, "", "yes", "yes" if finding.holds else "no", "", finding.holds, None, enabled)
    rounded = {"ms": nanoseconds_up, "requests/s": thousandths_down}.get(finding.unit, math.ceil)
    limit = float(finding.limit) if finding.unit in ("ms", "requests/s") else int(finding.limit)
    if finding.actual is None:
        return RuleResult(finding.id, "", limit, "unbounded", finding.unit, finding.holds, None, enabled)
    actual = rounded(finding.actual)
    slack = limit - actual if finding.at_most else actual - limit
    return RuleResult(finding.id, "", limit, actual, finding.unit, finding.holds, slack, enabled)


def answer_for(stated: Problem, strategy: Strategy, status: Any = "optimal") -> Answer:
    """A true answer about a strategy."""
    candidate = candidate_of(stated, strategy)
    value = objective_of(candidate)
    parts = ("served", "unserved", "gpus")
    terms = {name: nanoseconds_up(getattr(value, name)) for name in parts}
    total = nanoseconds_up(value.total)
    return Answer(
        problem=stated.name,
        status=status,
        strategy=strategy,
        metrics=metrics_of(candidate),
        objective=ObjectiveResult(value=total, bound=total, gap=0.0, unit="ms", terms=terms),
        rules=tuple(result_of(stated, finding) for finding in rules_of(candidate)),
        verification=Verification(False, 0, "not claimed", 0, ""),
        explanation=(),
    )


def no_answer(stated: Problem) -> Answer:
    """The claim that nothing is feasible."""
    return Answer(
        problem=stated.name,
        status="infeasible",
        strategy=None,
        metrics=None,
        objective=None,
        rules=(),
        verification=Verification(False, 0, "not claimed", 0, ""),
        explanation=(),
    )


@sixty_digits()
def best_strategy(stated: Problem, fixed: Fixed = Fixed()) -> Strategy | None:
    """The optimum by the float counterpart."""
    seen = survey(stated, fixed, list(rows(stated, fixed)), Stages(stated), None)
    best = min((r for r in seen.rivals if r[2]), key=lambda r: (r[0], r[1]), default=None)
    return None if best is None else best[3].strategy(best[4])
