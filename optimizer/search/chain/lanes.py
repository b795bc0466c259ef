"""Placements as one lane of blocks through groups of nodes, chosen by an integer program for a given total.

The lane stays in one group, crosses to the next, and so on. In a stay every layer is carried by blocks of the whole
total (``solo``). Where it crosses, both groups may share a run of layers (``tail`` of the one, ``head`` of the other),
each carrying its part; the links between them then carry one part where the run begins and the other where it ends. Blocks
on both sides of a crossing must have enough pairs of nodes for the capacity per pair.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from optimizer.search.chain.blocks import LayerBlock, uniform_blocks
from optimizer.search.chain.columns import Columns, block_key
from optimizer.search.chain.groups import Groups
from optimizer.search.common.solver import cp_model, new_solver, solve_stoppable

MOST_CROSSINGS = 80
WIDEST = 10
EFFORT = 3.0
"""CP-SAT's deterministic seconds for one choice of blocks."""

Lane = list[tuple[int, int, LayerBlock]]
"""Blocks with their group and first layer."""


@dataclass(slots=True)
class _Choice:
    """A block and how often it is used in a stay."""

    block: LayerBlock
    times: Any


@dataclass(slots=True)
class _Stay:
    """Blocks of one rate in one group: ``first`` and ``last`` stand at crossings, ``inner`` anywhere between."""

    rate: int
    inner: list[_Choice]
    first: list[_Choice]
    last: list[_Choice]

    def choices(self) -> Iterator[_Choice]:
        yield from self.first
        yield from self.inner
        yield from self.last

    def length(self) -> Any:
        """Layers of the stay."""
        return sum(choice.block.length * choice.times for choice in self.choices())


def find_lane(columns: Columns, groups: Groups, total: int, share: float = 0.0, seconds: float = 3600.0) -> Lane | None:
    """A lane that carries a total, or None when no choice of the blocks at hand makes one.

    Args:
        columns: the source of blocks.
        groups: the nodes.
        total: thousandths of a token per second.
        share: what the group left carries of the total where two groups share layers; 0: they never do.
        seconds: wall-clock limit; the search for one lane is limited in deterministic time as well.
    """
    return _Program(columns, groups, total, share).solve(seconds)


class _Program:
    """The integer program."""

    def __init__(self, columns: Columns, groups: Groups, total: int, share: float) -> None:
        self.instance, self.groups, self.total = columns.instance, groups, total
        self.columns = columns
        tail = int(total * share)
        # Of a total of a thousandth there is nothing to share.
        self.shared = 0 < tail < total and not self.instance.limited
        self.rates = {"solo": total, "tail": tail, "head": total - tail}
        self.model = cp_model.CpModel()
        self.stays: dict[tuple[int, str], _Stay] = {}
        size = range(len(groups.members))
        self.visits = [self.model.new_bool_var(f"visit{group}") for group in size]
        self.kinds = ("solo", "head", "tail") if self.shared else ("solo",)
        for group in size:
            for kind in self.kinds:
                self.stays[group, kind] = self._stay(group, kind)
            self._stock(group)
        self.arcs: list[tuple[int, int, Any]] = []
        self._path()
        runs = [stay.length() for (_, kind), stay in self.stays.items() if kind != "head"]
        self.model.add(sum(runs) >= self.instance.layers)
        # Any lane will do; the objective only points the search at long ones.
        self.model.maximize(sum(runs))
        if self.instance.limited:
            self._limits()

    def _stay(self, group: int, kind: str) -> _Stay:
        counts, rate, visit = self.groups.counts[group], self.rates[kind], self.visits[group]
        inner = []
        for number, block in enumerate(self.columns.blocks(counts, rate)):
            most = min(count // used for count, used in zip(counts, block.use(len(counts)), strict=True) if used)
            times = self.model.new_int_var(0, most, f"{kind}{group}_{number}")
            self.model.add(times == 0).only_enforce_if(visit.negated())
            inner.append(_Choice(block, times))
        ends = []
        for where in ("first", "last"):
            chosen = [
                _Choice(block, self.model.new_bool_var(f"{kind}{where}{group}_{number}"))
                for number, block in enumerate(self._crossing_blocks(group, rate, where))
            ]
            self.model.add(sum(choice.times for choice in chosen) <= visit)
            ends.append(chosen)
        return _Stay(rate, inner, *ends)

    def _stock(self, group: int) -> None:
        counts = self.groups.counts[group]
        uses = [
            (choice.times, choice.block.use(len(counts)))
            for kind in self.kinds
            for choice in self.stays[group, kind].choices()
        ]
        for kind, most in enumerate(counts):
            self.model.add(sum(use[kind] * times for times, use in uses if use[kind]) <= most)

    def _crossing_blocks(self, group: int, rate: int, where: str) -> list[LayerBlock]:
        """Uniform blocks wide enough for links that cannot carry the rate between one pair; the least wasteful ones."""
        pair, counts = self.groups.pair, self.groups.counts[group]
        others = [other for other in range(len(pair)) if other != group]
        near = [pair[other][group] if where == "first" else pair[group][other] for other in others]
        near.append(self.groups.source[group] if where == "first" else self.groups.sink[group])
        found: dict[LayerBlock, None] = {}
        for capacity in sorted({amount for amount in near if 0 < amount < rate}):
            for width in range(1, min(WIDEST, -(-rate // capacity)) + 1):
                for block in uniform_blocks(self.instance, counts, rate, width * capacity):
                    if all(used <= most for used, most in zip(block.use(len(counts)), counts, strict=True)):
                        found[block] = None
        return sorted(found, key=lambda block: (self._waste(block, rate), block_key(block)))[:MOST_CROSSINGS]

    def _waste(self, block: LayerBlock, rate: int) -> int:
        best = [max((n + 1) * min(rate, most) for n, most in enumerate(table)) for table in self.instance.rate]
        return sum(best[part.kind] for part in block.parts) - block.length * rate

    def _path(self) -> None:
        """The lane's way: a path through the groups it visits, from and to the coordinator."""
        size = len(self.visits)
        solo = [self.stays[group, "solo"] for group in range(size)]
        into: dict[int, list[Any]] = {group: [] for group in range(size)}
        out: dict[int, list[Any]] = {group: [] for group in range(size)}
        for a in range(size):
            self.arcs.append((a, a, self.visits[a].negated()))
            for ends, capacity, side in (
                ((size, a), self.groups.source[a], solo[a].first),
                ((a, size), self.groups.sink[a], solo[a].last),
            ):
                taken = self.model.new_bool_var(f"arc{ends}")
                self.arcs.append((*ends, taken))
                if capacity < self.total:
                    wide = [c.times for c in side if self._passes(c.block, capacity) >= self.total]
                    self.model.add(sum(wide) == 1).only_enforce_if(taken)
            for b in range(size):
                if a != b and self.groups.pair[a][b] > 0:
                    taken = self.model.new_bool_var(f"arc{a}_{b}")
                    self.arcs.append((a, b, taken))
                    share = self._cross(a, b, taken)
                    into[b].append(share)
                    out[a].append(share)
        self.model.add_circuit(self.arcs)
        if self.shared:
            for group in range(size):
                for kind, sharing in (("head", into), ("tail", out)):
                    self.model.add(self.stays[group, kind].length() <= self.instance.layers * sum(sharing[group]))

    def _cross(self, a: int, b: int, taken: Any) -> Any:
        """The conditions of crossing from a to b; a literal that says whether the two share layers."""
        solo_a, solo_b = self.stays[a, "solo"], self.stays[b, "solo"]
        if not self.shared:
            self._join(a, b, solo_a.last, solo_b.first, self.total, [taken])
            return 0
        share = self.model.new_bool_var(f"share{a}_{b}")
        self.model.add_implication(share, taken)
        self._join(a, b, solo_a.last, solo_b.first, self.total, [taken, share.negated()])
        tail, head = self.stays[a, "tail"], self.stays[b, "head"]
        self._join(a, b, solo_a.last, head.first, self.rates["head"], [share])
        self._join(a, b, tail.last, solo_b.first, self.rates["tail"], [share])
        self.model.add(tail.length() == head.length()).only_enforce_if(share)
        return share

    def _join(self, a: int, b: int, last: list[_Choice], first: list[_Choice], amount: int, when: list[Any]) -> None:
        """Enough pairs between the last block in a and the first in b to pass an amount."""
        capacity = self.groups.pair[a][b]
        if capacity >= amount:
            return
        sides = [
            [(self._partners(c.block, capacity, amount), len(c.block.parts), c.times) for c in side]
            for side in (last, first)
        ]
        for here, there in (sides, sides[::-1]):
            usable = [(need, chosen) for need, _, chosen in here if need is not None]
            self.model.add(sum(chosen for _, chosen in usable) == 1).only_enforce_if(when)
            width = sum(width * chosen for _, width, chosen in there)
            self.model.add(sum(need * chosen for need, chosen in usable) <= width).only_enforce_if(when)

    def _partners(self, block: LayerBlock, capacity: int, amount: int) -> int | None:
        """Nodes needed on the other side so that this block can pass an amount at this capacity per pair."""
        for partners in range(1, WIDEST + 1):
            if self._passes(block, partners * capacity) >= amount:
                return partners
        return None

    def _passes(self, block: LayerBlock, ceiling: int) -> int:
        return sum(min(ceiling, self.instance.rate[part.kind][part.layers - 1]) for part in block.parts)

    def _limits(self) -> None:
        instance = self.instance
        mine = [choice for stay in self.stays.values() for choice in stay.choices()]
        longest = [choice.block.longest(instance) for choice in mine]
        hops = sum(stages * choice.times for choice, (stages, _) in zip(mine, longest, strict=True))
        if instance.max_stages is not None:
            self.model.add(hops <= instance.max_stages)
        if instance.max_us is not None:
            spent = sum(micros * choice.times for choice, (_, micros) in zip(mine, longest, strict=True))
            outside = max(instance.source_us) + max(instance.sink_us)
            inside = max(us for row in instance.link_us for us in row)
            self.model.add(spent + inside * (hops - 1) + outside <= instance.max_us)

    def solve(self, seconds: float) -> Lane | None:
        """The lane of one solution, or None."""
        solver = new_solver(seed=1)
        solver.parameters.stop_after_first_solution = True
        solver.parameters.max_deterministic_time = EFFORT
        solver.parameters.max_time_in_seconds = max(0.01, seconds)
        status, interrupted = solve_stoppable(solver, self.model)
        if interrupted:
            raise KeyboardInterrupt
        if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            return None
        after = {a: b for a, b, taken in self.arcs if a != b and solver.boolean_value(taken)}
        size = len(self.visits)
        lane: Lane = []
        group, at = after.get(size, size), 0
        while group != size:
            placed: dict[str, list[LayerBlock]] = {kind: self._used(solver, group, kind) for kind in self.kinds}
            start = at - sum(block.length for block in placed.get("head", []))
            for kind in ("head", "solo", "tail"):
                for block in placed.get(kind, []):
                    lane.append((group, start, block))
                    start += block.length
            at, group = start, after[group]
        return lane

    def _used(self, solver: Any, group: int, kind: str) -> list[LayerBlock]:
        return [
            choice.block for choice in self.stays[group, kind].choices() for _ in range(int(solver.value(choice.times)))
        ]
