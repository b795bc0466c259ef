"""The parts of a day's service: each a workload of equal instances whose number changes by the hour."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from optimizer.facts.profile import HOUR_S, HOURS

KINDS = {
    "Deployment": ("apps", "v1", "deployments"),
    "LeaderWorkerSet": ("leaderworkerset.x-k8s.io", "v1", "leaderworkersets"),
}
"""API group, version and plural of a workload."""
TOLERANCE = 1.1
"""Up to this many times its target a metric scales nothing up: the controller's default tolerance of 0.1, which KEDA's objects go by too
(https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/)."""
STEPS_PER_S = 1000
"""Steps of a request/s."""


@dataclass(frozen=True, slots=True)
class DayPart:
    """One workload in Kubernetes, and how many instances of it run when."""

    name: str
    """Of the workload."""
    kind: str
    """``Deployment`` or ``LeaderWorkerSet``."""
    label: str
    """Such as ``TP1·PP1 on h100``."""
    counts: tuple[int, ...]
    """Instances that serve in each of 24 hours."""
    start_s: int
    """From the order to start to the first request, s."""
    add_at_per_s: float
    """Requests/s of one instance at which a further one has to be started; 0: at any, so that no rate says it."""
    request_mean_ms: float | None
    """Expected time of a request at that rate, ms; None where nothing finite is expected."""

    @property
    def least(self) -> int:
        """Instances in the hours with the fewest."""
        return min(self.counts)

    @property
    def most(self) -> int:
        """Instances in the hours with the most."""
        return max(self.counts)

    @property
    def rate_target(self) -> float:
        """Requests/s of one instance that an autoscaler aims at, so that it adds one at ``add_at_per_s``; rounded down; 0: none."""
        return math.floor(self.add_at_per_s / TOLERANCE * STEPS_PER_S) / STEPS_PER_S

    @property
    def in_progress_target(self) -> int:
        """The same in requests in progress at one instance, in thousandths, by Little's law; 0: none."""
        if self.request_mean_ms is None:
            return 0
        return math.floor(self.add_at_per_s * self.request_mean_ms / TOLERANCE)

    def switches(self) -> list[tuple[int, int, int]]:
        """(minute of the day, instances before, from then on) of every change, starts so long before their hour as they take."""
        found: dict[int, tuple[int, int]] = {}
        for hour, now in enumerate(self.counts):
            before = self.counts[hour - 1]
            if now == before:
                continue
            minute = (hour * HOUR_S - (self.start_s if now > before else 0)) % (HOURS * HOUR_S) // 60
            # A start that takes the whole hour falls on the minute of the change before: what is started stays.
            found[minute] = (found.get(minute, (before, now))[0], now)
        return [(minute, before, now) for minute, (before, now) in found.items() if before != now]

    def windows(self) -> list[tuple[int, int, int]]:
        """(first hour, hour after the last, instances) of runs of hours above the least; over midnight the end is past 24."""
        counts = self.counts
        first = next((hour for hour in range(HOURS) if counts[hour] != counts[hour - 1]), 0)
        found: list[tuple[int, int, int]] = []
        for hour in range(first, first + HOURS):
            instances = counts[hour % HOURS]
            if found and found[-1][2] == instances:
                found[-1] = (found[-1][0], hour + 1, instances)
            else:
                found.append((hour, hour + 1, instances))
        return [one for one in found if one[2] > self.least]


def cron(minute: int) -> str:
    """Every day at this minute of it."""
    return f"{minute % 60} {minute // 60} * * *"


def runs_of_hours(parts: Sequence[DayPart]) -> list[tuple[int, int]]:
    """(first hour, hour after the last) of runs in which no part changes, from midnight."""
    starts = [
        hour for hour in range(HOURS) if not hour or any(one.counts[hour] != one.counts[hour - 1] for one in parts)
    ]
    return list(zip(starts, [*starts[1:], HOURS], strict=True))
