"""A closed loop of users: the rate follows from each candidate's own latency, in both homes, and a stated rate says the same."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from optimizer import Fixed, check, load_problem, problem_from_dict, solve
from optimizer.costs.shapes import Floats, Ints
from optimizer.costs.users import closed_rates
from optimizer.explain.uniform.relaxations import relaxations_of
from optimizer.facts.errors import ProblemError
from optimizer.facts.problem import Problem
from optimizer.facts.workload import Users
from optimizer.reading.question import question_from_dict
from optimizer.results.answer import Answer
from optimizer.sweeps.recommend import recommend
from optimizer.verify.common.arithmetic import sixty_digits
from optimizer.verify.common.users import exact_rate, float_rates
from tests.conftest import changed

SMALL: dict[str, Any] = {
    "name": "users",
    "hardware": {"gpu": "h100-sxm-80gb", "nodes": 1, "gpus_per_node": 4},
    "model": "llama3.1-8b",
    "workload": {"prompt_tokens": 1000, "output_tokens": 200, "concurrency": 60},
    "requirements": {"max_batch": 128, "ttft_p99_ms": 2000, "tpot_p99_ms": 60, "survive": {"gpu": 1}},
}


# By hand, of a replica whose request takes T = 1 / (5 − λ) s:
#   u = 2, no pause: λ / (5 − λ) = 2, λ = 10/3 = 3.33333…, up to 3.333334
#   u = 2, a pause of 1 s: λ² − 8λ + 10 = 0, λ = 4 − √6 = 1.5505102…, up to 1.550511
#   u = 40, no pause: 41λ = 200, λ = 4.8780487…, up to 4.878049
@pytest.mark.parametrize(("users", "pause", "rate"), [(2, 0, 3_333_334), (2, 1, 1_550_511), (40, 0, 4_878_049)])
def test_rates_by_hand_in_both_homes(users: int, pause: float, rate: int) -> None:
    def mean(rates: Floats) -> Floats:
        return np.where(rates < 5, 1000 / np.where(rates < 5, 5 - rates, 1.0), np.inf)

    found = closed_rates(lambda lines, rates: mean(rates), np.array([users, 0.0]), pause)
    assert found.tolist() == [rate, 0]
    loop = Users(concurrent=users, think_time_s=pause)
    floats, near = float_rates(mean, np.array([float(users), np.inf]), loop)
    assert round(floats[0] * 1e6) == rate and np.isinf(floats[1]) and not near.any()

    @sixty_digits()
    def exactly() -> Fraction:
        return exact_rate(
            lambda r: None if r >= 5 else Decimal(1000) / (5 - Decimal(r.numerator) / r.denominator),
            Fraction(users),
            loop,
        )

    assert exactly() == Fraction(rate, 10**6)


def test_the_rate_is_the_least_step_with_so_many_users_of_any_curve() -> None:
    chance = np.random.default_rng(7)
    base, bend = chance.uniform(20, 2000, 40), chance.uniform(0, 3, 40)
    limit, users = chance.uniform(0.3, 20, 40), chance.uniform(0.2, 90, 40)
    users[::7] = chance.uniform(1e3, 1e5, len(users[::7]))  # more than is carried: the step at which it is overloaded

    def mean(lines: Ints, rates: Floats) -> Floats:
        return np.where(rates < limit[lines], base[lines] * (1 + bend[lines] * rates), np.inf)

    for pause in (0.0, 2.5):
        steps, every = closed_rates(mean, users, pause), np.arange(40)

        def there(k: Ints, pause: float = pause) -> Floats:
            result: Floats = k / 1e6 * (mean(every, k / 1e6) / 1000 + pause)  # noqa: B023
            return result

        assert (there(steps) >= users).all() and (there(steps - 1) < users).all()


@pytest.fixture(scope="module")
def answered() -> tuple[Problem, Answer]:
    problem = problem_from_dict(SMALL)
    assert isinstance(problem, Problem)
    return problem, solve(problem)


def test_littles_law_holds_for_the_answer(answered: tuple[Problem, Answer]) -> None:
    _, answer = answered
    assert answer.status == "optimal" and answer.verification.passed and answer.verification.optimality == "exhaustive"
    assert answer.metrics is not None and answer.strategy is not None and answer.metrics.requests_per_s is not None
    rate, mean = answer.metrics.requests_per_s, answer.metrics.request_mean_ms or 0.0
    assert rate * mean / 1000 == pytest.approx(60, rel=1e-4)
    assert answer.metrics.tokens_per_s == pytest.approx(rate * 200)


def test_each_strategy_is_judged_at_its_own_rate_and_the_best_of_all_is_the_answer(
    answered: tuple[Problem, Answer],
) -> None:
    problem, answer = answered
    assert answer.objective is not None
    rates, values = set(), []
    for tp, pp, dp in ((1, 1, 4), (2, 1, 2), (4, 1, 1), (1, 2, 2), (1, 1, 2), (2, 1, 1), (1, 1, 3)):
        fixed = Fixed(tensor_parallel=tp, pipeline_parallel=pp, data_parallel=dp)
        one = check(problem, fixed, repairs=False)
        assert one.verification.passed and one.metrics is not None
        if one.feasible:
            assert one.objective is not None
            values.append(one.objective.value)
            rates.add(one.metrics.requests_per_s)
            stated = check(problem.at_rate(one.metrics.requests_per_s), fixed, repairs=False)
            assert stated.metrics is not None
            for name in ("ttft_p99_ms", "tpot_p99_ms", "request_mean_ms", "concurrency_p99", "tokens_per_s"):
                assert getattr(stated.metrics, name) == pytest.approx(getattr(one.metrics, name), rel=1e-9), (tp, name)
    assert len(rates) == len(values) > 2, "candidates differ in what is sent to them"
    assert min(values) == pytest.approx(answer.objective.value, abs=1e-4)


def test_more_users_send_more_and_wait_longer_and_pauses_send_less() -> None:
    rates, means = [], []
    for users in ({"concurrent": 8}, {"concurrent": 30}, {"concurrent": 90}):
        one = solve(
            problem_from_dict(changed(SMALL, workload={"prompt_tokens": 1000, "output_tokens": 200, "users": users}))
        )
        assert one.metrics is not None and one.verification.passed
        rates.append(one.metrics.requests_per_s)
        means.append(one.metrics.request_mean_ms)
    assert rates == sorted(rates) and means == sorted(means)
    idle = {"prompt_tokens": 1000, "output_tokens": 200, "users": {"concurrent": 90, "think_time_s": 20}}
    paused = solve(problem_from_dict(changed(SMALL, workload=idle)))
    assert paused.metrics is not None and paused.metrics.requests_per_s is not None
    assert paused.metrics.requests_per_s < 90 / 20 < (rates[-1] or 0)


def test_too_many_users_are_infeasible_and_fewer_are_among_the_changes_tried() -> None:
    stated = changed(SMALL, workload={"prompt_tokens": 1000, "output_tokens": 200, "concurrency": 5000})
    answer = solve(problem_from_dict(stated), repairs=False)
    assert answer.status == "infeasible" and answer.verification.passed
    question = question_from_dict(stated)
    assert isinstance(question.problem, Problem)
    (fewer,) = [one for one in relaxations_of(question.stated, question.problem, None) if one.id == "rate"]
    assert fewer.at(4910) == {"workload.concurrency": 90} and fewer.full == {"workload.concurrency": 1}
    assert solve(question.stated.changed(fewer.at(4910)).problem()).status == "optimal"


def test_the_least_hardware_for_users_is_enough_and_one_gpu_less_is_not() -> None:
    stated = changed(SMALL, hardware={"gpu": "h100-sxm-80gb"}, requirements={"max_batch": 128, "tpot_p99_ms": 20})
    found = recommend(problem_from_dict(stated), "1..6")
    assert found.point is not None and found.verified and found.point.gpus is not None and found.point.gpus > 1
    less = changed(stated, hardware={"gpu": "h100-sxm-80gb", "nodes": 1, "gpus_per_node": found.point.gpus - 1})
    assert solve(problem_from_dict(less), repairs=False).status == "infeasible"


@pytest.mark.parametrize(
    ("workload", "said"),
    [
        ({"concurrency": 5, "requests_per_s": 1}, "stands beside requests_per_s"),
        ({"concurrency": 5, "users": {"concurrent": 2}}, "stands beside concurrency"),
        ({"concurrency": 0}, "at least 1"),
        ({}, "workload.concurrency"),
    ],
)
def test_what_is_no_loop_is_refused(workload: dict[str, Any], said: str) -> None:
    with pytest.raises(ProblemError, match=said):
        problem_from_dict(changed(SMALL, workload={"prompt_tokens": 1000, "output_tokens": 200, **workload}))


def test_where_users_are_not_known_they_are_refused() -> None:
    with pytest.raises(ProblemError, match="serving: joint"):
        problem_from_dict(changed(SMALL, serving="disaggregated"))
    group = {"name": "a", "gpu": "h100-sxm-80gb", "nodes": 1}
    cluster = {key: value for key, value in SMALL.items() if key not in ("hardware", "requirements")} | {
        "cluster": [group]
    }
    with pytest.raises(ProblemError, match="requests_per_s"):
        problem_from_dict(cluster)


def test_the_example_of_users() -> None:
    assert isinstance(load_problem("problems/users-8xh200.yaml"), Problem)
