"""The best of a question about pools, and of their joint counterpart, before anything is verified or explained.

For questions that compare many slightly changed problems: each is searched to its end, and only what an answer names is verified.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from optimizer.facts.inventory import InventoryProblem
from optimizer.facts.problem import Problem
from optimizer.questions.cluster_pools import found_cluster_pools
from optimizer.questions.joint import joint_inventory, joint_of
from optimizer.questions.pools import found_pools
from optimizer.results.answer import Fixed, Verification
from optimizer.results.pools import FixedPools
from optimizer.search.common.clock import Clock

if TYPE_CHECKING:
    from optimizer.search.uniform.winner import Winner

AnyPoolsProblem = Problem | InventoryProblem
Instances = Literal["pools", "joint", "both"]
TIER_WORDS = {
    "fewest-gpus": "GPUs",
    "cheapest": "per hour",
    "throughput": "tokens/s at most",
    "capacity": "requests/s within every limit",
}
"""Unit of what a preset puts before the objective."""


@dataclass(frozen=True, slots=True)
class BestOf:
    """What is best: pools, joint instances, or both side by side."""

    instances: Instances
    label: str
    layout: object
    """What is deployed; two answers with the same are the same."""
    value_ms: float
    """Objective, ms per request."""
    terms: Mapping[str, float]
    """The same by term."""
    first: float
    """What the preset puts before the objective, smaller is better; 0 where it puts nothing."""
    gpus: int
    max_request_rate: float | None
    settled: bool
    """Whether nothing better exists, proved."""
    answer: Any
    """The unverified answer about pools, what the search of joint instances found, or both parts (``BothOf``)."""

    @property
    def rank(self) -> tuple[float, float]:
        """Smaller is better."""
        return self.first, self.value_ms

    @property
    def folded(self) -> dict[str, float]:
        """The objective by the terms that pools, joint instances and both side by side share."""
        found = {"served": 0.0, "unserved": 0.0, "gpus": 0.0}
        for name, value in self.terms.items():
            plain = name.rpartition(" ")[2]
            found[plain if plain in found else "served"] += value
        return found


def chosen_pools(
    problem: AnyPoolsProblem, fixed: FixedPools = FixedPools(), clock: Clock | None = None
) -> BestOf | None:
    """The best pools; None where there are none, or none were found in time.

    Raises:
        ProblemError: what is asked is not modelled for pools.
    """
    clock = clock or Clock()
    answer: Any = (
        found_cluster_pools(problem, fixed, clock)
        if isinstance(problem, InventoryProblem)
        else found_pools(problem, fixed, clock)
    )
    if answer is None or answer.strategy is None or answer.objective is None or answer.metrics is None:
        return None
    metrics, preset = answer.metrics, problem.objective.preset
    price = getattr(metrics, "price_per_hour", None)
    first = {
        "fewest-gpus": float(answer.strategy.gpus),
        "cheapest": float(answer.strategy.gpus) if price is None else price,
        "throughput": -metrics.peak_tokens_per_s,
        "capacity": -metrics.max_request_rate,
    }.get(preset, 0.0)
    return BestOf(
        "pools", answer.label, pools_layout(answer.strategy), answer.objective.value, answer.objective.terms, first,
        answer.strategy.gpus, metrics.max_request_rate, answer.status == "optimal", answer,
    )  # fmt: skip


def pools_layout(strategy: Any) -> tuple[object, ...]:
    """Pools without their numbers of sequences: what is deployed, whatever its slots."""
    found: list[object] = []
    for side in (strategy.prefill, strategy.decode):
        for part in side if isinstance(side, tuple) else (side,):
            pool: Any = getattr(part, "pool", part)
            placed = (getattr(part, "group", None), getattr(part, "share", 1.0))
            found.append((*placed, replace(pool, max_num_seqs=0)))
        found.append("and")
    return tuple(found)


def chosen_joint(problem: AnyPoolsProblem, fixed: Fixed = Fixed(), clock: Clock | None = None) -> BestOf | None:
    """The best joint instances; None where there are none, or none were found in time.

    Raises:
        ProblemError: as for ``solve``.
    """
    return _joint_nodes(problem, fixed, clock) if isinstance(problem, InventoryProblem) else _joint_rows(problem, fixed)


def _joint_rows(problem: Problem, fixed: Fixed) -> BestOf | None:
    from optimizer.search.uniform.evaluate import metrics_of
    from optimizer.search.uniform.winner import layout, winner

    top: Winner | None = winner(joint_of(problem), fixed)
    if top is None:
        return None
    metrics = metrics_of(top.quantities, top.choice)
    first = {
        "fewest-gpus": float(top.strategy.gpus),
        "cheapest": float(top.strategy.gpus),
        "throughput": -float(metrics.peak_tokens_per_s or 0),
        "capacity": -float(metrics.max_request_rate or 0),
    }.get(problem.objective.preset, 0.0)
    return BestOf(
        "joint", f"joint {top.strategy.label}", layout(top.strategy), top.objective_ms, top.terms, first,
        top.strategy.gpus, metrics.max_request_rate, True, top,
    )  # fmt: skip


def _joint_nodes(problem: InventoryProblem, fixed: Fixed, clock: Clock | None) -> BestOf | None:
    from optimizer.questions.inventory import check_inventory, solve_inventory

    left = clock.left_s if clock is not None else None
    plain = joint_inventory(problem)
    answer = (
        check_inventory(plain, fixed, time_limit_s=left)
        if fixed.any
        else solve_inventory(plain, time_limit_s=left, ranges=False, explain="nothing")
    )
    if not answer.pools or answer.objective is None or answer.feasible is False:
        return None
    first = {
        "fewest-gpus": float(answer.gpus_used),
        "cheapest": float(answer.price_per_hour or 0),
        "throughput": -float(answer.peak_tokens_per_s or 0),
    }.get(problem.objective.preset, 0.0)
    rates = [pool.capacity * pool.instances for pool in answer.pools]
    return BestOf(
        "joint", f"joint {answer.label}", answer.label, answer.objective.value, answer.objective.terms, first,
        answer.gpus_used, sum(rates), answer.status == "optimal" or fixed.any, answer,
    )  # fmt: skip


def chosen_alone(problem: AnyPoolsProblem, clock: Clock | None = None) -> BestOf | None:
    """The best of either kind alone that ``serving`` offers, joint instances where both are as good; None where there is nothing."""
    offered = []
    if problem.serving != "joint":
        offered.append(chosen_pools(problem, clock=clock))
    if problem.serving != "disaggregated":
        offered.append(chosen_joint(problem, clock=clock))
    there = [one for one in offered if one is not None]
    return min(there, key=lambda one: _rank_in(problem, one)) if there else None


def _rank_in(problem: AnyPoolsProblem, one: BestOf) -> tuple[float, float, bool]:
    """As ``questions.serving`` ranks the two: on an inventory by whole milliseconds, joint instances first."""
    import math

    if not isinstance(problem, InventoryProblem):
        return one.first, one.value_ms, one.instances == "pools"
    return one.first, float(math.ceil(one.value_ms - 1e-9)), one.instances == "pools"


def verified_alone(problem: AnyPoolsProblem, one: BestOf, fixed: FixedPools | Fixed | None = None) -> Verification:
    """Every number of what was chosen of one kind, recomputed."""
    if one.instances == "pools":
        pools = fixed if isinstance(fixed, FixedPools) else FixedPools()
        if isinstance(problem, InventoryProblem):
            from optimizer.verify.pools.cluster_check import verify_cluster_pools

            return verify_cluster_pools(problem, one.answer, pools, exhaustive=False)
        from optimizer.verify.pools.check import verify_pools

        return verify_pools(problem, one.answer, pools, exhaustive=False)
    if isinstance(problem, InventoryProblem):
        found: Verification = one.answer.verification
        return found
    from optimizer.explain.uniform.choice import winners_confirmed

    confirmed = winners_confirmed((one.answer, fixed if isinstance(fixed, Fixed) and fixed.any else None))
    assert confirmed is not None
    return confirmed
