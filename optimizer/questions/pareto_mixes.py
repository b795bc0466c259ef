"""Joint instances beside pools on the axes of a front: the fronts of both parts of every split, combined. ``docs/pareto.md``.

Mean time and what is not served are means by shares of the requests, GPUs and price sums. A combination with a part that another
strategy of that part beats on every axis is beaten by the same mix with the other, so that the parts' own fronts are enough.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from optimizer.facts.problem import Problem
from optimizer.facts.side_by_side import TENTHS, BesideSplit, joint_part, not_divided, pools_part, splits_of, units_of
from optimizer.questions.pareto_kinds import (
    PoolPairs,
    joint_front,
    lost_of,
    pairs_on_front,
    undominated,
    verified_pools,
)
from optimizer.results.answer import Verification
from optimizer.results.front import Axis, FrontPoint
from optimizer.search.common.clock import Clock
from optimizer.search.pools.side_by_side import SplitBounds
from optimizer.search.pools.solve import columns_of

MOST_SPLIT_GPUS = 1_024
"""Splits times GPUs up to which every split is gone through: each takes a tenth of a second or more."""


@dataclass(frozen=True, slots=True)
class PoolsOfMix:
    """Pools of a part, to be verified where a mix with them is on the front."""

    part: Problem
    answer: Any
    lost: float


@dataclass(slots=True)
class MixesOnFront:
    """Points of mixes that none of the same split beats on every axis."""

    points: list[FrontPoint] = field(default_factory=list)
    pools: dict[int, PoolsOfMix] = field(default_factory=dict)
    """Of each point, by its place among them."""
    splits: int = 0
    complete: bool = True
    """Whether every split was gone through to its end."""
    checks: int = 0
    mismatches: tuple[str, ...] = ()

    def verified(self, point: FrontPoint) -> Verification:
        """What the verifier says of the pools of a point; its joint instances were verified with their own front."""
        held = self.pools[next(number for number, one in enumerate(self.points) if one is point)]
        return verified_pools(held.part, held.answer)


def mixes_gone_through(problem: Problem) -> bool:
    """Whether mixes are on the front: every split is, where there are not too many."""
    if problem.serving != "any" or units_of(problem) < 2 or not_divided(problem) is not None:
        return False
    return sum(1 for _ in splits_of(problem)) * problem.hardware.gpus <= MOST_SPLIT_GPUS


def mixes_on_front(problem: Problem, axes: tuple[Axis, ...], clock: Clock, say: Callable[[str], None]) -> MixesOnFront:
    """Points of every split.

    Args:
        say: told which split is gone through.
    """
    found, bounds, every = MixesOnFront(), SplitBounds(problem), list(splits_of(problem))
    for number, split in enumerate(every, start=1):
        found.splits += 1
        if clock.over:
            found.complete = False
            break
        rest = units_of(problem) - split.units
        if float("inf") in (bounds.joint(split.tenths, split.units), bounds.pools(TENTHS - split.tenths, rest)):
            continue  # requests pile up in a part, whatever stands there
        say(f"combining the fronts of both parts, split {number} of {len(every)}")
        _of_split(problem, split, axes, clock, found)
    return found


def _of_split(problem: Problem, split: BesideSplit, axes: tuple[Axis, ...], clock: Clock, found: MixesOnFront) -> None:
    pools, whole = _pools(pools_part(problem, split), axes, clock)
    found.complete = found.complete and whole
    if not pools:
        return
    joint = joint_front(joint_part(problem, split), axes, clock)
    settled = joint.status in ("proved", "infeasible") and joint.on_front == len(joint.points)
    found.complete = found.complete and settled
    found.checks += joint.checks
    found.mismatches += tuple(f"{_share(split)} at joint instances, {one}" for one in joint.mismatches)
    price = problem.hardware.price_per_gpu_hour
    mixed = [(_mixed(split, one, other, price), other) for one in joint.points for other in pools]
    kept = undominated([point for point, _ in mixed], axes)
    for point, other in mixed:
        if any(point is one for one in kept):
            found.pools[len(found.points)] = other
            found.points.append(point)


def _pools(part: Problem, axes: tuple[Axis, ...], clock: Clock) -> tuple[list[PoolsOfMix], bool]:
    """Pools of a part that no others beat on every axis, and whether none is missing."""
    from optimizer.questions.pools import _answer

    columns = columns_of(part)
    if columns is None:
        return [], True
    pairs, complete = pairs_on_front(PoolPairs(part, columns, clock), axes, lambda phase: None)
    return [
        PoolsOfMix(part, _answer(part, columns, pair, "feasible", None), lost_of(columns, (pair.prefill, pair.decode)))
        for pair in pairs
    ], complete


def _mixed(split: BesideSplit, joint: FrontPoint, pools: PoolsOfMix, price: float | None) -> FrontPoint:
    share, rest = split.tenths / TENTHS, 1 - split.tenths / TENTHS
    metrics, answer = pools.answer.metrics, pools.answer
    gpus = joint.gpus + answer.strategy.gpus
    return FrontPoint(
        request_mean_ms=share * joint.request_mean_ms + rest * metrics.request_mean_ms,
        availability=share * joint.availability + rest * metrics.availability,
        not_served=min(1.0, share * joint.not_served + rest * pools.lost),
        gpus=gpus,
        price_per_hour=None if price is None else price * gpus,
        strategy=None,
        label=f"{_share(split)} to {joint.label}, {rest:.0%} to {answer.label}",
        objective_ms=share * joint.objective_ms + rest * answer.objective.value,
        proved=joint.proved,
        verified=joint.verified,
    )


def _share(split: BesideSplit) -> str:
    return f"{split.tenths / TENTHS:.0%}"
