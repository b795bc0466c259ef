"""Sweeps and recommendations where joint instances beside pools are best: the mix, its value, and what is not settled."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from optimizer.facts.errors import ProblemError
from optimizer.facts.side_by_side import splits_of
from optimizer.questions import side_by_side
from optimizer.questions.solve import solve
from optimizer.reading.stated import load_stated
from optimizer.render.compare import print_comparison
from optimizer.render.recommend import lines, recommendation_data
from optimizer.render.schemas import command_schema
from optimizer.reporting.curves import load_sweep
from optimizer.sweeps.compare import compare
from optimizer.sweeps.points import Point, Spec, point_data, point_from_data, point_of_any
from optimizer.sweeps.recommend import recommend
from optimizer.sweeps.run import sweep
from tests.command import run
from tests.pools.mixes import NEAR_SATURATION, ONLY_TOGETHER
from tests.pools.problems import problem_with, values_with
from tests.pools.test_side_by_side import value_of

MIX = "20% to TP1·PP1·DP1, 80% to prefill 1 × TP1 + decode 1 × TP1"


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "p.json"
    path.write_text(json.dumps(values_with(**changes)))
    return path


def test_a_sweep_has_the_best_of_all_three_kinds_at_each_count(tmp_path: Path) -> None:
    """Two GPUs carry 27 requests/s in no way, three in a mix alone (every split solved), four best as pools."""
    file = written(tmp_path, **ONLY_TOGETHER | {"hardware": {"gpus_per_node": 4, "price_per_gpu_hour": 2.5}})
    points = list(sweep(file, "2..4", workers=1))
    assert [point.status for point in points] == ["infeasible", "optimal", "optimal"]
    for point in points[:2]:
        problem = problem_with(**ONLY_TOGETHER | {"hardware": {"gpus_per_node": point.gpus}})
        alone = solve(problem, side_by_side=False, repairs=False).objective
        values = [value_of(problem, split) for split in splits_of(problem)]
        least = min(*values, math.inf if alone is None else alone.value)
        if point.objective is None:
            assert least == math.inf and "nor are both side by side" in point.said
        else:
            assert point.objective.value == pytest.approx(least, abs=2e-5)
        assert point.verification is not None and point.verification.passed
        assert point.verification.optimality == "exhaustive"
    mix = points[1]
    assert mix.label == MIX and mix.gpus_used == 3 and mix.strategy is None and mix.disaggregated is None
    assert mix.side_by_side is not None and (mix.side_by_side.share, mix.side_by_side.joint_gpus) == (0.2, 1)
    assert mix.figures is not None and mix.figures.max_request_rate == pytest.approx(30.10, abs=0.005)
    # 7.50 an hour for 27 · 200 tokens/s, of which 99.99187 % are served.
    assert mix.price_per_hour == 7.5
    assert mix.price_per_million_output_tokens == pytest.approx(7.5 / (27 * 200 * 0.9999187 * 3600) * 1e6, rel=1e-6)
    assert points[2].disaggregated is not None


def test_a_point_is_stored_and_read_back() -> None:
    problem = problem_with(**NEAR_SATURATION)
    point = point_of_any(Spec(0, {}, None, ""), problem, solve(problem))
    assert point.side_by_side is not None and "pools gpu_count" in point.binding and "joint gpu_count" in point.binding
    data = json.loads(json.dumps(point_data(point)))
    jsonschema.validate(data, command_schema())
    assert point_from_data(data) == point
    plain = Point(0, "", {}, 1, "unknown")
    assert "side_by_side" not in point_data(plain) and point_from_data(point_data(plain)) == plain


def test_the_least_hardware_may_be_enough_as_a_mix_alone(tmp_path: Path) -> None:
    found = recommend(written(tmp_path, **ONLY_TOGETHER), "1..3")
    assert found.point is not None and found.point.gpus == 3 and found.point.label == MIX
    assert found.cost == 3 and found.proved and found.verified and found.ruled_out == 2
    assert [point.gpus for point in found.below] == [2]
    data = recommendation_data(found)
    assert data["kind"] == "side_by_side"
    jsonschema.validate(json.loads(json.dumps(data)), command_schema())
    said = [sentence for sentence, _ in lines(found)]
    assert said[0] == f"3 GPUs: {MIX} — proved least"
    assert "936 ms at P99" in said[1] and "nor are both side by side" in said[2]


def test_what_is_not_settled_is_not_called_proved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No split is solved: whether a mix is enough is open, and so is what costs less."""
    monkeypatch.setattr(side_by_side, "most_solved", lambda problem, left, known: 0)
    found = recommend(written(tmp_path, **ONLY_TOGETHER), [3])
    assert found.point is None and not found.proved and found.verified and found.below[0].status == "unknown"
    said = [sentence for sentence, _ in lines(found)]
    assert "not proved for each" in said[0] and "alone; of both side by side it is not known" in said[1]
    assert "proved not enough" not in said[-1]
    [point] = sweep(written(tmp_path, **ONLY_TOGETHER), [3], workers=1)
    assert point.status == "unknown" and point.objective is None


def test_a_report_draws_a_curve_with_mixes_and_pools(tmp_path: Path) -> None:
    file = written(tmp_path, **ONLY_TOGETHER | {"hardware": {"gpus_per_node": 4}})
    lines_of = [json.dumps(point_data(point)) for point in sweep(file, "3..4", workers=1)]
    (tmp_path / "s.jsonl").write_text("\n".join(lines_of))
    mix, pools = load_sweep(str(tmp_path / "s.jsonl"))
    assert mix.strategy == MIX and mix.ttft_p99_ms == pytest.approx(936, abs=1)
    assert pools.strategy.startswith("prefill ") and pools.max_request_rate is not None
    (tmp_path / "s.jsonl").write_text(lines_of[0].replace('"share"', '"shares"'))
    with pytest.raises(ProblemError, match="as optimizer sweep writes them"):
        load_sweep(str(tmp_path / "s.jsonl"))


def test_types_are_compared_with_their_mixes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stated = load_stated(written(tmp_path, **ONLY_TOGETHER))
    [row] = compare(stated, ["h100-sxm-80gb"], [3])
    assert row.point is not None and row.point.label == MIX and row.headroom == pytest.approx(30.0975 / 27 - 1)
    # 3 · 700 W for 27 · 200 tokens/s, of which 99.99187 % are served.
    assert row.kwh_per_million_output_tokens == pytest.approx(2.1 / (5400 * 0.9999187 * 3600) * 1e6, rel=1e-6)
    print_comparison([row])
    assert "3 GPUs — each type's least hardware is proved" in capsys.readouterr().out
    print_comparison([replace(row, found=replace(row.found, proved=False))])
    print_comparison([replace(row, found=replace(row.found, proved=False, point=None))])
    said = capsys.readouterr().out
    assert "not proved least of each type" in said and "that is not proved of each" in said


def test_the_commands_print_the_mix(tmp_path: Path) -> None:
    path = str(written(tmp_path, **ONLY_TOGETHER))
    table = tmp_path / "points.csv"
    shown = run("sweep", path, "--gpus", "3", "--workers", "1", "--csv", str(table))
    assert shown.returncode == 0 and "20% to TP1·PP1·DP1" in shown.stdout and "1 of 1 points proved" in shown.stdout
    header, row = table.read_text().splitlines()
    assert MIX in row and "ttft_p99_ms" in header
    told = run("recommend", path, "--gpus", "2..3")
    assert told.returncode == 0 and told.stdout.startswith(f"3 GPUs: {MIX} — proved least")
