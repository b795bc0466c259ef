"""What a person meets: files that are refused with one sentence, infeasible questions with their conflict and changes, presets."""

from __future__ import annotations

from typing import Any

import pytest

from optimizer.facts.errors import ProblemError
from optimizer.questions.several import solve_several
from optimizer.reading.question import problem_from_dict
from optimizer.reading.stated import Stated
from tests.several.problems import problem_with, values_with


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"objective": "capacity"}, "objective"),
        ({"model": "llama3-8b"}, "model"),
        ({"serving": "any"}, "serving"),
        ({"first": {"name": "second"}}, "models.1.name"),
        ({"first": {"weight": 0.0005}}, "models.0.weight"),
        ({"second": {"workload": {"requests_per_s": -1}}}, "models.1.workload.requests_per_s"),
        ({"second": {"model": "qwen3-9b"}}, "models.1.model"),
        ({"second": {"search": {"disabled_rules": ["nothing"]}}}, "models.1.search.disabled_rules"),
        ({"hardware": {"nodes": 200}}, "hardware.nodes"),
        ({"cluster": []}, "cluster"),
    ],
)
def test_a_file_that_cannot_be_asked_names_its_field(values: dict[str, Any], field: str) -> None:
    with pytest.raises(ProblemError) as refused:
        solve_several(problem_from_dict(values_with(**values)))  # type: ignore[arg-type]
    assert refused.value.field == field


def test_presets_put_their_own_goal_first() -> None:
    fewest = solve_several(problem_with(objective="fewest-gpus"))
    assert fewest.status == "optimal" and fewest.verification.optimality == "exhaustive"
    assert sum(one.strategy.gpus for one in fewest.models) == 2
    most = solve_several(problem_with(objective="throughput"))
    assert most.status == "optimal" and most.verification.optimality == "exhaustive", most.verification.mismatches
    assert most.free_gpus == (0, 0)


def test_models_that_fit_alone_and_not_together() -> None:
    values = values_with(
        {"workload": {"requests_per_s": 4}},
        {"workload": {"requests_per_s": 4}},
        hardware={"nodes": 1, "gpus_per_node": 3},
    )
    problem: Any = problem_from_dict(values)
    answer = solve_several(problem)
    assert answer.status == "infeasible" and answer.verification.passed
    (conflict,) = answer.conflicts
    assert conflict.rules[0] == "placement" and {rule.split(":")[0] for rule in conflict.rules[1:]} == {
        "first",
        "second",
    }
    assert conflict.minimal and "together" in conflict.sentence
    fields = [repair.changes[0].field for repair in answer.repairs]
    assert fields[0] == "hardware.nodes" and "models.0.workload.requests_per_s" in fields
    for repair in answer.repairs:
        changed: Any = Stated(values).changed({one.field: one.new for one in repair.changes}).values
        assert solve_several(problem_from_dict(changed), repairs=False).status == "optimal", repair.sentence  # type: ignore[arg-type]


def test_a_model_that_nothing_serves_is_named() -> None:
    answer = solve_several(problem_with({"requirements": {"tpot_p99_ms": 1}}), repairs=False)
    assert answer.status == "infeasible" and "first cannot be served" in answer.explanation[0]
    assert answer.conflicts[0].rules[0].startswith("first: ")
