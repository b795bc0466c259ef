"""What would let an infeasible day be carried: each change, made in the file, makes it feasible."""

from __future__ import annotations

from typing import Any

import pytest

from optimizer.questions.solve import solve
from optimizer.reading.question import problem_from_dict
from optimizer.reading.stated import Stated
from tests.profile.problems import values_with
from tests.profile.test_cluster_days import small


def no_room() -> dict[str, Any]:
    values = values_with(hardware={"nodes": 1})
    values["requirements"] = {"max_batch": 32}
    values["workload"]["profile"][1]["requests_per_s"] = 24.0
    return values


def few_changes() -> dict[str, Any]:
    values = values_with(schedule={"most_changes_per_hour": 1})
    values["workload"]["profile"] = [
        {"hours": [0, 1], "requests_per_s": 0.5},
        {"hours": [1, 24], "requests_per_s": 9.0},
    ]
    values["requirements"]["min_batch"] = 1
    return values


def no_room_on_an_inventory() -> dict[str, Any]:
    values = small()
    values["requirements"] = {"max_batch": 32, "max_sequence_tokens": 2048}
    values["workload"]["profile"][0]["requests_per_s"] = 70
    return values


@pytest.mark.parametrize(
    "stated", [no_room(), pytest.param(no_room_on_an_inventory(), marks=pytest.mark.long)], ids=["nodes", "groups"]
)
def test_each_change_is_enough(stated: dict[str, Any]) -> None:
    answer: Any = solve(problem_from_dict(stated))
    assert answer.status == "infeasible" and answer.repairs, answer.explanation
    assert any(repair.changes[0].field.endswith("nodes") for repair in answer.repairs)
    for repair in answer.repairs[:1]:
        changed = Stated(stated).changed({one.field: one.new for one in repair.changes}).values
        found: Any = solve(problem_from_dict(changed), repairs=False)
        assert found.hours, repair.sentence


def test_a_plan_that_never_changes_is_always_one() -> None:
    found: Any = solve(problem_from_dict(few_changes()))
    assert found.status == "optimal"
