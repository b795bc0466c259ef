"""What a program calls for a trade-off: ``pareto``, the front of latency, availability, GPUs and price. ``docs/pareto.md``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from optimizer.facts.errors import ProblemError, closest
from optimizer.facts.inventory import InventoryProblem
from optimizer.questions.refused import refuse_several
from optimizer.reading.question import kind_of
from optimizer.results.front import AXES, RESOLUTION, Axis, FrontPoint, ParetoFront, apart, apart_words

if TYPE_CHECKING:
    from optimizer.facts.problem import Problem
    from optimizer.reading.question import AnyProblem
    from optimizer.search.uniform.front import RowFront, Spot
    from optimizer.search.uniform.solve import Progress, Solver

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
        from optimizer.questions.variants import settled

        front = _of_rows(settled(cast("Problem", problem), "a front"), tuple(axes), points, time_limit_s, progress)
    from optimizer.explain.common.pareto import told

    return told(_confirmed(front))


def _confirmed(front: ParetoFront) -> ParetoFront:
    """The front as the verifier leaves it: what it does not confirm is not called proved."""
    if not front.mismatches:
        return front
    said = f"The independent verification does not confirm this front: {front.mismatches[0]}. Do not rely on it."
    points = tuple(replace(point, proved=point.proved and point.verified) for point in front.points)
    return replace(front, points=points, status="incomplete", proof=(said,))


def _of_rows(
    problem: Problem,
    axes: tuple[Axis, ...],
    most: int,
    time_limit_s: float | None,
    progress: Callable[[Progress], None] | None,
) -> ParetoFront:
    """The front of a problem with equal nodes."""
    from optimizer.questions.uniform import solve
    from optimizer.search.common.scale import PARTS
    from optimizer.search.uniform.front import RowFront
    from optimizer.search.uniform.quantities import Quantities
    from optimizer.search.uniform.rules import rule_ids
    from optimizer.search.uniform.solve import Solver
    from optimizer.search.uniform.space import SpaceTooLargeError, build_space

    known = rule_ids(problem)
    for rule in problem.search.disabled_rules:
        if rule not in known:
            raise ProblemError("search.disabled_rules", f"no rule {rule!r}; {closest(rule, known)}")
    if "price" in axes and problem.hardware.price_per_gpu_hour is None:
        raise ProblemError("--axes", "price needs hardware.price_per_gpu_hour, which is not stated")
    solver = Solver(time_limit_s, progress)
    solver.say("building tables")
    try:
        space = build_space(problem)
    except SpaceTooLargeError as error:
        raise ProblemError("search", str(error)) from None
    rows = RowFront(Quantities(problem, space), axes) if space.rows else None
    if rows is None or not rows.spots:
        if rows is None or not rows.screen.viable.any():
            status = solve(problem, time_limit_s=time_limit_s, repairs=False).status
            said = ("No strategy keeps every rule, so there is no front; optimizer solve says which rules conflict.",)
            proved = status == "infeasible"
            return ParetoFront(problem.name, axes, (), "infeasible" if proved else "unknown", 0, said, 0, ())
        said = (
            "Strategies keep every rule that is on, but none has slots for the demand: switch rule concurrency on.",
        )
        return ParetoFront(problem.name, axes, (), "infeasible", 0, said, 0, ())
    kept = apart([spot.values for spot in rows.spots], axes, RESOLUTION * PARTS)
    shown = [kept[position] for position in thinned(len(kept), most)]
    found, checks, wrong, complete = _prove(rows, shown, solver)
    total = len(kept)
    text: tuple[str, ...] = (
        f"All {space.candidates:,} candidates were compared in whole nanoseconds and in 10⁻¹² of the requests: {total} "
        f"{'is' if total == 1 else 'are'} on the front.",
        "Each point marked proved is confirmed by CP-SAT: with the other axes held at its values, no candidate is better on any axis.",
    )
    if total < len(rows.spots):
        text = (*text, apart_words(len(rows.spots) - total))
    if len(shown) < total:
        text = (*text, f"{len(shown)} are shown, evenly along the front; --points {total} shows all.")
    if not complete:
        text = (
            *text,
            "The search was stopped before every point was proved; points without the mark rest on the comparison alone.",
        )
    return ParetoFront(problem.name, axes, found, "proved" if complete else "incomplete", total, text, checks, wrong)


def thinned(there: int, most: int) -> list[int]:
    """Positions of at most so many points, evenly spread, both ends kept."""
    if there <= most:
        return list(range(there))
    return sorted({round(i * (there - 1) / (most - 1)) for i in range(most)})


def _prove(
    rows: RowFront, shown: list[int], solver: Solver
) -> tuple[tuple[FrontPoint, ...], int, tuple[str, ...], bool]:
    """(points, checks of the verifier, its disagreements, whether every point was proved)."""
    from optimizer.explain.uniform.choice import verified_choice

    found: list[FrontPoint] = []
    checks, wrong, stopped = 0, [], False
    for done, number in enumerate(shown, start=1):
        proved, verified = False, False
        if not stopped:
            solver.say(f"proving point {done} of {len(shown)}")
            try:
                proved = bool(rows.proved(number, solver))
                verification = verified_choice(
                    rows.quantities, rows.spots[number].choice, None, "feasible", 0
                ).verification
                checks += verification.checks
                verified = verification.passed
                wrong += [f"point {done}: {m.what}: {m.expected}, not {m.actual}" for m in verification.mismatches]
            except KeyboardInterrupt:
                proved = False
            stopped = not proved
        found.append(_point(rows, rows.spots[number], proved, verified))
    return tuple(found), checks, tuple(wrong), not stopped


def _point(rows: RowFront, spot: Spot, proved: bool, verified: bool) -> FrontPoint:
    from optimizer.search.common.scale import PARTS
    from optimizer.search.uniform.evaluate import metrics_of, objective_of, strategy_of

    quantities = rows.quantities
    strategy, metrics = strategy_of(quantities, spot.choice), metrics_of(quantities, spot.choice)
    price = quantities.problem.hardware.price_per_gpu_hour
    return FrontPoint(
        request_mean_ms=cast(float, metrics.request_mean_ms),
        availability=metrics.availability,
        not_served=int(rows.lost[spot.choice.row]) / PARTS,
        gpus=strategy.gpus,
        price_per_hour=None if price is None else price * strategy.gpus,
        strategy=strategy,
        label=strategy.label,
        objective_ms=objective_of(quantities, spot.choice, None).value,
        proved=proved,
        verified=verified,
    )
