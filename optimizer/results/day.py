"""What an answer about a day consists of: what runs in each hour, what it costs, and at which rates instances are added."""

from __future__ import annotations

from dataclasses import dataclass

from optimizer.results.answer import Change, Conflict, ModelRead, Status, Strategy, Verification


@dataclass(frozen=True, slots=True)
class HourOfDay:
    """What runs in one hour."""

    hour: int
    """From this hour to the next, 0 to 23."""
    requests_per_s: float
    """Rate that is carried, the burst margin counted, requests/s."""
    strategy: Strategy
    """What runs."""
    instances: int
    """Engine instances that serve."""
    started: int
    """Instances that serve from the beginning of this hour and did not in the hour before; they start within that one."""
    stopped: int
    """Instances that served in the hour before and do not in this one."""
    ttft_p99_ms: float | None
    """Arrival to first token, 99th percentile, ms."""
    tpot_p99_ms: float | None
    """From one output token to the next, 99th percentile, ms."""
    value: float
    """Expected time of a request over all failure states, ms."""
    within: float
    """Requests/s up to which these instances keep every rule."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """Up to which rate so many instances keep every rule, losses to be survived counted."""

    instances: int
    """Engine instances."""
    requests_per_s: float
    """The largest such rate of the service, in steps of 0.001, requests/s."""
    add_at_per_s: float
    """The rate at which the next instance has to be started so that it serves in time, requests/s."""


@dataclass(frozen=True, slots=True)
class ShapeOfDay:
    """One shape that runs in the day."""

    strategy: Strategy
    """One instance of it: its data parallel size is that of one instance."""
    instance_gpus: int
    """GPUs of an instance."""
    start_s: int
    """From the order to start to the first request: engine start and reading the weights, s."""
    thresholds: tuple[Threshold, ...]
    """By instances, ascending."""


@dataclass(frozen=True, slots=True)
class DayCost:
    """What a day takes."""

    gpu_hours: float
    """GPU-hours of a day, starts and stops counted."""
    serving_gpu_hours: float
    """Those of them in which instances serve."""
    price: float | None
    """Of a day, starts counted; None: no price is stated."""
    request_mean_ms: float
    """Expected time of a request, over all requests of the day and all failure states, ms."""
    changes: int
    """Starts and stops of a day."""


@dataclass(frozen=True, slots=True)
class DayRepair:
    """A change of the problem file that lets a day be carried."""

    changes: tuple[Change, ...]
    """What to set, all together."""
    sentence: str
    """The changes in words."""
    result: str
    """Short name of the plan that there is then."""


@dataclass(frozen=True, slots=True)
class DayAnswer:
    """What ``solve`` found for a day."""

    problem: str
    """Name of the problem."""
    status: Status
    """``optimal`` is proved; ``feasible`` is not; ``infeasible`` is proved; ``unknown``: time ran out."""
    hours: tuple[HourOfDay, ...]
    """24 hours from midnight; empty where there is no plan."""
    shapes: tuple[ShapeOfDay, ...]
    """The shapes that run."""
    cost: DayCost | None
    """Of the plan."""
    bound: float | None
    """What no plan comes below: GPU-hours of a day, with what starts cost, or seconds of requests where time comes first."""
    fixed: DayCost | None
    """Of the best plan that runs the same all day; None where none does."""
    fixed_label: str
    """Short name of that plan; empty where there is none."""
    verification: Verification
    """What the independent recomputation says."""
    explanation: tuple[str, ...]
    """Sentences for a person."""
    switches: tuple[str, ...] = ()
    """What to do when, in sentences, from midnight."""
    conflicts: tuple[Conflict, ...] = ()
    """Why nothing is feasible: of the first hour in which nothing is."""
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
        """Short name such as ``2 to 5 × TP4``; empty where there is no plan."""
        if not self.hours:
            return ""
        named = []
        for shape in self.shapes:
            strategy = shape.strategy
            held = [one.instances for one in self.hours if _same(one.strategy, strategy)]
            few, many = min(held), max(held)
            count = f"{few}" if few == many else f"{few} to {many}"
            pipeline = f"·PP{strategy.pipeline_parallel}" if strategy.pipeline_parallel > 1 else ""
            named.append(f"{count} × TP{strategy.tensor_parallel}{pipeline}{strategy.sharing}")
        return " or ".join(named)


def _same(one: Strategy, other: Strategy) -> bool:
    """Whether two strategies are of one shape, whatever their number."""
    names = [name for name in Strategy.__dataclass_fields__ if name != "data_parallel"]
    return all(getattr(one, name) == getattr(other, name) for name in names)
