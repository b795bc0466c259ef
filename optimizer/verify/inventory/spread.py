"""Standing chosen instances on the nodes of an inventory, spread out, for the enumeration. Not the product's placing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from optimizer.facts.inventory import NodeGroup
from optimizer.results.placement import GpuPlace, PlacedInstance
from optimizer.verify.common.groups import Row
from optimizer.verify.inventory.candidates import CheckedInstance
from optimizer.verify.inventory.instance import pairable
from optimizer.verify.inventory.site import CheckedSite


@dataclass(slots=True)
class _Bin:
    """A node on the way: free GPUs by NVLink domain, and the capacity that stands on it."""

    name: str
    group: NodeGroup
    rack: str | None
    together: tuple[str | None, int]
    free: list[list[int]]
    width: int
    """GPUs of one NVLink domain."""
    load: int = 0
    held: list[tuple[int, int, int]] = field(default_factory=list)


class Unfinished(Exception):
    """There may be further ways, but the steps are used up."""


def placements(
    site: CheckedSite, chosen: Sequence[tuple[CheckedInstance, int]], groups: Mapping[int, Sequence[int]], most: int
) -> Iterator[tuple[list[PlacedInstance], list[CheckedInstance]]]:
    """Ways to stand so many instances of each candidate, different up to equal nodes, the most spread ones first.

    Args:
        groups: group of a candidate → numbers of the groups on whose nodes its instances may stand.
        most: steps after which the search for further ways ends.

    Yields:
        The instances and the candidate of each.

    Raises:
        Unfinished: the steps are used up.
    """
    wanted = [candidate for candidate, count in chosen for _ in range(count)]
    # Those over two groups first, then large pieces; of equal size, those that carry most.
    order = sorted(wanted, key=lambda o: (-len(o.groups), o.group, -o.gpus // o.nodes, -o.capacity))
    bins: dict[int, list[_Bin]] = {}
    for number, members in groups.items():
        there = [site.inventory.groups[member] for member in members]
        bins[number] = [_bin(site, group, index) for group in there for index in range(group.nodes)]
    steps = [most]

    def extend(
        position: int, stood: list[tuple[CheckedInstance, list[GpuPlace]]]
    ) -> Iterator[tuple[list[PlacedInstance], list[CheckedInstance]]]:
        if position == len(order):
            instances = [_instance(number, candidate, gpus) for number, (candidate, gpus) in enumerate(stood)]
            yield instances, [candidate for candidate, _ in stood]
            return
        candidate = order[position]
        for parts in _stands(bins, candidate, by_group=len(order[0].groups) > 1):
            steps[0] -= 1
            if steps[0] < 0:
                raise Unfinished
            gpus, taken = _take(parts, candidate)
            if gpus:
                # Where else an instance over two groups stands makes the nodes that hold it unlike.
                own = position if len(parts) > 1 else -1
                held = [node for nodes in parts for node in nodes]
                for node in held:
                    node.load += candidate.capacity
                    node.held.append((candidate.gpus, id(candidate.instance), own))
                yield from extend(position + 1, [*stood, (candidate, gpus)])
                for node in held:
                    node.load -= candidate.capacity
                    node.held.pop()
            for node, domain, index in taken:
                node.free[domain].append(index)
                node.free[domain].sort()

    yield from extend(0, [])


def _bin(site: CheckedSite, group: NodeGroup, index: int) -> _Bin:
    node = site.node(group.node_name(index))
    assert node is not None
    free = group.free_gpus
    width = free
    if 0 < group.nvlink_domain_gpus <= group.gpus_per_node and group.nvlink_gb_per_s > 0:
        width = min(free, group.nvlink_domain_gpus)
    domains = [list(range(start, min(free, start + width))) for start in range(0, free, width)]
    return _Bin(node.name, group, node.rack, node.together, domains, width)


def _stands(
    bins: Mapping[int, Sequence[_Bin]], candidate: CheckedInstance, *, by_group: bool
) -> Iterator[list[list[_Bin]]]:
    """Sets of nodes for each segment of one instance, segments on groups that pair."""
    places = list(zip(candidate.groups, candidate.instance.nodes, candidate.instance.gpus_of_segments, strict=True))
    number, nodes, gpus = places[0]
    for first in _choices(bins[number], nodes, gpus // nodes, by_group=by_group):
        if len(places) == 1:
            yield [first]
            continue
        number, nodes, gpus = places[1]
        others = [node for node in bins[number] if pairable(first[0].group, node.group)]
        for second in _choices(others, nodes, gpus // nodes, by_group=by_group):
            yield [first, second]


def _choices(bins: Sequence[_Bin], count: int, each: int, *, by_group: bool) -> Iterator[list[_Bin]]:
    """Sets of so many nodes that have so many GPUs free, least loaded rack and nodes first; of equal nodes only one.

    Args:
        by_group: nodes of unlike groups are never equal: they pair with different ones.
    """
    racks: dict[str | None, int] = {}
    for node in bins:
        racks[node.rack] = racks.get(node.rack, 0) + node.load
    fit = [node for node in bins if sum(map(len, node.free)) >= each]
    fit.sort(key=lambda node: (racks[node.rack], node.load, node.name))
    seen = set()
    for at, first in enumerate(fit):
        beside = [node for node in fit[at:] if node.together == first.together and node.group is first.group]
        same = beside[:count]
        # Racks with equal contents are interchangeable, and so are equal nodes in one rack.
        looks = tuple(sorted(_look(node) for node in bins if node.rack == first.rack))
        key = first.group.name if by_group else "", looks, tuple(_look(node) for node in same)
        if len(same) == count and key not in seen:
            seen.add(key)
            yield same


def _look(node: _Bin) -> tuple[object, ...]:
    return tuple(map(len, node.free)), tuple(sorted(node.held))


def _take(
    parts: Sequence[Sequence[_Bin]], candidate: CheckedInstance
) -> tuple[list[GpuPlace], list[tuple[_Bin, int, int]]]:
    """The instance's GPUs, each tensor-parallel group in one domain, or anywhere on a node where it is wider than a domain.

    None when they do not fit. Also what was taken.
    """
    tensor = candidate.instance.shape.group.tensor
    gpus: list[GpuPlace] = []
    taken: list[tuple[_Bin, int, int]] = []
    for nodes, size in zip(parts, candidate.instance.gpus_of_segments, strict=True):
        for node in nodes:
            t = tensor if tensor <= node.width else 1
            for _ in range(size // len(nodes) // t):
                fits = [(len(free), domain) for domain, free in enumerate(node.free) if len(free) >= t]
                if not fits:
                    return [], taken
                domain = min(fits)[1]
                for index in node.free[domain][:t]:
                    gpus.append(GpuPlace(node.name, index))
                    taken.append((node, domain, index))
                del node.free[domain][:t]
    return gpus, taken


def _instance(number: int, candidate: CheckedInstance, gpus: list[GpuPlace]) -> PlacedInstance:
    shape = candidate.instance.shape
    strategy = Row(shape, shape.group.ranks).strategy(candidate.slots)
    return PlacedInstance(f"instance-{number}", 0, strategy, shape.group.ranks, 0.0, tuple(gpus))
