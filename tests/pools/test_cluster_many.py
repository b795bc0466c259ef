"""Sweeps, recommendations and reports of pools on inventories, against solving each question by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from optimizer.questions.solve import solve
from optimizer.render.recommend import recommendation_data
from optimizer.render.schemas import command_schema
from optimizer.reporting.ask import report
from optimizer.reporting.written.files import write_report
from optimizer.results.cluster_pools import ClusterPoolsAnswer
from optimizer.sweeps.inventory import cluster_pools_point
from optimizer.sweeps.points import Spec, point_data, point_from_data
from optimizer.sweeps.recommend import recommend
from optimizer.sweeps.run import sweep
from tests.pools.clusters import cluster_values, cluster_with


@pytest.fixture(scope="module")
def answer() -> ClusterPoolsAnswer:
    found = solve(cluster_with())
    assert isinstance(found, ClusterPoolsAnswer)
    return found


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(command_schema())


def test_the_point_says_what_the_answer_says(
    answer: ClusterPoolsAnswer, validator: jsonschema.Draft202012Validator
) -> None:
    point = cluster_pools_point(Spec(0, {}, 8, ""), cluster_with(), answer)
    assert answer.metrics is not None and answer.strategy is not None and point.inventory is not None
    assert point.label == answer.label and point.gpus_used == answer.strategy.gpus
    assert point.price_per_hour == answer.metrics.price_per_hour
    for name in ("ttft_p50_ms", "tpot_p99_ms", "max_request_rate", "availability"):
        assert getattr(point.inventory, name) == getattr(answer.metrics, name)
    millions = answer.metrics.tokens_per_s * answer.metrics.availability * 3600 / 1e6
    assert point.price_per_million_output_tokens == pytest.approx((point.price_per_hour or 0) / millions)
    data = json.loads(json.dumps(point_data(point)))
    validator.validate(data)
    assert point_from_data(data) == point


def test_a_sweep_over_nodes_of_a_group(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps(cluster_values()))
    points = list(sweep(path, nodes={"a": "1,2"}, workers=1))
    assert [point.status for point in points] == ["optimal", "optimal"]
    groups = cluster_values()["cluster"]
    fewer: Any = solve(cluster_with(cluster=[{**groups[0], "nodes": 1}, groups[1]]))
    assert points[0].label == fewer.label and points[0].objective == fewer.objective
    assert all(point.verification is not None and point.verification.passed for point in points)


def test_the_least_price_is_proved_and_what_is_cheaper_is_not_enough(
    tmp_path: Path, validator: jsonschema.Draft202012Validator
) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps(cluster_values()))
    found = recommend(path, least="price", nodes={"a": "0..1", "b": "0..2"})
    validator.validate(json.loads(json.dumps(recommendation_data(found))))
    assert found.proved and found.verified and found.point is not None and found.cost == pytest.approx(3.6)
    groups = cluster_values()["cluster"]
    one: Any = solve(cluster_with(cluster=[{**groups[1], "nodes": 1}]), repairs=False)
    assert one.status == "infeasible" and [point.status for point in found.below] == ["infeasible"]
    there: Any = solve(cluster_with(cluster=[groups[1]]))
    assert found.point.label == there.label


def test_nothing_that_is_allowed_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps(cluster_values(workload={"requests_per_s": 900})))
    found = recommend(path, nodes={"a": "1", "b": "0..1"})
    assert found.point is None and found.proved and found.verified and found.below[0].conflict


def test_the_report_has_every_part(answer: ClusterPoolsAnswer, tmp_path: Path) -> None:
    built = report(cluster_with(), answer)
    assert built.report.verdict == "pass" and not built.report.disagreeing
    found = {one.id: one for one in built.report.derivations}
    assert answer.strategy is not None and answer.metrics is not None
    assert found["price_per_hour"].figure.value == answer.metrics.price_per_hour
    for role in ("prefill", "decode"):
        for part, held in zip(getattr(answer.strategy, role), getattr(answer.metrics, role), strict=True):
            assert found[f"carries-{role}-{part.group}"].figure.value == held.capacity_per_s
            assert found[f"gpus-{role}-{part.group}"].figure.value == part.pool.gpus
    ids = [section.id for section in built.report.sections]
    assert ids == ["summary", "inventory", "pools", "requests", "placement", "rules", "launch"]
    assert len(list(write_report(built, answer, str(tmp_path), html=False))) == 2
    data = json.loads((tmp_path / "report.json").read_text())
    assert data["answer"]["kind"] == "cluster_pools"
