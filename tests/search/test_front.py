"""The front of latency, availability and GPUs: against brute force over every candidate, and by CP-SAT."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from optimizer import problem_from_dict
from optimizer.questions.pareto import pareto
from optimizer.questions.pareto_uniform import thinned
from optimizer.results.front import RESOLUTION
from optimizer.search.uniform.evaluate import metrics_of
from optimizer.search.uniform.front import RowFront
from optimizer.search.uniform.quantities import Quantities
from optimizer.search.uniform.rule import Choice
from optimizer.search.uniform.rules import rules_for
from optimizer.search.uniform.solve import Solver
from optimizer.search.uniform.space import build_space
from tests.generate import random_problem

SEEDS = range(16)
NEAR = (1e-9, RESOLUTION, 0)
"""Milliseconds, share (losses are rounded up to 1e-12 in each of five states), GPUs."""
SLOTS = 40


def small(seed: int) -> dict:
    """A generated problem with few slots, so that every candidate can be looked at one by one."""
    values = random_problem(seed)
    values["requirements"]["max_batch"] = min(SLOTS, values["requirements"]["max_batch"])
    values["requirements"].pop("min_batch", None)
    values["search"]["layer_imbalance"] = 0
    return values


def every_candidate(quantities: Quantities) -> list[tuple[float, float, int]]:
    """(mean ms, share not served, GPUs) of each candidate that keeps every rule, judged one by one."""
    off = set(quantities.problem.search.disabled_rules)
    rules = [rule for rule in rules_for(quantities.problem) if rule.id not in off]
    found = []
    for row in range(quantities.space.rows):
        for slots in range(1, SLOTS + 1):
            choice = Choice(row, slots)
            if int(quantities.slots_to_carry[0][row]) > slots or not all(
                rule.judge(quantities, choice).holds for rule in rules
            ):
                continue
            metrics = metrics_of(quantities, choice)
            if metrics.request_mean_ms is not None:
                found.append((metrics.request_mean_ms, 1 - metrics.availability, int(quantities.space.gpus[row])))
    return found


def no_worse(one: tuple, other: tuple) -> bool:
    """On every axis, to what the whole numbers tell apart."""
    return all(a <= b + near for a, b, near in zip(one, other, NEAR, strict=False))


def clearly_no_worse(one: tuple, other: tuple) -> bool:
    """The same for losses that stay no worse when rounded up."""
    return no_worse(one, other) and one[1] <= other[1] - NEAR[1]


def beats(one: tuple, other: tuple) -> bool:
    """On some axis, clearly."""
    return any(a < b - near for a, b, near in zip(one, other, NEAR, strict=False))


@pytest.mark.heavy(13)
@pytest.mark.parametrize("seed", SEEDS)
def test_brute_force_finds_the_same_front(seed: int, met: Callable[[str], None]) -> None:
    """No candidate beats a point, every candidate is beaten or matched by one, and CP-SAT proves each."""
    problem = problem_from_dict(small(seed))
    space = build_space(problem)
    if space.rows > 60 or not space.rows:
        pytest.skip("too many candidates to judge one by one")
    quantities = Quantities(problem, space)
    there = every_candidate(quantities)
    axes = ("latency", "availability", "gpus") if seed % 2 else ("latency", "availability")
    front = pareto(problem, axes, points=200)
    if not there:
        assert front.status == "infeasible" and not front.points
        met("nothing to compare")
        return
    assert front.status == "proved" and front.on_front == len(front.points) and not front.mismatches
    assert all(point.proved and point.verified for point in front.points)
    points = [(p.request_mean_ms, p.not_served, p.gpus)[: len(axes)] for p in front.points]
    candidates = {one[: len(axes)] for one in there}
    for point in points:
        assert any(not beats(point, one) and not beats(one, point) and no_worse(one, point) for one in candidates)
        for one in candidates:
            assert not (clearly_no_worse(one, point) and beats(one, point))
    for one in candidates:
        assert any(no_worse(point, one) for point in points)
    assert points == sorted(points)
    met("compared")


def test_seeds_yield_fronts_of_many_points_and_infeasible_problems() -> None:
    """The generated problems show what the test above is for."""
    sizes = []
    for seed in SEEDS:
        problem = problem_from_dict(small(seed))
        space = build_space(problem)
        if 0 < space.rows <= 60:
            sizes.append(len(RowFront(Quantities(problem, space), ("latency", "availability", "gpus")).spots))
    assert min(sizes) == 0 and max(sizes) >= 3


def test_a_point_that_is_dominated_is_refused(example: dict) -> None:
    """CP-SAT contradicts a wrong front instead of confirming it."""
    example["workload"]["requests_per_s"] = 1
    problem = problem_from_dict(example)
    front = RowFront(Quantities(problem, build_space(problem)), ("latency", "availability"))
    assert len(front.spots) > 1
    wrong = front.spots[0]
    front.spots = (type(wrong)(wrong.choice, (wrong.values[0] + 1, wrong.values[1])), *front.spots[1:])
    with pytest.raises(RuntimeError, match="CP-SAT finds"):
        front.proved(0, Solver())


def test_thinning_keeps_both_ends() -> None:
    """Evenly spread, no more than asked for."""
    assert thinned(3, 20) == [0, 1, 2]
    assert thinned(100, 5) == [0, 25, 50, 74, 99]
