"""What a program calls for a trade-off: ``pareto``, the front of latency, availability, GPUs and price. ``docs/pareto.md``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from optimizer.facts.errors import ProblemError, closest
from optimizer.facts.inventory import InventoryProblem
from optimizer.questions.refused import refuse_several
from optimizer.reading.question import kind_of
from optimizer.results.front import AXES, Axis, FrontPoint, ParetoFront

if TYPE_CHECKING:
    from optimizer.facts.problem import Problem
    from optimizer.reading.question import AnyProblem
    from optimizer.search.uniform.solve import Progress

__all__ = ["FrontPoint", "ParetoFront", "pareto", "read_axes"]

DEFAULT_AXES: tuple[Axis, ...] = ("latency", "availability")
DEFAULT_POINTS = 20


def read_axes(text: str) -> tuple[Axis, ...]:
    """Axes from words separated by commas.

    Raises:
        ProblemError: fewer than two or more than three, an unknown or a repeated one.
    """
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in AXES:
            raise ProblemError("--axes", f"{name!r} is not an axis; {closest(name, AXES)}")
    if not 2 <= len(names) <= 3 or len(set(names)) != len(names):
        raise ProblemError("--axes", f"{text!r} is not allowed; two or three different ones of {', '.join(AXES)}")
    return cast(tuple[Axis, ...], tuple(names))


def pareto(
    problem: AnyProblem,
    axes: Sequence[Axis] = DEFAULT_AXES,
    *,
    points: int = DEFAULT_POINTS,
    time_limit_s: float | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> ParetoFront:
    """The strategies that none other beats on all axes, each proved and verified.

    Args:
        problem: from ``load_problem``, equal nodes or an inventory.
        axes: two or three of latency (mean time of a request with everything up), availability (share of requests served,
            failures counted), gpus, price (per hour).
        points: the most points shown; a longer front keeps its ends and is thinned evenly. For inventories, the most
            bounds on GPUs (or price) that are tried.
        time_limit_s: wall-clock limit; points proved until then are given back.
        progress: called before each point.

    Raises:
        ProblemError: the axes cannot be used with the problem, the problem names an unknown rule, or it is a chain.
    """
    refuse_several(problem, "pareto")
    if kind_of(problem) == "chain":
        raise ProblemError(
            "kind",
            "chain: its one aim is tokens/s, with nothing to trade it for; optimizer solve gives the most there is and its bound",
        )
    read_axes(",".join(axes))
    if points < 2:
        raise ProblemError("--points", f"{points} is not allowed; a whole number from 2")
    if getattr(problem, "serving", "joint") != "joint":
        from optimizer.questions.pareto_pools import pools_front

        asked = cast("Problem | InventoryProblem", problem)
        front = pools_front(asked, tuple(axes), points, time_limit_s, progress)
    elif isinstance(problem, InventoryProblem):
        from optimizer.questions.pareto_inventory import inventory_front

        front = inventory_front(problem, tuple(axes), points, time_limit_s, progress)
    else:
        from optimizer.questions.pareto_uniform import uniform_front
        from optimizer.questions.variants import settled

        front = uniform_front(settled(cast("Problem", problem), "a front"), tuple(axes), points, time_limit_s, progress)
    from optimizer.explain.common.pareto import told

    return told(_confirmed(front))


def _confirmed(front: ParetoFront) -> ParetoFront:
    """The front as the verifier leaves it: what it does not confirm is not called proved."""
    if not front.mismatches:
        return front
    said = f"The independent verification does not confirm this front: {front.mismatches[0]}. Do not rely on it."
    points = tuple(replace(point, proved=point.proved and point.verified) for point in front.points)
    return replace(front, points=points, status="incomplete", proof=(said,))
