"""The CP-SAT model over counts: instances of each candidate on each group, nodes filled in each way, losses survived.

Identical nodes are one integer, so the model does not grow with the number of GPUs. The objective variable stands above
every cut (``docs/inventories.md``, section 6). Losses at a level are bounded from below here; what a placement really loses
is looked at after, and a plan that fails there is excluded by itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from optimizer.costs.power import group_mw, limit_mw
from optimizer.facts.inventory import InventoryProblem, NodeGroup, PowerLimit
from optimizer.search.common.scale import NS_PER_MS
from optimizer.search.common.solver import cp_model
from optimizer.search.inventory.by_class import ByClass
from optimizer.search.inventory.candidate import StagePart
from optimizer.search.inventory.candidates import MICRO, Candidates
from optimizer.search.inventory.counts import Item, Terms
from optimizer.search.inventory.down_counts import all_up, availability, down_counts_of, inner_availability
from optimizer.search.inventory.lost_capacity import survive
from optimizer.search.inventory.patterns import patterns
from optimizer.search.inventory.placing import domain_within_node, seat_width
from optimizer.search.inventory.plan import Entry, Plan
from optimizer.search.inventory.spare import Spare
from optimizer.search.inventory.valuation import SHARES
from optimizer.search.uniform.quantities import ObjectiveWeights

LARGEST_NS = 4 * 10**15
LARGEST_SUM = 10**15


class Master:
    """The model of one problem; ``theta`` is the objective in ns, without the GPUs' share.

    Args:
        replicas: of all instances together, where a person fixed them.
        everything: take candidates that others beat too, as far as the kinds were widened.
        without: (place, position) of candidates to leave out.
        model: add to this model, whose nodes others fill too: whoever gives it fills them (``fill_nodes``).
    """

    def __init__(
        self,
        problem: InventoryProblem,
        candidates: Candidates,
        off: Sequence[str],
        replicas: int | None,
        *,
        everything: bool,
        without: frozenset[tuple[int, int]] = frozenset(),
        model: Any = None,
    ) -> None:
        self.problem, self.candidates, self.everything, self.without = problem, candidates, everything, without
        self.weights = ObjectiveWeights.of(problem.objective)
        self.model = cp_model.CpModel() if model is None else model
        self.items: list[Item] = []
        self._edges: dict[tuple[int, int], tuple[Any, Any]] = {}
        self._families: dict[tuple[int, int], Any] = {}
        self.spare = Spare(self)
        self._by_class: ByClass | None = None
        self.all_up, self.down_counts = all_up(problem), down_counts_of(problem)
        for place in range(len(candidates.places)):
            self._items_of(place)
        if model is None:
            for index, group in enumerate(problem.groups):
                fill_nodes(self.model, group, self.parts_on(index))
        # Bounds may be below nothing: only then does what is lost by a shape stay lost.
        self.theta = self.model.new_int_var(-LARGEST_NS, LARGEST_NS, "objective")
        self.gpus = sum(item.candidate.gpus * item.count for item in self.items)
        self.price = sum(
            price_micro(problem, group) * part.gpus * item.count for item in self.items for group, part in item.parts
        )
        self.capacity = sum(item.candidate.capacity * item.count for item in self.items)
        self.peak = sum(item.candidate.peak * item.count for item in self.items)
        # A demand beyond all that could stand there is as impossible as any larger one, which CP-SAT's 64 bits may not hold.
        most = sum(item.candidate.capacity * item.most for item in self.items)
        self.demand = min(math.ceil(problem.workload.requests_per_s * MICRO), most + 1)
        self.model.add(self.capacity >= self.demand)
        self.model.add(sum(item.count for item in self.items) >= 1)
        for limit in problem.power_limits:
            if limit.rule not in off:
                draw_at_most(self.model, problem, limit, [self])
        if replicas is not None:
            self.model.add(sum(item.candidate.shape.engine_ranks * item.count for item in self.items) == replicas)
        for losses in problem.survive:
            if f"survive_{losses.level}" not in off:
                survive(self, losses.level, losses.count)

    def _items_of(self, place: int) -> None:
        """Counts of the candidates on a place, where its groups have so many nodes together."""
        groups = self.candidates.places[place].groups
        there = [self.problem.groups[index] for index in groups]
        kind = self.candidates.group_types[self.candidates.places[place].kind]
        for position in range(len(kind.candidates)) if self.everything else kind.kept:
            if (place, position) in self.without:
                continue
            candidate = kind.candidates[position]
            parts = list(zip(there, candidate.parts, strict=True))
            if any(part.nodes > group.nodes_together for group, part in parts):
                continue
            most = min(group.nodes * (group.free_gpus // part.gpus_per_node) // part.nodes for group, part in parts)
            count = self.model.new_int_var(0, most, "")
            always = availability(self.problem, groups, candidate)
            up = self.down_counts.up(groups, inner_availability(self.problem, groups, candidate), always)
            self.items.append(Item(place, groups, position, candidate, count, most, always, up))

    def parts_on(self, index: int) -> list[tuple[StagePart, int, Any]]:
        """(part, GPUs of one NVLink domain that a TP group of it needs, count) of what may stand on a group."""
        group = self.problem.groups[index]
        return [
            (part, seat_width(group, min(item.candidate.shape.tp, part.gpus_per_node)), item.count)
            for item in self.items
            for on, part in item.parts
            if on == index
        ]

    def total(self, expression: Any) -> Any:
        """A variable equal to a sum that is not negative."""
        variable = self.model.new_int_var(0, LARGEST_SUM, "")
        self.model.add(variable == expression)
        return variable

    def at_least(self, number: int, value: int) -> Any:
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

    def terms(
        self,
        gammas_ms: tuple[float, float],
        bounds: tuple[Sequence[float], Sequence[float]],
        fastest_ms: Sequence[float],
    ) -> Terms:
        """What every item counts in the bound of section 6 for a multiplier.

        Args:
            gammas_ms: γ while everything is up, and in any other state: no larger.
            bounds: Γ of every item at either, requests/s · ms.
            fastest_ms: T of every item next to no load.
        """
        demand, w = self.problem.workload.requests_per_s, self.weights
        worth = w.latency * NS_PER_MS / demand * (1 + 1e-12)
        (gamma_ms, rest_ms), (whole, down) = gammas_ms, bounds
        # Without a price on what is not served no state may shed.
        apart = w.unserved > 0 and rest_ms < gamma_ms
        mean_ms = rest_ms + self.all_up * (gamma_ms - rest_ms) if apart else gamma_ms

        def in_states(item: Item, gain: float, gain_down: float) -> int:
            if w.unserved == 0:
                return math.ceil(worth * gain)
            if not apart:
                return math.ceil(worth * item.availability * gain)
            others = max(0.0, item.availability - self.all_up)
            return math.ceil(worth * (self.all_up * gain + others * gain_down))

        earned = tuple(in_states(*one) for one in zip(self.items, whole, down, strict=True))
        # Classes of states have no multiplier of their own while everything is up.
        classes = range(len(self.down_counts.probabilities)) if self.down_counts.worthwhile and not apart else ()
        by_class = tuple(
            tuple(math.ceil(worth * item.up[number] * gain) for item, gain in zip(self.items, whole, strict=True))
            for number in classes
        )
        # A family in use takes a thousandth of the load even where it is too slow to earn any.
        extra = [
            max(0, math.floor(w.latency * self.all_up * (fastest - gamma_ms) / SHARES * NS_PER_MS)) if gain == 0 else 0
            for gain, fastest in zip(whole, fastest_ms, strict=True)
        ]
        return Terms(gamma_ms, rest_ms if apart else gamma_ms, mean_ms, earned, tuple(extra), by_class)

    def cut(self, terms: Terms) -> None:
        """The objective is at least the bound."""
        w = self.weights
        least = math.floor(w.latency * terms.mean_ms * NS_PER_MS)
        least -= sum(k * item.count for k, item in zip(terms.earned_ns, self.items, strict=True))
        extra = {
            (self.candidates.places[item.place].kind, item.position): more
            for item, more in zip(self.items, terms.extra_ns, strict=True)
            if more
        }
        slow = sum(more * self._family(family) for family, more in extra.items())
        worth_ms = w.unserved * w.penalty_ms - w.latency * terms.rest_ms
        shed = self.spare.terms(worth_ms, [1 - item.availability for item in self.items])
        self.model.add(self.theta >= least + slow + sum(more * literal for literal, more in shed))
        if terms.by_class_ns:
            if self._by_class is None:
                self._by_class = ByClass(self, self.down_counts, LARGEST_SUM)
            self._by_class.cut(terms, slow)

    def serve(self, availability: float) -> None:
        """No plan that surely serves less of the requests: none whose instances cannot be spared and are down too often."""
        for literal, unavailable in self.spare.levels([1 - item.availability for item in self.items]):
            if unavailable > 1 - availability:
                self.model.add(literal == 0)

    def _family(self, family: tuple[int, int]) -> Any:
        """A literal that is true whenever an instance of the family is there."""
        if family not in self._families:
            used = self.model.new_bool_var("")
            for number, item in enumerate(self.items):
                if (self.candidates.places[item.place].kind, item.position) == family:
                    self.model.add_implication(self.at_least(number, 1), used)
            self._families[family] = used
        return self._families[family]

    @property
    def gpu_ns(self) -> int:
        """What one GPU in use counts as, ns."""
        return math.floor(self.weights.gpu_ms * NS_PER_MS)

    def gpus_ns(self) -> Any:
        """What the GPUs in use count as, ns."""
        return self.gpu_ns * self.gpus

    def at_least_for(self, plan: Plan, exact_ns: int | None) -> None:
        """The plan's own objective (GPUs' share left out) is at least this; None: the plan is not allowed."""
        other = self.different(plan)
        if exact_ns is None:
            self.model.add_bool_or(other)
            return
        worth = self.model.new_bool_var("")
        self.model.add(self.theta >= exact_ns).only_enforce_if(worth)
        self.model.add_bool_or([*other, worth])

    def different(self, plan: Plan) -> list[Any]:
        """Literals of which one at least is true of every other plan."""
        wanted = {(entry.place, entry.candidate): entry.count for entry in plan.entries}
        other = []
        for number, item in enumerate(self.items):
            value = wanted.get((item.place, item.position), 0)
            if value > 0:
                other.append(self._edge(number, value)[1])
            if value < item.most:
                other.append(self._edge(number, value + 1)[0])
        return other

    def plan(self, solver: Any) -> Plan:
        """The plan of a solution."""
        counts = [(item.place, item.position, int(solver.value(item.count))) for item in self.items]
        return Plan(tuple(Entry(place, position, count) for place, position, count in counts if count))

    def hint(self, plan: Plan) -> None:
        """Start from a plan."""
        wanted = {(entry.place, entry.candidate): entry.count for entry in plan.entries}
        self.model.clear_hints()
        for item in self.items:
            self.model.add_hint(item.count, wanted.get((item.place, item.position), 0))


def draw_at_most(model: Any, problem: InventoryProblem, limit: PowerLimit, masters: Sequence[Master]) -> None:
    """What groups draw together, with the GPUs that any of the models uses at their board power."""
    room = limit_mw(limit.watts)
    more: dict[int, int] = {}
    for number, group in enumerate(problem.groups):
        if group.name in limit.groups:
            always, more[number] = group_mw(group)
            room -= always
    drawn = [
        more[on] * part.gpus * item.count
        for one in masters
        for item in one.items
        for on, part in item.parts
        if on in more
    ]
    model.add(sum(drawn) <= room)


def fill_nodes(model: Any, group: NodeGroup, here: Sequence[tuple[StagePart, int, Any]]) -> None:
    """How the nodes of a group are filled with parts of instances: (part, width, count) of everything that may stand there."""
    domain = domain_within_node(group)
    if domain >= group.free_gpus:
        # Any GPUs of the node will do: only sizes matter.
        here = [(part, 1, count) for part, _, count in here]
    parts = sorted({(part.gpus_per_node, width) for part, width, _ in here})
    ways = patterns(parts, group.free_gpus, domain) if parts else []
    filled = [model.new_int_var(0, group.nodes, "") for _ in ways]
    model.add(sum(filled) <= group.nodes)
    for number, size in enumerate(parts):
        offered = [(way[number], variable) for way, variable in zip(ways, filled, strict=True) if way[number]]
        used = sum(part.nodes * count for part, width, count in here if (part.gpus_per_node, width) == size)
        model.add(used <= sum(times * variable for times, variable in offered))
    _within_racks(model, group, here)


def _within_racks(model: Any, group: NodeGroup, here: Sequence[tuple[StagePart, int, Any]]) -> None:
    """Instances over several nodes stand within one rack, or NVLink domain, and none shares its nodes with another if both take more
    than half of them: of seven nodes of eight GPUs a rack, no two over four.

    In a room of C nodes n of them count as ⌈(k + 1) · n / C⌉ − 1, so that what stands there counts less than k + 1. A rack has some
    such rooms and perhaps a smaller one.
    """
    together = group.nodes_together
    if together == group.nodes:
        return
    full, rest = divmod(group.nodes_per_rack, together)
    racks = group.nodes // group.nodes_per_rack
    wide = [(part.nodes, count) for part, _, count in here if 2 * part.gpus_per_node > group.free_gpus]
    sizes = sorted({nodes for nodes, _ in wide})
    for k in sorted({together // nodes for nodes in sizes if nodes > 1}):
        counted = {nodes: -(-(k + 1) * nodes // together) - 1 for nodes in sizes}
        room = racks * (full * _most_in(together, counted) + _most_in(rest, counted))
        model.add(sum(counted[nodes] * count for nodes, count in wide if counted[nodes]) <= room)
        if rest:
            # What is wider than the smaller room is in none of these.
            wider = [(nodes, count) for nodes, count in wide if nodes > rest]
            most = racks * full * _most_in(together, {nodes: counted[nodes] for nodes, _ in wider})
            model.add(sum(counted[nodes] * count for nodes, count in wider) <= most)


def _most_in(room: int, counted: Mapping[int, int]) -> int:
    """The most that instances over so many nodes each count together in a room of nodes."""
    most = [0] * (room + 1)
    for held in range(1, room + 1):
        most[held] = max([most[held - 1], *(most[held - n] + value for n, value in counted.items() if n <= held)])
    return most[room]


def price_micro(problem: InventoryProblem, group: int) -> int:
    """Price of one GPU of a group per hour in millionths, rounded up; 0 where none is stated."""
    return math.ceil((problem.groups[group].price_per_gpu_hour or 0.0) * MICRO - 1e-6)
