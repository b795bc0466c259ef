"""Questions that people asked and that were answered wrongly once, each with what is right and why."""

from __future__ import annotations

from typing import Any

import pytest

from optimizer import Fixed, check, problem_from_dict, recommend, solve
from optimizer.facts.problem import Problem

L4 = {
    "hardware": {"gpu": "l4-24gb", "nodes": 1, "gpus_per_node": 1},
    "model": "llama3.1-8b",
    "workload": {"prompt_tokens": 1000, "output_tokens": 200, "requests_per_s": 0.2},
}


def deepseek(gpu: str, nodes: int, tensor: list[int], **requirements: Any) -> Problem:
    return problem_from_dict(
        {
            "hardware": {"gpu": gpu, "nodes": nodes, "gpus_per_node": 8, "internode_gbit_per_s": 3200},
            "model": "deepseek-v3",
            "workload": {"prompt_tokens": 1000, "output_tokens": 800, "requests_per_s": 60},
            "requirements": requirements,
            "search": {"pipeline_parallel": [1], "tensor_parallel": tensor, "expert_parallel": "any"},
        }
    )


def test_one_l4_carries_a_light_load() -> None:
    """Said to need 12 GPUs in stages, "proved least". The numbers are those worked by hand in docs/model.md."""
    one = solve(problem_from_dict(L4), repairs=False)
    assert one.status == "optimal" and one.verification.passed and one.metrics is not None
    assert one.metrics.kv_cache_tokens == 26_896 and one.metrics.max_sequence_tokens == 17_840
    least = recommend(problem_from_dict(L4), [1, 2, 4])
    assert least.point is not None and least.point.gpus == 1


def test_two_l4_hold_the_whole_context_beside_the_load_and_one_does_not() -> None:
    """A sequence of 131,072 tokens takes 16 GiB; two L4 keep 2 · 19.8 GiB less 15 GiB of weights and what the engine takes."""
    asked = {**L4, "requirements": {"max_sequence_tokens": 131_072}}
    assert solve(problem_from_dict(asked), repairs=False).status == "infeasible"
    two = solve(problem_from_dict({**asked, "hardware": {**L4["hardware"], "gpus_per_node": 2}}), repairs=False)
    assert two.status == "optimal" and two.verification.passed and two.metrics is not None
    # Beside that one sequence there is room for some 100 requests of 1,200 tokens, were it not there for twice as many.
    assert 131_072 + 16_000 < two.metrics.kv_cache_tokens < 2 * 131_072


@pytest.mark.parametrize(("gpu", "nodes", "tensor"), [("b200", 8, [8]), ("mi300x-192gb", 11, [1, 8])])
def test_deepseek_at_60_requests_a_second_needs_no_longest_sequence(gpu: str, nodes: int, tensor: list[int]) -> None:
    """ "Nothing that is allowed meets everything", not even 256 GPUs, until ``max_sequence_tokens: 2048`` was stated."""
    free = solve(deepseek(gpu, nodes, tensor), repairs=False)
    assert free.status == "optimal" and free.verification.passed and free.metrics is not None
    assert free.metrics.max_sequence_tokens >= 2048 and free.metrics.max_request_rate >= 60
    held = solve(deepseek(gpu, nodes, tensor, max_sequence_tokens=2048), repairs=False)
    assert held.objective is not None and free.objective is not None
    assert held.objective.value <= free.objective.value + 1e-6


@pytest.mark.parametrize(
    ("model", "rate", "tp", "dp"), [("qwen2.5-14b", 30, 1, 8), ("qwen2.5-32b", 10, 4, 2)], ids=["14b", "32b"]
)
def test_eight_a100_hold_what_requests_in_progress_hold(model: str, rate: float, tp: int, dp: int) -> None:
    """Infeasible while every slot kept 4,096 tokens for requests of 1,300; 16 GPUs were asked for."""
    asked = {
        "hardware": {"gpu": "a100-sxm-80gb", "nodes": 1, "gpus_per_node": 8},
        "model": model,
        "workload": {"prompt_tokens": 1000, "output_tokens": 300, "requests_per_s": rate},
        "requirements": {"max_sequence_tokens": 4096},
        "search": {"pipeline_parallel": [1]},
    }
    answer = solve(problem_from_dict(asked), repairs=False)
    assert answer.status == "optimal" and answer.verification.passed
    there = check(problem_from_dict(asked), Fixed(tp, 1, dp), repairs=False)
    assert there.feasible and there.verification.passed
