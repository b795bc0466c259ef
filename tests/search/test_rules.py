"""Every rule with a feasible and an infeasible case, judged on a given strategy."""

from __future__ import annotations

from typing import Any

import pytest

from optimizer import Fixed, check, problem_from_dict
from tests.conftest import changed

SMALL: dict[str, Any] = {
    "name": "small",
    "hardware": {"gpu": "h100-sxm-80gb", "nodes": 2, "gpus_per_node": 4},
    "model": "llama3.1-8b",
    "workload": {"prompt_tokens": 500, "output_tokens": 100, "requests_per_s": 4},
    "requirements": {"max_batch": 64, "max_sequence_tokens": 4096},
    "search": {"pipeline_parallel": [1, 2]},
}
MOE = changed(SMALL, model="mixtral-8x7b", workload__requests_per_s=1)
RESERVED = changed(SMALL, search__kv_reservation="full")
LATENCIES = ["prefill_p50", "prefill_p99", "ttft_p50", "ttft_p99", "tpot_p50", "tpot_p99"]

CASES: list[tuple[str, dict[str, Any], Fixed, Fixed | None, dict[str, Any]]] = [
    # rule, problem, a strategy that keeps it, a strategy that breaks it (None: the same), facts changed to break it
    ("gpu_count", SMALL, Fixed(2, 1, 4), Fixed(4, 1, 3), {}),
    ("power_total", changed(SMALL, hardware__power_limit_watts=3100), Fixed(2, 1, 2), Fixed(2, 1, 3), {}),
    (
        "power_node",
        changed(SMALL, hardware__node_power_limit_watts=1000),
        Fixed(1, 1, 2),
        None,
        {"hardware__node_power_limit_watts": 900},
    ),
    ("attention_heads", SMALL, Fixed(2, 1, 1), Fixed(3, 1, 1), {}),
    ("kv_heads", SMALL, Fixed(2, 1, 1), Fixed(3, 1, 1), {}),
    ("ffn_width", SMALL, Fixed(2, 1, 1), Fixed(3, 1, 1), {}),
    ("vocabulary", SMALL, Fixed(4, 1, 1), Fixed(5, 1, 1), {}),
    ("experts", MOE, Fixed(4, 1, 1, expert_parallel=4), Fixed(3, 1, 1, expert_parallel=3), {}),
    ("experts", SMALL, Fixed(2, 1, 1), Fixed(2, 1, 1, expert_parallel=2), {}),
    ("expert_groups", MOE, Fixed(2, 1, 2, expert_parallel=4), Fixed(4, 1, 1, expert_parallel=3), {}),
    ("expert_groups", MOE, Fixed(1, 1, 4, expert_parallel=4), Fixed(1, 1, 3, expert_parallel=4), {}),
    ("expert_groups", MOE, Fixed(2, 1, 4, expert_parallel=8), Fixed(2, 1, 3, expert_parallel=4), {}),
    ("layer_split", SMALL, Fixed(1, 2, 1, layers_per_stage=(17, 15)), Fixed(1, 2, 1, layers_per_stage=(20, 12)), {}),
    ("layer_split", SMALL, Fixed(1, 4, 1), Fixed(1, 5, 1), {"search__layer_imbalance": 0}),
    ("layer_split", SMALL, Fixed(1, 8, 1), Fixed(1, 33, 1), {}),
    ("nvlink_locality", SMALL, Fixed(4, 1, 2), Fixed(8, 1, 1), {}),
    ("memory", RESERVED, Fixed(1, 1, 1), None, {"hardware__gpu": "l4-24gb", "requirements__min_batch": 60}),
    ("memory", SMALL, Fixed(1, 1, 1), None, {"hardware__gpu": "l4-24gb", "requirements__max_sequence_tokens": 30_000}),
    (
        "kv_cache",
        SMALL,
        Fixed(1, 1, 1),
        None,
        {
            "hardware__gpu": "l4-24gb",
            "workload__prompt_tokens": 3500,
            "workload__output_tokens": 500,
            "workload__requests_per_s": 0.25,
        },
    ),
    ("max_batch", SMALL, Fixed(1, 1, 1, max_num_seqs=64), Fixed(1, 1, 1, max_num_seqs=65), {}),
    ("min_batch", changed(SMALL, requirements__min_batch=8), Fixed(1, 1, 1), Fixed(1, 1, 1, max_num_seqs=7), {}),
    ("concurrency", SMALL, Fixed(1, 1, 8), Fixed(1, 1, 1, max_num_seqs=2), {}),
    ("request_rate", SMALL, Fixed(1, 1, 8), Fixed(1, 1, 1, max_num_seqs=1), {}),
    *[
        (
            rule,
            changed(SMALL, **{f"requirements__{rule}_ms": 5000}),
            Fixed(1, 1, 2),
            None,
            {f"requirements__{rule}_ms": 0.01},
        )
        for rule in LATENCIES
    ],
    (
        "tpot_full_batch",
        changed(SMALL, requirements__tpot_p99_ms=500),
        Fixed(1, 1, 2),
        None,
        {"requirements__tpot_p99_ms": 1},
    ),
    ("survive_gpu", changed(SMALL, requirements__survive={"gpu": 1}), Fixed(1, 1, 3), Fixed(1, 1, 1), {}),
    ("survive_node", changed(SMALL, requirements__survive={"node": 1}), Fixed(1, 1, 4), Fixed(4, 2, 1), {}),
]


@pytest.mark.parametrize(
    ("rule", "facts", "good", "bad", "changes"), CASES, ids=[f"{n}-{c[0]}" for n, c in enumerate(CASES)]
)
def test_rule_holds_and_breaks(
    rule: str, facts: dict[str, Any], good: Fixed, bad: Fixed | None, changes: dict[str, Any]
) -> None:
    kept = check(problem_from_dict(facts), good)
    judged = {result.id: result for result in kept.rules}[rule]
    assert judged.holds and judged.enabled
    assert judged.slack is None or judged.slack >= 0

    broken = check(problem_from_dict(changed(facts, **changes)), bad or good, repairs=False)
    judged = {result.id: result for result in broken.rules}[rule]
    assert not judged.holds
    assert broken.feasible is False
    assert judged.slack is None or judged.slack < 0
    assert kept.verification.passed and broken.verification.passed


def test_context_rule() -> None:
    facts = changed(SMALL, requirements__max_sequence_tokens=200_000, search__disabled_rules=["context"])
    answer = check(problem_from_dict(facts), Fixed(1, 1, 1))
    context = {result.id: result for result in answer.rules}["context"]
    assert not context.enabled and not context.holds


@pytest.mark.parametrize("rule", ["memory", "concurrency", "nvlink_locality", "max_batch"])
def test_a_disabled_rule_no_longer_decides(rule: str) -> None:
    breaking = {
        "memory": (changed(RESERVED, hardware__gpu="l4-24gb", requirements__min_batch=60), Fixed(1, 1, 1)),
        "concurrency": (SMALL, Fixed(1, 1, 4, max_num_seqs=1)),
        "nvlink_locality": (SMALL, Fixed(8, 1, 1)),
        "max_batch": (SMALL, Fixed(1, 1, 1, max_num_seqs=65)),
    }
    facts, fixed = breaking[rule]
    on = check(problem_from_dict(facts), fixed)
    off = check(problem_from_dict(changed(facts, search__disabled_rules=[rule])), fixed)
    broken_on = {r.id for r in on.rules if r.enabled and not r.holds}
    broken_off = {r.id for r in off.rules if r.enabled and not r.holds}
    assert rule in broken_on
    assert rule not in broken_off
