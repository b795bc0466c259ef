"""Preset ``capacity``: the most requests/s within every stated limit, and what ``throughput`` says of the limits."""

from __future__ import annotations

import pytest

from optimizer import Fixed, check, problem_from_dict, solve
from optimizer.facts.problem import Problem
from optimizer.search.uniform.capacity import carried_rates
from optimizer.search.uniform.quantities import Quantities
from optimizer.search.uniform.screen import Screen
from optimizer.search.uniform.space import build_space
from tests.verify.builders import random_problem


def asked(problem: Problem, preset: str) -> Problem:
    return problem.model_copy(update={"objective": problem.objective.model_copy(update={"preset": preset})})


def test_gpt_oss_carries_what_check_knows_within_the_limits() -> None:
    """``throughput`` chose a layout with 18.30 requests/s within the limits where another carries 21.30."""
    problem = problem_from_dict(
        {
            "hardware": {"gpu": "h100-sxm-80gb", "nodes": 1, "gpus_per_node": 8},
            "model": "gpt-oss-120b",
            "workload": {"prompt_tokens": 4000, "output_tokens": 500, "requests_per_s": 8},
            "requirements": {
                "ttft_p50_ms": 2000,
                "tpot_p50_ms": 30,
                "max_sequence_tokens": 4500,
                "max_batch": 1024,
                "gpu_memory_utilization": 0.9,
            },
            "objective": "capacity",
            "search": {"expert_parallel": "any"},
        }
    )
    answer = solve(problem)
    assert answer.status == "optimal" and answer.verification.passed
    assert answer.metrics is not None
    other = solve(asked(problem, "throughput"))
    assert other.metrics is not None and answer.metrics.max_request_rate > other.metrics.max_request_rate
    for tp, dp in ((1, 8), (4, 2)):
        known = check(problem, Fixed(tp, 1, dp), repairs=False).metrics
        assert known is not None and answer.metrics.max_request_rate >= known.max_request_rate >= 10
    assert any("per GPU" in said for said in answer.explanation)
    assert any("every slot taken" in said for said in other.explanation)


@pytest.mark.parametrize("tpot_p99_ms", [8, 30])
def test_slots_that_a_limit_at_full_batch_leaves(tpot_p99_ms: float) -> None:
    """The verifier called the claim infeasible once: it only knew the slots that memory leaves."""
    stated = {
        "hardware": {"gpu": "h100-sxm-80gb", "nodes": 1, "gpus_per_node": 2},
        "model": "llama3.1-8b",
        "workload": {"prompt_tokens": 500, "output_tokens": 100, "requests_per_s": 2},
        "requirements": {"ttft_p99_ms": 1000, "tpot_p99_ms": tpot_p99_ms},
        "objective": "capacity",
    }
    answer = solve(problem_from_dict(stated), repairs=False)
    assert answer.status == "optimal" and answer.verification.passed
    assert answer.strategy is not None and answer.metrics is not None
    assert answer.metrics.tpot_full_batch_ms <= tpot_p99_ms
    fixed = {"tensor_parallel": answer.strategy.tensor_parallel, "data_parallel": answer.strategy.data_parallel}
    more = check(
        problem_from_dict(stated), Fixed(**fixed, pipeline_parallel=1, max_num_seqs=answer.strategy.max_num_seqs + 1)
    )
    assert more.feasible is False


@pytest.mark.parametrize("seed", range(1, 24, 2))
def test_no_row_carries_more(seed: int) -> None:
    problem = asked(random_problem(seed), "capacity")
    answer = solve(problem, repairs=False)
    assert answer.verification.passed
    quantities = Quantities(problem, build_space(problem))
    screen = Screen(quantities)
    rows = screen.viable.nonzero()[0]
    assert bool(len(rows)) == (answer.status == "optimal")
    if answer.metrics is not None:
        steps, _ = carried_rates(quantities, rows, screen.most[rows])
        assert round(int(steps.max()) * 0.001, 3) == answer.metrics.max_request_rate
