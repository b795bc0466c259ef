"""Placements as lanes of blocks: each lane carries a constant rate through groups of nodes, one group after the other.

For given rates of the lanes, the columns are blocks of each group at each rate; an integer program chooses how often
each is used, so that every lane has all layers, no type runs out, and where a lane crosses from one group to another its
last block there and its first block here have enough pairs of nodes for the links between them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from optimizer.search.chain.blocks import Block, PricedNetworks, uniform_blocks
from optimizer.search.chain.groups import Groups
from optimizer.search.chain.instance import Instance
from optimizer.search.chain.lp import Packing
from optimizer.search.solver import cp_model

LEVELS = 160
MOST_ROUNDS = 40
MOST_CROSSINGS = 250
WIDEST = 10
EFFORT = 6.0
"""CP-SAT's deterministic seconds for one choice of blocks."""

Lane = list[tuple[int, Block]]
"""Blocks in series with the group that each one stands in."""


@dataclass(slots=True)
class _Choice:
    """A block that may be used some number of times by a lane in a group."""

    lane: int
    group: int
    block: Block
    times: Any


@dataclass(slots=True)
class _Crossing:
    """A block that stands first or last in a lane's stay in a group. ``needs``: nodes wanted on the other side."""

    block: Block
    chosen: Any
    rates: tuple[int, ...]


def find_lanes(
    instance: Instance, groups: Groups, rates: tuple[int, ...], expired: Callable[[], bool]
) -> list[Lane] | None:
    """Lanes with these rates, or None when no choice of the blocks at hand makes them."""
    blocks: dict[tuple[int, int], list[Block]] = {}
    for group in range(len(groups.members)):
        for rate in sorted(set(rates)):
            if expired():
                return None
            blocks[group, rate] = _blocks(instance, groups.counts[group], rate)
    if not any(blocks.values()):
        return None
    return _Program(instance, groups, rates, blocks).solve()


def _blocks(instance: Instance, counts: tuple[int, ...], rate: int) -> list[Block]:
    """Uniform blocks, and networks generated until their prices offer no better one (column generation)."""
    kinds = len(instance.rate)
    kept = set(uniform_blocks(instance, counts, rate))
    limits = [limit for limit in (instance.max_stages, instance.max_us) if limit is not None]
    program = Packing([*map(float, counts), *map(float, limits)])
    networks = PricedNetworks(instance, counts, rate, LEVELS)

    def add(block: Block) -> None:
        stages, micros = block.longest(instance)
        tolls = [
            float(toll)
            for toll, limit in ((stages, instance.max_stages), (micros, instance.max_us))
            if limit is not None
        ]
        program.add(float(block.length), [*map(float, block.use(kinds)), *tolls])

    for block in sorted(kept, key=_key):
        add(block)
    prices = [1.0] * (kinds + len(limits)) if not kept else program.solve()[1]
    for _ in range(MOST_ROUNDS):
        toll = _tolls(instance, prices[kinds:])
        node_price = {
            (kind, layers): prices[kind] + toll(kind, layers) + 1e-7
            for kind in range(kinds)
            for layers in range(1, len(instance.rate[kind]) + 1)
        }
        fresh = [
            block for block, cost in networks.price(node_price) if cost < block.length - 1e-6 and block not in kept
        ]
        if not fresh:
            break
        for block in fresh:
            kept.add(block)
            add(block)
        prices = program.solve()[1]
    return _shortest_use(kept, counts)


def _tolls(instance: Instance, prices: list[float]) -> Callable[[int, int], float]:
    """The price of a node's stage and time, where they are limited."""
    left = list(prices)
    stage = left.pop(0) if instance.max_stages is not None else 0.0
    micro = left.pop(0) if instance.max_us is not None else 0.0
    return lambda kind, layers: stage + micro * instance.stage_us[kind][layers - 1]


def _key(block: Block) -> tuple[Any, ...]:
    return (block.length, [(part.offset, part.layers, part.kind) for part in block.parts])


def _shortest_use(blocks: set[Block], counts: tuple[int, ...]) -> list[Block]:
    """For each use of nodes that the group has, the longest block; in a fixed order."""
    longest: dict[tuple[int, ...], Block] = {}
    for block in sorted(blocks, key=_key):
        use = block.use(len(counts))
        if all(used <= most for used, most in zip(use, counts, strict=True)):
            longest[use] = block
    return list(longest.values())


class _Program:
    """The integer program over blocks."""

    def __init__(
        self,
        instance: Instance,
        groups: Groups,
        rates: tuple[int, ...],
        blocks: dict[tuple[int, int], list[Block]],
    ) -> None:
        self.instance, self.groups, self.rates = instance, groups, rates
        self.model = cp_model.CpModel()
        self.choices: list[_Choice] = []
        self.arcs: list[list[tuple[int, int, Any]]] = []
        self.first: dict[tuple[int, int], list[_Crossing]] = {}
        self.last: dict[tuple[int, int], list[_Crossing]] = {}
        size = len(groups.members)
        for lane, rate in enumerate(rates):
            visits = [self.model.new_bool_var(f"visit{lane}_{group}") for group in range(size)]
            for group in range(size):
                self._stay(lane, group, visits[group], blocks[group, rate])
            self._path(lane, visits)
            mine = [choice for choice in self.choices if choice.lane == lane]
            self.model.add(sum(choice.block.length * choice.times for choice in mine) >= instance.layers)
            self._limits(mine)
        for group in range(size):
            uses = [(c, c.block.use(len(instance.rate))) for c in self.choices if c.group == group]
            for kind, most in enumerate(groups.counts[group]):
                self.model.add(sum(use[kind] * choice.times for choice, use in uses if use[kind]) <= most)

    def _stay(self, lane: int, group: int, visit: Any, blocks: list[Block]) -> None:
        counts = self.groups.counts[group]
        for number, block in enumerate(blocks):
            most = min(count // used for count, used in zip(counts, block.use(len(counts)), strict=True) if used)
            times = self.model.new_int_var(0, most, f"times{lane}_{group}_{number}")
            self.model.add(times == 0).only_enforce_if(visit.negated())
            self.choices.append(_Choice(lane, group, block, times))
        for where, side in (("first", self.first), ("last", self.last)):
            side[lane, group] = []
            for number, block in enumerate(self._crossing_blocks(group, self.rates[lane], where)):
                chosen = self.model.new_bool_var(f"{where}{lane}_{group}_{number}")
                self.choices.append(_Choice(lane, group, block, chosen))
                carries = tuple(self.instance.rate[part.kind][part.layers - 1] for part in block.parts)
                side[lane, group].append(_Crossing(block, chosen, carries))
            self.model.add(sum(crossing.chosen for crossing in side[lane, group]) <= visit)

    def _narrow(self, group: int, rate: int, where: str) -> list[int]:
        """Capacities per pair at this side of the group that are below the rate."""
        others = [other for other in range(len(self.groups.members)) if other != group]
        outside = self.groups.source[group] if where == "first" else self.groups.sink[group]
        pairs = [self.groups.pair[o][group] if where == "first" else self.groups.pair[group][o] for o in others]
        return sorted({capacity for capacity in (*pairs, outside) if 0 < capacity < rate})

    def _crossing_blocks(self, group: int, rate: int, where: str) -> list[Block]:
        found: dict[Block, None] = {}
        for capacity in self._narrow(group, rate, where):
            for width in range(1, min(WIDEST, -(-rate // capacity)) + 1):
                for block in uniform_blocks(self.instance, self.groups.counts[group], rate, width * capacity):
                    found[block] = None
        counts = self.groups.counts[group]
        fitting = [b for b in found if all(u <= c for u, c in zip(b.use(len(counts)), counts, strict=True))]
        return sorted(fitting, key=lambda block: (self._waste(block, rate), _key(block)))[:MOST_CROSSINGS]

    def _waste(self, block: Block, rate: int) -> int:
        best = [max((n + 1) * min(rate, most) for n, most in enumerate(table)) for table in self.instance.rate]
        return sum(best[part.kind] for part in block.parts) - block.length * rate

    def _path(self, lane: int, visits: list[Any]) -> None:
        """The lane's way: a path through the groups it visits, from and to the coordinator."""
        size, rate = len(visits), self.rates[lane]
        arcs: list[tuple[int, int, Any]] = []
        for a in range(size):
            arcs.append((a, a, visits[a].negated()))
            for ends, capacity, blocks in (
                ((size, a), self.groups.source[a], self.first[lane, a]),
                ((a, size), self.groups.sink[a], self.last[lane, a]),
            ):
                taken = self.model.new_bool_var(f"arc{lane}_{ends}")
                arcs.append((*ends, taken))
                if capacity < rate:
                    wide = [c.chosen for c in blocks if sum(min(capacity, most) for most in c.rates) >= rate]
                    self.model.add(sum(wide) == 1).only_enforce_if(taken)
            for b in range(size):
                if a != b and self.groups.pair[a][b] > 0:
                    taken = self.model.new_bool_var(f"arc{lane}_{a}_{b}")
                    arcs.append((a, b, taken))
                    self._cross(lane, a, b, taken)
        self.model.add_circuit(arcs)
        self.arcs.append(arcs)

    def _cross(self, lane: int, a: int, b: int, taken: Any) -> None:
        """Enough pairs between the last block in a and the first in b."""
        capacity, rate = self.groups.pair[a][b], self.rates[lane]
        if capacity >= rate:
            return
        sides = (self.last[lane, a], self.first[lane, b])
        needs = [[(_partners(c.rates, capacity, rate), len(c.rates), c.chosen) for c in side] for side in sides]
        for here, there in ((0, 1), (1, 0)):
            usable = [(need, width, chosen) for need, width, chosen in needs[here] if need is not None]
            self.model.add(sum(chosen for _, _, chosen in usable) == 1).only_enforce_if(taken)
            widths = sum(width * chosen for _, width, chosen in needs[there])
            self.model.add(sum(need * chosen for need, _, chosen in usable) <= widths).only_enforce_if(taken)

    def _limits(self, mine: list[_Choice]) -> None:
        instance = self.instance
        longest = [choice.block.longest(instance) for choice in mine]
        if instance.max_stages is not None:
            used = sum(stages * choice.times for choice, (stages, _) in zip(mine, longest, strict=True))
            self.model.add(used <= instance.max_stages)
        if instance.max_us is not None:
            spent = sum(micros * choice.times for choice, (_, micros) in zip(mine, longest, strict=True))
            worst = max(instance.source_us) + max(instance.sink_us)
            inside = max((us for row in instance.link_us for us in row), default=0)
            hops = sum(choice.block.longest(instance)[0] * choice.times for choice in mine)
            self.model.add(spent + inside * (hops - 1) + worst <= instance.max_us)

    def solve(self) -> list[Lane] | None:
        """The lanes of one solution, or None."""
        solver = cp_model.CpSolver()
        solver.parameters.num_workers = 1
        solver.parameters.random_seed = 1
        solver.parameters.max_deterministic_time = EFFORT
        if solver.solve(self.model) not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            return None
        return [self._lane(solver, lane) for lane in range(len(self.rates))]

    def _lane(self, solver: Any, lane: int) -> Lane:
        size = len(self.groups.members)
        after = {a: b for a, b, taken in self.arcs[lane] if a != b and solver.boolean_value(taken)}
        way: Lane = []
        group = after.get(size, size)
        while group != size:
            first = [c.block for c in self.first[lane, group] if solver.boolean_value(c.chosen)]
            last = [c.block for c in self.last[lane, group] if solver.boolean_value(c.chosen)]
            crossing = {id(c.chosen) for c in (*self.first[lane, group], *self.last[lane, group])}
            inner = [
                choice.block
                for choice in self.choices
                if (choice.lane, choice.group) == (lane, group) and id(choice.times) not in crossing
                for _ in range(solver.value(choice.times))
            ]
            way += [(group, block) for block in (*first, *inner, *last)]
            group = after[group]
        return way


def _partners(rates: tuple[int, ...], capacity: int, rate: int) -> int | None:
    """Nodes needed on the other side so that these nodes can pass the rate at this capacity per pair."""
    for partners in range(1, WIDEST + 1):
        if sum(min(partners * capacity, most) for most in rates) >= rate:
            return partners
    return None
