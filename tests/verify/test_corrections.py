"""Costs from another source, and margins: search and verifier agree, and what is wrong is caught."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from optimizer import check, solve
from optimizer.facts.cost_table import CostTable
from optimizer.facts.problem import Problem
from optimizer.reading.load import problem_from_dict
from optimizer.results.answer import Fixed
from optimizer.verify import verify_answer
from tests.generate import random_problem


def corrected(problem: Problem, seed: int) -> Problem:
    """The problem with random factors on about half its layouts, noisy enough to fall with more sequences."""
    rng = random.Random(seed)

    def curve() -> list[tuple[int, float]]:
        return [(n, round(rng.uniform(0.6, 1.6), 4)) for n in sorted(rng.sample(range(1, 200), rng.randint(1, 6)))]

    entries: list[dict[str, Any]] = []
    for tp in (1, 2, 3, 4, 6, 8):
        for pp in (1, 2):
            for ep in (1, tp, 2 * tp):
                for weights in {problem.model.native_weight_format, "fp8"}:
                    if rng.random() < 0.5:
                        entries.append(
                            {
                                "tensor_parallel": tp,
                                "pipeline_parallel": pp,
                                "expert_parallel": ep,
                                "weight_precision": weights,
                                "kv_precision": rng.choice([None, None, problem.model.native_dtype]),
                                **{name: curve() for name in ("round", "token", "admission", "prefill")},
                                "prompt": round(rng.uniform(0.6, 1.6), 4),
                                "least": 1,
                                "most": 100,
                                "samples": 3,
                            }
                        )
    unique = {tuple(list(entry.values())[:5]): entry for entry in entries}
    facts = CostTable.model_validate({"source": "table", "origin": "random", "corrections": tuple(unique.values())})
    return problem.model_copy(update={"costs": facts})


@pytest.mark.heavy(1)
@pytest.mark.parametrize("seed", range(24))
def test_search_and_verifier_agree_on_corrected_costs_and_margins(seed: int) -> None:
    values = random_problem(900 + seed)
    values["requirements"]["margin"] = random.Random(seed).choice([0, 0.1, 0.37])
    problem = corrected(problem_from_dict(values), seed)
    answer = solve(problem, time_limit_s=60)
    assert answer.verification.passed, answer.verification.mismatches
    assert answer.status in ("optimal", "infeasible")


@pytest.fixture
def feasible() -> Problem:
    return problem_from_dict(
        {
            "hardware": {"gpu": "h100", "nodes": 1},
            "model": "llama3.1-8b",
            "workload": {"prompt_tokens": 1024, "output_tokens": 256, "requests_per_s": 8},
            "requirements": {"max_batch": 32, "max_sequence_tokens": 4096, "tpot_p99_ms": 12},
            "search": {"pipeline_parallel": [1, 2]},
        }
    )


def test_an_answer_for_other_costs_is_refuted(feasible: Problem) -> None:
    plain = solve(feasible)
    assert plain.strategy is not None
    chosen = plain.strategy
    factor = {
        "tensor_parallel": chosen.tensor_parallel,
        "pipeline_parallel": chosen.pipeline_parallel,
        "expert_parallel": chosen.expert_parallel,
        "weight_precision": chosen.weight_precision,
        "kv_precision": None,
        **{name: [(1, 1.0), (64, 1.01)] for name in ("round", "token", "admission", "prefill")},
        "prompt": 1.01,
        "least": 1,
        "most": 64,
        "samples": 2,
    }
    facts = CostTable.model_validate({"source": "table", "origin": "mine", "corrections": (factor,)})
    other = feasible.model_copy(update={"costs": facts})
    found = {mismatch.what for mismatch in verify_answer(other, plain).mismatches}
    assert {"cost_source", "metrics.tpot_p99_ms", "metrics.ttft_p99_ms", "objective.value"} <= found
    honest = solve(other)
    assert honest.verification.passed
    renamed = verify_answer(other, replace(honest, cost_source="analytic"))
    assert [mismatch.what for mismatch in renamed.mismatches] == ["cost_source"]


def test_a_margin_is_kept_and_its_absence_is_caught(feasible: Problem) -> None:
    plain = solve(feasible)
    assert plain.metrics is not None and plain.strategy is not None
    limit, predicted = 12.0, plain.metrics.tpot_full_batch_ms
    wide = feasible.model_copy(update={"requirements": feasible.requirements.model_copy(update={"margin": 0.5})})
    answer = solve(wide)
    assert answer.verification.passed
    assert answer.metrics is not None
    assert answer.metrics.tpot_full_batch_ms * 1.5 <= limit + 1e-9
    rule = next(rule for rule in answer.rules if rule.id == "tpot_p99")
    assert rule.limit == pytest.approx(8) and "50 % margin" in rule.sentence
    if predicted * 1.5 > limit:
        assert not verify_answer(wide, plain).passed
    found = {mismatch.what for mismatch in verify_answer(wide, plain).mismatches}
    assert "rules.tpot_p99: limit" in found


def test_check_judges_by_the_margin(feasible: Problem) -> None:
    answer = check(feasible, Fixed(tensor_parallel=1, pipeline_parallel=1, data_parallel=8))
    assert answer.metrics is not None and answer.metrics.tpot_p99_ms is not None
    margin = 12 / answer.metrics.tpot_p99_ms - 1
    assert margin > 0.01
    for share, holds in ((margin * 0.99, True), (margin * 1.01, False)):
        requirements = feasible.requirements.model_copy(update={"margin": round(share, 6)})
        off = feasible.search.model_copy(update={"disabled_rules": ("tpot_full_batch",)})
        planned = feasible.model_copy(update={"requirements": requirements, "search": off})
        judged = check(planned, Fixed(tensor_parallel=1, pipeline_parallel=1, data_parallel=8))
        assert judged.feasible is holds
        assert judged.verification.passed, judged.verification.mismatches
