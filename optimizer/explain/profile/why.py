"""The plan for a day in words: what runs when, what it saves, what starts cost, and what to do at which hour."""

from __future__ import annotations

from optimizer.explain.common.numbers import count, listing, milliseconds
from optimizer.facts.profile import HOURS, ProfileProblem
from optimizer.results.answer import Strategy
from optimizer.results.day import DayAnswer, DayCost, HourOfDay

DAYS_A_MONTH = 365 / 12


def sentences(day: ProfileProblem, answer: DayAnswer) -> list[str]:
    """What the plan is and what it saves."""
    if answer.cost is None:
        return []
    said = [day.note] if day.note else []
    cost, fixed = answer.cost, answer.fixed
    said.append(
        f"{answer.label}: {cost.gpu_hours:,.1f} GPU-hours a day{_priced(cost)}, {count(cost.changes, 'change')} a day, "
        f"{milliseconds(cost.request_mean_ms)} expected for a request over the day."
    )
    starting = cost.gpu_hours - cost.serving_gpu_hours
    if starting > 0:
        said.append(f"Of them {starting:,.1f} GPU-hours go into starts and stops.")
    said += _start_words(answer)
    if fixed is not None:
        said.append(_saving(cost, fixed, answer.fixed_label))
    for one in answer.hours:
        if one.requests_per_s > 0.9 * one.within:
            said.append(
                f"Hour {one.hour} is the closest: {one.requests_per_s:g} requests/s of the {one.within:g} up to which "
                f"{count(one.instances, 'instance')} keep every rule."
            )
            break
    return said


def _priced(cost: DayCost) -> str:
    return "" if cost.price is None else f", {cost.price:,.2f} a day, {cost.price * DAYS_A_MONTH:,.0f} a month"


def _start_words(answer: DayAnswer) -> list[str]:
    return [
        f"An instance of {one.strategy.label} serves {one.start_s:,} s after it is started; it is started so long before its hour."
        for one in answer.shapes
        if any(hour.started for hour in answer.hours)
    ]


def _saving(cost: DayCost, fixed: DayCost, label: str) -> str:
    saved = fixed.gpu_hours - cost.gpu_hours
    share = saved / fixed.gpu_hours if fixed.gpu_hours else 0.0
    if saved <= 0:
        return f"The best plan that never changes, {label}, takes {fixed.gpu_hours:,.1f} GPU-hours: changing over the day saves nothing."
    money = ""
    if cost.price is not None and fixed.price is not None:
        money = f", {fixed.price - cost.price:,.2f} a day and {(fixed.price - cost.price) * DAYS_A_MONTH:,.0f} a month"
    return (
        f"The best plan that never changes, {label}, takes {fixed.gpu_hours:,.1f} GPU-hours a day: {saved:,.1f} less, "
        f"{share:.1%}{money}; a request takes {milliseconds(fixed.request_mean_ms)} there."
    )


def clock(seconds: int) -> str:
    """A time of the day, such as ``06:54:29``."""
    seconds %= HOURS * 3600
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def switches(answer: DayAnswer) -> tuple[str, ...]:
    """What to do when."""
    found = []
    leads = {_key(one.strategy): one.start_s for one in answer.shapes}
    for one in answer.hours:
        if not one.started and not one.stopped:
            continue
        before = answer.hours[one.hour - 1]
        parts = []
        if one.started:
            lead = leads[_key(one.strategy)]
            parts.append(
                f"at {clock(one.hour * 3600 - lead)} start {count(one.started, 'instance')} of {one_of(one)}, "
                f"which {'serves' if one.started == 1 else 'serve'} by {one.hour:02d}:00"
            )
        if one.stopped:
            parts.append(
                f"at {one.hour:02d}:00 take {count(one.stopped, 'instance')} of {one_of(before)} out of the router, and stop "
                f"{'it' if one.stopped == 1 else 'them'} when their requests are done"
            )
        verb = "carries" if one.instances == 1 else "carry"
        then = f"{count(one.instances, 'instance')} {verb} {one.requests_per_s:g} requests/s from {one.hour:02d}:00"
        found.append(f"{listing(parts)[0].upper()}{listing(parts)[1:]}: {then}.")
    return tuple(found)


def one_of(hour: HourOfDay) -> str:
    """The shape of an instance, such as ``TP4·PP1``."""
    strategy = hour.strategy
    return f"TP{strategy.tensor_parallel}·PP{strategy.pipeline_parallel}{strategy.sharing}"


def _key(strategy: Strategy) -> tuple[object, ...]:
    return tuple(getattr(strategy, name) for name in Strategy.__dataclass_fields__ if name != "data_parallel")


def limits_of(day: ProfileProblem) -> tuple[str, ...]:
    """What was not considered."""
    return (
        "In each hour all instances have one shape and stand spread evenly over the nodes; the plan of a day repeats.",
        "Within an hour the rate is constant and the service in its steady state; instances are started so that they serve when "
        "their hour begins.",
        "Where the shape changes, all instances of the new one start beside those of the old one: both have to find room on every node.",
    )
