"""The trade-off of equal nodes: every row that none beats, each point proved and verified. ``docs/pareto.md``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from optimizer.facts.errors import ProblemError, closest
from optimizer.results.front import RESOLUTION, Axis, FrontPoint, ParetoFront, apart, apart_words

if TYPE_CHECKING:
    from optimizer.facts.problem import Problem
    from optimizer.search.uniform.front import RowFront, Spot
    from optimizer.search.uniform.solve import Progress, Solver


def uniform_front(
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
