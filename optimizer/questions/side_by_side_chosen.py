"""Joint instances beside pools among what questions about pools compare: the best split, each part searched to its end.

``docs/disaggregated.md``, section 14. As in ``pools_chosen``, only what an answer names is verified.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import cast

from optimizer.facts.inventory import InventoryProblem
from optimizer.facts.problem import Problem
from optimizer.facts.side_by_side import BesideSplit, joint_part, not_split, pools_part, units_of
from optimizer.questions.both_parts import NEAR_MS, weighted
from optimizer.questions.pools_chosen import (
    AnyPoolsProblem,
    BestOf,
    chosen_alone,
    chosen_joint,
    chosen_pools,
    verified_alone,
)
from optimizer.questions.side_by_side import most_solved
from optimizer.results.answer import Fixed, Verification, all_confirmed
from optimizer.results.pools import FixedPools
from optimizer.search.common.clock import Clock
from optimizer.search.pools.side_by_side import SplitBounds


@dataclass(frozen=True, slots=True)
class BothOf:
    """Both parts of what was chosen, each for its share on its GPUs."""

    split: BesideSplit
    joint: BestOf
    pools: BestOf


@dataclass(frozen=True, slots=True)
class FixedBoth:
    """Decisions of either part; what is left out is chosen as well as possible."""

    joint: Fixed = field(default_factory=Fixed)
    pools: FixedPools = field(default_factory=FixedPools)
    tenths: int | None = None
    """Of the requests, what the joint instances are sent."""


@dataclass(frozen=True, slots=True)
class SplitsTried:
    """The best that was found, and whether every other split is known to be no better."""

    best: BestOf | None
    settled: bool


def tried(problem: Problem) -> bool:
    """Whether joint instances beside pools are among what is compared."""
    return units_of(problem) > 1 and not_split(problem) is None


def chosen_both(
    problem: Problem, known_ms: float = math.inf, clock: Clock | None = None, fixed: FixedBoth = FixedBoth()
) -> SplitsTried:
    """The best of both side by side that takes less than ``known_ms`` a request.

    Raises:
        ProblemError: as for ``chosen_pools`` and ``chosen_joint``.
    """
    if not tried(problem):
        return SplitsTried(None, settled=True)
    clock, best, sure = clock or Clock(), None, True
    left = [
        (least, split)
        for least, split in SplitBounds(problem).left(known_ms - NEAR_MS)
        if fixed.tenths in (None, split.tenths)
    ]
    for solved, (least, split) in enumerate(left):
        bar = known_ms if best is None else best.value_ms
        if least >= bar - NEAR_MS:
            break
        if solved >= most_solved(problem, len(left), bar) or clock.over:
            return SplitsTried(best, settled=False)
        pools = chosen_pools(pools_part(problem, split), fixed.pools, clock)
        joint = chosen_joint(joint_part(problem, split), fixed.joint, clock) if pools is not None else None
        sure = sure and not clock.over and all(one is None or one.settled for one in (joint, pools))
        if joint is not None and pools is not None:
            found = both_of(split, joint, pools)
            best = found if found.value_ms < bar - NEAR_MS else best
    return SplitsTried(best, sure)


def both_of(split: BesideSplit, joint: BestOf, pools: BestOf) -> BestOf:
    """Both parts as one choice."""
    share, rest = split.tenths / 10, 1 - split.tenths / 10
    terms = {f"joint {name}": value * share for name, value in joint.terms.items()}
    terms |= {f"pools {name}": value * rest for name, value in pools.terms.items()}
    rates = [(one.max_request_rate, of) for one, of in ((joint, share), (pools, rest))]
    return BestOf(
        "both",
        f"{share:.0%} to {joint.label.removeprefix('joint ')}, {rest:.0%} to {pools.label}",
        (split, joint.layout, pools.layout),
        weighted(split, joint.value_ms, pools.value_ms),
        terms,
        0.0,
        joint.gpus + pools.gpus,
        min((rate / of for rate, of in rates if rate is not None), default=None),
        joint.settled and pools.settled,
        BothOf(split, joint, pools),
    )


def chosen(problem: AnyPoolsProblem, clock: Clock | None = None) -> BestOf | None:
    """The best of what ``serving`` offers, both kinds side by side among it; None where nothing was found."""
    best = chosen_alone(problem, clock)
    if problem.serving != "any" or isinstance(problem, InventoryProblem):
        return best
    found = chosen_both(problem, math.inf if best is None else best.value_ms, clock)
    one = found.best or best
    return None if one is None else replace(one, settled=one.settled and found.settled)


def none_settled(problem: AnyPoolsProblem, clock: Clock | None = None) -> bool:
    """Whether it is known that there is nothing, where ``chosen`` found nothing: of both kinds side by side too."""
    if problem.serving != "any":
        return True
    if isinstance(problem, InventoryProblem):
        return False  # both side by side are not among what is compared
    return chosen_both(problem, clock=clock).settled


def verified(
    problem: AnyPoolsProblem, one: BestOf, fixed: FixedPools | Fixed | FixedBoth | None = None
) -> Verification:
    """Every number of what was chosen, recomputed; of both kinds side by side, of either part."""
    if one.instances != "both":
        return verified_alone(problem, one, None if isinstance(fixed, FixedBoth) else fixed)
    asked = fixed if isinstance(fixed, FixedBoth) else FixedBoth()
    split = one.answer.split
    stated = cast("Problem", problem)
    return all_confirmed(
        (
            verified_alone(joint_part(stated, split), one.answer.joint, asked.joint),
            verified_alone(pools_part(stated, split), one.answer.pools, asked.pools),
        )
    )
