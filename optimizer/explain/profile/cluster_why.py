"""The plan for a day on an inventory in words: what runs when, what it saves, and what to do at which hour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from optimizer.explain.common.numbers import listing, milliseconds
from optimizer.explain.profile.why import DAYS_A_MONTH, clock
from optimizer.facts.cluster_day import ClusterDayProblem
from optimizer.facts.profile import HOURS
from optimizer.results.cluster_day import ClusterDayAnswer, HomeOfDay
from optimizer.results.day import DayCost


def sentences(day: ClusterDayProblem, answer: ClusterDayAnswer) -> list[str]:
    """What the plan is and what it saves."""
    if answer.cost is None:
        return []
    said = [day.note] if day.note else []
    cost, fixed = answer.cost, answer.fixed
    said.append(
        f"{cost.gpu_hours:,.1f} GPU-hours a day{_priced(cost)}, {cost.changes:,} starts and stops a day, "
        f"{milliseconds(cost.request_mean_ms)} expected for a request over the day."
    )
    starting = cost.gpu_hours - cost.serving_gpu_hours
    if starting > 0:
        said.append(f"Of them {starting:,.1f} GPU-hours go into starts and stops.")
    if fixed is not None:
        said.append(_saving(cost, fixed, answer.fixed_label))
    near = [one for one in answer.hours if one.requests_per_s > 0.9 * one.within]
    for one in near[:1]:
        said.append(
            f"From {one.first:02d}:00 it is the closest: {one.requests_per_s:g} requests/s of the {one.within:g} up to which "
            "what runs keeps every rule."
        )
    return said


def _priced(cost: DayCost) -> str:
    return "" if cost.price is None else f", {cost.price:,.2f} a day, {cost.price * DAYS_A_MONTH:,.0f} a month"


def _saving(cost: DayCost, fixed: DayCost, label: str) -> str:
    if cost.price is not None and fixed.price is not None:
        saved, whole, unit = fixed.price - cost.price, fixed.price, ""
    else:
        saved, whole, unit = fixed.gpu_hours - cost.gpu_hours, fixed.gpu_hours, " GPU-hours"
    if saved <= 1e-9:
        return f"The cheapest plan that never changes, {label}, costs {whole:,.2f}{unit} a day: changing over the day saves nothing."
    share = saved / whole if whole else 0.0
    return (
        f"The cheapest plan that never changes, {label}, costs {whole:,.2f}{unit} a day: {saved:,.2f} more, so the plan saves {share:.1%}"
        f" ({saved * DAYS_A_MONTH:,.0f}{unit} a month); a request takes {milliseconds(fixed.request_mean_ms)} there."
    )


def switches(answer: ClusterDayAnswer) -> tuple[str, ...]:
    """What to do when."""
    homes = {one.name: one for one in answer.homes}
    found = []
    for one in answer.hours:
        parts = []
        if one.started:
            started = [homes[name] for name in one.started]
            early = max(home.start_s for home in started)
            parts.append(
                f"at {clock(one.first * 3600 - early)} start {_named(started)}, to serve by {one.first:02d}:00"
            )
        if one.stopped:
            stopped = [homes[name] for name in one.stopped]
            parts.append(
                f"at {one.first:02d}:00 take {_named(stopped)} out of the router, and stop them when their requests are done"
            )
        if parts:
            text = listing(parts)
            end = (one.first + one.hours) % HOURS
            found.append(
                f"{text[0].upper()}{text[1:]}: {one.answer.label} then carries {one.requests_per_s:g} requests/s until {end:02d}:00."
            )
    return tuple(found)


def _named(homes: Sequence[HomeOfDay]) -> str:
    """Such as ``2 × TP4·PP1 on h100 (h100-0, h100-1)``."""
    kinds = Counter(home.name.rpartition(" #")[0] for home in homes)
    said = []
    for kind, number in kinds.items():
        mine = [home for home in homes if home.name.rpartition(" #")[0] == kind]
        nodes = dict.fromkeys(gpu.rpartition("/")[0] for home in mine for gpu in home.gpus)
        group, _, shape = kind.partition(" ")
        said.append(
            f"{number} × {shape} on {group} ({listing(list(nodes)[:4])}{' and more' if len(nodes) > 4 else ''})"
        )
    return listing(said)


def limits_of() -> tuple[str, ...]:
    """What was not considered."""
    return (
        "Every instance has GPUs of its own all day: what one leaves is not given to another shape; none is moved.",
        "Each instance stands on one group. Within an hour the rate is constant and the service in its steady state.",
        "The cost is proved; of plans of the least cost the one of least time that was found is taken.",
    )
