"""``solve`` for load that changes over the day. ``docs/profile.md``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from optimizer.explain.common.patience import EXPLAIN_WITHIN_S, NOT_ALL_TRIED
from optimizer.explain.profile.repair import day_repairs
from optimizer.explain.profile.why import limits_of, sentences, switches
from optimizer.facts.profile import HOUR_S, HOURS, ProfileProblem
from optimizer.questions.uniform import solve as solve_uniform
from optimizer.questions.uniform_steps import quantities_of
from optimizer.results.answer import model_read, unverified, with_verification
from optimizer.results.day import DayAnswer, DayCost, HourOfDay, ShapeOfDay
from optimizer.search.common.clock import Clock
from optimizer.search.common.scale import milliseconds
from optimizer.search.common.solver import CtrlC
from optimizer.search.profile.model import best_day
from optimizer.search.profile.states import DayStates
from optimizer.search.profile.thresholds import thresholds_of
from optimizer.search.uniform.evaluate import strategy_of
from optimizer.search.uniform.rule import Choice
from optimizer.search.uniform.solve import Solver
from optimizer.verify.profile.check import verify_day

if TYPE_CHECKING:
    from optimizer.search.uniform.solve import Progress


def solve_day(
    day: ProfileProblem,
    *,
    time_limit_s: float | None = None,
    progress: Callable[[Progress], None] | None = None,
    repairs: bool = True,
) -> DayAnswer:
    """The provably best plan for a day, verified, or why there is none.

    Args:
        day: from ``load_problem``.
        time_limit_s: of the search; None searches until it is proved.
        progress: told of each phase.
        repairs: look for changes that make an infeasible day feasible.

    Raises:
        ProblemError: an unknown rule is switched off, the space is too large, or a start takes longer than an hour.
    """
    say = Solver(None, progress).say
    with CtrlC() as ctrl_c:
        clock = Clock(time_limit_s, ctrl_c)
        say("building tables")
        quantities_of(day.problem, None)  # refuses an unknown rule
        states = DayStates(day)
        say("searching")
        found = best_day(states, clock)
        if not found.rows:
            return _none(day, states, found.outcome, clock, repairs)
        fixed = best_day(states, clock, constant=True)
        say("explaining")
        answer = _answer(
            day, states, found.rows, found.outcome, found.bound, fixed.rows if fixed.outcome == "optimal" else ()
        )
        say("verifying")
        answer = with_verification(answer, verify_day(day, answer, exhaustive=not clock.over))
    said = (*answer.explanation, *sentences(day, answer))
    if found.outcome != "optimal":
        said = (*said, "The search ended before the best plan was proved: there may be better ones.")
    return replace(answer, explanation=said, switches=switches(answer))


def _answer(
    day: ProfileProblem,
    states: DayStates,
    rows: tuple[int, ...],
    status: Any,
    bound: int | None,
    fixed: tuple[int, ...],
) -> DayAnswer:
    space = states.space
    instances = space.instances
    used = list(dict.fromkeys(int(space.row_shape[row]) for row in rows))
    shapes: list[ShapeOfDay] = []
    within: dict[tuple[int, int], float] = {}
    for shape in used:
        most = int(max(instances[row] for row in rows if space.row_shape[row] == shape))
        known = thresholds_of(states, shape, most)
        within |= {(shape, one.instances): one.requests_per_s for one in known}
        row = next(row for row in rows if space.row_shape[row] == shape)
        alone = replace(_strategy(states, row), data_parallel=space.shapes[shape].engine_ranks)
        shapes.append(ShapeOfDay(alone, space.shapes[shape].instance_gpus, states.shapes[shape].lead_s, known))
    hours = []
    for hour, row in enumerate(rows):
        rate, before = day.rates[hour], rows[hour - 1]
        quantities, same = states.tables[rate], space.row_shape[row] == space.row_shape[before]
        now, then = int(instances[row]), int(instances[before])
        normal = quantities.normal
        hours.append(
            HourOfDay(
                hour=hour,
                requests_per_s=rate,
                strategy=_strategy(states, row),
                instances=now,
                started=max(0, now - then) if same else now,
                stopped=max(0, then - now) if same else then,
                ttft_p99_ms=_rounded(float(normal.metric("ttft_p99")[row])),
                tpot_p99_ms=_rounded(float(normal.metric("tpot_p99")[row])),
                value=milliseconds(int(states.value[rate][row])),
                within=within[int(space.row_shape[row]), now],
            )
        )
    scale = HOUR_S if day.schedule.first == "cost" else 1_000_000
    return DayAnswer(
        problem=day.name,
        status=status,
        hours=tuple(hours),
        shapes=tuple(shapes),
        cost=cost_of(day, states, rows),
        bound=None if bound is None else bound / scale,
        fixed=cost_of(day, states, fixed) if fixed else None,
        fixed_label=_strategy(states, fixed[0]).label if fixed else "",
        verification=unverified(),
        explanation=(),
        search_limits=limits_of(day),
        model=model_read(day.problem.model),
        assumed=_assumed(day),
    )


def _strategy(states: DayStates, row: int) -> Any:
    return strategy_of(states.tables[states.rates[-1]], Choice(row, int(states.most[row])))


def _rounded(value: float) -> float | None:
    """Whole nanoseconds, rounded up, in ms."""
    return float(np.ceil(value * 1e6) / 1e6) if np.isfinite(value) else None


def cost_of(day: ProfileProblem, states: DayStates, rows: tuple[int, ...]) -> DayCost:
    """What a plan takes: instances that serve, starts, stops and the time of requests."""
    space, size = states.space, states.space.column("instance_gpus")
    serving = sum(int(space.gpus[row]) for row in rows)
    starts = stops = 0
    gpu_s = 0.0
    for hour, row in enumerate(rows):
        before = rows[hour - 1]
        shape, old = int(space.row_shape[row]), int(space.row_shape[before])
        now, then = int(space.instances[row]), int(space.instances[before])
        started, stopped = (max(0, now - then), max(0, then - now)) if shape == old else (now, then)
        starts, stops = starts + started, stops + stopped
        gpu_s += (
            started * int(size[row]) * states.shapes[shape].lead_s + stopped * int(size[before]) * day.schedule.drain_s
        )
    hours = serving + gpu_s / HOUR_S
    each = day.problem.hardware.price_per_gpu_hour
    requests = sum(day.rates) * HOUR_S
    time_us = sum(int(states.time_us(hour, np.array([row]))[0]) for hour, row in enumerate(rows))
    return DayCost(
        gpu_hours=hours,
        serving_gpu_hours=float(serving),
        price=None if each is None else hours * each + starts * day.schedule.start_price,
        request_mean_ms=time_us / 1000 / requests,
        changes=starts + stops,
    )


def _assumed(day: ProfileProblem) -> tuple[str, ...]:
    found = list(day.problem.hardware.assumed if day.problem.hardware.nodes > 1 else ())
    recovery = day.recovery
    if day.schedule.engine_start_s is None:
        said = f"an engine starts in {recovery.engine_start_s:g} s, {recovery.engine_start_source}"
        found.append(f"{said}; schedule.engine_start_s states it")
    if day.schedule.storage_gb_per_s is None:
        said = f"weights are read at {recovery.storage_gb_per_s:g} GB/s, {recovery.storage_source}"
        found.append(f"{said}; schedule.storage_gb_per_s states it")
    return tuple(found)


def _none(day: ProfileProblem, states: DayStates, outcome: str, clock: Clock, repairs: bool) -> DayAnswer:
    answer = DayAnswer(
        problem=day.name, status="infeasible" if outcome == "infeasible" else "unknown", hours=(), shapes=(), cost=None, bound=None,
        fixed=None, fixed_label="", verification=unverified(),
        explanation=("The search ended before any plan was found; allow more time.",),
        search_limits=limits_of(day), model=model_read(day.problem.model), assumed=_assumed(day),
    )  # fmt: skip
    if outcome != "infeasible":
        return answer
    empty = [hour for hour in range(HOURS) if not len(states.allowed(hour))]
    if empty:
        hour = max(empty, key=lambda one: day.rates[one])
        alone = solve_uniform(day.at(day.rates[hour]), time_limit_s=clock.left_s, repairs=False, alternatives=0)
        said = (
            f"Nothing carries hour {hour} with {day.rates[hour]:g} requests/s.",
            *(one.sentence for one in alone.conflicts),
        )
        answer = replace(answer, explanation=said, conflicts=alone.conflicts)
    else:
        most = day.schedule.most_changes_per_hour
        said = (
            f"Every hour can be carried, and no plan gets from one to the next with {most} changes between two hours "
            "(schedule.most_changes_per_hour); allow more.",
        )
        answer = replace(answer, explanation=said)
    answer = with_verification(answer, verify_day(day, answer))
    if not repairs:
        return answer
    patience = Clock(EXPLAIN_WITHIN_S if clock.limit_s is None else clock.left_s, clock.ctrl_c)

    def plan(changed: ProfileProblem) -> str | None:
        other = DayStates(changed)
        if not all(len(other.allowed(hour)) for hour in range(HOURS)):
            return None
        found = best_day(other, patience)
        return _answer(changed, other, found.rows, "feasible", None, ()).label if found.rows else None

    changes, cut = day_repairs(day, plan, patience)
    said = (*answer.explanation, *((NOT_ALL_TRIED,) if cut else ()))
    return replace(answer, repairs=changes, explanation=said)
