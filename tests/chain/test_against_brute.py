"""The search against the naive counterpart: every placement of tiny instances."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from optimizer.questions.chain import solve_chain
from optimizer.reading.chain import chain_from_dict
from optimizer.verify.chain.check import maximum_flow
from tests.chain.brute import best_limited, best_value
from tests.chain.cases import limited, tiny


@pytest.mark.parametrize("connection", ["exact", "contained"])
@pytest.mark.parametrize("links", ["none", "some", "slow"])
@pytest.mark.parametrize("seed", range(12))
def test_value_is_that_of_the_best_placement(
    seed: int, links: str, connection: str, met: Callable[[str], None]
) -> None:
    problem = chain_from_dict(tiny(seed, links, connection))
    answer = solve_chain(problem)
    met(answer.status)
    best = best_value(problem)
    assert answer.verification.passed, answer.verification.mismatches
    assert round(answer.value * 1000) == best
    assert answer.status == ("optimal" if best else "infeasible")


@pytest.mark.parametrize("limits", ["both", *(pytest.param(one, marks=pytest.mark.long) for one in ("stages", "ms"))])
@pytest.mark.parametrize("connection", ["exact", "contained"])
@pytest.mark.heavy(13)
@pytest.mark.parametrize("seed", range(24))
def test_limits_on_chains(seed: int, connection: str, limits: str, met: Callable[[str], None]) -> None:
    """Every way that tokens take is within the limits, links with latency of their own and stages with times of their own."""
    values = limited(seed, connection, limits)
    problem = chain_from_dict(values)
    answer = solve_chain(problem)
    met(answer.status)
    best = best_limited(problem)
    assert answer.verification.passed, answer.verification.mismatches
    assert round(answer.value * 1000) == best
    assert answer.status == ("optimal" if best else "infeasible")


def test_limits_bind_in_some_cases_and_leave_something_in_others() -> None:
    met = set()
    for seed in (1, 2, 14):
        values = limited(seed, "exact", "both")
        some, most = best_limited(chain_from_dict(values)), best_value(chain_from_dict({**values, "requirements": {}}))
        met.add("none" if some == 0 < most else "less" if 0 < some < most else "all" if some == most > 0 else "nothing")
    assert met == {"none", "less", "all"}


def test_the_float_sees_both_feasible_and_infeasible_cases() -> None:
    values = [best_value(chain_from_dict(tiny(seed, "some"))) for seed in range(12)]
    assert any(values)
    assert not all(values)


@pytest.mark.parametrize("seed", range(6))
def test_flow_of_the_verifier_is_the_flow_of_the_search(seed: int) -> None:
    problem = chain_from_dict(tiny(seed, "none"))
    answer = solve_chain(problem)
    assert maximum_flow(problem, {place.node: place for place in answer.placement}) == round(answer.value * 1000)
