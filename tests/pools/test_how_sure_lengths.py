"""How far lengths may grow: no sequence is longer than stated, or than the model's context; what a workload asks for now limits nothing."""

from __future__ import annotations

from typing import Any

import pytest

from optimizer.explain.uniform.switch import knobs
from optimizer.questions.pools_how_sure import facts_of
from optimizer.reading.inventory_file import inventory_from_dict
from optimizer.reading.load import problem_from_dict
from optimizer.reading.stated import Stated
from tests.pools.clusters import cluster_values
from tests.pools.problems import values_with

LENGTHS = ("workload.prompt_tokens", "workload.output_tokens")


@pytest.mark.parametrize(
    ("limits", "work", "expected"),
    [
        ({}, {}, (8192 - 200, 8192 - 1500)),
        ({"max_sequence_tokens": 2000}, {}, (1800, 500)),
        ({}, {"prompt_tokens_p99": 3000}, (3000, 8192 - 3000)),
    ],
)
@pytest.mark.parametrize("kind", ["nodes", "groups", "joint"])
def test_lengths_may_grow_to_the_context(
    kind: str, limits: dict[str, Any], work: dict[str, Any], expected: tuple[int, int]
) -> None:
    changes = {"requirements": limits, "workload": work}
    if kind == "groups":
        most = {fact.fields[0]: fact.most for fact in facts_of(inventory_from_dict(cluster_values(**changes)))}
    elif kind == "nodes":
        most = {fact.fields[0]: fact.most for fact in facts_of(problem_from_dict(values_with(**changes)))}
    else:
        values = values_with(**changes, serving="joint")
        problem = problem_from_dict(values)
        most = {knob.field: knob.most for knob in knobs(Stated(values), problem)}
    assert tuple(most[name] for name in LENGTHS) == expected
