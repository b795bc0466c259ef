"""Many questions about pools: sweeps and recommendations, each point the answer of ``solve``."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from optimizer.questions.solve import solve
from optimizer.reading.load import problem_from_dict
from optimizer.render.recommend import lines, recommendation_data
from optimizer.render.schemas import command_schema
from optimizer.render.sweep import print_sweep
from optimizer.results.pools import PoolsAnswer
from optimizer.sweeps.curve import curves
from optimizer.sweeps.points import Point, point_data, point_from_data
from optimizer.sweeps.recommend import recommend
from optimizer.sweeps.run import sweep
from optimizer.sweeps.table import flat
from tests.pools.problems import values_with

HARDWARE = {"gpus_per_node": 4, "price_per_gpu_hour": 2.5}
COUNTS = (2, 4, 8)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("pools") / "p.json"
    path.write_text(json.dumps(values_with(hardware=HARDWARE)))
    return str(path)


@pytest.fixture(scope="module")
def points(file: str) -> list[Point]:
    return list(sweep(file, ",".join(map(str, COUNTS)), workers=1))


def test_points_are_the_answers_of_solve(points: list[Point]) -> None:
    for point, count in zip(points, COUNTS, strict=True):
        hardware = {**HARDWARE, "gpus_per_node": min(count, 4), "nodes": max(1, count // 4)}
        answer = solve(problem_from_dict(values_with(hardware=hardware)), repairs=False)
        assert isinstance(answer, PoolsAnswer) and point.verification is not None and point.verification.passed
        assert (point.status, point.label, point.objective) == (answer.status, answer.label, answer.objective)
        assert point.conflict == (answer.conflicts[0].rules if answer.conflicts else ())
        if point.disaggregated is not None:
            assert point.disaggregated.metrics == answer.metrics and point.strategy is None
            assert point.price_per_hour == 2.5 * point.disaggregated.strategy.gpus
    assert [point.status for point in points] == ["infeasible", "optimal", "optimal"]


def test_points_survive_their_file_and_the_schema(points: list[Point]) -> None:
    validator = jsonschema.Draft202012Validator(command_schema())
    for point in points:
        data = json.loads(json.dumps(point_data(point)))
        validator.validate(data)
        assert point_from_data(data) == point


def test_curve_and_table_name_the_pools(points: list[Point], capsys: pytest.CaptureFixture[str]) -> None:
    (curve,) = curves(points)
    assert curve.fewest is not None and curve.fewest.gpus == 4 and not curve.violations
    print_sweep(points, [curve])
    said = capsys.readouterr().out
    assert "prefill 1" in said and "Fewest GPUs that meet everything: 4" in said
    _, rows = flat(points)
    assert rows[1]["strategy"].startswith("prefill") and rows[1]["ttft_p99_ms"] and rows[0]["strategy"] is None


@pytest.mark.parametrize("least", ["gpus", "price"])
def test_the_least_is_the_first_of_the_sweep(file: str, points: list[Point], least: str) -> None:
    found = recommend(file, COUNTS, least=least)  # type: ignore[arg-type]
    assert found.point is not None and found.verified and found.proved
    assert (found.point.gpus, found.point.label) == (points[1].gpus, points[1].label)
    assert found.ruled_out == 1 and found.below[0].gpus == 2
    jsonschema.Draft202012Validator(command_schema()).validate(json.loads(json.dumps(recommendation_data(found))))
    said = "\n".join(text for text, _ in lines(found))
    assert "proved least" in said and "Not enough: 2 GPUs. No pair of pools on 2 GPUs" in said


def test_serving_may_be_what_a_scenario_varies(file: str) -> None:
    cross = {"cross": {"serving": ["joint", "disaggregated", "any"]}}
    joint, pools, either = sweep(file, "4", cross, workers=1)
    assert joint.strategy is not None and pools.disaggregated is not None
    assert joint.objective is not None and pools.objective is not None and either.objective is not None
    assert either.objective.value == min(joint.objective.value, pools.objective.value)


def test_what_pools_are_not_asked_is_the_error_of_its_point(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps(values_with(workload={"prefix": {"shared_tokens": 100}})))
    (point,) = sweep(str(path), "8", workers=1)
    assert point.status == "error" and point.error is not None and point.error.startswith("workload.prefix")
