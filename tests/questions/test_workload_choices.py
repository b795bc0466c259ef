"""Limits on whole requests and goodput, and the choices that change every step time, asked whole."""

from __future__ import annotations

from typing import Any

from optimizer.deployment.line import launch_lines
from optimizer.facts.model import ModelFacts
from optimizer.facts.problem import Problem
from optimizer.questions.solve import solve
from optimizer.reading.load import problem_from_dict
from tests.verify.builders import GPU, SMALL_DENSE

WORK: dict[str, Any] = {
    "prompt_tokens": {"mean": 600, "p50": 450, "p99": 2000},
    "output_tokens": {"mean": 120, "cv": 0.7},
    "requests_per_s": 4,
}


def of(requirements: dict[str, Any], work: dict[str, Any] = WORK, **search: Any) -> Problem:
    values = {
        "hardware": {"gpu": GPU, "nodes": 1, "gpus_per_node": 2},
        "model": SMALL_DENSE,
        "workload": work,
        "requirements": {"max_batch": 64, "max_sequence_tokens": 4096, **requirements},
        "search": search,
    }
    return problem_from_dict(values)


def test_limits_that_hold_and_limits_that_do_not() -> None:
    goodput = {"share": 0.9, "ttft_ms": 500, "tpot_ms": 50}
    good = solve(of({"e2e_p99_ms": 20_000, "goodput": goodput}))
    assert good.status == "optimal" and good.verification.passed
    assert good.metrics is not None and good.metrics.goodput is not None and good.metrics.goodput >= 0.9
    assert good.metrics.e2e_p50_ms is not None and good.metrics.e2e_p99_ms is not None
    assert good.metrics.e2e_p50_ms < good.metrics.e2e_p99_ms <= 20_000
    for impossible in ({"e2e_p99_ms": 20}, {"goodput": {**goodput, "ttft_ms": 1}}):
        bad = solve(of(impossible), repairs=False)
        assert bad.status == "infeasible" and bad.verification.passed
        assert {"e2e_p99", "goodput"} & set(bad.conflicts[0].rules)


def test_the_best_of_the_choices_is_the_answer_and_reaches_the_launch_line() -> None:
    work = {
        **WORK,
        "prefix": {"shared_tokens": 160},
        "speculation": {"method": "ngram", "acceptance": 0.6, "max_tokens": 1},
    }
    problem = of({}, work, token_budgets=[512, 2048], tensor_parallel=[1])
    answer = solve(problem)
    assert answer.status == "optimal" and answer.verification.passed and answer.objective is not None
    each = [solve(problem.decided(choice)) for choice in problem.variants()]
    values = [one.objective.value for one in each if one.objective is not None]
    assert answer.objective.value == min(values) and len(values) == 4
    named: ModelFacts = problem.model.model_copy(update={"huggingface_id": "org/model"})
    line = launch_lines(problem.model_copy(update={"model": named}), answer)[0]
    assert f"--max-num-batched-tokens {answer.decided['max_num_batched_tokens']}" in line
    assert ("--speculative-config" in line) == (answer.decided["speculative_tokens"] > 0)
    assert "--enable-prefix-caching" in line
