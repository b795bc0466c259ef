"""GPU types side by side: the least hardware of each that meets everything, what it costs, and what keeps the others out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from optimizer.catalog import lookup as catalog
from optimizer.explain.uniform.costs import intervals_of
from optimizer.facts.errors import ProblemError
from optimizer.facts.problem import Problem
from optimizer.reading.stated import Stated
from optimizer.sweeps.hardware import hardware_of
from optimizer.sweeps.points import Point
from optimizer.sweeps.recommend import recommend
from optimizer.sweeps.recommendation import Recommendation

OF_ITS_NODES = ("hardware.price_per_gpu_hour", "hardware.price_per_node_hour", "hardware.gpus_per_node")
"""What is stated of the file's own type."""
HOURS_OF_A_MONTH = 730
"""8,760 hours of a year over 12."""


@dataclass(frozen=True, slots=True)
class TypeRow:
    """One GPU type. ``found`` has the least hardware, or why the most that was allowed is not enough."""

    gpu: str
    found: Recommendation
    watts_per_gpu: float | None
    """Board power as the vendor states it."""
    defaults: tuple[str, ...]
    """Sentences on what was taken from the catalog because the problem states nothing for this type."""
    users: int | None = None
    """Users at once, where the problem states them in place of a rate."""
    gpus_per_node: int = 0
    """GPUs of one of its nodes."""
    rate: float | None = None
    """Requests/s stated; None for users at once."""
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Figure → where 90 % of measurements of such predictions fell, ms."""

    @property
    def point(self) -> Point | None:
        """The least hardware that meets everything."""
        return self.found.point

    @property
    def headroom(self) -> float | None:
        """The part by which the stated rate may grow until a limit breaks; None for users at once."""
        if self.point is None or self.point.figures is None or not self.rate:
            return None
        return self.point.figures.max_request_rate / self.rate - 1

    @property
    def price_per_month(self) -> float | None:
        """Price of the GPUs in use for 730 hours."""
        hourly = None if self.point is None else self.point.price_per_hour
        return None if hourly is None else hourly * HOURS_OF_A_MONTH

    @property
    def price_per_user_and_month(self) -> float | None:
        """The same for one of the users."""
        monthly = self.price_per_month
        return None if monthly is None or not self.users else monthly / self.users

    @property
    def kilowatts(self) -> float | None:
        """Board power of all GPUs in use together, at most."""
        if self.point is None or self.watts_per_gpu is None or self.point.gpus_used is None:
            return None
        return self.watts_per_gpu * self.point.gpus_used / 1000

    @property
    def kwh_per_million_output_tokens(self) -> float | None:
        """Energy of a million output tokens that are served, at that power."""
        figures = None if self.point is None else self.point.figures
        if self.kilowatts is None or figures is None or figures.tokens_per_s * figures.availability <= 0:
            return None
        return self.kilowatts / (figures.tokens_per_s * figures.availability * 3600) * 1e6


def compare(
    stated: Stated,
    types: Sequence[str],
    gpus: str | Iterable[int] | None = None,
    *,
    prices: Mapping[str, float] | None = None,
    told: Callable[[str], None] = lambda gpu: None,
) -> tuple[TypeRow, ...]:
    """The least hardware of each type that keeps every rule: cheapest first where all prices are known, else fewest GPUs first.

    Args:
        stated: a problem on equal nodes; its own GPU type is left out of account. A network that it states holds for every type.
        types: GPU types by catalog name.
        gpus: counts allowed, as for ``recommend``.
        prices: price per GPU and hour by GPU name.
        told: called with each type before it is solved for.

    Raises:
        ProblemError: the problem or a name cannot be used.
    """
    if "hardware" not in stated.values:
        raise ProblemError(
            "PROBLEM",
            "compare is for hardware: (equal nodes); optimizer recommend chooses among the groups of cluster:",
        )
    rows = []
    for name in dict.fromkeys(types):
        told(name)
        gpu = catalog.gpu(name, "--types")
        # What is stated of the file's own type is no fact of another one.
        own = dict.fromkeys(OF_ITS_NODES) if gpu.name != _own(stated) else {}
        one = stated.changed({"hardware.gpu": gpu.name, **own})
        found = recommend(one, gpus, least="gpus", prices=prices)
        problem = one.problem()
        users = problem.workload.users
        there = None if users is None else users.concurrent
        rate = problem.workload.requests_per_s if users is None else None
        defaults, intervals = _defaults(one, gpu.gpus_per_node), _intervals(problem, found.point)
        each = problem.hardware.gpus_per_node
        rows.append(TypeRow(gpu.name, found, gpu.tdp_watts, defaults, there, each, rate, intervals))
    return tuple(sorted(rows, key=_rank))


def _intervals(problem: Problem, point: Point | None) -> Mapping[str, tuple[float, float]]:
    """Where measurements of a point's latencies would fall."""
    if point is None or point.strategy is None or point.metrics is None or point.gpus is None:
        return {}
    here = problem.model_copy(update={"hardware": hardware_of(problem.hardware, point.gpus)})
    found = intervals_of(here, point.strategy, point.metrics)
    return found.ranges if found is not None else {}


def _own(stated: Stated) -> str:
    return catalog.gpu(str(stated.value("hardware.gpu"))).name


def _rank(row: TypeRow) -> tuple[bool, float, float]:
    if row.point is None or row.point.gpus_used is None:
        return True, 0.0, 0.0
    price = row.point.price_per_hour
    return False, float("inf") if price is None else price, row.point.gpus_used


def _defaults(stated: Stated, each: int) -> tuple[str, ...]:
    """What of a type's hardware nobody stated."""
    said = []
    if stated.value("hardware.gpus_per_node") is None:
        said.append(f"how many GPUs a node has (the catalog: {each})")
    if stated.value("hardware.internode_gbit_per_s") is None:
        said.append("the network between nodes (the catalog has the usual one)")
    return tuple(said)


LOADS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
"""Parts of the stated load at which ``over_loads`` asks again."""


@dataclass(frozen=True, slots=True)
class LoadPoint:
    """The least hardware of a type at a part of the load: price per hour, or GPUs where prices are not known; None: none is enough."""

    part: float
    gpus: int | None
    price_per_hour: float | None


def over_loads(
    stated: Stated,
    types: Sequence[str],
    gpus: str | Iterable[int] | None = None,
    *,
    prices: Mapping[str, float] | None = None,
    told: Callable[[str], None] = lambda gpu: None,
) -> dict[str, tuple[LoadPoint, ...]]:
    """What each type takes as the load grows: the same question at parts of the stated load.

    Args: as for ``compare``.

    Raises:
        ProblemError: as for ``compare``.
    """
    found: dict[str, list[LoadPoint]] = {}
    for part in LOADS:
        changes, words = at_load(stated, part)

        def here(gpu: str, words: str = words) -> None:
            told(f"{gpu} at {words}")

        for row in compare(stated.changed(changes), types, gpus, prices=prices, told=here):
            point = row.point
            used, price = (None, None) if point is None else (point.gpus_used, point.price_per_hour)
            found.setdefault(row.gpu, []).append(LoadPoint(part, used, price))
    return {gpu: tuple(points) for gpu, points in found.items()}


def at_load(stated: Stated, part: float) -> tuple[dict[str, object], str]:
    """The change that makes the load a part of the stated one, and the load in words."""
    work = stated.problem().workload
    if work.users is None:
        rate = float(f"{work.requests_per_s * part:.6g}")
        return {"workload.requests_per_s": rate}, f"{rate:g} requests/s"
    there = max(1, round(work.users.concurrent * part))
    field = "workload.concurrency" if stated.value("workload.concurrency") is not None else "workload.users.concurrent"
    return {field: there}, f"{there:,} users"


def cheapest(rows: Sequence[TypeRow]) -> TypeRow | None:
    """The row with the lowest price among those that meet everything; None where no price is known."""
    priced = [row for row in rows if row.point is not None and row.point.price_per_hour is not None]
    return (
        min(priced, key=lambda row: row.point.price_per_hour if row.point and row.point.price_per_hour else 0.0)
        if priced
        else None
    )
