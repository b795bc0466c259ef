"""What ``pareto`` gives back: points that nothing found beats on all axes, with what is proved of each. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from optimizer.results.answer import Strategy

Axis = Literal["latency", "availability", "gpus", "price"]
AXES: tuple[Axis, ...] = ("latency", "availability", "gpus", "price")


@dataclass(frozen=True, slots=True)
class FrontPoint:
    """One strategy, or one set of instances, of the front.

    ``availability`` is the share of requests served with failures counted; ``not_served`` is what is missing to 1, which
    keeps its digits where availability has none left. ``proved``: see ``ParetoFront.proof``. ``bound_gpus`` is the number of GPUs, or
    ``bound_price`` the price per hour, that an inventory's plan was allowed.
    """

    request_mean_ms: float
    availability: float
    not_served: float
    gpus: int
    price_per_hour: float | None
    strategy: Strategy | None
    label: str
    objective_ms: float
    proved: bool
    verified: bool
    knee: bool = False
    sentence: str = ""
    bound_gpus: int | None = None
    bound_price: float | None = None


@dataclass(frozen=True, slots=True)
class ParetoFront:
    """The front of a problem.

    ``status``: ``proved`` (every point shown is), ``incomplete`` (time ran out or Ctrl-C: points stand, others may be
    missing), ``infeasible`` (proved: no strategy keeps every rule) or ``unknown`` (nothing was found in time).
    ``on_front`` counts the points there are, None where it is not known.
    """

    problem: str
    axes: tuple[Axis, ...]
    points: tuple[FrontPoint, ...]
    status: Literal["proved", "incomplete", "infeasible", "unknown"]
    on_front: int | None
    proof: tuple[str, ...]
    checks: int
    mismatches: tuple[str, ...]
