"""An inventory that is infeasible only within what was searched says so, names the limit, and offers to open it first."""

from __future__ import annotations

from typing import Any

import pytest

from optimizer import Fixed, check, problem_from_dict, solve
from optimizer.render.inventory import print_inventory

LOAD = {"prompt_tokens": 1155, "output_tokens": 211, "requests_per_s": 0.05}
NEEDS = {"max_batch": 16, "max_sequence_tokens": 2048}


def nodes(count: int, each: int, **more: Any) -> list[dict[str, Any]]:
    group = {"name": "a", "gpu": "h100-sxm-80gb", "nodes": count, "gpus_per_node": each}
    return [{**group, "internode_gbit_per_s": 400, **more}]


def stated(search: dict[str, Any], cluster: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {
        "name": "cut",
        "cluster": cluster,
        "model": "llama3-70b",
        "workload": LOAD,
        "requirements": NEEDS,
        "search": search,
        **more,
    }


CASES: list[tuple[str, dict[str, Any]]] = [
    ("search.tensor_parallel", stated({"tensor_parallel": [1], "pipeline_parallel": [1]}, nodes(1, 4))),
    ("search.pipeline_parallel", stated({"tensor_parallel": [1], "pipeline_parallel": [1]}, nodes(3, 1))),
    (
        "search.weight_precision",
        stated({"tensor_parallel": [1], "pipeline_parallel": [1]}, nodes(1, 1, gpu="h200-sxm-141gb")),
    ),
    (
        "search.layer_imbalance",
        stated(
            {"pipeline_parallel": [3], "layer_imbalance": 0},
            nodes(3, 1),
            requirements={**NEEDS, "gpu_memory_utilization": 0.8},
        ),
    ),
    (
        "search.expert_parallel",
        stated(
            {"weight_precision": ["fp8"], "kv_precision": ["fp8"], "expert_parallel": "replica"},
            nodes(4, 8, gpu="h200-sxm-141gb", internode_gbit_per_s=3200),
            model="deepseek-v3",
            workload={"prompt_tokens": 4000, "output_tokens": 1000, "requests_per_s": 8},
            requirements={"ttft_p50_ms": 2000, "tpot_p50_ms": 40, "max_sequence_tokens": 5000, "max_batch": 1024},
        ),
    ),
]
SLOW = {"search.expert_parallel"}


@pytest.mark.parametrize(
    ("field", "problem"),
    [pytest.param(*case, id=case[0], marks=pytest.mark.long if case[0] in SLOW else ()) for case in CASES],
)
def test_a_solution_just_outside_is_not_called_impossible(
    field: str, problem: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    answer = solve(problem_from_dict(problem))
    assert answer.status == "infeasible" and answer.verification.passed
    assert answer.within == "searched space" and answer.cut_by == (field,)
    assert "that was searched" in " ".join(answer.explanation)
    first = answer.repairs[0]
    assert {change.field for change in first.changes} == {field}
    new = first.changes[0].new
    changed = {**problem["search"], field.removeprefix("search."): list(new) if isinstance(new, tuple) else new}
    assert solve(problem_from_dict({**problem, "search": changed})).status == "optimal"
    print_inventory(answer)
    assert f"within the searched space ({field})" in " ".join(capsys.readouterr().out.split())


def test_a_feasible_check_names_what_leaves_it_out() -> None:
    """A check that holds beside a solve that finds nothing says which limit of the search lies between them."""
    problem = stated({"tensor_parallel": [1], "pipeline_parallel": [1]}, nodes(3, 1))
    fixed = check(problem_from_dict(problem), Fixed(pipeline_parallel=3), repairs=False)
    assert fixed.feasible and fixed.optimum is not None and fixed.optimum.within == "searched space"
    assert fixed.optimum.cut_by == ("search.pipeline_parallel",)
    assert any("outside what optimizer solve searches" in said for said in fixed.explanation)


def test_what_no_engine_could_run_is_called_so() -> None:
    answer = solve(problem_from_dict(stated({}, nodes(1, 1, gpu="l4-24gb"))))
    assert answer.status == "infeasible" and answer.within is None and answer.cut_by == ()


def test_first_tiers_decide_what_is_best() -> None:
    """With the fewest GPUs first, a proposal that is quicker on more GPUs is not the optimum."""
    problem = stated({}, nodes(1, 4), model="llama3.1-8b", objective="fewest-gpus")
    quick = check(problem_from_dict(problem), Fixed(tensor_parallel=4), repairs=False)
    assert quick.feasible and quick.status == "feasible" and quick.optimum is not None
    assert quick.objective is not None and quick.optimum.objective is not None
    assert quick.objective.value < quick.optimum.objective.value
    assert any("3 GPUs better" in said for said in quick.explanation)
