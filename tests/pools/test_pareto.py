"""The front of pools against every pair there is, and against what solving with bounds says."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import numpy as np
import pytest

from optimizer.facts.errors import ProblemError
from optimizer.facts.side_by_side import joint_part, pools_part, splits_of
from optimizer.questions import pareto_mixes
from optimizer.questions.pareto import pareto
from optimizer.questions.solve import solve
from optimizer.render.pareto import front_data, print_front
from optimizer.render.schemas import command_schema
from optimizer.results.front import RESOLUTION, Axis
from optimizer.search.pools.answer import judge_rules, metrics_of, prefers_together
from optimizer.search.pools.solve import columns_of
from tests.pools.clusters import cluster_with
from tests.pools.mixes import NEAR_SATURATION, ONLY_TOGETHER
from tests.pools.problems import problem_with

FOUR: dict[str, Any] = {"hardware": {"gpus_per_node": 4}, "workload": {"requests_per_s": 10}}


def every_pair(problem: Any) -> list[tuple[float, float, int]]:
    """(mean ms, share not served, GPUs) of every pair that keeps every rule."""
    columns = columns_of(problem)
    assert columns is not None
    rows = columns.tables.prefill, columns.tables.decode
    found = []
    for p in range(len(rows[0])):
        for d in np.flatnonzero(rows[1].cache == rows[0].cache[p]).tolist():
            pair = prefers_together(columns, p, d)
            if all(rule.holds or not rule.enabled for rule in judge_rules(columns, pair)):
                metrics = metrics_of(columns, pair)
                lost = columns.terms[0].lost[p] + columns.terms[1].lost[d]
                assert metrics.request_mean_ms is not None
                found.append((metrics.request_mean_ms, float(lost), int(rows[0].gpus[p] + rows[1].gpus[d])))
    return found


@pytest.mark.parametrize(
    "axes",
    [("latency", "gpus"), ("availability", "gpus"), ("latency", "availability"), ("latency", "availability", "gpus")],
)
def test_no_pair_beats_a_point_and_none_is_missing(axes: tuple[Axis, ...]) -> None:
    problem = problem_with(**FOUR)
    front = pareto(problem, axes)
    assert front.status == "proved" and front.on_front == len(front.points) and not front.mismatches
    assert all(point.proved and point.verified for point in front.points)
    at = [{"latency": 0, "availability": 1, "gpus": 2}[axis] for axis in axes]
    slack = np.array([1e-5, RESOLUTION, 0.0])[at]
    points = np.array([(p.request_mean_ms, p.not_served, p.gpus) for p in front.points])[:, at]
    for pair in np.array(every_pair(problem))[:, at]:
        assert (points <= pair + slack).all(axis=1).any(), "a pair is better than every point on some axis"
    for number, point in enumerate(points):
        others = np.delete(points, number, axis=0)
        assert not (others <= point).all(axis=1).any()


def test_any_compares_both_kinds() -> None:
    axes: tuple[Axis, ...] = ("latency", "gpus")
    fronts = {
        serving: pareto(problem_with(serving=serving, **FOUR), axes) for serving in ("joint", "disaggregated", "any")
    }
    assert fronts["any"].status == "proved"
    for other in ("joint", "disaggregated"):
        for point in fronts[other].points:
            assert any(
                one.request_mean_ms <= point.request_mean_ms and one.gpus <= point.gpus for one in fronts["any"].points
            )
    known = {point.label for serving in ("joint", "disaggregated") for point in fronts[serving].points}
    assert {point.label for point in fronts["any"].points} <= known


def test_nothing_feasible_and_no_price() -> None:
    assert (
        pareto(
            problem_with(hardware={"gpus_per_node": 2}, workload={"requests_per_s": 900}), ("latency", "gpus")
        ).status
        == "infeasible"
    )
    with pytest.raises(ProblemError, match="price_per_gpu_hour"):
        pareto(problem_with(**FOUR), ("latency", "price"))


def test_an_inventory_by_price() -> None:
    problem = cluster_with()
    front = pareto(problem, ("latency", "price"), points=3)
    jsonschema.Draft202012Validator(command_schema()).validate(json.loads(json.dumps(front_data(front, "inventory"))))
    assert front.points and not front.mismatches and all(point.proved and point.verified for point in front.points)
    best: Any = solve(cluster_with(objective="latency"))
    assert front.points[0].request_mean_ms == pytest.approx(best.metrics.request_mean_ms)
    prices = [point.price_per_hour or 0.0 for point in front.points]
    assert prices == sorted(prices, reverse=True) and all(prices)
    with pytest.raises(ProblemError, match="latency,gpus or latency,price"):
        pareto(problem, ("latency", "availability"))
    with pytest.raises(ProblemError, match="one by one"):
        pareto(cluster_with(serving="any"), ("latency", "gpus"))


@pytest.mark.parametrize("changes", [pytest.param(NEAR_SATURATION, marks=pytest.mark.long), ONLY_TOGETHER])
def test_no_mix_beats_a_point_and_none_is_missing(changes: dict[str, Any]) -> None:
    """Every split, every pair of pools of it, beside each point of its joint instances' front (tests/test_pareto.py)."""
    problem = problem_with(**changes)
    every = []
    for split in splits_of(problem):
        joint = pareto(joint_part(problem, split), ("latency", "availability", "gpus"), points=1_000).points
        share = split.tenths / 10
        for mean, lost, gpus in every_pair(pools_part(problem, split)) if joint else ():
            for one in joint:
                both = share * one.request_mean_ms + (1 - share) * mean, share * one.not_served + (1 - share) * lost
                every.append((*both, one.gpus + gpus))
    assert every
    for axes in (("latency", "availability"), ("latency", "gpus"), ("latency", "availability", "gpus")):
        front = pareto(problem, axes, points=1_000)  # type: ignore[arg-type]
        assert front.status == "proved" and front.on_front == len(front.points) and not front.mismatches
        assert all(point.proved and point.verified for point in front.points) and front.covers == ""
        at = [{"latency": 0, "availability": 1, "gpus": 2}[axis] for axis in axes]
        slack = np.array([1e-5, RESOLUTION, 0.0])[at]
        points = np.array([(p.request_mean_ms, p.not_served, p.gpus) for p in front.points])[:, at]
        for mix in np.array(every)[:, at]:
            assert (points <= mix + slack).all(axis=1).any(), "a mix is better than every point on some axis"
        for number, point in enumerate(points):
            assert not (np.delete(points, number, axis=0) <= point).all(axis=1).any()
        mixes = [point for point in front.points if " to prefill " in point.label]
        assert mixes and all(
            any(
                abs(one.request_mean_ms - mean) < 1e-5 and abs(one.not_served - lost) < 1e-9 and one.gpus == gpus
                for mean, lost, gpus in every
            )
            for one in mixes
        )


def test_a_front_of_either_kind_alone_says_so_and_which_points_a_mix_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/disaggregated.md, section 14: the mix of near saturation takes 0.2 · 3,604.50 + 0.8 · 2,082.19 ms, failures counted."""
    monkeypatch.setattr(pareto_mixes, "MOST_SPLIT_GPUS", 0)
    problem = problem_with(**NEAR_SATURATION)
    front = pareto(problem, ("latency", "availability"))
    assert front.covers == "either kind of instances alone" and front.status == "proved" and not front.mismatches
    mix: Any = solve(problem)
    said = front.proof[-1]
    assert mix.label in said and said.endswith("no worse on any axis than point 1, and better on one.")
    for number, point in enumerate(front.points):
        better = mix.metrics.request_mean_ms <= point.request_mean_ms and mix.metrics.availability >= point.availability
        assert better == (number == 0), point
    jsonschema.validate(json.loads(json.dumps(front_data(front, "uniform"))), command_schema())
    plain = pareto(problem_with(**NEAR_SATURATION | {"serving": "disaggregated"}), ("latency", "availability"))
    assert plain.covers == ""


def test_what_a_mix_alone_keeps_is_not_called_infeasible(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    impossible = ONLY_TOGETHER | {"requirements": {"tpot_p99_ms": 1}}
    none = pareto(problem_with(**impossible), ("latency", "gpus"))
    assert none.status == "infeasible" and "nor do both side by side" in none.proof[-1] and not none.covers
    monkeypatch.setattr(pareto_mixes, "MOST_SPLIT_GPUS", 0)
    front = pareto(problem_with(**ONLY_TOGETHER), ("latency", "gpus"))
    assert front.status == "unknown" and not front.points and "2,874 ms in the mean" in front.proof[-1]
    print_front(front)
    assert "no front of either kind of instances alone" in capsys.readouterr().out
    none = pareto(problem_with(**impossible), ("latency", "gpus"))
    assert none.status == "infeasible" and "no split of requests and GPUs keeps every rule" in none.proof[-1]
    untried = pareto(problem_with(**ONLY_TOGETHER | {"objective": "throughput"}), ("latency", "gpus"))
    assert untried.status == "unknown" and untried.covers
