"""Load that changes over the day on an inventory: the question resolved. ``docs/profile.md``, section 7."""

from __future__ import annotations

from pydantic import model_validator

from optimizer.facts.base import Facts
from optimizer.facts.inventory import InventoryProblem
from optimizer.facts.profile import HOURS, ScheduleInput


class ClusterDayProblem(Facts):
    """One model on an inventory whose load changes by the hour of the day."""

    name: str
    problem: InventoryProblem
    """The question at the largest rate of the day; its ``recovery`` says how long starts take."""
    rates: tuple[float, ...]
    """Requests/s of each hour, from midnight, the burst margin counted."""
    schedule: ScheduleInput
    note: str | None = None
    """Where the rates are from, in words."""

    @model_validator(mode="after")
    def _a_day(self) -> ClusterDayProblem:
        if len(self.rates) != HOURS:
            raise ValueError(f"{len(self.rates)} rates are no day of {HOURS} hours")
        return self

    def at(self, requests_per_s: float) -> InventoryProblem:
        """The question at another rate."""
        workload = self.problem.workload.model_copy(update={"requests_per_s": requests_per_s})
        return self.problem.model_copy(update={"workload": workload})

    @property
    def distinct_rates(self) -> tuple[float, ...]:
        """Rates of the day, each once, ascending."""
        return tuple(sorted(set(self.rates)))
