"""Every shape that an instance may have on each group, with its rates in 64-bit floats: what the enumeration chooses from.

Floats only select; what seems to beat an answer is computed again in exact arithmetic.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from optimizer.answer import Fixed
from optimizer.facts.inventory import FleetProblem, NodeGroup
from optimizer.facts.problem import Problem
from optimizer.verify.candidate import planned
from optimizer.verify.corrections import twin_times
from optimizer.verify.fleet.instance import Instance, Instances, likeness, nodes_needed
from optimizer.verify.fleet.pools import ON_THEIR_OWN, availability_of
from optimizer.verify.fleet.site import Site
from optimizer.verify.groups import Row, Shape
from optimizer.verify.load import chain_length
from optimizer.verify.rules import budget_bytes, row_findings
from optimizer.verify.space import rows
from optimizer.verify.twin_load import loads
from optimizer.verify.twin_times import Floats, Ints, ShapeTimes

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Offer:
    """A shape on a group. Rates are millionths of a request/s of one instance."""

    group: int
    instance: Instance
    nodes: int
    slots: int
    capacity: int
    slots_capacity: int
    completes: float
    """d · X(n), requests/s."""
    availability: float

    @property
    def gpus(self) -> int:
        """S."""
        return self.instance.gpus

    @property
    def kind(self) -> tuple[int, Shape]:
        """Equal for offers of one family: groups that are alike share their instances."""
        return id(self.instance), self.instance.shape


def shapes_on(fleet: FleetProblem, group: NodeGroup, fixed: Fixed) -> Iterator[tuple[Shape, int]]:
    """(shape, nodes of an instance) for every shape of the space searched that has a place on the group."""
    problem = fleet.instance_problem(group, 1)
    most = group.nodes_together * group.free_gpus
    seen: set[Shape] = set()
    ranks = range(1, (most if fleet.model.experts and fleet.search.expert_parallel == "any" else 1) + 1)
    for d in ranks:
        one = replace(fixed, data_parallel=d, max_num_seqs=None)
        for row in rows(problem, one):
            shape = row.shape
            nodes = nodes_needed(group, shape) if shape.group.ranks == d else None
            if nodes is not None and shape not in seen:
                seen.add(shape)
                yield shape, nodes


def legal(problem: Problem, shape: Shape, off: tuple[str, ...]) -> bool:
    """The rules that neither load nor slots decide."""
    findings = row_findings(problem, Row(shape, shape.group.ranks))
    return all(rule.holds or rule.id in ON_THEIR_OWN or rule.id in off for rule in findings)


def offers_of(site: Site, instances: Instances, fixed: Fixed = Fixed()) -> list[list[Offer]]:
    """For each group its offers; shapes that can carry nothing within the limits are left out."""
    fleet, known = site.fleet, dict[Hashable, list[Offer]]()
    found: list[list[Offer]] = []
    for number, group in enumerate(fleet.groups):
        like = likeness(group), group.nodes_together
        if like not in known:
            known[like] = list(_offers(fleet, instances, group, fixed))
        found.append(
            [
                replace(
                    offer,
                    group=number,
                    availability=float(availability_of(fleet, site, group, offer.instance, offer.nodes)),
                )
                for offer in known[like]
            ]
        )
    return found


def _offers(fleet: FleetProblem, instances: Instances, group: NodeGroup, fixed: Fixed) -> Iterator[Offer]:
    by_nodes: dict[int, list[Instance]] = {}
    off = fleet.search.disabled_rules
    for shape, nodes in shapes_on(fleet, group, fixed):
        problem = instances.problem(group, nodes)
        if legal(problem, shape, off):
            by_nodes.setdefault(nodes, []).append(instances.of(group, shape))
    for nodes, members in by_nodes.items():
        yield from _rated(members, nodes)


def _rated(members: list[Instance], nodes: int) -> Iterator[Offer]:
    """Slots and rates of instances that share a homogeneous problem."""
    problem, length = members[0].problem, chain_length(members[0].problem)
    held = [(one, _memory_slots(one)) for one in members]
    held = [(one, slots) for one, slots in held if slots >= 1]
    if not held:
        return
    members = [one for one, _ in held]
    times = twin_times(problem, [one.shape for one in members], members[0].stages, length)
    slots = np.array([slots for _, slots in held])
    wanted = problem.requirements
    if wanted.tpot_p99_ms is not None and not members[0].off("tpot_full_batch"):
        slots = np.minimum(slots, (times.tpot <= float(planned(wanted, wanted.tpot_p99_ms))).sum(axis=1))
    least = 1 if members[0].off("min_batch") else wanted.min_batch
    ranks = np.array([one.ranks for one in members])
    completed = np.maximum.accumulate(np.arange(1, length + 1) * 1000 / times.residence[:, :length], axis=1)
    lines = np.arange(len(members))
    completes = completed[lines, np.maximum(1, slots) - 1] * ranks
    capacity = _largest(members, times, slots, completes, limits=True)
    most = _largest(members, times, slots, completes, limits=False)
    for i, one in enumerate(members):
        if slots[i] >= max(1, least) and capacity[i] > 0:
            yield Offer(0, one, nodes, int(slots[i]), int(capacity[i]), int(most[i]), float(completes[i]), 1.0)


def _memory_slots(one: Instance) -> int:
    """Sequences that memory and max_batch allow."""
    most = max(512, 2 * one.problem.requirements.max_batch)
    if not one.off("max_batch"):
        most = one.problem.requirements.max_batch
    if one.off("memory"):
        return most
    budget = budget_bytes(one.problem)
    for stage in set(one.facts.stages):
        left, each = budget - stage.memory_bytes(0), stage.memory_bytes(1) - stage.memory_bytes(0)
        most = min(most, left // each if each else (most if left >= 0 else 0))
    return max(0, most)


def _largest(members: list[Instance], times: ShapeTimes, slots: Ints, completes: Floats, *, limits: bool) -> Ints:
    """c(τ) or k(τ) in millionths, by bisection of all shapes at once."""
    first, problem = members[0], members[0].problem
    length = chain_length(problem)
    ranks = np.array([one.ranks for one in members])
    lines = np.arange(len(members))
    low = np.zeros(len(members), dtype=np.int64)
    high = np.ceil(MILLION * 1000 * ranks * length / times.residence[:, length - 1]).astype(np.int64) + 1

    def holds(rate: Ints) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        with np.errstate(divide="ignore", invalid="ignore"):
            seen = loads(problem, times, lines, rate / MILLION / ranks, length)
        good = ~seen.overloaded
        if not first.off("concurrency"):
            good &= seen.n99 <= slots
        if limits:
            if not first.off("request_rate"):
                good &= rate <= completes * MILLION
            for limit in problem.requirements.latency_limits:
                rule = f"{limit.metric}_p{limit.percentile}"
                if not first.off(rule):
                    good &= seen.latency[rule] <= float(planned(problem.requirements, limit.limit_ms))
        return good

    while (high - low > 1).any():
        middle = np.maximum(1, (low + high) // 2)
        good = holds(middle)
        low, high = np.where(good, middle, low), np.where(good, high, middle)
        low = np.minimum(low, high - 1)
    return low
