"""From a file with ``workload.profile`` and ``cluster:`` to a checked ``ClusterDayProblem``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optimizer.catalog.recovery import recovery_facts
from optimizer.facts.cluster_day import ClusterDayProblem
from optimizer.facts.errors import ProblemError
from optimizer.facts.text import name_from_path
from optimizer.reading.inventory_file import inventory_from_dict
from optimizer.reading.profile import rates_of, schedule_of

PRESETS = ("balanced", "latency", "fault-tolerance")
"""Objectives that have a meaning over a day."""


def cluster_day_from_dict(
    values: Mapping[str, Any], *, default_name: str = "problem", folder: Path | None = None
) -> ClusterDayProblem:
    """Check and resolve a problem on an inventory whose load changes over the day.

    Args:
        values: the contents of a problem file.
        default_name: the name when the file states none.
        folder: where relative paths start.

    Raises:
        ProblemError: with the dotted field, the value and what would be right.
    """
    if values.get("serving", "joint") != "joint":
        raise ProblemError("workload.profile", f"is for serving: joint so far, not for {values['serving']}")
    schedule = schedule_of(values.get("schedule", {}))
    if schedule.first != "cost":
        raise ProblemError(
            "schedule.first",
            f"{schedule.first} is for equal nodes (hardware:); on an inventory cost comes first, then time",
        )
    workload = dict(values["workload"])
    for field in ("requests_per_s", "concurrency", "users"):
        if field in workload:
            raise ProblemError(f"workload.{field}", "stands beside profile, which states the rates; leave it out")
    rates, note = rates_of(workload.pop("profile"), folder or Path())
    rates = tuple(rate * (1 + schedule.burst_margin) for rate in rates)
    plain = {name: value for name, value in values.items() if name != "schedule"}
    plain["workload"] = {**workload, "requests_per_s": max(rates)}
    problem = inventory_from_dict(plain, default_name=default_name, folder=folder)
    if problem.within_s is not None:
        raise ProblemError(
            "requirements.survive.within_s",
            "counts on unused GPUs, which change over the day; not modelled, leave it out",
        )
    if problem.objective.preset not in PRESETS:
        raise ProblemError(
            "objective", f"{problem.objective.preset} has no meaning over a day, whose cost comes first; leave it out"
        )
    if schedule.start_price and not problem.priced:
        raise ProblemError(
            "schedule.start_price", "has to be compared with GPU time: state price_per_gpu_hour of every group too"
        )
    known, stated = problem.recovery, (schedule.engine_start_s, schedule.storage_gb_per_s)
    if stated != (None, None):
        start = known.engine_start_s if stated[0] is None else stated[0]
        storage = known.storage_gb_per_s if stated[1] is None else stated[1]
        problem = problem.model_copy(update={"recovery": recovery_facts(start, storage)})
    return ClusterDayProblem(
        name=str(values.get("name") or name_from_path(default_name, "problem")),
        problem=problem,
        rates=rates,
        schedule=schedule,
        note=note,
    )
