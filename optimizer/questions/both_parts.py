"""What joint instances and pools come to together, each weighted with its tenths of the requests; on equal nodes and inventories alike."""

from __future__ import annotations

import math
from typing import Protocol

from optimizer.facts.side_by_side import TENTHS
from optimizer.results.answer import ObjectiveResult

NEAR_MS = 2e-5
"""Better by less than this is equal: both parts round up to whole nanoseconds."""
FEWEST_SOLVED = 4
"""Splits that are solved, of however many GPUs."""
LATENCIES = ("ttft_p50_ms", "ttft_p99_ms", "tpot_p50_ms", "tpot_p99_ms")


class Dealt(Protocol):
    """A split of the requests between joint instances and pools."""

    @property
    def tenths(self) -> int:
        """Of the requests that joint instances get."""


class Alone(Protocol):
    """An answer about either kind alone."""

    @property
    def status(self) -> str:
        """As of every answer."""

    @property
    def objective(self) -> ObjectiveResult | None:
        """None where nothing is feasible, or known to be."""


def weighted(split: Dealt, joint: float, pools: float) -> float:
    """A mean over all requests, from those of either part."""
    return (split.tenths * joint + (TENTHS - split.tenths) * pools) / TENTHS


def least_alone(chosen: Alone) -> float:
    """ms below which neither kind alone is: nothing is known of it where the search of one ended with nothing."""
    if chosen.objective is not None:
        return chosen.objective.bound
    return math.inf if chosen.status == "infeasible" else 0.0


def terms_of_parts(split: Dealt, joint: ObjectiveResult, pools: ObjectiveResult) -> dict[str, float]:
    """What either part adds to the objective of both, ms a request."""
    share, rest = split.tenths / TENTHS, 1 - split.tenths / TENTHS
    terms = {f"joint {name}": value * share for name, value in joint.terms.items()}
    return terms | {f"pools {name}": value * rest for name, value in pools.terms.items()}


def times_of_both(split: Dealt, joint: object, pools: object) -> dict[str, float | None]:
    """Latencies of the slower part, and the mean time of a request; None where one part does not say.

    Args:
        joint: metrics of the joint instances.
        pools: of the pools.
    """

    def of(name: str) -> tuple[float | None, float | None]:
        return getattr(joint, name), getattr(pools, name)

    both = {name: of(name) for name in LATENCIES}
    found = {name: None if one is None or other is None else max(one, other) for name, (one, other) in both.items()}
    one, other = of("request_mean_ms")
    return {**found, "request_mean_ms": None if one is None or other is None else weighted(split, one, other)}
