"""The CP-SAT model over counts: instances of each offer on each group, nodes filled in each way, losses survived.

Identical nodes are one integer, so the model does not grow with the number of GPUs. The objective variable stands above
every cut (``docs/inventories.md``, section 6). Losses at a level are bounded from below here; what a placement really loses
is looked at after, and a plan that fails there is excluded by itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from optimizer.facts.inventory import FleetProblem
from optimizer.search.fleet.offers import MICRO, Offer, Offers
from optimizer.search.fleet.patterns import patterns
from optimizer.search.fleet.placing import domain_within_node
from optimizer.search.fleet.plan import Entry, Plan
from optimizer.search.fleet.valuation import SHARES
from optimizer.search.quantities import Weights
from optimizer.search.scale import NS_PER_MS
from optimizer.search.solver import cp_model

LARGEST_NS = 4 * 10**15
MOST_PAIRED = 64
"""Losses of two parts are bounded over pairs of so many groups and racks; those beyond are looked at after placing."""


@dataclass(frozen=True, slots=True)
class Item:
    """An offer on a group, its count variable and its availability A."""

    group: int
    position: int
    offer: Offer
    count: Any
    most: int
    availability: float


class Master:
    """The model of one problem; ``theta`` is the objective in ns, without the GPUs' share."""

    def __init__(self, problem: FleetProblem, offers: Offers, off: Sequence[str], replicas: int | None = None) -> None:
        self.problem, self.offers = problem, offers
        self.weights = Weights.of(problem.objective)
        self.model = cp_model.CpModel()
        self.items: list[Item] = []
        self._edges: dict[tuple[int, int], tuple[Any, Any]] = {}
        self._families: dict[tuple[int, int], Any] = {}
        self._tight: list[tuple[Any, float]] | None = None
        self.all_up = _all_up(problem)
        for index in range(len(problem.groups)):
            self._stock(index)
        self.theta = self.model.new_int_var(0, LARGEST_NS, "objective")
        self.gpus = sum(item.offer.gpus * item.count for item in self.items)
        self.price = sum(price_micro(problem, item.group) * item.offer.gpus * item.count for item in self.items)
        self.capacity = sum(item.offer.capacity * item.count for item in self.items)
        self.peak = sum(item.offer.peak * item.count for item in self.items)
        self.demand = math.ceil(problem.workload.requests_per_s * MICRO)
        self.model.add(self.capacity >= self.demand)
        self.model.add(sum(item.count for item in self.items) >= 1)
        if replicas is not None:
            self.model.add(sum(item.offer.shape.engine_ranks * item.count for item in self.items) == replicas)
        for losses in problem.survive:
            if f"survive_{losses.level}" not in off:
                self._survive(losses.level, losses.count)

    def _stock(self, index: int) -> None:
        """Counts of the offers on a group, and how its nodes are filled."""
        group = self.problem.groups[index]
        offered_here = enumerate(self.offers.of_group(index))
        offers = [(position, offer) for position, offer in offered_here if offer.nodes <= group.nodes_together]
        parts = sorted({(offer.gpus_per_node, min(offer.shape.tp, offer.gpus_per_node)) for _, offer in offers})
        domain = domain_within_node(group)
        if domain >= group.free_gpus:
            # Any GPUs of the node will do: only sizes matter.
            parts = sorted({(gpus, 1) for gpus, _ in parts})
        ways = patterns(parts, group.free_gpus, domain) if parts else []
        filled = [self.model.new_int_var(0, group.nodes, "") for _ in ways]
        self.model.add(sum(filled) <= group.nodes)
        used: dict[tuple[int, int], Any] = dict.fromkeys(parts, 0)
        for position, offer in offers:
            key = (offer.gpus_per_node, min(offer.shape.tp, offer.gpus_per_node))
            key = key if key in used else (offer.gpus_per_node, 1)
            most = group.nodes * (group.free_gpus // offer.gpus_per_node) // offer.nodes
            count = self.model.new_int_var(0, most, "")
            used[key] = used[key] + offer.nodes * count
            up = _availability(self.problem, index, offer)
            self.items.append(Item(index, position, offer, count, most, up))
        for number, part in enumerate(parts):
            offered = [(way[number], variable) for way, variable in zip(ways, filled, strict=True) if way[number]]
            self.model.add(used[part] <= sum(times * variable for times, variable in offered))

    def _survive(self, level: str, count: int) -> None:
        """The capacity left after the losses carries its share of the demand; the losses are at least what any placement loses."""
        model = self.model
        needed = math.ceil(self.demand * self.problem.demand_share - 1e-6)
        lost = model.new_int_var(0, 10**15, f"lost {level}")
        model.add(self.capacity - lost >= needed)
        if level == "gpu":
            self._lost_instances(lost, count, restarts=self.problem.within_s is not None)
            return
        groups = self.problem.groups
        if level in ("node", "rack"):
            racked = [bool(group.rack or group.racks) for group in groups]
            self._lost_instances(lost, 1, touched=racked if level == "rack" else None)
            self._lost_equal(lost, level, count)
            return
        names = {group.name: index for index, group in enumerate(groups)}
        domains = self.problem.wide_domains(level).values()
        self._lost_sums(lost, [tuple(names[name] for name in members) for members in domains], count)

    def _lost_instances(
        self, lost: Any, count: int, *, restarts: bool = False, touched: Sequence[bool] | None = None
    ) -> None:
        """Losses take at least the largest instances there are that cannot start again, on groups that the level touches."""
        for number, item in enumerate(self.items):
            if touched is not None and not touched[item.group]:
                continue
            present = self._at_least(number, 1)
            if restarts and item.offer.restart_s <= (self.problem.within_s or 0.0):
                safe = self._spared(item)
                if safe is not None:
                    self.model.add(lost >= item.offer.capacity).only_enforce_if([present, ~safe])
                    continue
            self.model.add(lost >= item.offer.capacity).only_enforce_if(present)
            if count == 2:
                if item.most >= 2 and not restarts:
                    self.model.add(lost >= 2 * item.offer.capacity).only_enforce_if(self._at_least(number, 2))
                for other in range(0 if restarts else number):
                    both = [present, self._at_least(other, 1)]
                    total = item.offer.capacity + self.items[other].offer.capacity
                    self.model.add(lost >= total).only_enforce_if(both)

    def _spared(self, item: Item) -> Any:
        """A literal that needs an unused GPU in every node the item stands on; None where no node has one to spare."""
        group = self.problem.groups[item.group]
        most = (group.free_gpus - 1) // item.offer.gpus_per_node
        if most == 0:
            return None
        used = sum(other.offer.gpus * other.count for other in self.items if other.group == item.group)
        safe = self.model.new_bool_var("")
        unused = group.gpus - used
        self.model.add(unused * most >= item.offer.nodes * item.count).only_enforce_if(safe)
        return safe

    def _lost_equal(self, lost: Any, level: str, count: int) -> None:
        """Nodes, or racks: the worst part of each group holds at least the average, and of each offer the average rounded up."""
        worst: list[Any] = []
        labelled: dict[str, list[int]] = {}
        for index, group in enumerate(self.problem.groups):
            if level == "rack" and group.rack is not None:
                labelled.setdefault(group.rack, []).append(index)
                continue
            parts = group.nodes if level == "node" else group.racks
            here = [item for item in self.items if item.group == index]
            if not parts or not here:
                continue
            # An instance over several nodes is lost whole with each of them, which only adds to the average.
            total = sum(item.offer.capacity * item.count for item in here)
            one = self.model.new_int_var(0, 10**15, "")
            self.model.add(one * parts >= total)
            for item in here:
                if item.most > parts:
                    each = self.model.new_int_var(0, -(-item.most // parts), "")
                    self.model.add(each * parts >= item.count)
                    self.model.add(one >= item.offer.capacity * each)
            self.model.add(lost >= one)
            if count == 2:
                self.model.add(lost * parts >= min(count, parts) * total)
            worst.append(one)
        sums = [
            sum(item.offer.capacity * item.count for item in self.items if item.group in members)
            for members in labelled.values()
        ]
        for total in sums:
            self.model.add(lost >= total)
        if count == 2:
            worst = [*worst, *sums][:MOST_PAIRED]
            for number, one in enumerate(worst):
                for other in worst[:number]:
                    self.model.add(lost >= one + other)

    def _lost_sums(self, lost: Any, domains: list[tuple[int, ...]], count: int) -> None:
        """Domains that hold whole groups lose exactly what stands there."""
        sums = [
            sum(item.offer.capacity * item.count for item in self.items if item.group in members) for members in domains
        ]
        for number, total in enumerate(sums):
            self.model.add(lost >= total)
            if count == 2:
                for other in range(number):
                    shared = set(domains[number]) & set(domains[other])
                    twice = sum(item.offer.capacity * item.count for item in self.items if item.group in shared)
                    self.model.add(lost >= total + sums[other] - twice)

    def _at_least(self, number: int, value: int) -> Any:
        """A literal that is true whenever the item's count is at least the value."""
        return self._edge(number, value)[0]

    def _edge(self, number: int, value: int) -> tuple[Any, Any]:
        """(count ≥ value, count < value), each implied by and implying its meaning."""
        key = (number, value)
        if key not in self._edges:
            count = self.items[number].count
            above = self.model.new_bool_var("")
            self.model.add(count >= value).only_enforce_if(above)
            self.model.add(count < value).only_enforce_if(~above)
            self._edges[key] = (above, ~above)
        return self._edges[key]

    def cut(self, gamma_ms: float, bounds: Sequence[float], fastest_ms: Sequence[float]) -> None:
        """The objective is at least the bound of section 6 for this γ.

        Args:
            bounds: Γ of every item, requests/s · ms.
            fastest_ms: T of every item next to no load.
        """
        demand, w = self.problem.workload.requests_per_s, self.weights
        total = math.floor(w.latency * gamma_ms * NS_PER_MS)
        terms = [
            math.ceil(
                w.latency * NS_PER_MS * (1.0 if w.unserved == 0 else item.availability) * gain / demand * (1 + 1e-12)
            )
            for item, gain in zip(self.items, bounds, strict=True)
        ]
        least = total - sum(k * item.count for k, item in zip(terms, self.items, strict=True))
        # A family in use takes a thousandth of the load even where it is too slow to earn any.
        extra = {
            (self.offers.kind_of_group[item.group], item.position): math.floor(
                w.latency * self.all_up * (fastest - gamma_ms) / SHARES * NS_PER_MS
            )
            for item, gain, fastest in zip(self.items, bounds, fastest_ms, strict=True)
            if gain == 0 and fastest > gamma_ms
        }
        slow = [(self._family(family), more) for family, more in extra.items() if more > 0]
        shed = self._shed_terms(w.unserved * w.penalty_ms - w.latency * gamma_ms)
        self.model.add(self.theta >= least + sum(more * literal for literal, more in [*slow, *shed]))

    def _shed_terms(self, worth_ms: float) -> list[tuple[Any, int]]:
        """What is lost when no single instance can be spared: then every state with one down sheds at least its share.

        The shares add up to one, so the least unavailability of an instance in use is lost at least.

        Args:
            worth_ms: what a request not served costs beyond the bound without this term.
        """
        if self.weights.unserved == 0 or worth_ms <= 0:
            return []
        if self._tight is None:
            self._tight = self._tightness()
        found, before = [], 0.0
        for literal, unavailable in self._tight:
            found.append((literal, math.floor(worth_ms * NS_PER_MS * (unavailable - before))))
            before = unavailable
        return found

    def _tightness(self) -> list[tuple[Any, float]]:
        """(literal, u): no instance can be spared, and every one in use is down at least u of the time; u rises."""
        slots = sum(item.offer.slots_capacity * item.count for item in self.items)
        spared = []
        for number, item in enumerate(self.items):
            one = self.model.new_bool_var("")
            self.model.add_implication(one, self._at_least(number, 1))
            self.model.add(slots >= self.demand + item.offer.slots_capacity).only_enforce_if(one)
            spared.append(one)
        tight = self.model.new_bool_var("")
        self.model.add_bool_or([tight, *spared])
        found: list[tuple[Any, float]] = []
        for unavailable in sorted({1 - item.availability for item in self.items}):
            better = [
                self._at_least(number, 1)
                for number, item in enumerate(self.items)
                if 1 - item.availability < unavailable
            ]
            if not better:
                found.append((tight, unavailable))
                continue
            literal = self.model.new_bool_var("")
            self.model.add_bool_or([literal, ~tight, *better])
            found.append((literal, unavailable))
        return found

    def _family(self, family: tuple[int, int]) -> Any:
        """A literal that is true whenever an instance of the family is there."""
        if family not in self._families:
            used = self.model.new_bool_var("")
            for number, item in enumerate(self.items):
                if (self.offers.kind_of_group[item.group], item.position) == family:
                    self.model.add_implication(self._at_least(number, 1), used)
            self._families[family] = used
        return self._families[family]

    def gpus_ns(self) -> Any:
        """What the GPUs in use count as, ns."""
        return math.floor(self.weights.gpu_ms * NS_PER_MS) * self.gpus

    def at_least_for(self, plan: Plan, exact_ns: int | None) -> None:
        """The plan's own objective (GPUs' share left out) is at least this; None: the plan is not allowed."""
        wanted = {(entry.group, entry.offer): entry.count for entry in plan.entries}
        other = []
        for number, item in enumerate(self.items):
            value = wanted.get((item.group, item.position), 0)
            if value > 0:
                other.append(self._edge(number, value)[1])
            if value < item.most:
                other.append(self._edge(number, value + 1)[0])
        if exact_ns is None:
            self.model.add_bool_or(other)
            return
        worth = self.model.new_bool_var("")
        self.model.add(self.theta >= exact_ns).only_enforce_if(worth)
        self.model.add_bool_or([*other, worth])

    def plan(self, solver: Any) -> Plan:
        """The plan of a solution."""
        counts = [(item.group, item.position, int(solver.value(item.count))) for item in self.items]
        return Plan(tuple(Entry(group, position, count) for group, position, count in counts if count))

    def hint(self, plan: Plan) -> None:
        """Start from a plan."""
        wanted = {(entry.group, entry.offer): entry.count for entry in plan.entries}
        self.model.clear_hints()
        for item in self.items:
            self.model.add_hint(item.count, wanted.get((item.group, item.position), 0))


def price_micro(problem: FleetProblem, group: int) -> int:
    """Price of one GPU of a group per hour in millionths, rounded up; 0 where none is stated."""
    return math.ceil((problem.groups[group].price_per_gpu_hour or 0.0) * MICRO - 1e-6)


def _all_up(problem: FleetProblem) -> float:
    """The probability that every part of the inventory is up: no more than that of the parts in use."""
    failures = problem.failures
    up = 1.0
    for level in problem.levels():
        if level == "gpu":
            parts = problem.gpus
        elif level == "node":
            parts = sum(group.nodes for group in problem.groups)
        elif level == "rack":
            parts = sum(group.racks for group in problem.groups)
            parts += len({group.rack for group in problem.groups if group.rack is not None})
        else:
            parts = len(problem.wide_domains(level))
        up *= (1 - failures.unavailability(level)) ** parts
    return up


def _availability(problem: FleetProblem, index: int, offer: Offer) -> float:
    """A(τ) on a group: every part the instance touches is up."""
    failures, group = problem.failures, problem.groups[index]
    up = (1 - failures.unavailability("gpu")) ** offer.gpus * (1 - failures.unavailability("node")) ** offer.nodes
    if group.rack or group.racks:
        up *= 1 - failures.unavailability("rack")
    for level in problem.levels():
        if level not in ("gpu", "node", "rack"):
            touched = sum(group.name in members for members in problem.wide_domains(level).values())
            up *= (1 - failures.unavailability(level)) ** touched
    return up
