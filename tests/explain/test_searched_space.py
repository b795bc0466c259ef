"""An infeasible answer that speaks of the searched space only says so, names the limit, and offers to open it first."""

from __future__ import annotations

from typing import Any

import pytest

from optimizer import problem_from_dict, solve
from optimizer.explain.uniform.cuts import too_slow
from optimizer.render.text import print_answer

H100: dict[str, Any] = {
    "hardware": {"gpu": "h100-sxm-80gb", "nodes": 1},
    "model": "llama3-70b",
    "workload": {"prompt_tokens": 1155, "output_tokens": 211, "requests_per_s": 2},
    "requirements": {"max_batch": 32, "max_sequence_tokens": 4096},
}
DEEPSEEK: dict[str, Any] = {
    "hardware": {"gpu": "h200-sxm-141gb", "nodes": 4, "internode_gbit_per_s": 3200},
    "model": "deepseek-v3",
    "workload": {"prompt_tokens": 4000, "output_tokens": 1000, "requests_per_s": 8},
    "requirements": {"ttft_p50_ms": 2000, "tpot_p50_ms": 40, "max_sequence_tokens": 5000, "max_batch": 1024},
}
THREE = {"gpu": "h100-sxm-80gb", "nodes": 3, "gpus_per_node": 1, "nvlink_gb_per_s": 0, "nvlink_domain_gpus": 1}
SLOW = {"prompt_tokens": 1155, "output_tokens": 211, "requests_per_s": 0.05}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("search.tensor_parallel", {**H100, "search": {"tensor_parallel": [1], "pipeline_parallel": [1]}}),
    ("search.pipeline_parallel", {**H100, "hardware": THREE, "workload": SLOW, "search": {"pipeline_parallel": [1]}}),
    ("search.data_parallel", {**H100, "workload": {**H100["workload"], "requests_per_s": 8},
                              "requirements": {"max_batch": 64, "max_sequence_tokens": 4096},
                              "search": {"tensor_parallel": [4], "pipeline_parallel": [1], "data_parallel": [1]}}),
    ("search.expert_parallel", {**DEEPSEEK, "search": {"weight_precision": ["fp8"], "kv_precision": ["fp8"],
                                                       "expert_parallel": "replica"}}),
    ("search.layer_imbalance", {**H100, "hardware": THREE, "workload": SLOW,
                                "requirements": {**H100["requirements"], "gpu_memory_utilization": 0.8},
                                "search": {"pipeline_parallel": [3], "layer_imbalance": 0}}),
    ("search.weight_precision", {**H100, "search": {"tensor_parallel": [1], "pipeline_parallel": [1],
                                                    "weight_precision": ["bf16"]},
                                 "hardware": {"gpu": "h200-sxm-141gb", "nodes": 1, "gpus_per_node": 1},
                                 "workload": SLOW}),
]  # fmt: skip


@pytest.mark.parametrize(("field", "stated"), CASES, ids=[field for field, _ in CASES])
def test_a_solution_just_outside_is_not_called_impossible(
    field: str, stated: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    answer = solve(problem_from_dict(stated))
    assert answer.status == "infeasible" and answer.verification.passed
    assert answer.within == "searched space" and answer.cut_by == (field,)
    assert "no strategy exists" not in " ".join(answer.explanation)
    first = answer.repairs[0]
    assert {change.field for change in first.changes} == {field}
    changed = {**stated, "search": {**stated["search"], field.removeprefix("search."): first.changes[0].new}}
    again = solve(problem_from_dict(changed))
    assert again.status == "optimal" and again.strategy == first.result
    print_answer(answer)
    assert f"proved infeasible within the searched space ({field})" in capsys.readouterr().out


def test_what_no_engine_could_run_is_called_so() -> None:
    stated = {**H100, "hardware": {"gpu": "l4-24gb", "nodes": 1, "gpus_per_node": 1}}
    answer = solve(problem_from_dict(stated))
    assert answer.status == "infeasible" and answer.within is None and answer.cut_by == ()
    assert "no strategy exists" in answer.explanation[0]


@pytest.mark.parametrize("stated", [stated for _, stated in CASES], ids=[field for field, _ in CASES])
def test_what_no_shape_completes_is_known_without_times_of_every_number(stated: dict[str, Any]) -> None:
    """The quick bound calls nothing impossible that a wider search finds, and sees a demand far beyond what GPUs complete."""
    problem = problem_from_dict({**stated, "search": {}})
    assert not too_slow(problem)
    load = {**stated["workload"], "requests_per_s": 1e6}
    assert too_slow(problem_from_dict({**stated, "workload": load, "search": {}}))


CHOICES: dict[str, Any] = {
    **H100,
    "workload": SLOW,
    "search": {"tensor_parallel": [1], "pipeline_parallel": [1], "token_budgets": [2048, 8192]},
}


def test_of_several_choices_the_wider_search_is_told_once_for_all() -> None:
    answer = solve(problem_from_dict(CHOICES))
    assert answer.status == "infeasible" and answer.within == "searched space" and len(answer.cut_by) == 1
    assert any(sentence.startswith("The same was found for each of the 2 choices") for sentence in answer.explanation)
    assert answer.repairs and answer.verification.passed


def test_what_another_choice_would_allow_is_not_called_impossible(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing helps the first choice, so the reasons are those of one that a wider search would help."""
    from optimizer.explain.uniform import cuts

    real = cuts.any_allowed

    def large_budgets_only(problem: Any, **more: Any) -> bool:
        return problem.search.max_num_batched_tokens == 8192 and real(problem, **more)

    monkeypatch.setattr(cuts, "any_allowed", large_budgets_only)
    answer = solve(problem_from_dict(CHOICES), repairs=False)
    assert answer.within == "searched space" and answer.decided == {"max_num_batched_tokens": 8192}


@pytest.mark.parametrize("stated", [CHOICES, CASES[0][1]], ids=["choices", "one"])
def test_out_of_time_it_says_what_was_not_looked_at(stated: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither "no strategy exists" nor "nothing helps", when there was no time to look."""
    from optimizer.explain.common import patience

    def late(self: patience.Patience) -> None:
        self.cut = True
        raise patience.TimeUpError

    monkeypatch.setattr(patience.Patience, "ask", late)
    answer = solve(problem_from_dict(stated))
    said = " ".join(answer.explanation)
    assert answer.status == "infeasible" and answer.within == "searched space" and not answer.repairs
    assert "was not looked at to its end; a longer --time-limit does" in said and patience.NOT_ALL_TRIED in said
    assert "no strategy exists" not in said and "with it opened there is one" not in said
