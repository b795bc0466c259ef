"""Pools on an inventory: each part on its group, the links between, what may be lost. ``docs/disaggregated.md``, section 13.

Callers work inside ``arithmetic.sixty_digits``.

Other home: ``search/pools/options.py``, ``search/pools/losses.py``; docs/disaggregated.md, section 13.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import combinations, combinations_with_replacement, product

from optimizer.facts.inventory import InventoryProblem
from optimizer.facts.problem import Problem
from optimizer.results.cluster_pools import GroupPool
from optimizer.verify.common.arithmetic import ceil_ratio, decimal, exact
from optimizer.verify.pools.pair import Shapes
from optimizer.verify.pools.pool import AnyPool, taken_by
from optimizer.verify.pools.shape import Hop

SHARES = 10
"""Equal parts that the requests are dealt in."""


class PoolsSite:
    """The groups of an inventory, each as a problem of its own."""

    def __init__(self, problem: InventoryProblem) -> None:
        self.problem = problem
        self.names = [group.name for group in problem.groups]
        self.problems: list[Problem] = [problem.instance_problem(group, group.nodes) for group in problem.groups]
        self.shapes = [Shapes(one) for one in self.problems]
        self._slowest = max(exact(group.internode_latency_us) for group in problem.groups)

    def hop(self, group: int, crossing: bool) -> Hop:
        """What a GPU of a group has for the cache: its own group's link, or its part of the node's network."""
        if not crossing:
            return self.shapes[group].wire
        facts = self.problem.groups[group]
        node = exact(facts.internode_gbit_per_s) * 125_000
        return Hop("network", node / facts.free_gpus, decimal(self._slowest / 1000))

    def down_wide(self, group: int) -> Decimal:
        """Shares of the time that the rack, the zone and the stated domains of a node are down, added up."""
        facts, failures = self.problem.groups[group], self.problem.failures
        stands = [("rack", bool(facts.rack or facts.racks)), ("zone", facts.zone is not None)]
        levels = [level for level, yes in stands if yes]
        levels += [one.level for one in self.problem.domains if facts.name in one.groups]
        repair, total = exact(failures.repair_hours.value), Fraction(0)
        for level in levels:
            rate = failures.mtbf(level)
            if rate is not None:
                total += repair / (exact(rate.value) + repair)
        return decimal(total)

    def index(self, part: GroupPool) -> int | None:
        """Group of a part; None: there is none of this name."""
        return self.names.index(part.group) if part.group in self.names else None

    def in_racks(self, group: int, instances: int, nodes: int, gpus: int, lost: int) -> int:
        """Instances that the fullest racks hold, dealt by hand: instances to nodes in turn, nodes to racks in turn."""
        facts = self.problem.groups[group]
        racks = max(1, facts.racks)
        held = [0] * racks
        for instance in range(instances):
            held[(instance if gpus > facts.free_gpus else instance % nodes) % racks] += 1
        return sum(sorted(held, reverse=True)[:lost])

    def rack_nodes(self, group: int, instances: int, nodes: int, gpus: int) -> int:
        """Nodes of the fullest rack, or NVLink domain over nodes, that a pool takes where instances take whole nodes."""
        facts = self.problem.groups[group]
        blocks = max(1, facts.nodes // facts.nodes_together)
        if gpus > facts.free_gpus:
            return ceil_ratio(instances, blocks) * (gpus // facts.free_gpus)
        return ceil_ratio(nodes, blocks)

    def taken(self, group: int, pool: AnyPool, level: str, lost: int) -> int:
        """Instances of a part that so many lost GPUs, nodes or racks of its group take at most."""
        if level == "rack":
            return self.in_racks(group, pool.count, pool.nodes, pool.shape.gpus, lost)
        return taken_by(pool, level, lost)


@dataclass(frozen=True)
class PoolLoss:
    """One case of losses: per side and group what it loses; groups that are gone; where pools must share nodes, or must not."""

    level: str
    hits: tuple[tuple[tuple[int, int], int], ...] = ()
    gone: frozenset[int] = frozenset()
    sharing: frozenset[int] = frozenset()
    separate: frozenset[int] = frozenset()


def losses_of(problem: InventoryProblem) -> Iterator[PoolLoss]:
    """Every case of every level that must be survived, one after the other."""
    for stated in problem.survive:
        yield from dict.fromkeys(cases(problem, stated.level, stated.count))


def cases(problem: InventoryProblem, level: str, count: int) -> Iterator[PoolLoss]:
    """Every case of a level: lost parts are drawn one by one."""
    groups = range(len(problem.groups))
    if level == "gpu":
        for drawn in combinations_with_replacement([(s, g) for s in (0, 1) for g in groups], count):
            yield PoolLoss(level, tuple(sorted(Counter(drawn).items())))
        return
    if level == "node":
        nodes = [g for g in groups for _ in range(min(count, problem.groups[g].nodes))]
        for some in set(combinations(nodes, min(count, len(nodes)))):
            often = Counter(some)
            for ways in product(*[[None, *range(n + 1)] for n in often.values()]):
                hits: dict[tuple[int, int], int] = {}
                for (g, n), way in zip(often.items(), ways, strict=True):
                    both = (n, n) if way is None else (way, n - way)
                    hits |= {(side, g): both[side] for side in (0, 1) if both[side]}
                sharing = frozenset(g for g, way in zip(often, ways, strict=True) if way is None)
                yield PoolLoss(level, tuple(sorted(hits.items())), frozenset(), sharing, frozenset(often) - sharing)
        return
    parts: list[frozenset[int] | int] = []
    if level == "rack":
        for g in groups:
            parts += [g] * min(count, problem.groups[g].racks)
        for name in dict.fromkeys(one.rack for one in problem.groups if one.rack is not None):
            parts.append(frozenset(g for g in groups if problem.groups[g].rack == name))
    else:
        for members in problem.wide_domains(level).values():
            parts.append(frozenset(g for g in groups if problem.groups[g].name in members))
    for drawn_parts in combinations(parts, min(count, len(parts))):
        often_racks = Counter(one for one in drawn_parts if isinstance(one, int))
        gone = frozenset(g for one in drawn_parts if not isinstance(one, int) for g in one)
        yield PoolLoss(level, tuple(sorted(((s, g), n) for g, n in often_racks.items() for s in (0, 1))), gone)
