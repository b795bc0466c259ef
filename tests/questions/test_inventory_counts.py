"""``sweep`` and ``recommend`` over the groups of an inventory: points are what ``solve`` says, the least is the least of all sets."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

import optimizer
from optimizer.reading.inventory_file import inventory_from_dict
from optimizer.reading.stated_inventory import inventory_stated_of
from optimizer.search.inventory.candidates import Candidates
from optimizer.search.inventory.solve import InventorySolver
from optimizer.sweeps.curve import curves
from optimizer.sweeps.points import point_data, point_from_data
from tests.questions.problems import chain, hardware, inventory, two_groups


def with_nodes(values: dict[str, Any], counts: dict[str, int]) -> dict[str, Any]:
    """The problem with other counts; groups with none are left out."""
    groups = [{**group, "nodes": counts.get(group["name"], group["nodes"])} for group in values["cluster"]]
    return {**values, "cluster": [group for group in groups if group["nodes"]]}


def test_points_are_what_solve_says_and_come_back_from_their_data() -> None:
    problem = optimizer.problem_from_dict(inventory())
    points = list(
        optimizer.sweep(problem, nodes={"a": "1..2"}, scenarios={"cross": {"workload.requests_per_s": [2, 20]}})
    )
    assert [(point.values["workload.requests_per_s"], point.gpus) for point in points] == [
        (2, 2),
        (2, 4),
        (20, 2),
        (20, 4),
    ]
    for point in points:
        values = with_nodes(inventory(), {"a": point.values["cluster.a.nodes"]})
        values["workload"]["requests_per_s"] = point.values["workload.requests_per_s"]
        answer = optimizer.solve(optimizer.problem_from_dict(values))
        assert point.status == answer.status and point.label == answer.label and point.gpus_used == answer.gpus_used
        assert point.objective == answer.objective
        assert point.figures is not None and point.figures.request_mean_ms == answer.request_mean_ms
        assert point_from_data(point_data(point)) == point
    readings = curves(points)
    assert [reading.name for reading in readings] == ["requests_per_s=2", "requests_per_s=20"]
    assert readings[0].fewest is points[0] and not readings[0].violations


def enough_of(values: dict[str, Any]) -> dict[tuple[int, int], float]:
    """The objective of every set of nodes that is enough, each solved by itself."""
    found = {}
    for h, low in itertools.product(range(3), range(4)):
        if h + low:
            problem = optimizer.problem_from_dict(with_nodes(values, {"h": h, "l": low}))
            solved = InventorySolver(problem, Candidates(problem)).run()  # type: ignore[arg-type]
            assert solved.status in {"optimal", "infeasible"}
            if solved.best is not None:
                found[h, low] = float(solved.best.whole_ms)
    return found


@pytest.mark.parametrize(
    "demand",
    [
        4,
        pytest.param(1, marks=pytest.mark.long),
        pytest.param(9, marks=pytest.mark.long),
        pytest.param(400, marks=pytest.mark.long),
    ],
)
def test_the_recommendation_is_the_least_of_all_sets(demand: float) -> None:
    values = two_groups()
    values["workload"]["requests_per_s"] = demand
    valued = enough_of(values)
    for least, price in (("gpus", {"h": 1.0, "l": 1.0}), ("price", {"h": 3.0, "l": 0.7})):
        _is_least(values, least, {(h, low): (h * price["h"] + low * price["l"], ms) for (h, low), ms in valued.items()})


def _is_least(values: dict[str, Any], least: str, enough: dict[tuple[int, int], tuple[float, float]]) -> None:
    found = optimizer.recommend(optimizer.problem_from_dict(values), least=least)  # type: ignore[arg-type]
    assert found.proved and found.verified and found.considered == 11
    if not enough:
        assert found.point is None and found.cost is None and found.below[0].said
        return
    cost = min(value[0] for value in enough.values())
    assert found.cost == pytest.approx(cost) and found.point is not None
    chosen = found.point.values["cluster.h.nodes"], found.point.values["cluster.l.nodes"]
    assert enough[chosen] == pytest.approx(min(value for value in enough.values() if value[0] == pytest.approx(cost)))
    assert all(point.status == "infeasible" for point in found.below)


def test_a_group_that_is_not_named_stands_as_stated() -> None:
    values = two_groups()
    found = optimizer.recommend(optimizer.problem_from_dict(values), nodes={"l": "0..3"})
    assert found.point is not None and found.point.values["cluster.h.nodes"] == 2 and found.considered == 4


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda: list(optimizer.sweep(optimizer.problem_from_dict(inventory()), "1..4")), "--nodes h100=1..4"),
        (lambda: list(optimizer.sweep(optimizer.problem_from_dict(inventory()), nodes={"b": "1"})), "no group 'b'"),
        (lambda: list(optimizer.sweep(optimizer.problem_from_dict(hardware()), nodes={"a": "1"})), "--gpus"),
        (lambda: optimizer.recommend(optimizer.problem_from_dict(inventory()), types=["l4"]), "--types"),
        (lambda: list(optimizer.sweep(optimizer.problem_from_dict(chain()), "1..4")), "optimizer solve"),
        (lambda: optimizer.recommend(optimizer.problem_from_dict(chain())), "optimizer solve"),
    ],
)  # fmt: skip
def test_what_means_nothing_says_what_does(ask: Any, said: str) -> None:
    with pytest.raises(optimizer.ProblemError, match=said.replace(".", r"\.")):
        ask()


def test_a_field_of_no_group_is_that_points_error() -> None:
    problem = optimizer.problem_from_dict(inventory())
    points = list(optimizer.sweep(problem, scenarios={"cross": {"cluster.b.nodes": [1, 2]}}))
    assert [point.status for point in points] == ["error", "error"] and "no group 'b'" in (points[0].error or "")


@pytest.mark.parametrize("values", [inventory(), two_groups()])
def test_an_inventory_is_stated_as_it_is(values: dict[str, Any]) -> None:
    problem = optimizer.problem_from_dict(values)
    stated = inventory_stated_of(problem)
    assert inventory_from_dict(stated.values, default_name=stated.default_name, model=stated.model) == problem
