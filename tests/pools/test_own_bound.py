"""The verifier's own bound on pools of an inventory: below every answer, near the best, and infinite where nothing has room."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from optimizer.questions.cluster_pools import solve_cluster_pools
from optimizer.render.cluster_pools import print_cluster_pools
from optimizer.results.pools import FixedPool
from optimizer.verify.common.arithmetic import sixty_digits
from optimizer.verify.pools import cluster_bound, cluster_survey
from optimizer.verify.pools.cluster_bound import _hull, least_of_all, no_room
from optimizer.verify.pools.cluster_check import verify_cluster_pools
from optimizer.verify.pools.load_curve import InProgress, curve
from optimizer.verify.pools.pair import Shapes
from optimizer.verify.pools.site import PoolsSite
from optimizer.verify.pools.survey import offered
from tests.pools.clusters import cluster_with
from tests.pools.problems import problem_with

ONE: dict[str, Any] = {"search": {"tensor_parallel": [1]}}
QUESTIONS: list[dict[str, Any]] = [
    {"workload": {"requests_per_s": 10}},
    {"objective": "fewest-gpus", "workload": {"requests_per_s": 10}},
    {"objective": "cheapest"},
    {"objective": {"gpu_ms": 30.0}, "requirements": {"survive": {"gpu": 1, "demand_share": 0.5}}},
]


@pytest.mark.parametrize(
    "case",
    [
        0,
        pytest.param(1, marks=pytest.mark.long),
        pytest.param(2, marks=pytest.mark.long),
        pytest.param(3, marks=pytest.mark.long),
    ],
)
def test_the_bound_lies_below_the_best_and_near_it(case: int, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = cluster_with(**QUESTIONS[case], **ONE)
    monkeypatch.setattr(cluster_survey, "MOST_OFFERED", 10)
    answer = solve_cluster_pools(problem, repairs=False)
    least = sixty_digits()(lambda: least_of_all(PoolsSite(problem)))()
    assert answer.status == "optimal" and answer.objective is not None and answer.strategy is not None
    assert answer.metrics is not None and least is not None
    preset = problem.objective.preset
    best = {"fewest-gpus": answer.strategy.gpus, "cheapest": answer.metrics.price_per_hour}.get(preset)
    best = answer.objective.value if best is None else best
    assert best is not None and 0.6 * best < least <= best * (1 + 1e-9)


def test_an_answer_that_was_not_compared_says_how_far_off_it_may_be(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    problem = cluster_with(workload={"requests_per_s": 10}, **ONE)
    answer = solve_cluster_pools(problem, repairs=False)
    monkeypatch.setattr(cluster_survey, "MOST_OFFERED", 10)
    seen = verify_cluster_pools(problem, answer)
    assert seen.passed and seen.optimality == "bound" and "own bound on the objective" in seen.resolution
    unproved = replace(answer, status="feasible")
    seen = verify_cluster_pools(problem, unproved)
    assert seen.passed and seen.optimality == "not claimed" and "own bound on the objective" in seen.resolution
    assert answer.objective is not None
    print_cluster_pools(replace(unproved, objective=replace(answer.objective, gap=0.004)), full=False)
    assert "feasible, its objective within 0.40% of a proved bound" in capsys.readouterr().out
    # A bound above what was recomputed would be false: it is reported, not swallowed.
    monkeypatch.setattr(cluster_bound, "least_of_all", lambda *_, **__: 1e6)
    assert not verify_cluster_pools(problem, answer).passed


def test_too_much_load_has_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = cluster_with(workload={"requests_per_s": 150}, **ONE)
    answer = solve_cluster_pools(problem, repairs=False)
    assert answer.status == "infeasible"
    monkeypatch.setattr(cluster_survey, "MOST_OFFERED", 10)
    seen = verify_cluster_pools(problem, answer)
    assert seen.passed and seen.optimality == "exhaustive" and list(seen.ruled_out.values()) == [seen.candidates]
    fits = cluster_with(workload={"requests_per_s": 8}, **ONE)
    assert not sixty_digits()(lambda: no_room(PoolsSite(fits)))()


@sixty_digits()
def test_floats_follow_the_exact_chain() -> None:
    problem = problem_with()
    shape = next(iter(offered(problem, Shapes(problem), FixedPool())))
    progress = InProgress(shape.slowness)
    for rate in (Fraction(1, 2), Fraction(10), Fraction(40)):
        exact = shape.decoding(rate)
        assert exact is not None
        assert abs(progress.mean(float(rate) / 1000) / float(exact.number.mean) - 1) < 1e-9
    values = [float(each) for each in (shape.round(n) for n in range(1, shape.length + 1))]
    assert values == sorted(values)  # what the bound on loads between rests on


def test_a_curve_never_says_more_than_the_function() -> None:
    def mean(load: Fraction) -> float:
        return 10 / (1 - float(load) / 9)

    found = curve(lambda load: load <= 8, mean, Fraction(1, 10), Fraction(20))
    assert 8 < found.full < 8.1
    for tenth in range(1, 80):
        load = Fraction(tenth, 10)
        least = float(found.at(np.array([float(load)]))[0])
        assert 0.9 * mean(load) < least <= mean(load)


def test_a_hull_holds_what_costs_least_at_any_price() -> None:
    random = np.random.default_rng(1)
    gpus, values = random.integers(1, 40, 200).astype(float), random.random(200) * 100
    cell = _hull(gpus, values)
    assert len(cell.gpus) < 40
    for price in (0.0, 0.01, 0.3, 1.0, 7.0, 100.0):
        assert np.isclose((cell.values + price * cell.gpus).min(), (values + price * gpus).min())
