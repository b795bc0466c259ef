"""The CP-SAT model of a day on an inventory: instances of every shape of every group in every hour, and their starts and stops.

Instances have places of their own all day (``homes``): one that stops leaves its GPUs unused, and none is moved. Every hour keeps
the rules of an inventory at its rate (``search.inventory.master``), with what has to be survived.

Other homes: ``verify/profile/cluster_check.py``, ``verify/profile/cluster_days.py``; docs/profile.md, section 7.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import Any

from optimizer.facts.cluster_day import ClusterDayProblem
from optimizer.facts.profile import HOUR_S, HOURS
from optimizer.search.common.scale import NS_PER_MS
from optimizer.search.common.solver import cp_model
from optimizer.search.inventory.candidates import Candidates, InstanceCandidate
from optimizer.search.inventory.counts import Item
from optimizer.search.inventory.exact_placing import NotSettledError, keep
from optimizer.search.inventory.master import Master, draw_at_most, fill_nodes, price_micro
from optimizer.search.inventory.placing import NodeBlock, blocks_of, domain_within_node, seat_width
from optimizer.search.profile.states import exact

EVERY_HOUR = tuple((hour, 1) for hour in range(HOURS))
"""Segments where plans may change within a run of hours with one rate."""
LARGEST_MS = 10**9
MOST_NODES = 24
"""With more, instances are placed after the counts are found."""
ItemKey = tuple[int, int]
"""(place, position) of a candidate."""


def priced(day: ClusterDayProblem) -> bool:
    """Whether a day is counted in money; else in GPU-seconds, every GPU alike."""
    return day.problem.priced


def gpu_rate(day: ClusterDayProblem, group: int) -> int:
    """What a second of a GPU of a group counts: millionths of its price per hour, or 1."""
    return price_micro(day.problem, group) if priced(day) else 1


@dataclass(frozen=True, slots=True)
class StartStop:
    """What a start and a stop of one instance take, in the unit of ``gpu_rate`` times seconds."""

    lead_s: int
    start: int
    stop: int
    serving: int
    """Of an hour in which it serves."""


def start_stop(day: ClusterDayProblem, groups: Sequence[int], candidate: InstanceCandidate) -> StartStop:
    """Of a candidate on these groups."""
    lead = math.ceil(candidate.restart_s - 1e-9)
    each = sum(gpu_rate(day, group) * part.gpus for group, part in zip(groups, candidate.parts, strict=True))
    price = Fraction(0)
    if day.schedule.start_price:
        price = exact(day.schedule.start_price) * 10**6 * HOUR_S
    return StartStop(lead, each * lead + math.ceil(price), math.ceil(each * exact(day.schedule.drain_s)), each * HOUR_S)


def left_out(day: ClusterDayProblem, candidates: Candidates) -> frozenset[ItemKey]:
    """Candidates that take longer than an hour to start, or that another beats which starts and stops no dearer."""
    found = set()
    for number, place in enumerate(candidates.places):
        kind = candidates.group_types[place.kind]
        taken = [start_stop(day, place.groups, candidate) for candidate in kind.candidates]
        for position, mine in enumerate(taken):
            winner, times = kind.dominated.get(position, (position, 1))
            dominated = winner != position and all(
                times * getattr(taken[winner], name) <= getattr(mine, name) for name in ("start", "stop", "serving")
            )
            if mine.lead_s > HOUR_S or (dominated and taken[winner].lead_s <= HOUR_S):
                found.add((number, position))
    return frozenset(found)


def no_cheaper(day: ClusterDayProblem, candidates: Candidates, without: frozenset[ItemKey]) -> frozenset[ItemKey]:
    """With those that no plan of the least cost needs: another on the same place carries as much, costs no more, and fits wherever it fits.

    How long requests take does not count for the cost.
    """
    found = set(without)
    for number, place in enumerate(candidates.places):
        kind = candidates.group_types[place.kind]
        kept: list[tuple[tuple[int, ...], int]] = []
        facts = []
        for position, one in enumerate(kind.candidates):
            if (number, position) not in without:
                takes = start_stop(day, place.groups, one)
                size = one.gpus, one.nodes, one.shape.tp, takes.serving, takes.start, takes.stop
                facts.append(((-one.capacity, *size), position))
        for mine, position in sorted(facts):
            if any(all(a <= b for a, b in zip(other, mine, strict=True)) for other, _ in kept):
                found.add((number, position))
            else:
                kept.append((mine, position))
    return frozenset(found)


def segments_of(day: ClusterDayProblem) -> tuple[tuple[int, int], ...]:
    """(first hour, hours) of runs of hours with one rate, over midnight too.

    A plan that changes within such a run is no cheaper than the same one with the cheapest of its hours in all of them: starts and stops
    on the way over it are no more. With so many changes an hour at most this bounds the cost from below.
    """
    starts = [hour for hour in range(HOURS) if day.rates[hour] != day.rates[hour - 1]] or [0]
    ends = [*starts[1:], starts[0] + HOURS]
    return tuple((start, end - start) for start, end in zip(starts, ends, strict=True))


class ClusterDayModel:
    """One model over all hours; ``cost`` is minimised first.

    Args:
        candidates: of the day, those widened that may matter.
        without: candidates to leave out.
        segments: (first hour, hours) of times in which nothing changes.
    """

    def __init__(
        self,
        day: ClusterDayProblem,
        candidates: Candidates,
        without: frozenset[ItemKey],
        segments: tuple[tuple[int, int], ...],
    ) -> None:
        self.day, self.model = day, cp_model.CpModel()
        self.problems = {rate: day.at(rate) for rate in day.distinct_rates}
        of_rate = {rate: candidates.again(problem) for rate, problem in self.problems.items()}
        off = day.problem.search.disabled_rules
        self.segments = segments
        self.rates = [day.rates[hour] for hour, _ in self.segments]
        self.masters = [
            Master(self.problems[rate], of_rate[rate], off, None, everything=True, without=without, model=self.model)
            for rate in self.rates
        ]
        self.items: list[Item] = self.masters[0].items
        self.takes = [start_stop(day, item.groups, item.candidate) for item in self.items]
        self.homes = [self.model.new_int_var(0, item.most, "") for item in self.items]
        self.blocks: list[list[tuple[tuple[NodeBlock, ...], Any, list[Any]]]] | None = None
        """Of every item: the nodes of an instance, instances that have their place there, and those that run in each hour."""
        self._places()
        self.cost: Any = 0
        self.changes: Any = 0
        self._moves()

    def _places(self) -> None:
        """Homes find room together, whether they run or not."""
        problem = self.day.problem
        for index, group in enumerate(problem.groups):
            here = [
                (part, seat_width(group, min(item.candidate.shape.tp, part.gpus_per_node)), home)
                for item, home in zip(self.items, self.homes, strict=True)
                for on, part in item.parts
                if on == index
            ]
            fill_nodes(self.model, group, here)
        for limit in problem.power_limits:
            if limit.rule not in problem.search.disabled_rules:
                for master in self.masters:
                    draw_at_most(self.model, problem, limit, [master])
        whole = all(domain_within_node(group) >= group.free_gpus for group in problem.groups)
        if whole and sum(group.nodes for group in problem.groups) <= MOST_NODES:
            self._on_nodes()
            return
        for number, home in enumerate(self.homes):
            for master in self.masters:
                self.model.add(master.items[number].count <= home)

    def _on_nodes(self) -> None:
        problem, model = self.day.problem, self.model
        taken: dict[tuple[int, int], list[tuple[int, Any]]] = {}
        load: list[dict[tuple[str, str], list[tuple[int, Any]]]] = [{} for _ in self.masters]
        self.blocks = []
        for number, item in enumerate(self.items):
            parts, mine = list(item.parts), []
            for blocks in product(*(blocks_of(problem, index, part.nodes) for index, part in parts)):
                home = model.new_int_var(0, item.most, "")
                runs = [model.new_int_var(0, item.most, "") for _ in self.masters]
                for run in runs:
                    model.add(run <= home)
                mine.append((blocks, home, runs))
                for block, (index, part) in zip(blocks, parts, strict=True):
                    for node in block.nodes:
                        taken.setdefault((index, node), []).append((part.gpus_per_node, home))
                        name = problem.groups[index].node_name(node)
                        for hour, run in enumerate(runs):
                            load[hour].setdefault(("node", name), []).append((item.candidate.capacity, run))
                if blocks[0].rack is not None:
                    for hour, run in enumerate(runs):
                        load[hour].setdefault(("rack", blocks[0].rack), []).append((item.candidate.capacity, run))
            model.add(sum(home for _, home, _ in mine) == self.homes[number])
            for hour, master in enumerate(self.masters):
                model.add(sum(runs[hour] for _, _, runs in mine) == master.items[number].count)
            self.blocks.append(mine)
        sums = {node: sum(gpus * home for gpus, home in held) for node, held in taken.items()}
        for (index, node), gpus in sums.items():
            model.add(gpus <= problem.groups[index].free_gpus)
            after = sums.get((index, node + 1))
            if after is not None and problem.groups[index].rack_of(node) == problem.groups[index].rack_of(node + 1):
                # Equal nodes of a rack in one order: which of them is which does not matter.
                model.add(gpus >= after)
        for hour, master in enumerate(self.masters):
            needed = math.ceil(master.demand * problem.demand_share - 1e-6)
            for losses in problem.survive:
                if losses.level not in ("node", "rack") or f"survive_{losses.level}" in problem.search.disabled_rules:
                    continue
                domains = [held for (level, _), held in load[hour].items() if level == losses.level]
                try:
                    keep(model, domains, losses.count, master.capacity - needed)
                except NotSettledError:
                    continue  # looked at after placing

    def _moves(self) -> None:
        """Starts and stops between segments, the last one before the first; at most so many."""
        most = self.day.schedule.most_changes_per_hour
        for hour, (_, hours) in enumerate(self.segments):
            moved = []
            for number, (item, takes) in enumerate(zip(self.items, self.takes, strict=True)):
                self.cost += hours * takes.serving * self.masters[hour].items[number].count
                for now, before in self._runs(number, hour):
                    started, stopped = (self.model.new_int_var(0, item.most, "") for _ in range(2))
                    self.model.add(started - stopped == now - before)
                    self.cost += takes.start * started + takes.stop * stopped
                    moved += [started, stopped]
            self.changes += sum(moved)
            if most is not None and self.segments == EVERY_HOUR:
                self.model.add(sum(moved) <= most)

    def _runs(self, number: int, hour: int) -> list[tuple[Any, Any]]:
        """(instances in an hour, in the one before) of an item, node by node where nodes are told apart."""
        if self.blocks is None:
            return [(self.masters[at].items[number].count for at in (hour, hour - 1))]  # type: ignore[list-item]
        return [(runs[hour], runs[hour - 1]) for _, _, runs in self.blocks[number]]

    def time(self) -> Any:
        """Bound of the time of all requests of the day: ms of requests over 3,600, in thousandths of a request/s."""
        total: Any = 0
        for (_, hours), rate, master in zip(self.segments, self.rates, self.masters, strict=True):
            value = self.model.new_int_var(-LARGEST_MS, LARGEST_MS, "")
            self.model.add(NS_PER_MS * value >= master.theta + master.gpus_ns())
            total += hours * math.ceil(rate * 1000) * value
        return total
