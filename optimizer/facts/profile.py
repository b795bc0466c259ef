"""Load that changes over the day: hourly rates, and what starts and stops of instances may cost. ``docs/profile.md``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from optimizer.facts.base import Count, Facts, NonNegative, Positive
from optimizer.facts.file import ProblemFile
from optimizer.facts.problem import Problem
from optimizer.facts.recovery import RecoveryFacts
from optimizer.facts.workload import WorkloadInput

HOURS = 24
DRAIN_S = 120.0
"""How long launch files of ``optimizer deploy`` let an engine finish its requests; docs/deploy.md."""
HOUR_S = 3600

Hour = Annotated[int, Field(ge=0, le=HOURS, strict=True)]


class HoursInput(Facts):
    """The rate of some hours of the day."""

    hours: Annotated[tuple[Hour, ...], Field(min_length=2, max_length=2)] = Field(
        description="From this hour to before that one, such as [8, 18]; [22, 6] goes over midnight"
    )
    requests_per_s: Positive = Field(description="Mean arrival rate in each of these hours, requests/s")


class TraceProfileInput(Facts):
    """Hourly rates from a trace over days."""

    trace: str = Field(description="File of recorded requests, in the forms of workload.trace; whole days are used")
    percentile: Annotated[float, Field(ge=50, le=100, strict=True)] = Field(
        default=95, description="Of the rates in the windows of an hour of the day, over all days: the burst margin"
    )
    window_s: Annotated[int, Field(ge=1, le=3600, strict=True)] = Field(
        default=300, description="Length of a window in which requests are counted, s; it divides an hour"
    )


class ScheduleInput(Facts):
    """What starting and stopping instances over the day takes and may cost."""

    first: Literal["cost", "time"] = Field(
        default="cost",
        description="What comes first: GPU-hours with what starts cost, or the time of all requests of the day",
    )
    most_changes_per_hour: Count | None = Field(
        default=None, description="Instances that may be started or stopped between two hours; left out, any number"
    )
    engine_start_s: NonNegative | None = Field(
        default=None, description="Start of an engine, weights not counted, s; left out, the catalog's"
    )
    storage_gb_per_s: Positive | None = Field(
        default=None, description="Rate at which an instance reads its weights, 10^9 bytes/s; left out, the catalog's"
    )
    drain_s: NonNegative = Field(
        default=DRAIN_S, description="How long a stopped instance keeps its GPUs to finish its requests, s"
    )
    start_price: NonNegative = Field(
        default=0, description="Price of one start beside GPU time, in the currency of hardware.price_per_gpu_hour"
    )
    burst_margin: NonNegative = Field(
        default=0,
        description="Share by which every hour's rate may be passed: the plan carries rate · (1 + burst_margin)",
    )


class DayWorkloadInput(WorkloadInput):
    """Requests whose rate changes over the day; no rate or number of users stands beside the profile."""

    profile: Annotated[tuple[HoursInput, ...], Field(min_length=1)] | TraceProfileInput = Field(
        description="The rate of every hour of the day, or a trace over days that says it"
    )


class DayFile(ProblemFile):
    """One model on equal nodes whose load changes over the day. YAML or JSON."""

    workload: DayWorkloadInput = Field(description="The requests that arrive")
    schedule: ScheduleInput = Field(
        default=ScheduleInput(), description="What starting and stopping instances takes and may cost"
    )


class ProfileProblem(Facts):
    """One model on equal nodes whose load changes by the hour of the day."""

    name: str
    problem: Problem
    """The question at the largest rate of the day."""
    rates: tuple[float, ...]
    """Requests/s of each hour, from midnight, the burst margin counted."""
    schedule: ScheduleInput
    recovery: RecoveryFacts
    note: str | None = None
    """Where the rates are from, in words."""

    @model_validator(mode="after")
    def _a_day(self) -> ProfileProblem:
        if len(self.rates) != HOURS:
            raise ValueError(f"{len(self.rates)} rates are no day of {HOURS} hours")
        return self

    def at(self, requests_per_s: float) -> Problem:
        """The question at another rate."""
        workload = self.problem.workload.model_copy(update={"requests_per_s": requests_per_s})
        return self.problem.model_copy(update={"workload": workload})

    @property
    def distinct_rates(self) -> tuple[float, ...]:
        """Rates of the day, each once, ascending."""
        return tuple(sorted(set(self.rates)))
