"""``solve`` for load that changes over the day on an inventory. ``docs/profile.md``, section 7."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from optimizer.explain.common.patience import EXPLAIN_WITHIN_S, NOT_ALL_TRIED
from optimizer.explain.profile.cluster_why import limits_of, sentences, switches
from optimizer.explain.profile.repair import day_repairs
from optimizer.facts.cluster_day import ClusterDayProblem
from optimizer.facts.profile import HOUR_S
from optimizer.questions.inventory import refuse_unknown_rules, solve_inventory
from optimizer.results.answer import model_read, unverified, with_verification
from optimizer.results.cluster_day import ClusterDayAnswer, HomeOfDay, HoursOfDay
from optimizer.results.day import DayCost
from optimizer.results.inventory import InventoryAnswer, instance_label
from optimizer.search.common.clock import Clock
from optimizer.search.common.solver import CtrlC
from optimizer.search.inventory.answer import plan_label, with_plan
from optimizer.search.inventory.found import Placed
from optimizer.search.inventory.solve import InventorySolver
from optimizer.search.profile.cluster_model import priced
from optimizer.search.profile.cluster_solve import ClusterDaySearch, DayPlan, Home
from optimizer.search.uniform.solve import Solver
from optimizer.verify.profile.cluster_check import verify_cluster_day

if TYPE_CHECKING:
    from optimizer.search.uniform.solve import Progress

RATE_STEPS = 1000
"""Steps of a request/s."""


def solve_cluster_day(
    day: ClusterDayProblem,
    *,
    time_limit_s: float | None = None,
    progress: Callable[[Progress], None] | None = None,
    repairs: bool = True,
) -> ClusterDayAnswer:
    """The provably cheapest plan for a day on an inventory, verified, or why there is none.

    Args:
        day: from ``load_problem``.
        time_limit_s: of the search; None searches until it is proved.
        progress: told of each phase.
        repairs: look for changes that make an infeasible day feasible.

    Raises:
        ProblemError: an unknown rule is switched off.
    """
    refuse_unknown_rules(day.problem)
    say = Solver(None, progress).say
    with CtrlC() as ctrl_c:
        clock = Clock(time_limit_s, ctrl_c)
        say("building tables")
        search = ClusterDaySearch(day, clock)
        say("searching")
        found = search.run()
        if found.plan is None:
            return _none(day, found.outcome, clock, repairs)
        say("searching what never changes")
        fixed = search.constant()
        answer = _answer(day, search, found.plan, fixed)
        scale = 10**6 * HOUR_S if priced(day) else HOUR_S
        bound = None if found.bound is None else found.bound / scale
        answer = replace(answer, status=found.outcome, bound=bound)
        say("verifying")
        answer = with_verification(answer, verify_cluster_day(day, answer, exhaustive=not clock.over))
    said = (*answer.explanation, *sentences(day, answer))
    if found.outcome != "optimal":
        said = (*said, "The search ended before the cheapest plan was proved: there may be cheaper ones.")
    return replace(answer, explanation=said, switches=switches(answer))


def _answer(day: ClusterDayProblem, search: ClusterDaySearch, plan: DayPlan, fixed: Placed | None) -> ClusterDayAnswer:
    homes = _homes(day, plan)
    hours = []
    for number, ((first, length), placed) in enumerate(zip(plan.segments, plan.placed, strict=True)):
        rate, now, before = day.rates[first], set(plan.running[number]), set(plan.running[number - 1])
        answer = _of_rate(day, search, rate, placed)
        hours.append(
            HoursOfDay(
                first=first,
                hours=length,
                requests_per_s=rate,
                running=tuple(homes[at].name for at in sorted(now)),
                started=tuple(homes[at].name for at in sorted(now - before)),
                stopped=tuple(homes[at].name for at in sorted(before - now)),
                within=within(day, answer),
                answer=answer,
            )
        )
    return ClusterDayAnswer(
        problem=day.name,
        status="feasible",
        homes=homes,
        hours=tuple(_merged(hours)),
        cost=cost_of(day, plan),
        bound=None,
        fixed=None if fixed is None else _fixed_cost(day, search, fixed),
        fixed_label="" if fixed is None else plan_label(day.problem, search.candidates, fixed),
        verification=unverified(),
        explanation=(),
        search_limits=limits_of(),
        model=model_read(day.problem.model),
        assumed=day.problem.assumed,
    )


def _merged(hours: list[HoursOfDay]) -> list[HoursOfDay]:
    """Hours of one rate in which nothing changes as one."""
    found: list[HoursOfDay] = []
    for one in hours:
        same = found and found[-1].requests_per_s == one.requests_per_s and not one.started and not one.stopped
        if same and found[-1].first + found[-1].hours == one.first:
            found[-1] = replace(found[-1], hours=found[-1].hours + one.hours)
        else:
            found.append(one)
    return found


def _homes(day: ClusterDayProblem, plan: DayPlan) -> tuple[HomeOfDay, ...]:
    found, numbers = [], dict[str, int]()
    for item, stand in plan.homes:
        group = day.problem.groups[item.groups[0]]
        strategy = item.candidate.shape.strategy(item.candidate.shape.engine_ranks, item.candidate.slots)
        kind = f"{group.name} {instance_label(strategy)}"
        number = numbers[kind] = numbers.get(kind, -1) + 1
        gpus = tuple(
            f"{day.problem.groups[index].node_name(node)}/gpu-{gpu}"
            for (index, node), held in zip(stand.nodes, stand.gpus, strict=True)
            for gpu in held
        )
        found.append(HomeOfDay(f"{kind} #{number}", group.name, gpus, math.ceil(item.candidate.restart_s - 1e-9)))
    return tuple(found)


def _of_rate(day: ClusterDayProblem, search: ClusterDaySearch, rate: float, placed: Placed) -> InventoryAnswer:
    problem, mine = day.at(rate), search.of_rate[rate]
    return with_plan(problem, mine, InventorySolver(problem, mine), placed)


def within(day: ClusterDayProblem, answer: InventoryAnswer) -> float:
    """Requests/s up to which what runs keeps the demand and its losses, in steps of 0.001, rounded down."""
    most = sum(pool.capacity * pool.instances for pool in answer.pools)
    stated = {losses.level for losses in day.problem.survive}
    for loss in answer.losses:
        if loss.level in stated and f"survive_{loss.level}" not in day.problem.search.disabled_rules:
            most = min(most, loss.capacity_left / day.problem.demand_share)
    return math.floor(most * RATE_STEPS + 1e-6) / RATE_STEPS


def cost_of(day: ClusterDayProblem, plan: DayPlan) -> DayCost:
    """What a plan takes."""
    serving = moving = price = 0.0
    starts = stops = 0
    for number, (_, length) in enumerate(plan.segments):
        now, before = set(plan.running[number]), set(plan.running[number - 1])
        for at in now:
            serving += length * _gpus(plan.homes[at])
            price += length * _price(day, plan.homes[at])
        for at in now - before:
            seconds = math.ceil(plan.homes[at][0].candidate.restart_s - 1e-9)
            moving += seconds * _gpus(plan.homes[at]) / HOUR_S
            price += seconds * _price(day, plan.homes[at]) / HOUR_S + day.schedule.start_price
            starts += 1
        for at in before - now:
            moving += day.schedule.drain_s * _gpus(plan.homes[at]) / HOUR_S
            price += day.schedule.drain_s * _price(day, plan.homes[at]) / HOUR_S
            stops += 1
    return DayCost(
        gpu_hours=serving + moving,
        serving_gpu_hours=serving,
        price=price if priced(day) else None,
        request_mean_ms=plan.time_ms(day),
        changes=starts + stops,
    )


def _gpus(home: Home) -> int:
    return home[0].candidate.gpus


def _price(day: ClusterDayProblem, home: Home) -> float:
    """Of an hour of an instance."""
    item, _ = home
    return sum(part.gpus * (day.problem.groups[group].price_per_gpu_hour or 0.0) for group, part in item.parts)


def _fixed_cost(day: ClusterDayProblem, search: ClusterDaySearch, fixed: Placed) -> DayCost:
    at_most = _of_rate(day, search, max(day.rates), fixed)
    times = {rate: search.value_at(rate, fixed) for rate in day.distinct_rates}
    mean = sum(rate * (times[rate] or 0.0) for rate in day.rates) / sum(day.rates)
    hours = 24.0 * at_most.gpus_used
    price = None if at_most.price_per_hour is None or not priced(day) else 24 * at_most.price_per_hour
    return DayCost(hours, hours, price, mean, 0)


def _none(day: ClusterDayProblem, outcome: str, clock: Clock, repairs: bool) -> ClusterDayAnswer:
    answer = ClusterDayAnswer(
        problem=day.name, status="infeasible" if outcome == "infeasible" else "unknown", homes=(), hours=(), cost=None, bound=None,
        fixed=None, fixed_label="", verification=unverified(),
        explanation=("The search ended before any plan was found; allow more time.",),
        search_limits=limits_of(), model=model_read(day.problem.model), assumed=day.problem.assumed,
    )  # fmt: skip
    if outcome != "infeasible":
        return answer
    alone = solve_inventory(day.problem, time_limit_s=clock.left_s or 60, ranges=False, explain="conflict")
    if alone.status == "infeasible":
        said = (
            f"Nothing carries the largest rate of the day, {max(day.rates):g} requests/s.",
            *(one.sentence for one in alone.conflicts),
        )
        answer = replace(answer, explanation=said, conflicts=alone.conflicts)
    else:
        most = day.schedule.most_changes_per_hour
        asked = f" with {most} changes between two hours (schedule.most_changes_per_hour)" if most is not None else ""
        said = (f"The largest rate can be carried, and no plan of those considered gets from hour to hour{asked}.",)
        answer = replace(answer, explanation=said)
    answer = with_verification(answer, verify_cluster_day(day, answer))
    if not repairs:
        return answer
    patience = Clock(EXPLAIN_WITHIN_S if clock.limit_s is None else clock.left_s, clock.ctrl_c)

    def plan(changed: ClusterDayProblem) -> str | None:
        search = ClusterDaySearch(changed, patience)
        found = search.any()
        return None if found is None else _answer(changed, search, found, None).label

    changes, cut = day_repairs(day, plan, patience)
    said = (*answer.explanation, *((NOT_ALL_TRIED,) if cut else ()))
    return replace(answer, repairs=changes, explanation=said)
