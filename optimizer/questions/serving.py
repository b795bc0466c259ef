"""``serving: any``: joint instances or pools, whichever is better, both solved and proved. ``docs/disaggregated.md``."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from optimizer.explain.common.numbers import milliseconds
from optimizer.facts.problem import Problem
from optimizer.questions.pools_against import between_answers
from optimizer.results.answer import Answer
from optimizer.results.pools import PoolsAnswer

if TYPE_CHECKING:
    from optimizer.facts.inventory import InventoryProblem
    from optimizer.results.cluster_pools import ClusterPoolsAnswer
    from optimizer.results.inventory import InventoryAnswer

SETTLED = ("optimal", "infeasible")
NEITHER = "Neither joint instances nor pools are feasible."
NOT_BESIDE = (
    "Joint instances beside pools were not looked at here (optimizer solve does): what is said is of either kind alone."
)


def better_of(problem: Problem, joint: Answer, pools: PoolsAnswer) -> Answer | PoolsAnswer:
    """The better answer, with what the other would be; called best only where both are settled.

    Args:
        joint, pools: the best of either kind.
    """
    works = [answer for answer in (joint, pools) if answer.strategy is not None]
    if not works:
        said = "With joint instances: " + (joint.explanation[0] if joint.explanation else joint.status)
        status = "infeasible" if joint.status == pools.status == "infeasible" else "unknown"
        more = (NEITHER, *pools.explanation, said)
        return replace(pools, status=status, explanation=more)  # type: ignore[arg-type]
    chosen: Any = min(works, key=lambda answer: _rank(problem, answer))
    other: Answer | PoolsAnswer = pools if chosen is joint else joint
    open_ended = other.status not in SETTLED or not _confirmed(other)
    status = "feasible" if open_ended and chosen.status == "optimal" else chosen.status
    best: Answer | PoolsAnswer = replace(
        chosen, status=status, explanation=(*chosen.explanation, *_beside(problem, chosen, other))
    )
    return best


def _confirmed(answer: Answer | PoolsAnswer) -> bool:
    return answer.verification.passed


def _rank(problem: Problem, answer: Any) -> tuple[float, float]:
    preset, metrics = problem.objective.preset, answer.metrics
    first: dict[str, Callable[[], float]] = {
        "throughput": lambda: -metrics.peak_tokens_per_s,
        "capacity": lambda: -metrics.max_request_rate,
        "fewest-gpus": lambda: float(answer.strategy.gpus),
        "cheapest": lambda: float(answer.strategy.gpus),
    }
    value = float("inf") if answer.objective is None else answer.objective.value
    return (first[preset]() if preset in first else 0.0), value


def _beside(problem: Problem, chosen: Any, other: Any) -> list[str]:
    """Why not the other kind, term by term."""
    name = "Joint instances" if isinstance(other, Answer) else "Prefill and decode pools"
    if other.strategy is None:
        why = other.conflicts[0].sentence if other.conflicts else f"their search ended {other.status}"
        return [f"{name} instead: {why}"]
    mine, its = chosen.metrics, other.metrics
    said = (
        f"{name} instead, {other.strategy.label}: {milliseconds(other.objective.value)} a request against "
        f"{milliseconds(chosen.objective.value)}, {other.strategy.gpus} GPUs against {chosen.strategy.gpus}, "
        f"at most {its.max_request_rate:.2f} requests/s against {mine.max_request_rate:.2f}."
    )
    pools, joint = (chosen, other) if isinstance(other, Answer) else (other, chosen)
    return [said, *between_answers(problem, pools, joint)]


def better_on_inventory(
    problem: InventoryProblem, joint: InventoryAnswer, pools: ClusterPoolsAnswer
) -> InventoryAnswer | ClusterPoolsAnswer:
    """The better answer, with what the other would be; called best only where both are settled.

    Joint instances are valued in whole milliseconds, rounded up, pools in nanoseconds: of equal whole milliseconds the joint
    instances are taken.
    """
    works: list[Any] = [answer for answer in (joint, pools) if answer.objective is not None]
    if not works:
        status = "infeasible" if joint.status == pools.status == "infeasible" else "unknown"
        said = "With joint instances: " + (joint.explanation[0] if joint.explanation else joint.status)
        more = (NEITHER, *pools.explanation, said)
        return replace(pools, status=status, explanation=more)  # type: ignore[arg-type]
    chosen: Any = min(works, key=lambda answer: _inventory_rank(problem, answer, answer is joint))
    other: Any = pools if chosen is joint else joint
    open_ended = other.status not in SETTLED or not other.verification.passed
    status = "feasible" if open_ended and chosen.status == "optimal" else chosen.status
    name = "Prefill and decode pools" if chosen is joint else "Joint instances"
    said_beside = _inventory_beside(problem, chosen, other, name)
    best: Any = replace(chosen, status=status, explanation=(*chosen.explanation, *said_beside))
    return best  # type: ignore[no-any-return]


def _inventory_figures(answer: Any) -> tuple[float, float, float, float]:
    """(GPUs, price per hour, output tokens/s at most, objective in whole ms) of an answer of either kind."""
    metrics = getattr(answer, "metrics", None)
    gpus = answer.strategy.gpus if metrics is not None else answer.gpus_used
    price = metrics.price_per_hour if metrics is not None else answer.price_per_hour
    peak = metrics.peak_tokens_per_s if metrics is not None else answer.peak_tokens_per_s
    return float(gpus), float(price or 0), float(peak or 0), float(math.ceil(answer.objective.value - 1e-9))


def _inventory_rank(problem: InventoryProblem, answer: Any, joint: bool) -> tuple[float, float, bool]:
    gpus, price, peak, value = _inventory_figures(answer)
    first = {"fewest-gpus": gpus, "cheapest": price, "throughput": -peak}.get(problem.objective.preset, 0.0)
    return first, value, not joint


def _inventory_beside(problem: InventoryProblem, chosen: Any, other: Any, name: str) -> list[str]:
    """Why not the other kind, term by term."""
    if other.objective is None:
        why = other.conflicts[0].sentence if other.conflicts else f"their search ended {other.status}"
        return [f"{name} instead: {why}"]
    mine, its = _inventory_figures(chosen), _inventory_figures(other)
    said = (
        f"{name} instead, {other.label}: {milliseconds(other.objective.value)} a request against "
        f"{milliseconds(chosen.objective.value)}, {its[0]:.0f} GPUs against {mine[0]:.0f}"
    )
    if mine[1] and its[1]:
        said += f", {its[1]:,.2f} an hour against {mine[1]:,.2f}"
    pools, joint = (other, chosen) if hasattr(chosen, "pools") else (chosen, other)
    return [f"{said}.", *between_answers(problem, pools, joint)]
