"""``serving: any`` on an inventory, third kind: joint instances beside pools, split by split. ``docs/disaggregated.md``, section 14."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from optimizer.explain.pools.against import inventory_figures
from optimizer.explain.pools.cluster_side_by_side import alone_words, together_words
from optimizer.facts.cluster_side_by_side import (
    ClusterSplit,
    joint_part_on,
    not_split_on,
    pools_part_on,
    units_of_groups,
    ways_of,
)
from optimizer.facts.inventory import InventoryProblem
from optimizer.facts.side_by_side import TENTHS
from optimizer.questions.both_parts import FEWEST_SOLVED, NEAR_MS, least_alone, terms_of_parts, times_of_both, weighted
from optimizer.questions.cluster_pools import solve_cluster_pools
from optimizer.questions.inventory import solve_inventory
from optimizer.questions.serving import NEITHER
from optimizer.results.answer import ObjectiveResult, Status, unverified, with_verification
from optimizer.results.cluster_pools import ClusterPoolsAnswer
from optimizer.results.cluster_side_by_side import ClusterSideBySideAnswer, GroupDivided
from optimizer.results.inventory import InventoryAnswer
from optimizer.results.side_by_side import SideBySideMetrics
from optimizer.search.common.clock import Clock
from optimizer.search.side_by_side.cluster_bounds import ClusterSplitBounds
from optimizer.verify.side_by_side.cluster import (
    ClusterSplitsSeen,
    PartsKnown,
    open_splits_on,
    verify_cluster_side_by_side,
)

MOST_SOLVED = 24
"""Splits that are solved; where the bounds leave more, the least bound of the others is stated."""
MOST_SOLVED_GPUS = 1_024
"""GPUs of all splits that are solved: those of hundreds of GPUs take seconds each."""

Chosen = InventoryAnswer | ClusterPoolsAnswer


@dataclass(frozen=True, slots=True)
class _BestOnCluster:
    value: float
    split: ClusterSplit
    joint: InventoryAnswer
    pools: ClusterPoolsAnswer


@dataclass(slots=True)
class _ClusterSplitSearch:
    """Splits that were looked at, and what is known of the others."""

    solved: dict[ClusterSplit, PartsKnown] = field(default_factory=dict)
    """What their parts come to that were proved and verified."""
    best: _BestOnCluster | None = None
    least_open: float = math.inf
    """ms below which none of those is that were not settled."""


def beside_on(problem: InventoryProblem, chosen: Chosen, clock: Clock) -> Chosen | ClusterSideBySideAnswer:
    """The better of one kind alone and of both side by side; what is claimed is true of all three then.

    Args:
        problem: with ``serving: any``.
        chosen: the better of either kind alone; without an objective where neither is feasible, which both together may be.
        clock: time for the search.
    """
    if ways_of(problem) < 1:
        return chosen
    why = not_split_on(problem)
    if why is not None:
        return _saying(
            chosen, f"Joint instances beside pools are not tried {why}: what is said is of either kind alone."
        )
    try:
        return _better(problem, chosen, clock)
    except KeyboardInterrupt:
        # What either kind alone is stays; of both side by side nothing is known.
        return _alone(problem, chosen, _ClusterSplitSearch(least_open=0.0), None)


def _better(problem: InventoryProblem, chosen: Chosen, clock: Clock) -> Chosen | ClusterSideBySideAnswer:
    known = least_to_beat(chosen)
    found = _search(problem, known, clock)
    if clock.over:  # nothing is claimed that the verifier had no time for
        found.least_open = min(found.least_open, known)
    bar = known if found.best is None else found.best.value - NEAR_MS
    settled = found.least_open == math.inf and not clock.over
    seen = open_splits_on(problem, bar, found.solved) if settled else None
    if found.best is None:
        return _alone(problem, chosen, found, seen)
    return _together(problem, chosen, found, found.best, seen)


def least_to_beat(chosen: Chosen) -> float:
    """ms below which both side by side are better: joint instances are counted in whole milliseconds, rounded up."""
    if chosen.objective is None:
        return math.inf
    return chosen.objective.value - (1 - NEAR_MS if isinstance(chosen, InventoryAnswer) else NEAR_MS)


def _search(problem: InventoryProblem, known: float, clock: Clock) -> _ClusterSplitSearch:
    """Every split that may cost less, the least bound first."""
    found, bounds = _ClusterSplitSearch(), ClusterSplitBounds(problem)
    most = min(MOST_SOLVED, max(FEWEST_SOLVED, MOST_SOLVED_GPUS // problem.gpus))
    left = bounds.left(known)
    if known == math.inf and len(left) > most:
        most = FEWEST_SOLVED  # whether anything is feasible at all is asked of all splits, or of a few: most prove nothing then
    for least, split in left:
        bar = known if found.best is None else found.best.value - NEAR_MS
        if least >= bar:
            break
        if len(found.solved) >= most or clock.over:
            found.least_open = min(found.least_open, least)
            break
        _solve(problem, split, bar, found, clock, bounds)
    return found


def _solve(
    problem: InventoryProblem,
    split: ClusterSplit,
    bar: float,
    found: _ClusterSplitSearch,
    clock: Clock,
    bounds: ClusterSplitBounds,
) -> None:
    """Both parts of a split, each by itself; the pools only where the joint instances leave it open."""
    share, rest = split.tenths / TENTHS, bounds.pools_of(split)
    part = joint_part_on(problem, split)
    joint = solve_inventory(part, time_limit_s=clock.left_s, ranges=False, explain="nothing")
    first = _value(joint)
    if first is None:
        found.least_open = min(found.least_open, bounds.joint_of(split) + rest)
        return
    if share * first + rest >= bar:
        found.solved[split] = PartsKnown(first, None)
        return
    pools = solve_cluster_pools(pools_part_on(problem, split), time_limit_s=clock.left_s, repairs=False, reasons=False)
    second = _value(pools)
    if second is None:
        found.least_open = min(found.least_open, share * first + rest)
        return
    found.solved[split] = PartsKnown(first, second)
    value = weighted(split, first, second)
    if value < bar:
        found.best = _BestOnCluster(value, split, joint, pools)


def _value(answer: Chosen) -> float | None:
    """ms of a part that is proved and verified; infinite: it cannot be; None: not known."""
    if answer.status not in ("optimal", "infeasible") or not answer.verification.passed:
        return None
    return math.inf if answer.objective is None else answer.objective.value


def _alone(
    problem: InventoryProblem, chosen: Chosen, found: _ClusterSplitSearch, seen: ClusterSplitsSeen | None
) -> Chosen:
    """One kind alone, with what is known of both side by side."""
    open_splits = None if seen is None else len(seen.open)
    objective = chosen.objective
    if open_splits == 0:
        chosen = _opening(chosen, "Neither joint instances nor pools are feasible, nor are both side by side.")
        return _saying(chosen, alone_words(problem, len(found.solved), objective is not None))
    if objective is None:
        said = alone_words(problem, len(found.solved), feasible=False, open_splits=open_splits, settled=False)
        unsure: Any = _opening(chosen, f"{NEITHER[:-1]} alone; of both side by side it is not known.")
        return _saying(replace(unsure, status="unknown"), said)
    bound = min(objective.bound, found.least_open)
    gap = (objective.value - bound) / max(abs(objective.value), 1e-9)
    status: Status = "feasible" if chosen.status == "optimal" else chosen.status
    open_ended: Any = replace(chosen, status=status, objective=replace(objective, bound=bound, gap=gap))
    said = alone_words(problem, len(found.solved), feasible=True, open_splits=open_splits, settled=False, gap=gap)
    return _saying(open_ended, said)


def _opening(chosen: Chosen, sentence: str) -> Chosen:
    """What is said first where neither kind alone is feasible."""
    if chosen.objective is not None or chosen.explanation[:1] != (NEITHER,):
        return chosen
    said: Any = replace(chosen, explanation=(sentence, *chosen.explanation[1:]))
    return said  # type: ignore[no-any-return]


def _saying(chosen: Chosen, sentence: str) -> Chosen:
    said: Any = replace(chosen, explanation=(*chosen.explanation, sentence))
    return said  # type: ignore[no-any-return]


def _together(
    problem: InventoryProblem,
    chosen: Chosen,
    found: _ClusterSplitSearch,
    best: _BestOnCluster,
    seen: ClusterSplitsSeen | None,
) -> ClusterSideBySideAnswer:
    sure = seen is not None and not seen.open and chosen.status in ("optimal", "infeasible")
    bound = best.value if sure else min(best.value, found.least_open, least_alone(chosen))
    prices = best.joint.price_per_hour, best.pools.metrics.price_per_hour if best.pools.metrics is not None else None
    answer = ClusterSideBySideAnswer(
        problem=problem.name,
        status="optimal" if sure else "feasible",
        share=best.split.tenths / TENTHS,
        groups=groups_divided(problem, best.split),
        joint=best.joint,
        pools=best.pools,
        metrics=metrics_on(problem, best.split, best.joint, best.pools),
        objective=ObjectiveResult(
            best.value,
            bound,
            (best.value - bound) / max(abs(best.value), 1e-9),
            "ms",
            terms_on(best.split, best.joint, best.pools),
        ),
        verification=unverified(),
        explanation=(),
        price_per_hour=None if None in prices else sum(price for price in prices if price is not None),
        model=best.pools.model,
    )
    answer = with_verification(answer, verify_cluster_side_by_side(problem, answer, seen))
    return replace(
        answer, explanation=(*answer.explanation, *together_words(problem, answer, chosen, len(found.solved)))
    )


def groups_divided(problem: InventoryProblem, split: ClusterSplit) -> tuple[GroupDivided, ...]:
    """Nodes and GPUs of every group that either part has."""
    found = []
    for group, unit, used in zip(problem.groups, units_of_groups(problem.groups), split.units, strict=True):
        rest = unit.count - used
        nodes = (used * unit.nodes, rest * unit.nodes) if unit.nodes else (min(used, 1), min(rest, 1))
        found.append(GroupDivided(group.name, nodes[0], used * unit.gpus, nodes[1], rest * unit.gpus))
    return tuple(found)


def terms_on(split: ClusterSplit, joint: InventoryAnswer, pools: ClusterPoolsAnswer) -> dict[str, float]:
    """What either part adds to the objective of both, ms a request; what rounding up to whole milliseconds adds is a term."""
    assert joint.objective is not None and pools.objective is not None
    rounding = joint.objective.value - sum(joint.objective.terms.values())
    rounded = replace(joint.objective, terms={**joint.objective.terms, "rounding": rounding})
    return terms_of_parts(split, rounded, pools.objective)


def metrics_on(
    problem: InventoryProblem, split: ClusterSplit, joint: InventoryAnswer, pools: ClusterPoolsAnswer
) -> SideBySideMetrics:
    """What both parts deliver together."""
    first, second = inventory_figures(joint), pools.metrics
    assert second is not None and joint.reliability is not None
    share, rest = split.tenths / TENTHS, 1 - split.tenths / TENTHS
    return SideBySideMetrics(
        **times_of_both(split, first, second),
        tokens_per_s=problem.workload.requests_per_s * problem.workload.output_tokens,
        peak_tokens_per_s=min((joint.peak_tokens_per_s or 0.0) / share, second.peak_tokens_per_s / rest),
        max_request_rate=min((first.max_request_rate or 0.0) / share, second.max_request_rate / rest),
        availability=share * joint.reliability.availability + rest * second.availability,
    )
