"""From a file with ``workload.profile`` to a checked ``ProfileProblem``: hours that are stated, or a trace over days."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from optimizer.catalog.recovery import recovery_facts
from optimizer.facts.errors import ProblemError
from optimizer.facts.paths import beside
from optimizer.facts.profile import HOUR_S, HOURS, HoursInput, ProfileProblem, ScheduleInput, TraceProfileInput
from optimizer.facts.text import name_from_path, visible
from optimizer.reading import local_files
from optimizer.reading.load import first_error, problem_from_dict
from optimizer.reading.traces import read_requests

DAY_MS = HOURS * HOUR_S * 1000
DECIMALS = 4
"""Of rates from a trace, requests/s, rounded up."""


def is_profile(values: Mapping[str, Any]) -> bool:
    """Whether the contents of a file state load that changes over the day."""
    workload = values.get("workload")
    return isinstance(workload, Mapping) and "profile" in workload


def profile_from_dict(
    values: Mapping[str, Any], *, default_name: str = "problem", folder: Path | None = None
) -> ProfileProblem:
    """Check and resolve a problem whose load changes over the day.

    Args:
        values: the contents of a problem file.
        default_name: the name when the file states none.
        folder: where relative paths start.

    Raises:
        ProblemError: with the dotted field, the value and what would be right.
    """
    if "cluster" in values:
        raise ProblemError("cluster", "stands beside hardware; state one of them")
    if "models" in values:
        raise ProblemError("workload.profile", "is for one model so far, not for models")
    if values.get("serving", "joint") != "joint":
        raise ProblemError("workload.profile", f"is for serving: joint so far, not for {values['serving']}")
    schedule = schedule_of(values.get("schedule", {}))
    workload = dict(values["workload"])
    for field in ("requests_per_s", "concurrency", "users"):
        if field in workload:
            raise ProblemError(f"workload.{field}", "stands beside profile, which states the rates; leave it out")
    rates, note = rates_of(workload.pop("profile"), folder or Path())
    rates = tuple(rate * (1 + schedule.burst_margin) for rate in rates)
    plain = {name: value for name, value in values.items() if name != "schedule"}
    plain["workload"] = {**workload, "requests_per_s": max(rates)}
    problem = problem_from_dict(plain, default_name=default_name, folder=folder)
    if schedule.start_price and problem.hardware.price_per_gpu_hour is None:
        raise ProblemError(
            "schedule.start_price", "has to be compared with GPU time: state hardware.price_per_gpu_hour too"
        )
    if problem.hardware.power_limit_watts is not None:
        raise ProblemError(
            "hardware.power_limit_watts", "is for one load so far; node_power_limit_watts holds over a day too"
        )
    if problem.objective.preset not in ("balanced", "latency", "fault-tolerance"):
        raise ProblemError(
            "objective", f"{problem.objective.preset} has no meaning over a day; schedule.first says what comes first"
        )
    if len(problem.variants()) > 1:
        raise ProblemError(
            "search.token_budgets", "several choices beside the strategy are not compared over a day; state one"
        )
    return ProfileProblem(
        name=str(values.get("name") or name_from_path(default_name, "problem")),
        problem=problem,
        rates=rates,
        schedule=schedule,
        recovery=recovery_facts(schedule.engine_start_s, schedule.storage_gb_per_s),
        note=note,
    )


def schedule_of(stated: Any) -> ScheduleInput:
    """What starts and stops take and may cost, as stated."""
    try:
        return ScheduleInput.model_validate(stated)
    except ValidationError as error:
        found = first_error(error, stated, ScheduleInput)
        raise ProblemError(f"schedule.{found.field}" if found.field else "schedule", found.message) from None


def rates_of(stated: Any, folder: Path) -> tuple[tuple[float, ...], str | None]:
    """24 rates as stated or counted in a trace, and where they are from."""
    if isinstance(stated, Mapping):
        try:
            return _of_trace(TraceProfileInput.model_validate(stated), folder)
        except ValidationError as error:
            found = first_error(error, stated, TraceProfileInput)
            raise ProblemError(f"workload.profile.{found.field}", found.message) from None
    if not isinstance(stated, Sequence) or isinstance(stated, str) or not stated:
        raise ProblemError(
            "workload.profile", "is a list of {hours: [from, to], requests_per_s}, or {trace, percentile}"
        )
    rates: list[float | None] = [None] * HOURS
    for number, entry in enumerate(stated):
        where = f"workload.profile.{number}"
        try:
            one = HoursInput.model_validate(entry)
        except ValidationError as error:
            found = first_error(error, entry, HoursInput)
            raise ProblemError(f"{where}.{found.field}" if found.field else where, found.message) from None
        start, end = one.hours
        if start in (end, HOURS):
            raise ProblemError(
                f"{where}.hours", f"[{start}, {end}] is no hour; state from and to, such as [8, 18] or [22, 6]"
            )
        for step in range((end - start) % HOURS or HOURS):
            hour = (start + step) % HOURS
            if rates[hour] is not None:
                raise ProblemError(f"{where}.hours", f"hour {hour} is stated twice")
            rates[hour] = one.requests_per_s
    missing = [hour for hour, rate in enumerate(rates) if rate is None]
    if missing:
        raise ProblemError("workload.profile", f"hour {missing[0]} is missing; state all hours from 0 to 24")
    return tuple(rate for rate in rates if rate is not None), None


def _of_trace(stated: TraceProfileInput, folder: Path) -> tuple[tuple[float, ...], str]:
    """Of every hour of the day the stated percentile of the rates in its windows, over the whole days of a trace."""
    local_files.refuse("workload.profile.trace", "state the hours and their rates")
    if HOUR_S % stated.window_s:
        raise ProblemError("workload.profile.window_s", f"{stated.window_s} does not divide an hour of {HOUR_S} s")
    path = beside(stated.trace, folder, "workload.profile.trace")
    arrivals = read_requests(path, "workload.profile.trace")
    # Times count from the trace's own midnight: of dates the calendar's, of seconds since the start the start itself.
    first = math.floor(arrivals[0].at_ms / DAY_MS) * DAY_MS
    days = round(math.ceil((arrivals[-1].at_ms - first) / (HOUR_S * 1000)) / HOURS)
    if days < 1:
        hours = (arrivals[-1].at_ms - arrivals[0].at_ms) / (HOUR_S * 1000)
        raise ProblemError("workload.profile.trace", f"{path.name} covers {hours:.3g} hours; a day at least is needed")
    each = HOUR_S // stated.window_s
    counts = [[0] * (days * each) for _ in range(HOURS)]
    for one in arrivals:
        window = int((one.at_ms - first) // (stated.window_s * 1000))
        day, rest = divmod(window, HOURS * each)
        if day < days:
            counts[rest // each][day * each + rest % each] += 1
    rates = []
    for hour, seen in enumerate(counts):
        at = max(0, math.ceil(stated.percentile / 100 * len(seen)) - 1)
        count = sorted(seen)[at]
        if count == 0:
            raise ProblemError(
                "workload.profile.trace",
                f"{path.name} has no request in hour {hour} at the {stated.percentile:g}th percentile; raise it",
            )
        scale = 10**DECIMALS
        rates.append(math.ceil(count / stated.window_s * scale) / scale)
    over = f"{days} day{'s' if days > 1 else ''} of {visible(path.name)}"
    return tuple(
        rates
    ), f"Rates are the {stated.percentile:g}th percentile of windows of {stated.window_s} s over {over}."
