"""Which points a sweep has: counts, hardware of a count, scenario files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from optimizer import problem_from_dict, solve, sweep
from optimizer.facts.errors import ProblemError
from optimizer.reading.stated import load_stated
from optimizer.sweeps.counts import parse_counts
from optimizer.sweeps.hardware import hardware_of
from optimizer.sweeps.run import plan
from optimizer.sweeps.scenarios import scenario_name, scenarios_from_dict
from tests.conftest import changed
from tests.sweep.problems import SMALL, scenarios, written


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("4", [4]),
        ("1..5", [1, 2, 3, 4, 5]),
        ("1,2,8,2", [1, 2, 8]),
        ("1..10:4", [1, 5, 9]),
        ("pow2:1..70", [1, 2, 4, 8, 16, 32, 64]),
        ("1..3, 16", [1, 2, 3, 16]),
    ],
)
def test_counts(text: str, counts: list[int]) -> None:
    assert parse_counts(text) == counts


@pytest.mark.parametrize(
    "text", ["", "0..4", "5..1", "a", "1...4", "1..9999999", "pow2:5..7", "-1", "1..10:0", "1..100001"]
)
def test_counts_refused(text: str) -> None:
    with pytest.raises(ProblemError, match="--gpus"):
        parse_counts(text)


def test_counts_by_node() -> None:
    assert parse_counts("1..20", "node", 8) == [8, 16]
    with pytest.raises(ProblemError, match="nodes of 8"):
        parse_counts("1..7", "node", 8)


def test_hardware_of_a_count_is_what_the_file_would_say(example: dict[str, Any]) -> None:
    """The mapping changes nothing but nodes and node size, as if a person had written it."""
    stated = problem_from_dict(example).hardware
    for gpus in (1, 2, 3, 7, 8, 9, 15, 16, 1024):
        nodes, per_node = max(1, gpus // 8), min(8, gpus)
        by_hand = changed(example, hardware__nodes=nodes, hardware__gpus_per_node=per_node)
        assert hardware_of(stated, gpus) == problem_from_dict(by_hand).hardware
        assert hardware_of(stated, gpus).gpus <= gpus


def test_rack_scale_domain_stays() -> None:
    values = SMALL | {"hardware": {"gpu": "gb200-nvl72", "nodes": 4, "gpus_per_node": 4}}
    stated = problem_from_dict(values).hardware
    assert hardware_of(stated, 2).nvlink_domain_gpus == stated.nvlink_domain_gpus == 72


def test_each_point_is_the_answer_of_solve(tmp_path: Path) -> None:
    problem = written(tmp_path)
    for point in sweep(problem, "1..9", workers=1):
        assert point.gpus == point.index + 1
        hardware = SMALL["hardware"] | {"nodes": max(1, point.gpus // 4), "gpus_per_node": min(4, point.gpus)}
        alone = solve(problem_from_dict(SMALL | {"hardware": hardware}), repairs=False)
        assert (point.status, point.strategy, point.metrics, point.objective) == (
            alone.status,
            alone.strategy,
            alone.metrics,
            alone.objective,
        )
        assert point.verification is not None and point.verification.passed
        assert any("stand" in said for said in point.search_limits) == (point.gpus % 4 != 0 and point.gpus > 4)


def test_prices_are_of_the_gpus_in_use(tmp_path: Path) -> None:
    (point,) = (p for p in sweep(written(tmp_path), [8], workers=1))
    assert point.strategy is not None and point.metrics is not None
    assert point.price_per_hour == pytest.approx(0.7 * point.strategy.gpus)
    tokens_per_hour = 4 * 20 * 3600 * point.metrics.availability
    assert point.price_per_million_output_tokens == pytest.approx(point.price_per_hour / tokens_per_hour * 1e6)


def test_crossed_and_side_by_side() -> None:
    found = scenarios_from_dict(
        {
            "cross": {
                "workload.requests_per_s": {"from": 1, "to": 2, "step": 0.5},
                "objective": ["balanced", "latency"],
            },
            "zip": [{"workload.prompt_tokens": [100, 200], "workload.output_tokens": [10, 20]}],
        }
    ).changes
    assert len(found) == 3 * 2 * 2
    assert found[0] == {
        "workload.requests_per_s": 1,
        "objective": "balanced",
        "workload.prompt_tokens": 100,
        "workload.output_tokens": 10,
    }
    assert {c["workload.requests_per_s"] for c in found} == {1, 1.5, 2}
    assert scenario_name(found[0]) == "requests_per_s=1, objective=balanced, prompt_tokens=100, output_tokens=10"


def test_names_tell_scenarios_apart() -> None:
    values = ["balanced", {"preset": "balanced", "gpu_ms": 5}, {"preset": "balanced", "gpu_ms": 7.5}, None]
    names = [scenario_name({"objective": value, "search.kv_precision": ["fp8"]}) for value in values]
    assert len(set(names)) == 4
    assert names[1] == "objective=preset balanced gpu_ms 5, kv_precision=fp8"


def test_factors_reach_the_end() -> None:
    found = scenarios_from_dict({"cross": {"workload.requests_per_s": {"from": 1, "to": 1000, "factor": 10}}}).changes
    assert [c["workload.requests_per_s"] for c in found] == [1, 10, 100, 1000]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"crossed": {}}, "did you mean cross"),
        ({"cross": {"workloads.x": [1]}}, "did you mean workload"),
        ({"cross": {"workload.requests_per_s": 4}}, "a list of values"),
        ({"cross": {"workload.requests_per_s": []}}, "a list of values"),
        ({"cross": {"workload.requests_per_s": {"from": 5, "to": 1, "step": 1}}}, "from must not exceed to"),
        ({"cross": {"workload.requests_per_s": {"from": 1, "to": 5, "step": 1, "factor": 2}}}, "a step above 0 or"),
        ({"zip": [{"workload.prompt_tokens": [1, 2], "workload.output_tokens": [1]}]}, "equally long"),
        ({"cross": {"objective": ["latency"]}, "zip": [{"objective": ["balanced"]}]}, "named twice"),
        ({"cross": {"workload.requests_per_s": {"from": 1, "to": 1e9, "step": 1}}}, "more than 1,000,000"),
    ],
)
def test_scenarios_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ProblemError, match=message):
        scenarios_from_dict(values)


def test_one_bad_scenario_is_a_row(tmp_path: Path) -> None:
    asked = {"cross": {"hardware.gpu": ["l4-24gb", "l5-24gb"], "workload.requests_per_s": [1, -1]}}
    points = list(sweep(written(tmp_path), None, scenarios(tmp_path, asked), workers=1))
    assert [point.status == "error" for point in points] == [False, True, True, True]
    assert "did you mean" in (points[2].error or "") and "requests_per_s" in (points[1].error or "")


def test_another_model_is_resolved_anew(tmp_path: Path) -> None:
    asked = {"cross": {"model": ["llama3.1-8b", "qwen3-4b"], "hardware.gpu": ["h100"]}}
    points = list(sweep(written(tmp_path), None, scenarios(tmp_path, asked), workers=1))
    alone = solve(problem_from_dict(SMALL | {"model": "qwen3-4b", "hardware": {"gpu": "h100"}}))
    assert points[1].metrics == alone.metrics and points[0].metrics != alone.metrics


def test_another_gpu_brings_its_own_links_and_price(tmp_path: Path) -> None:
    hardware = SMALL["hardware"] | {"gpu": "h100", "nvlink_gb_per_s": 450}
    problem = written(tmp_path, hardware=hardware)
    asked = {"cross": {"hardware.gpu": ["h100-sxm-80gb", "l40s"]}}
    same, other = sweep(problem, None, scenarios(tmp_path, asked), workers=1)
    assert same.price_per_hour is not None and not any("as stated for" in said for said in same.search_limits)
    assert other.price_per_hour is None and any("nvlink_gb_per_s" in said for said in other.search_limits)
    alone = solve(problem_from_dict(SMALL | {"hardware": {"gpu": "l40s", "nodes": 1}}))
    assert other.metrics == alone.metrics


def test_counts_go_innermost_and_may_stand_in_the_file(tmp_path: Path) -> None:
    asked = scenarios(tmp_path, {"cross": {"workload.requests_per_s": [1, 2]}, "gpus": "1..2"})
    specs = plan(load_stated(written(tmp_path)), None, asked).specs
    assert [(spec.changes["workload.requests_per_s"], spec.gpus) for spec in specs] == [(1, 1), (1, 2), (2, 1), (2, 2)]
