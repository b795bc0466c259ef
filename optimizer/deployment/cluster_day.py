"""A day on an inventory as a service: every instance of the day at its place, and the parts that change by the hour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from optimizer.deployment.chosen import Chosen, inventory_may_lose, on_hosts, routers_of, served_by
from optimizer.deployment.day import workloads
from optimizer.deployment.day_parts import DayPart
from optimizer.deployment.kubernetes import groups_of
from optimizer.deployment.service import Service
from optimizer.facts.cluster_day import ClusterDayProblem
from optimizer.facts.problem import Problem
from optimizer.facts.profile import HOURS
from optimizer.results.answer import Strategy
from optimizer.results.cluster_day import ClusterDayAnswer, HoursOfDay
from optimizer.results.inventory import Pool, instance_label, stage_problems
from optimizer.results.placement import PlacedInstance, Placement


@dataclass(frozen=True, slots=True)
class DayPool:
    """Equal instances of a day on one group."""

    pool: Pool
    """As an hour in which it runs has it."""
    homes: tuple[int, ...]
    """Positions of its instances in the answer's ``homes``."""
    share: float
    """Part of what all instances of the day carry that one of these carries."""
    max_sequence_tokens: int
    """The longest sequence that is served in every hour, tokens."""
    placed: tuple[PlacedInstance, ...]
    """Its instances at their places."""

    @property
    def label(self) -> str:
        """Such as ``TP1·PP1 on h100``."""
        return f"{instance_label(self.pool.strategy)} on {self.pool.where}"

    @property
    def strategy(self) -> Strategy:
        """Of all its instances."""
        (replicas,) = {one.replicas for one in self.placed}
        return replace(self.pool.strategy, data_parallel=replicas * len(self.placed))


def pools_of_day(answer: ClusterDayAnswer) -> list[DayPool]:
    """The instances of a day, equal ones of a group together, with the routers' weights: what each carries within every limit.

    By such weights none is sent more than it carries whichever of them run, as long as what runs carries the load.
    """
    found: dict[object, list[tuple[int, PlacedInstance, Pool]]] = {}
    longest: dict[object, int] = {}
    for number, home in enumerate(answer.homes):
        for hour in answer.hours:
            if home.name not in hour.running or hour.answer.placement is None:
                continue
            placed = next(
                one for one in hour.answer.placement.instances if tuple(place.name for place in one.gpus) == home.gpus
            )
            pool = hour.answer.pools[placed.pool]
            key = pool.where, replace(pool.strategy, data_parallel=placed.replicas)
            held = found.setdefault(key, [])
            if not any(known == number for known, _, _ in held):
                held.append((number, placed, pool))
            tokens = pool.metrics.max_sequence_tokens
            longest[key] = min(tokens, longest.get(key, tokens))
    every = sum(pool.capacity for held in found.values() for _, _, pool in held)
    return [
        DayPool(held[0][2], tuple(n for n, _, _ in held), held[0][2].capacity / every, longest[key], tuple(p for _, p, _ in held))
        for key, held in found.items()
    ]  # fmt: skip


def chosen_of_cluster_day(day: ClusterDayProblem, answer: ClusterDayAnswer, pools: list[DayPool]) -> Chosen:
    """Every instance of the day, each pool with the problem that it is started by."""
    instances: list[PlacedInstance] = []
    for number, pool in enumerate(pools):
        strategy = pool.strategy
        for placed in pool.placed:
            named = f"replica-{len(instances)}"
            instances.append(replace(placed, name=named, pool=number, strategy=strategy, share=pool.share))
    placement = Placement(tuple(instances))
    # Evictions may come at any hour, and the same budget holds in all of them.
    may_lose = min(inventory_may_lose(day.at(one.requests_per_s), one.answer) for one in answer.hours)
    problems = []
    for pool in pools:
        metrics = replace(pool.pool.metrics, max_sequence_tokens=pool.max_sequence_tokens)
        problems.append(tuple(served_by(one, metrics) for one in stage_problems(day.problem, pool.pool)))
    return Chosen(
        day.name,
        answer.label,
        tuple(problems),
        on_hosts(day.problem, placement),
        may_lose,
        "proved cheapest by the hour" if answer.status == "optimal" else "keeps every rule by the hour",
        (),
        routers_of(day.problem, placement),
    )


def alone(day: ClusterDayProblem, pool: DayPool, requests_per_s: float) -> Problem:
    """The homogeneous problem of one instance that is sent so many requests/s."""
    problem = stage_problems(day.problem, pool.pool)[0]
    return problem.model_copy(
        update={"workload": problem.workload.model_copy(update={"requests_per_s": requests_per_s})}
    )


def add_each_at(pool: DayPool, pools: list[DayPool], answer: ClusterDayAnswer, growth_per_s2: float) -> float:
    """Requests/s of one instance at which a further one has to be started: the least of all hours in which the pool runs.

    In each of them: what all that run keep every rule up to, less what the load grows by until a new one serves, by the part that one gets.
    0 where that leaves nothing.
    """
    start_s = answer.homes[pool.homes[0]].start_s
    found = []
    for hour in answer.hours:
        running = [(one, _running(one, hour, answer)) for one in pools]
        if any(one is pool and count for one, count in running):
            part = pool.share / sum(one.share * count for one, count in running)
            found.append(max(0.0, hour.within - growth_per_s2 * start_s) * part)
    return min(found)


def parts_of_day(
    service: Service,
    answer: ClusterDayAnswer,
    pools: list[DayPool],
    add_at_per_s: Mapping[int, float],
    request_mean_ms: Mapping[int, float | None],
) -> list[DayPart]:
    """One for each workload of the service.

    Args:
        add_at_per_s: of the pools by their number, as ``add_each_at`` has it.
        request_mean_ms: expected at that rate.
    """
    homes = [home for pool in pools for home in pool.homes]
    found = []
    for (name, kind), engines in zip(workloads(service).items(), groups_of(service), strict=True):
        mine = {homes[service.engines.index(engine)] for engine in engines}
        counts = [0] * HOURS
        for hour in answer.hours:
            running = sum(answer.homes[home].name in hour.running for home in mine)
            for at in range(hour.first, hour.first + hour.hours):
                counts[at % HOURS] = running
        number = engines[0].instance.pool
        start_s = max(answer.homes[home].start_s for home in mine)
        label = pools[number].label
        found.append(DayPart(name, kind, label, tuple(counts), start_s, add_at_per_s[number], request_mean_ms[number]))
    return found


def thresholds_of_cluster_day(service: Service, answer: ClusterDayAnswer, pools: list[DayPool]) -> list[str]:
    """Up to which rate what runs keeps every rule, and what Kubernetes decides itself, in Markdown."""
    lines = ["| from | rate of the plan, requests/s | every rule holds to, requests/s |", "|---|---|---|"]
    lines += [f"| {one.first:02d}:00 | {one.requests_per_s:.4g} | {one.within:g} |" for one in answer.hours]
    lines += [
        "",
        "The rates at which a further instance is started hold for what runs in the plan's hours. Routers send each instance the part of",
        "the load that it carries of what runs; the plan's own parts differ a little, its limits do not.",
        "Which instance of a workload goes is Kubernetes' choice: of nodes with several it takes one from those with the most.",
    ]
    groups: dict[str, list[str]] = {}
    for engine in service.engines:
        where = groups.setdefault(service.gpu(engine).name, [])
        if pools[engine.instance.pool].pool.where not in where:
            where.append(pools[engine.instance.pool].pool.where)
    alike = next((names for names in groups.values() if len(names) > 1), None)
    if alike and not service.options.hosts:
        lines.append(
            f"Groups {' and '.join(alike)} have the same GPU, and pods of one may come to nodes of the other: --hosts keeps them apart."
        )
    return lines


def _running(pool: DayPool, hour: HoursOfDay, answer: ClusterDayAnswer) -> int:
    """Instances of a pool that serve in these hours."""
    return sum(answer.homes[home].name in hour.running for home in pool.homes)
