"""Search and verifier of pools against every choice judged one by one: losses, percentiles, formats, prices, presets."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from optimizer.facts.inventory import InventoryProblem
from optimizer.facts.problem import Problem
from optimizer.questions.cluster_pools import solve_cluster_pools
from optimizer.questions.pools import solve_pools
from optimizer.results.cluster_pools import ClusterPoolsAnswer
from optimizer.results.pools import PoolsAnswer
from tests.pools.clusters import cluster_with
from tests.pools.enumerated import Best, least_on_groups, least_on_nodes, question_on_groups, question_on_nodes
from tests.pools.problems import problem_with

NEAR_MS = Decimal("0.00003")
"""Nanoseconds rounded up in each of the terms."""


def disagreement(
    problem: Problem | InventoryProblem, answer: PoolsAnswer | ClusterPoolsAnswer, best: Best | None
) -> str | None:
    """What an answer says that the enumeration does not; None: both agree."""
    if not answer.verification.passed:
        return f"verification: {answer.verification.mismatches}"
    if best is None or answer.objective is None:
        agree = best is None and answer.status == "infeasible"
        return None if agree else f"{answer.status}, enumerated {best}"
    if answer.status != "optimal" or answer.strategy is None or answer.metrics is None:
        return f"{answer.status}, enumerated {best}"
    tier, value = best
    preset = problem.objective.preset
    if preset == "throughput":
        # Pools that carry as much to within a millionth of a request/s are told apart by their time: the rate alone is compared.
        carried = Decimal(repr(answer.metrics.peak_tokens_per_s)) / problem.workload.output_tokens
        return None if abs(carried + tier) < Decimal("2e-5") else f"carries {carried}, enumerated {-tier}"
    first = {
        "fewest-gpus": Decimal(answer.strategy.gpus),
        "cheapest": Decimal(repr(getattr(answer.metrics, "price_per_hour", 0.0) or 0.0)),
    }.get(preset, Decimal(0))
    if abs(first - tier) > Decimal("1e-6"):
        return f"first {first}, enumerated {tier}"
    if abs(Decimal(repr(answer.objective.value)) - value) > NEAR_MS:
        return f"{answer.objective.value} ms, enumerated {value}"
    return None


@pytest.mark.parametrize("seed", [pytest.param(n, marks=() if n < 12 else pytest.mark.long) for n in range(40)])
def test_on_equal_nodes(seed: int, met: Callable[[str], None]) -> None:
    problem = problem_with(**question_on_nodes(seed))
    best = least_on_nodes(problem)
    met("infeasible" if best is None else "optimal")
    assert disagreement(problem, solve_pools(problem, repairs=False), best) is None


@pytest.mark.parametrize("seed", [pytest.param(n, marks=() if n < 8 else pytest.mark.long) for n in range(30)])
def test_on_two_groups(seed: int, met: Callable[[str], None]) -> None:
    problem = cluster_with(**question_on_groups(seed))
    best = least_on_groups(problem)
    met("infeasible" if best is None else "optimal")
    assert disagreement(problem, solve_cluster_pools(problem, repairs=False), best) is None
