"""What an answer about a day on an inventory consists of: places of instances, which of them run in each hour, what it costs."""

from __future__ import annotations

from dataclasses import dataclass

from optimizer.results.answer import Conflict, ModelRead, Status, Verification
from optimizer.results.day import DayCost, DayRepair
from optimizer.results.inventory import InventoryAnswer, instance_label


@dataclass(frozen=True, slots=True)
class HomeOfDay:
    """One instance of the day and its place, which no other instance takes."""

    name: str
    """Such as ``h100 TP4·PP1 #2``."""
    group: str
    """Name of the node group."""
    gpus: tuple[str, ...]
    """Its GPUs in rank order, such as ``h100-0/gpu-3``."""
    start_s: int
    """From the order to start to the first request: engine start and reading the weights, s."""


@dataclass(frozen=True, slots=True)
class HoursOfDay:
    """Hours in a row in which the same runs."""

    first: int
    """The hour it begins with, 0 to 23."""
    hours: int
    """How many hours; over midnight too."""
    requests_per_s: float
    """Rate that is carried, the burst margin counted, requests/s."""
    running: tuple[str, ...]
    """Names of the instances that serve."""
    started: tuple[str, ...]
    """Instances that serve from the beginning and did not before; they start within the hour before."""
    stopped: tuple[str, ...]
    """Instances that served before and do not now."""
    within: float
    """Requests/s up to which what runs keeps every rule, by what it carries."""
    answer: InventoryAnswer
    """What runs, as an answer about an inventory at this rate says it; it claims nothing about better ones."""


@dataclass(frozen=True, slots=True)
class ClusterDayAnswer:
    """What ``solve`` found for a day on an inventory."""

    problem: str
    """Name of the problem."""
    status: Status
    """``optimal``: no plan costs less; ``feasible`` is not proved; ``infeasible`` is proved; ``unknown``: time ran out."""
    homes: tuple[HomeOfDay, ...]
    """Every instance that runs at some hour."""
    hours: tuple[HoursOfDay, ...]
    """The whole day; empty where there is no plan."""
    cost: DayCost | None
    """Of the plan."""
    bound: float | None
    """What no plan costs less than: the price of a day where every price is stated, else GPU-hours."""
    fixed: DayCost | None
    """Of the cheapest plan that never changes; None where there is none."""
    fixed_label: str
    """Short name of that plan; empty where there is none."""
    verification: Verification
    """What the independent recomputation says."""
    explanation: tuple[str, ...]
    """Sentences for a person."""
    switches: tuple[str, ...] = ()
    """What to do when, in sentences."""
    conflicts: tuple[Conflict, ...] = ()
    """Why nothing is feasible: at the largest rate."""
    repairs: tuple[DayRepair, ...] = ()
    """What would make it feasible."""
    search_limits: tuple[str, ...] = ()
    """Sentences on what was not considered."""
    model: ModelRead | None = None
    """What was read of the model."""
    assumed: tuple[str, ...] = ()
    """What the problem did not state and is taken as usual."""

    @property
    def label(self) -> str:
        """Short name such as ``0 to 6 × TP1·PP1 on h100, 0 to 2 × TP2·PP1 on l40s``; empty where there is no plan."""
        counts: dict[str, list[int]] = {}
        for number, one in enumerate(self.hours):
            for pool in one.answer.pools:
                held = counts.setdefault(f"{instance_label(pool.strategy)} on {pool.where}", [0] * len(self.hours))
                held[number] += pool.instances
        named = []
        for what, held in counts.items():
            few, many = min(held), max(held)
            named.append(f"{few if few == many else f'{few} to {many}'} × {what}")
        return ", ".join(named)
