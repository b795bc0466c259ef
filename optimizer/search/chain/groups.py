"""Groups of nodes whose links inside never bind: inside a group any node can hand all its tokens to any other."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from optimizer.search.chain.instance import ChainInstance


@dataclass(frozen=True, slots=True)
class Groups:
    """Members by group, nodes of each type in it, and capacities per pair of nodes.

    ``pair[g][h]``: what one node of g can send one of h; ``source[g]``, ``sink[g]``: what one node of g can take from,
    or give to, the coordinator. Where pairs differ it is the least, or the median where some pairs have no link, or a rank
    among them that is asked for; a capacity that the nodes at its ends cannot use up counts as the most that is asked for.
    """

    members: tuple[tuple[int, ...], ...]
    counts: tuple[tuple[int, ...], ...]
    pair: tuple[tuple[int, ...], ...]
    source: tuple[int, ...]
    sink: tuple[int, ...]


def grouped(instance: ChainInstance, most: int, rank: float | None = None) -> Groups:
    """Nodes gathered, partition by partition, so that no link inside can bind when no node carries more than ``most``.

    Args:
        rank: what stands for the capacity of pairs that differ: the one with this share of them below it; None: the least.
            What is found with a rank above the least has to be judged with the nodes named (``named``).
    """
    carries = [min(most, instance.best_rate(node)) for node in range(len(instance.node_type))]
    found: list[list[int]] = []
    for node in sorted(range(len(carries)), key=lambda n: (instance.node_partition[n], n)):
        for group in found:
            if all(
                min(instance.link[node][other], instance.link[other][node]) >= min(carries[node], carries[other])
                for other in group
            ):
                group.append(node)
                break
        else:
            found.append([node])
    return _described(instance, found, most, rank)


def as_one(instance: ChainInstance, most: int) -> Groups:
    """All nodes in one group, as if no link between them could bind."""
    return _described(instance, [list(range(len(instance.node_type)))], most)


def only(groups: Groups, group: int) -> Groups:
    """One of the groups by itself."""
    return Groups(
        members=(groups.members[group],),
        counts=(groups.counts[group],),
        pair=((groups.pair[group][group],),),
        source=(groups.source[group],),
        sink=(groups.sink[group],),
    )


def _described(instance: ChainInstance, found: list[list[int]], most: int, rank: float | None = None) -> Groups:
    kinds = range(len(instance.rate))
    carries = [min(most, instance.best_rate(node)) for node in range(len(instance.node_type))]

    def free(capacity: int, *nodes: int) -> int:
        """A capacity, or ``most`` where the nodes at the ends bind before it does."""
        return most if capacity >= min(carries[node] for node in nodes) else capacity

    return Groups(
        members=tuple(tuple(group) for group in found),
        counts=tuple(tuple(sum(instance.node_type[n] == kind for n in group) for kind in kinds) for group in found),
        pair=tuple(
            tuple(_typical([free(instance.link[a][b], a, b) for a in g for b in h if a != b], rank) for h in found)
            for g in found
        ),
        source=tuple(_typical([free(instance.source[node], node) for node in group], rank) for group in found),
        sink=tuple(_typical([free(instance.sink[node], node) for node in group], rank) for group in found),
    )


def _typical(capacities: list[int], rank: float | None) -> int:
    if not capacities:
        return 0
    if rank is not None:
        return sorted(capacities)[int(rank * (len(capacities) - 1))]
    return min(capacities) or int(median(capacities))
