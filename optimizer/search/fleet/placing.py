"""Where the instances of a plan stand: spread over racks and nodes, as evenly as is found. ``docs/inventories.md``, section 3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from optimizer.facts.inventory import FleetProblem, NodeGroup
from optimizer.search.fleet.offers import Offer, Offers
from optimizer.search.fleet.plan import Plan, Stand, offer_of


class _Node:
    """Free GPUs of one node by NVLink domain, and the capacity that stands on it."""

    __slots__ = ("free", "load")

    def __init__(self, group: NodeGroup, domain: int) -> None:
        indices = list(range(group.free_gpus))
        self.free = [indices[start : start + domain] for start in range(0, group.free_gpus, domain)]
        self.load = 0

    def take(self, gpus: int, tp: int) -> tuple[int, ...] | None:
        """GPU indices for TP groups that each stay in one NVLink domain; None where they do not fit."""
        left = [list(part) for part in self.free]
        taken: list[int] = []
        for _ in range(gpus // tp):
            # The tightest domain that fits keeps the others whole.
            fitting = [part for part in left if len(part) >= tp]
            if not fitting:
                return None
            part = min(fitting, key=len)
            taken += part[:tp]
            del part[:tp]
        self.free = left
        return tuple(taken)

    def fits(self, gpus: int, tp: int) -> bool:
        """Whether ``take`` would find room."""
        return sum(len(part) // tp for part in self.free) * tp >= gpus


def domain_within_node(group: NodeGroup) -> int:
    """GPUs of one node that any TP group may be formed of."""
    if group.nvlink_domain_gpus > group.gpus_per_node or group.nvlink_gb_per_s == 0:
        return group.free_gpus
    return min(group.nvlink_domain_gpus, group.free_gpus)


def place(problem: FleetProblem, offers: Offers, plan: Plan) -> tuple[Stand, ...] | None:
    """Stands of every instance, in order of entries; None when this way of spreading finds no room.

    The largest instances go first, each to the rack and then the node with the least capacity on it that has room. Where
    that leaves no room, instances fill one node after the other instead.
    """
    for spread in (True, False):
        found = _place(problem, offers, plan, spread)
        if found is not None:
            return found
    return None


@dataclass(frozen=True, slots=True)
class Block:
    """Nodes of a group that one instance may take together, in one rack."""

    rack: str | None
    nodes: tuple[int, ...]


def blocks_of(group: NodeGroup, count: int) -> list[Block]:
    """Every aligned block of so many nodes."""
    found = []
    together = group.nodes_together
    for start in range(0, group.nodes, group.nodes_per_rack):
        for first in range(start, min(start + group.nodes_per_rack, group.nodes), together):
            last = min(first + together, start + group.nodes_per_rack, group.nodes)
            for node in range(first, last - count + 1, count):
                found.append(Block(group.rack_of(node), tuple(range(node, node + count))))
    return found


def seated(
    problem: FleetProblem, offers: Offers, plan: Plan, taken: Sequence[tuple[int, Block, int]]
) -> tuple[Stand, ...] | None:
    """Stands for counts of instances on blocks (entry, block, instances); None when GPUs of a node do not suffice."""
    nodes: dict[tuple[int, int], _Node] = {}
    stands: list[tuple[int, int, Stand]] = []
    order = sorted(taken, key=lambda one: (-offer_of(offers, plan.entries[one[0]]).gpus_per_node, one[0], one[1].nodes))
    for position, block, count in order:
        entry = plan.entries[position]
        group, offer = problem.groups[entry.group], offer_of(offers, entry)
        for _ in range(count):
            gpus = []
            for node in block.nodes:
                state = nodes.setdefault((entry.group, node), _Node(group, domain_within_node(group)))
                found = state.take(offer.gpus_per_node, min(offer.shape.tp, offer.gpus_per_node))
                if found is None:
                    return None
                gpus.append(found)
            stands.append((position, len(stands), Stand(position, block.nodes, tuple(gpus))))
    return tuple(stand for _, _, stand in sorted(stands, key=lambda item: item[:2]))


def _place(problem: FleetProblem, offers: Offers, plan: Plan, spread: bool) -> tuple[Stand, ...] | None:
    rack_load: dict[object, int] = {}
    stands: list[tuple[int, int, Stand]] = []
    for index, group in enumerate(problem.groups):
        entries = [(position, entry) for position, entry in enumerate(plan.entries) if entry.group == index]
        if not entries:
            continue
        nodes = [_Node(group, domain_within_node(group)) for _ in range(group.nodes)]
        racks: dict[tuple[object, int], list[int]] = {}
        for node in range(group.nodes):
            rack = group.rack_of(node) or (group.name, "no rack")
            racks.setdefault((rack, node % group.nodes_per_rack // group.nodes_together), []).append(node)
        jobs = [(offer_of(offers, entry), position) for position, entry in entries for _ in range(entry.count)]
        jobs.sort(key=lambda job: (-job[0].nodes, -job[0].gpus_per_node, -job[0].shape.tp, -job[0].capacity))
        for number, (offer, position) in enumerate(jobs):
            stand = _one(offer, position, nodes, racks, rack_load, spread)
            if stand is None:
                return None
            stands.append((position, number, stand))
    return tuple(stand for _, _, stand in sorted(stands, key=lambda item: item[:2]))


def _one(
    offer: Offer,
    position: int,
    nodes: list[_Node],
    racks: dict[tuple[object, int], list[int]],
    rack_load: dict[object, int],
    spread: bool,
) -> Stand | None:
    """A place for one instance, taken."""
    each, tp = offer.gpus_per_node, min(offer.shape.tp, offer.gpus_per_node)
    order = sorted(racks, key=lambda part: rack_load.get(part[0], 0)) if spread else list(racks)
    for rack, part in order:
        chosen = _blocks(offer.nodes, each, tp, racks[rack, part], nodes, spread)
        if chosen is None:
            continue
        gpus = []
        for node in chosen:
            taken = nodes[node].take(each, tp)
            if taken is None:
                raise RuntimeError("a node that has room has none")
            gpus.append(taken)
            nodes[node].load += offer.capacity
        rack_load[rack] = rack_load.get(rack, 0) + offer.capacity
        return Stand(position, tuple(chosen), tuple(gpus))
    return None


def _blocks(
    count: int, each: int, tp: int, members: Sequence[int], nodes: list[_Node], spread: bool
) -> list[int] | None:
    """Nodes of one rack with room: the emptiest one, or for an instance over several nodes the emptiest aligned block of them.

    Blocks keep instances over several nodes from chaining nodes together: what fails together stays small.
    """
    best: tuple[int, int] | None = None
    found: list[int] | None = None
    for start in range(0, len(members) - count + 1, count):
        block = members[start : start + count]
        if all(nodes[node].fits(each, tp) for node in block):
            if not spread:
                return list(block)
            key = (max(nodes[node].load for node in block), start)
            if best is None or key < best:
                best, found = key, list(block)
    return found
