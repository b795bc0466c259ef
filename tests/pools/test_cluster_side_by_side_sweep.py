"""Sweeps and recommendations of inventories where joint instances beside pools are best."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from optimizer.questions.solve import solve
from optimizer.questions.why_not import why_not
from optimizer.questions.why_this import why_this
from optimizer.render.recommend import lines, recommendation_data
from optimizer.render.schemas import command_schema
from optimizer.render.why import why_not_data
from optimizer.results.cluster_side_by_side import ClusterSideBySideAnswer
from optimizer.results.pools_why import PoolsWhyNot, PoolsWhyThis
from optimizer.sweeps.points import point_data, point_from_data
from optimizer.sweeps.recommend import recommend
from optimizer.sweeps.run import sweep
from tests.command import run
from tests.pools.clusters import cluster_values, cluster_with
from tests.pools.test_cluster_side_by_side import H100, ONE_NODE_EACH, SMALL

ONLY_TOGETHER: dict[str, Any] = {
    "serving": "any",
    "cluster": [H100 | {"nodes": 1, "gpus_per_node": 2}, H100 | {"name": "i", "gpus_per_node": 3}],
    "workload": {"prompt_tokens": 2000, "requests_per_s": 27},
    "requirements": {"ttft_p99_ms": 4000, "tpot_p99_ms": 20},
}
"""Of a node of two and one of three H100 the second is enough, in a mix alone (tests/pools/test_side_by_side.py)."""


def written(folder: Path, changes: dict[str, Any]) -> Path:
    path = folder / "p.json"
    path.write_text(json.dumps(cluster_values(**changes)))
    return path


def test_a_point_is_the_best_of_all_three_kinds(tmp_path: Path) -> None:
    [point] = sweep(written(tmp_path, ONE_NODE_EACH), None, workers=1)
    answer: Any = solve(cluster_with(**ONE_NODE_EACH))
    assert isinstance(answer, ClusterSideBySideAnswer) and point.status == "optimal" and point.inventory is not None
    assert point.label == answer.label and point.gpus_used == answer.gpus == 5
    assert point.objective == answer.objective and point.price_per_hour == answer.price_per_hour
    # Three H100 at 2.50 and two L40S at 0.90 an hour.
    assert point.price_per_hour == pytest.approx(3 * 2.5 + 2 * 0.9)
    shares = [(one.group, one.share) for one in point.inventory.pools]
    assert shares == [("h", pytest.approx(0.2)), ("l", pytest.approx(0.8)), ("h", pytest.approx(0.8))]
    assert point.verification is not None and point.verification.passed
    data = json.loads(json.dumps(point_data(point)))
    jsonschema.validate(data, command_schema())
    assert point_from_data(data) == point


def test_nodes_may_be_enough_for_a_mix_alone(tmp_path: Path) -> None:
    """One node of two H100 carries 27 requests/s in no way, one of three in a mix, which is the least then."""
    found = recommend(written(tmp_path, ONLY_TOGETHER), least="gpus")
    assert found.point is not None and found.proved and found.verified and found.point.gpus == 3
    assert found.point.label.startswith("20% to 1 × TP1·PP1 on i, 80% to prefill 1 × TP1 on i")
    jsonschema.validate(json.loads(json.dumps(recommendation_data(found))), command_schema())
    said = " ".join(sentence for sentence, _ in lines(found))
    assert "proved least" in said and "Neither joint instances nor pools are feasible, nor" in said


def test_questions_about_either_kind_alone_name_a_better_mix() -> None:
    """docs/disaggregated.md, section 14: 1,365.53 ms in a mix, 1,381.66 with pools alone."""
    problem = cluster_with(**SMALL)
    mix: Any = solve(problem)
    told = why_this(problem)
    assert isinstance(told, PoolsWhyThis) and told.objective_ms == pytest.approx(1381.66, abs=0.01)
    assert "is the best of either kind alone: 1,382 ms" in told.sentences[0] and mix.label in told.sentences[1]
    found = why_not(problem, serving="disaggregated")
    assert isinstance(found, PoolsWhyNot) and found.verdict == "worse" and found.optimum == mix.label
    assert "best of all" in found.sentences[0] and "1,366 ms" in found.sentences[0]
    jsonschema.validate(json.loads(json.dumps(why_not_data(found))), command_schema())


def test_what_a_mix_alone_keeps_is_not_called_impossible() -> None:
    told = why_this(cluster_with(**ONLY_TOGETHER | {"cluster": [H100]}))
    assert told.sentences[0] == "Neither joint instances alone nor pools alone were found to keep every rule."
    assert told.sentences[1].startswith("Joint instances beside pools keep every rule, of which 20% to")


def test_a_graph_of_an_inventory_says_that_it_draws_one_kind(tmp_path: Path) -> None:
    shown = run("graph", str(written(tmp_path, SMALL)), "--format", "dot")
    assert shown.returncode == 0 and "joint instances beside pools" in shown.stderr and "not drawn" in shown.stderr
