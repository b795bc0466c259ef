"""Every false claim is caught."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from optimizer import verify
from optimizer.results.answer import Answer, CheckAnswer, Fixed, Metrics, RuleResult, Strategy
from optimizer.verify import verify_answer
from tests.verify.builders import SMALL_MOE, answer_for, best_strategy, no_answer, problem

STATED = problem()
BEST = best_strategy(STATED)
assert BEST is not None
TRUE = answer_for(STATED, BEST)


def wrong(value: Any) -> Any:
    """The value with a small error that is larger than rounding."""
    if isinstance(value, tuple):
        return (*value[:-1], value[-1] + 1)
    if isinstance(value, int):
        return value + 1
    if value is None:
        return 0.5
    return value + 5e-6 if value > 1e-3 else 1e-4


def refused(answer: Answer, what: str, **options: Any) -> None:
    found = verify_answer(STATED, answer, **options)
    assert not found.passed
    assert any(what in mismatch.what for mismatch in found.mismatches), found.mismatches


def test_the_true_answer_passes() -> None:
    found = verify_answer(STATED, TRUE)
    assert found.mismatches == () and found.optimality == "exhaustive"
    assert verify_answer(STATED, TRUE, exhaustive=False).optimality == "bound"
    assert verify_answer(STATED, replace(TRUE, status="feasible")).optimality == "not claimed"


def test_a_version_that_does_not_schedule_ahead_waits_for_the_rest_of_a_step_only() -> None:
    from optimizer.questions.uniform import check

    found = []
    for version in ("0.13.0", "0.14.0"):
        stated = problem(
            engine_version=version, workload={"prompt_tokens": 100, "output_tokens": 10, "requests_per_s": 0.01}
        )
        answer = check(stated, Fixed(tensor_parallel=1, pipeline_parallel=1, data_parallel=1), repairs=False)
        assert verify_answer(stated, answer, exhaustive=False).mismatches == () and answer.metrics is not None
        found.append(answer.metrics)
    old, new = found
    assert (old.concurrency_p50, new.concurrency_p50) == (1, 1)
    assert old.ttft_p50_ms == pytest.approx(new.ttft_p50_ms - 1.5 * new.tpot_p50_ms, abs=2e-6)


@pytest.mark.parametrize("name", [field.name for field in fields(Metrics)])
def test_a_wrong_metric(name: str) -> None:
    assert TRUE.metrics is not None
    value = getattr(TRUE.metrics, name)
    changed = {"tokens_per_s": 0.002, "peak_tokens_per_s": 0.003, "max_request_rate": 0.001}
    for false in (value + changed[name] if name in changed else wrong(value), None, float("nan")):
        if false is value:
            continue
        refused(replace(TRUE, metrics=replace(TRUE.metrics, **{name: false})), f"metrics.{name}", exhaustive=False)


def test_a_max_request_rate_one_step_low() -> None:
    assert TRUE.metrics is not None
    low = replace(TRUE.metrics, max_request_rate=round(TRUE.metrics.max_request_rate - 0.001, 3))
    refused(replace(TRUE, metrics=low), "max_request_rate", exhaustive=False)


@pytest.mark.parametrize("position", range(len(TRUE.rules)))
def test_a_wrong_rule(position: int) -> None:
    rule = TRUE.rules[position]

    def claim(false: RuleResult) -> Answer:
        return replace(TRUE, rules=(*TRUE.rules[:position], false, *TRUE.rules[position + 1 :]))

    what = f"rules.{rule.id}"
    refused(claim(replace(rule, holds=not rule.holds)), what, exhaustive=False)
    refused(claim(replace(rule, enabled=False)), what, exhaustive=False)
    refused(replace(TRUE, rules=(*TRUE.rules[:position], *TRUE.rules[position + 1 :])), what, exhaustive=False)
    refused(claim(replace(rule, id="made_up")), "made_up", exhaustive=False)
    if isinstance(rule.limit, str):
        return
    for name in ("limit", "actual", "slack"):
        value = getattr(rule, name)
        false = value + 0.003 if rule.unit == "requests/s" else wrong(value)
        refused(claim(replace(rule, **{name: false})), what, exhaustive=False)
    refused(claim(replace(rule, unit="furlongs")), what, exhaustive=False)


def test_a_wrong_objective() -> None:
    objective = TRUE.objective
    assert objective is not None
    for name in ("value", "bound"):
        refused(
            replace(TRUE, objective=replace(objective, **{name: getattr(objective, name) - 1e-4})), f"objective.{name}"
        )
    refused(replace(TRUE, objective=replace(objective, gap=0.01)), "objective.gap")
    refused(replace(TRUE, objective=replace(objective, unit="s")), "objective.unit")
    for term in objective.terms:
        false = replace(objective, terms={**objective.terms, term: objective.terms[term] + 1e-4})
        refused(replace(TRUE, objective=false), f"objective.terms.{term}")
        missing = replace(objective, terms={k: v for k, v in objective.terms.items() if k != term})
        refused(replace(TRUE, objective=missing), "objective.terms")
    refused(replace(TRUE, objective=None), "objective")
    refused(replace(TRUE, metrics=None), "metrics")


@pytest.mark.parametrize("field", [field.name for field in fields(Strategy)])
def test_another_strategy_with_the_same_claims(field: str) -> None:
    others: dict[str, Any] = {
        "tensor_parallel": BEST.tensor_parallel * 2,
        "pipeline_parallel": 2,
        "data_parallel": BEST.data_parallel + 1,
        "expert_parallel": 2,
        "max_num_seqs": BEST.max_num_seqs - 1,
        "layers_per_stage": (7, 7),
        "weight_precision": "fp8",
        "kv_precision": "fp8",
        "expert_slice_ranks": 2,
        "decode_context_parallel": 2,
    }
    assert not verify_answer(STATED, replace(TRUE, strategy=replace(BEST, **{field: others[field]}))).passed


@pytest.mark.parametrize(
    "change",
    [{"tensor_parallel": 0}, {"layers_per_stage": (13,)}, {"layers_per_stage": (15, -1), "pipeline_parallel": 2},
     {"weight_precision": "fp2"}, {"kv_precision": "int4"}, {"max_num_seqs": 0}, {"data_parallel": True}],
)  # fmt: skip
def test_a_strategy_that_is_none(change: dict[str, Any]) -> None:
    refused(replace(TRUE, strategy=replace(BEST, **change)), "strategy.")


def test_a_worse_strategy_called_optimal_is_refuted() -> None:
    worse = answer_for(STATED, replace(BEST, tensor_parallel=2, data_parallel=4))
    assert all(rule.holds for rule in worse.rules)
    found = verify_answer(STATED, worse)
    assert found.optimality == "refuted" and any(m.what == "optimality" for m in found.mismatches)
    assert verify_answer(STATED, replace(worse, status="feasible")).passed
    assert verify_answer(STATED, worse, Fixed(tensor_parallel=2, max_num_seqs=BEST.max_num_seqs)).passed


def test_an_optimum_outside_the_space_is_refused() -> None:
    outside = answer_for(STATED, replace(BEST, weight_precision="fp8", kv_precision="fp8"))
    assert all(rule.holds for rule in outside.rules)
    refused(outside, "strategy")


def test_a_feasible_problem_called_infeasible_is_refuted() -> None:
    found = verify_answer(STATED, no_answer(STATED))
    assert found.optimality == "refuted" and found.mismatches[0].what == "status"


def test_infeasible_is_confirmed() -> None:
    stated = problem(requirements={"tpot_p99_ms": 0.5})
    found = verify_answer(stated, no_answer(stated))
    assert found.passed and found.optimality == "exhaustive"


def test_a_broken_strategy_is_not_an_answer_but_may_be_checked() -> None:
    broken = answer_for(STATED, replace(BEST, max_num_seqs=1), "feasible")
    assert not all(rule.holds for rule in broken.rules)
    refused(broken, "status")
    values = {field.name: getattr(broken, field.name) for field in fields(Answer)}
    checked = CheckAnswer(**{**values, "status": "infeasible"}, feasible=False)
    assert verify_answer(STATED, checked).passed
    refused(replace(checked, feasible=True), "feasible")
    refused(CheckAnswer(**{**values, "status": "feasible"}, feasible=False), "status")


def test_an_overloaded_strategy_has_no_percentiles() -> None:
    stated = problem(workload={"prompt_tokens": 900, "output_tokens": 128, "requests_per_s": 5000.0})
    answer = answer_for(stated, BEST)
    assert answer.metrics is not None and answer.metrics.ttft_p99_ms is None and answer.metrics.availability == 0
    values = {field.name: getattr(answer, field.name) for field in fields(Answer)}
    checked = CheckAnswer(**{**values, "status": "infeasible"}, feasible=False)
    assert verify_answer(stated, checked).passed
    finite = replace(answer.metrics, ttft_p99_ms=1.0)
    assert not verify_answer(stated, replace(checked, metrics=finite)).passed


def test_disabled_rules_and_tiers() -> None:
    for preset in ("throughput", "fewest-gpus", "latency", "fault-tolerance"):
        stated = problem(model=SMALL_MOE, objective=preset, search={"disabled_rules": ["tpot_p99", "concurrency"]})
        best = best_strategy(stated)
        assert best is not None
        answer = answer_for(stated, best)
        assert verify_answer(stated, answer).mismatches == ()
        kept = tuple(rule for rule in answer.rules if rule.enabled)
        assert len(kept) == len(answer.rules) - 2
        assert verify_answer(stated, replace(answer, rules=kept), exhaustive=False).passed


def test_nothing_of_the_model_or_the_search_is_imported() -> None:
    for file in Path(verify.__file__).parent.rglob("*.py"):
        ours = re.findall(r"^\s*(?:from|import) (optimizer\S*|ortools\S*)", file.read_text(encoding="utf-8"), re.M)
        allowed = (
            "optimizer.facts",
            "optimizer.reading",
            "optimizer.catalog",
            "optimizer.engines",
            "optimizer.results",
            "optimizer.verify",
        )
        assert all(name.startswith(allowed) for name in ours), file
