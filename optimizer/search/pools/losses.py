"""What may be lost at once where pools stand on an inventory: every case that a ``survive_…`` rule speaks of.

Other home: ``verify/pools/site.py``; docs/disaggregated.md,
section 13.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product

from optimizer.facts.inventory import InventoryProblem

Place = tuple[int, int]
"""(side, group)."""


@dataclass(frozen=True, slots=True)
class LossCase:
    """Losses at one level."""

    level: str
    hit: tuple[tuple[Place, int], ...]
    """GPUs, nodes or racks that the part of a pool on a group loses; nothing where it is not named."""
    gone: frozenset[int] = frozenset()
    """Groups that are lost whole."""
    apart: frozenset[int] = frozenset()
    """Groups on which the pools have nodes of their own; only then the case speaks of them."""
    together: frozenset[int] = frozenset()
    """Groups on which both pools share nodes; only then."""


def loss_cases(problem: InventoryProblem, level: str, count: int) -> Iterator[LossCase]:
    """Every case of so many losses at a level; the worst of the places within a group is meant."""
    if level == "gpu":
        yield from _gpus(problem, count)
    elif level == "node":
        yield from _nodes(problem, count)
    elif level == "rack":
        yield from _racks(problem, count)
    else:
        yield from _domains(problem, level, count)


def _compositions(total: int, most: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Ways to share a total among places that take at most so many each; as many as there are where that is fewer."""
    total = min(total, sum(most))
    for one in product(*(range(min(total, limit) + 1) for limit in most)):
        if sum(one) == total:
            yield one


def _gpus(problem: InventoryProblem, count: int) -> Iterator[LossCase]:
    places = [(side, group) for group in range(len(problem.groups)) for side in (0, 1)]
    for shared in _compositions(count, (count,) * len(places)):
        yield LossCase("gpu", tuple((place, lost) for place, lost in zip(places, shared, strict=True) if lost))


def _nodes(problem: InventoryProblem, count: int) -> Iterator[LossCase]:
    for shared in _compositions(count, tuple(group.nodes for group in problem.groups)):
        hit = [group for group, lost in enumerate(shared) if lost]
        ways = [[(True, lost, lost), *((False, a, lost - a) for a in range(lost + 1))] for lost in shared if lost]
        for chosen in product(*ways):
            found = tuple(
                ((side, group), way[1 + side])
                for group, way in zip(hit, chosen, strict=True)
                for side in (0, 1)
                if way[1 + side]
            )
            both = frozenset(group for group, way in zip(hit, chosen, strict=True) if way[0])
            yield LossCase("node", found, apart=frozenset(hit) - both, together=both)


def _racks(problem: InventoryProblem, count: int) -> Iterator[LossCase]:
    named: dict[str, list[int]] = {}
    dealt = [index for index, group in enumerate(problem.groups) if group.racks]
    for index, group in enumerate(problem.groups):
        if group.rack is not None:
            named.setdefault(group.rack, []).append(index)
    most = (*(problem.groups[index].racks for index in dealt), *(1 for _ in named))
    for shared in _compositions(count, most):
        hit = tuple(
            ((side, index), lost) for index, lost in zip(dealt, shared, strict=False) if lost for side in (0, 1)
        )
        whole = [members for members, lost in zip(named.values(), shared[len(dealt) :], strict=True) if lost]
        yield LossCase("rack", hit, gone=frozenset(index for members in whole for index in members))


def _domains(problem: InventoryProblem, level: str, count: int) -> Iterator[LossCase]:
    index = {group.name: number for number, group in enumerate(problem.groups)}
    domains = list(problem.wide_domains(level).values())
    for lost in combinations(domains, min(count, len(domains))):
        yield LossCase(level, (), gone=frozenset(index[name] for members in lost for name in members))
