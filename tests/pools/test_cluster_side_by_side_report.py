"""The report of joint instances beside pools on an inventory: figures of both, and GPUs of each part's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from optimizer.questions.solve import solve
from optimizer.reporting.ask import report
from optimizer.reporting.document import Report, Table
from optimizer.reporting.written.files import write_report
from optimizer.reporting.written.schema import every_schema
from optimizer.results.cluster_side_by_side import ClusterSideBySideAnswer
from tests.command import run
from tests.pools.clusters import cluster_values, cluster_with
from tests.pools.test_cluster_side_by_side import NODES, ONE_NODE_EACH, SMALL


def places(found: Report) -> list[tuple[Any, Any]]:
    """Instances with where they stand."""
    [table] = [b for part in found.sections for b in part.blocks if isinstance(b, Table) and b.id == "placement"]
    keys = [column.id for column in table.columns]
    return [(row[keys.index("instance")], row[keys.index("gpus")]) for row in table.rows]


def test_figures_of_both_are_made_of_those_of_the_parts(tmp_path: Path) -> None:
    """docs/disaggregated.md, section 14: 0.4 · 1,325 + 0.6 · 1,392.54 = 1,365.53 ms; min(50.72 / 0.4, 48.54 / 0.6) = 80.90."""
    problem = cluster_with(**SMALL)
    answer = solve(problem)
    assert isinstance(answer, ClusterSideBySideAnswer)
    built = report(problem, answer)
    found = {one.id: one for one in built.report.derivations}
    assert built.report.verdict == "pass" and not built.report.disagreeing
    assert len(found) == len(built.report.derivations)
    assert found["objective"].figure.value == pytest.approx(1365.53, abs=0.01) and found["objective"].agrees
    assert found["max_request_rate"].figure.value == pytest.approx(80.90, abs=0.01) and found["max_request_rate"].agrees
    assert found["price_per_hour"].figure.value == pytest.approx(2 * 2.5 + 0.9)
    assert found["gpus-used"].figure.value == 3 and found["tokens_per_s"].figure.value == pytest.approx(40.24 * 200)
    for one in built.report.derivations:
        assert all(name in found for name in one.inputs), one.id
    list(write_report(built, answer, str(tmp_path), html=False))
    data = json.loads((tmp_path / "report.json").read_text())
    jsonschema.validate(data, every_schema())
    assert data["answer"]["kind"] == "cluster_side_by_side"


def test_a_node_of_both_parts_and_nodes_of_one_part_each() -> None:
    problem = cluster_with(**ONE_NODE_EACH)
    placed = places(report(problem, solve(problem)).report)
    assert ("decode-0", "h-0: 1,2") in placed and any(where == "h-0: 0" for _, where in placed)
    assert [where for name, where in placed if name.startswith("prefill")] == ["l-0: 0", "l-0: 1"]
    problem = cluster_with(**NODES)
    placed = places(report(problem, solve(problem)).report)
    assert ("decode-0", "h-1: 0") in placed and any(where == "h-0: 0" for _, where in placed)


def test_the_command(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps(cluster_values(**SMALL)))
    found = run("report", str(path), "--no-html", "--out", str(tmp_path / "r"))
    assert found.returncode == 0 and "proved best of all three kinds" in found.stdout
    assert "## Who has which nodes" in (tmp_path / "r" / "report.md").read_text()
