"""What a front of either kind alone leaves out with ``serving: any``: joint instances beside pools, and which points one of them beats."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from optimizer.explain.common.numbers import count, listing, milliseconds
from optimizer.explain.common.pareto import axis_value, served
from optimizer.facts.problem import Problem
from optimizer.facts.side_by_side import TENTHS, not_split, units_of
from optimizer.questions.side_by_side_chosen import BothOf, chosen_both, verified
from optimizer.results.front import RESOLUTION, Axis, FrontPoint, ParetoFront
from optimizer.search.common.clock import Clock

COVERS = "either kind of instances alone"


@dataclass(frozen=True, slots=True)
class MixOnAxes:
    """What a mix comes to on the axes of a front."""

    request_mean_ms: float
    not_served: float
    gpus: int
    price_per_hour: float | None


def with_mixes_named(problem: Problem, front: ParetoFront, clock: Clock) -> ParetoFront:
    """The front, with what it covers, and the best mix for the stated objective beside it.

    Args:
        front: of joint instances and of pools.
    """
    if problem.serving != "any" or units_of(problem) < 2:
        return front
    why = not_split(problem)
    left_out = "Joint instances beside pools are not on this front: a mix of both may be better than a point of it on every axis."
    if why is not None:
        return _saying(front, left_out)
    found = chosen_both(problem, clock=clock)
    if found.best is None and found.settled:
        none = "Joint instances beside pools are no points of it: no split of requests and GPUs keeps every rule."
        return replace(front, proof=(*front.proof, none))
    if found.best is None:
        return _saying(front, left_out)
    mix, price = on_axes(found.best.answer), problem.hardware.price_per_gpu_hour
    mix = replace(mix, price_per_hour=None if price is None else price * mix.gpus)
    outdone = [str(number) for number, point in enumerate(front.points, start=1) if beats(mix, point, front.axes)]
    words = ", better than no point shown on every axis" if front.points else ""
    if outdone:
        words = (
            f": no worse on any axis than point{'s' if len(outdone) > 1 else ''} {listing(outdone)}, and better on one"
        )
    said = (
        f"The best mix for the stated objective, {found.best.label}, takes {milliseconds(mix.request_mean_ms)} in the mean and serves "
        f"{served(mix.not_served)} of the requests on {count(mix.gpus, 'GPU')}{words}."
    )
    seen = verified(problem, found.best)
    wrong = tuple(f"the best mix: {one.what}: {one.expected}, not {one.actual}" for one in seen.mismatches)
    front = replace(front, checks=front.checks + seen.checks, mismatches=(*front.mismatches, *wrong))
    return _saying(front, left_out, said)


def _saying(front: ParetoFront, *said: str) -> ParetoFront:
    """What is proved is of either kind alone; that nothing is feasible is not proved of both side by side."""
    status: Any = "unknown" if front.status == "infeasible" else front.status
    return replace(front, status=status, proof=(*front.proof, *said), covers=COVERS)


def on_axes(both: BothOf) -> MixOnAxes:
    """Mean time, share not served and GPUs of a mix, by shares of the requests."""
    from optimizer.search.uniform.evaluate import metrics_of

    share, rest = both.split.tenths / TENTHS, 1 - both.split.tenths / TENTHS
    joint, pools = metrics_of(both.joint.answer.quantities, both.joint.answer.choice), both.pools.answer.metrics
    assert joint.request_mean_ms is not None and pools.request_mean_ms is not None
    return MixOnAxes(
        share * joint.request_mean_ms + rest * pools.request_mean_ms,
        share * (1 - joint.availability) + rest * (1 - pools.availability),
        both.joint.gpus + both.pools.gpus,
        None,
    )


def beats(mix: MixOnAxes, point: FrontPoint, axes: tuple[Axis, ...]) -> bool:
    """Whether a mix is at least as good on every axis, and better on one by more than its resolution."""
    values = {
        "latency": (mix.request_mean_ms, point.request_mean_ms, 1e-6),
        "availability": (mix.not_served, point.not_served, RESOLUTION),
        "gpus": (mix.gpus, point.gpus, 0.0),
        "price": (mix.price_per_hour, axis_value(point, "price") if "price" in axes else None, 0.0),
    }
    pairs: list[Any] = [values[axis] for axis in axes]
    return all(mine <= its for mine, its, _ in pairs) and any(mine < its - step for mine, its, step in pairs)
