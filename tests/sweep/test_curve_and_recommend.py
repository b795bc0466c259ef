"""What a curve says, and the least hardware as one decision: against the points themselves."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from optimizer import problem_from_dict, sweep
from optimizer.facts.errors import ProblemError
from optimizer.reading.prices import load_prices
from optimizer.sweeps.curve import better, curves, read
from optimizer.sweeps.points import Point
from optimizer.sweeps.recommend import recommend
from tests.generate import random_problem
from tests.sweep.problems import SMALL

PRICES = {"l4-24gb": 0.7, "a100-sxm-40gb": 1.9, "h100-sxm-80gb": 3.0}


@pytest.fixture(scope="module")
def small() -> list[Point]:
    """The small problem on 1 to 40 GPUs."""
    return list(sweep(problem_from_dict(SMALL), "1..40", workers=1))


def test_reading_against_the_points(small: list[Point]) -> None:
    (curve,) = curves(small)
    good = [point for point in small if point.status == "optimal"]
    assert curve.fewest == good[0]
    assert curve.cheapest is not None
    assert curve.cheapest.price_per_million_output_tokens == min(p.price_per_million_output_tokens or 1e9 for p in good)
    assert curve.knee is not None and curve.knee.gpus not in (good[0].gpus, good[-1].gpus)
    covered = {n for plateau in curve.plateaus for n in range(plateau.first, plateau.last + 1)}
    best = good[0]
    for point in good[1:]:
        assert (point.gpus not in covered) == better(point, best), point.gpus
        best = point if better(point, best) else best
    assert not curve.violations
    assert any("never worse" in sentence for sentence in curve.sentences)


def test_knee_of_a_known_curve(small: list[Point]) -> None:
    """Of 100 / n from 1 to 100 the point farthest below the line is the one nearest to the square root of 100."""
    model = next(point for point in small if point.objective is not None)
    assert model.objective is not None
    made = [replace(model, gpus=n, objective=replace(model.objective, value=100 / n)) for n in range(1, 101)]
    knee = read("", made).knee
    assert knee is not None and knee.gpus == 10


def test_worse_with_more_is_reported(small: list[Point]) -> None:
    one, other = [point for point in small if point.status == "optimal"][:2]
    assert one.objective is not None
    worse = replace(other, objective=replace(one.objective, value=one.objective.value + 5), strategy=one.strategy)
    (said,) = read("", [one, worse]).violations
    assert f"{other.gpus} GPUs are worse than {one.gpus} by 5.000 ms" in said
    lost = replace(small[0], gpus=(one.gpus or 0) + 1, status="infeasible", objective=None)
    assert "keep no strategy" in read("", [one, lost]).violations[0]


@pytest.mark.parametrize("seed", range(8))
def test_more_gpus_are_never_worse(seed: int) -> None:
    """Monotone on generated problems, wherever the placement of the same strategy stays what it was."""
    values = random_problem(seed)
    values["hardware"]["gpus_per_node"] = 2
    points = list(sweep(problem_from_dict(values), [1, 2, 4, 6, 8], workers=1))
    for curve in curves(points):
        assert curve.errors == 0
        for said in curve.violations:
            # Only a pipeline that is not aligned with nodes, or instances spread otherwise, may cost more on more nodes.
            assert "stands otherwise" in said


@pytest.mark.parametrize("seed", range(5))
def test_recommended_is_the_first_of_the_sweep(seed: int) -> None:
    values = random_problem(seed)
    problem = problem_from_dict(values)
    points = [point for point in sweep(problem, "1..12", workers=1) if point.status == "optimal"]
    found = recommend(problem, "1..12")
    assert found.verified
    assert (found.point is None) == (not points)
    if found.point is None:
        assert found.ruled_out == found.considered
        assert all(point.conflict or point.said for point in found.below)
    else:
        assert found.point.gpus == points[0].gpus == found.cost
        assert (found.point.strategy, found.point.objective) == (points[0].strategy, points[0].objective)


@pytest.mark.parametrize("preset", ["balanced", "throughput", "fewest-gpus"])
def test_least_price_over_types(preset: str) -> None:
    values = {k: v for k, v in SMALL.items() if k != "hardware"} | {
        "hardware": {"gpu": "l4-24gb", "gpus_per_node": 2},
        "workload": SMALL["workload"] | {"requests_per_s": 40},
        "objective": preset,
    }
    problem, types = problem_from_dict(values), list(PRICES)
    found = recommend(problem, "1..10", types, least="price", prices=PRICES)
    points = sweep(problem, "1..10", {"cross": {"hardware.gpu": types}}, prices=PRICES, workers=1)
    costs: list[tuple[Fraction, int, Point]] = []
    for point in points:
        if point.status == "optimal" and not any("stand" in said for said in point.search_limits):
            price = Fraction(repr(PRICES[point.values["hardware.gpu"]]))
            costs.append((price * (point.gpus or 0), point.index, point))
    cost, _, best = min(costs, key=lambda entry: entry[:2])
    assert found.verified and found.point is not None
    assert found.cost == pytest.approx(float(cost))
    assert (found.point.values, found.point.gpus) == (best.values, best.gpus)
    assert (found.point.strategy, found.point.objective) == (best.strategy, best.objective)


def test_equal_costs_are_decided_by_the_objective() -> None:
    """Two types at the same price: one model holds both, and the better one wins, whichever is named first."""
    values: dict[str, Any] = {k: v for k, v in SMALL.items() if k != "hardware"} | {"hardware": {"gpu": "l4-24gb"}}
    problem, same = problem_from_dict(values), {"l4-24gb": 1.0, "h100-sxm-80gb": 1.0}
    for types in (list(same), list(reversed(same))):
        found = recommend(problem, "1..4", types, least="price", prices=same)
        assert found.point is not None and found.point.values == {"hardware.gpu": "h100-sxm-80gb"}


def test_price_is_asked_for() -> None:
    problem = problem_from_dict(SMALL | {"hardware": {"gpu": "l4-24gb"}})
    with pytest.raises(ProblemError, match=r"price_per_gpu_hour.*l4-24gb"):
        recommend(problem, "1..4", least="price")


def test_price_files(tmp_path: Any) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text("h100: 2.5\nl4-24gb: {price_per_gpu_hour: 0.5, source: a quote}\n")
    assert load_prices(path) == {"h100-sxm-80gb": 2.5, "l4-24gb": 0.5}
    path.write_text("h100: free\n")
    with pytest.raises(ProblemError, match="is no price"):
        load_prices(path)


def test_generator_covers_both_kinds() -> None:
    """The agreement above proves something only where some are feasible and some need more than one GPU."""
    found = [recommend(problem_from_dict(random_problem(seed)), "1..12") for seed in range(5)]
    assert any(one.point is None for one in found) or any((one.point.gpus or 0) > 1 for one in found if one.point)
    assert any(one.point is not None for one in found)
