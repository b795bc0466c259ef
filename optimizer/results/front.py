"""What ``pareto`` gives back: points that nothing found beats on all axes, with what is proved of each. Data only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from optimizer.results.answer import Strategy

Axis = Literal["latency", "availability", "gpus", "price"]
AXES: tuple[Axis, ...] = ("latency", "availability", "gpus", "price")
RESOLUTION = 1e-9
"""Share of the requests below which two availabilities count as equal: rates of failure are not known to a hundredth."""


def apart(values: Sequence[Sequence[float]], axes: Sequence[Axis], resolution: float = RESOLUTION) -> list[int]:
    """Positions of the points that are better than every other kept one by more than ``resolution`` of the requests, or elsewhere.

    Args:
        values: of each point by axis, smaller is better; availability as the part of the requests not served.
        resolution: in the unit of that value.
    """
    if "availability" not in axes:
        return list(range(len(values)))
    at = list(axes).index("availability")
    others = [i for i in range(len(axes)) if i != at]
    kept: list[int] = []
    for number in sorted(range(len(values)), key=lambda n: ([values[n][i] for i in others], values[n][at])):
        here = values[number]
        if not any(
            all(values[k][i] <= here[i] for i in others) and values[k][at] <= here[at] + resolution for k in kept
        ):
            kept.append(number)
    return sorted(kept)


def apart_words(dropped: int) -> str:
    """What was left out for it."""
    points = "1 point is" if dropped == 1 else f"{dropped:,} points are"
    return (
        f"{points} left out that would serve at most {RESOLUTION:g} of the requests more than one that is no worse otherwise: "
        "the resolution of availability here."
    )


@dataclass(frozen=True, slots=True)
class FrontPoint:
    """One strategy, or one set of instances, of the front.

    ``availability`` is the share of requests served with failures counted; ``not_served`` is what is missing to 1, which
    keeps its digits where availability has none left. ``proved``: see ``ParetoFront.proof``. ``bound_gpus`` is the number of GPUs, or
    ``bound_price`` the price per hour, that an inventory's plan was allowed.
    """

    request_mean_ms: float
    """Arrival to last token, mean, ms."""
    availability: float
    """Share of requests served, failures counted."""
    not_served: float
    """Share of requests not served."""
    gpus: int
    """GPUs in use."""
    price_per_hour: float | None
    """Of the GPUs in use, in the currency of the stated prices; None: not every price is known."""
    strategy: Strategy | None
    """None for an inventory and for pools, whose instances ``label`` names."""
    label: str
    """Short name."""
    objective_ms: float
    """Objective, ms per request."""
    proved: bool
    """Whether it is proved that nothing is better on every axis."""
    verified: bool
    """Whether the independent recomputation agrees."""
    knee: bool = False
    """Whether it is the point nearest to the best of every axis at once, each axis scaled from its best to its worst."""
    sentence: str = ""
    """What it gives and costs against the point before it, in words."""
    bound_gpus: int | None = None
    """GPUs that the plan was allowed; None: not bounded so."""
    bound_price: float | None = None
    """Price per hour that the plan was allowed; None: not bounded so."""


@dataclass(frozen=True, slots=True)
class ParetoFront:
    """The front of a problem.

    ``status``: ``proved`` (every point shown is), ``incomplete`` (time ran out or Ctrl-C: points stand, others may be
    missing), ``infeasible`` (proved: no strategy keeps every rule) or ``unknown`` (nothing was found in time).
    ``on_front`` counts the points there are, None where it is not known.
    """

    problem: str
    """Name of the problem."""
    axes: tuple[Axis, ...]
    """What points are compared on."""
    points: tuple[FrontPoint, ...]
    """The points shown."""
    status: Literal["proved", "incomplete", "infeasible", "unknown"]
    """What is proved of the whole."""
    on_front: int | None
    """Points there are, shown or not."""
    proof: tuple[str, ...]
    """Sentences on what is proved and how."""
    checks: int
    """Figures and rules that the verifier recomputed."""
    mismatches: tuple[str, ...]
    """Sentences on what it did not confirm."""
    covers: str = ""
    """Of what points are compared and proved, where more is offered; empty: of everything."""
