"""Where the instances of a plan stand: spread over racks and nodes, as evenly as is found. ``docs/inventories.md``, section 3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heapreplace

from optimizer.facts.inventory import InventoryProblem, NodeGroup
from optimizer.search.inventory.candidates import Candidates, InstanceCandidate, StagePart
from optimizer.search.inventory.plan import Plan, Stand, candidate_of, parts_of

Room = list[list[int]]
"""Free GPUs of one node by NVLink domain; several models on the same nodes take from the same lists."""
Rooms = dict[tuple[int, int], Room]
"""By (group, index in the group); nodes that nothing asked about yet are not in it."""


def room_of(group: NodeGroup) -> Room:
    """All free GPUs of a node of a group."""
    indices, domain = list(range(group.free_gpus)), domain_within_node(group)
    return [indices[start : start + domain] for start in range(0, group.free_gpus, domain)]


class _Node:
    """Free GPUs of one node by NVLink domain, and the capacity that stands on it."""

    __slots__ = ("free", "load")

    def __init__(self, free: Room) -> None:
        self.free = free
        self.load = 0

    def take(self, gpus: int, tp: int) -> tuple[int, ...] | None:
        """GPU indices for groups of ``tp`` that each stay in one NVLink domain; None where they do not fit."""
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
        self.free[:] = left
        return tuple(taken)

    def fits(self, gpus: int, tp: int) -> bool:
        """Whether ``take`` would find room."""
        return sum(len(part) // tp for part in self.free) * tp >= gpus


def domain_within_node(group: NodeGroup) -> int:
    """GPUs of one node that any TP group may be formed of."""
    if group.nvlink_domain_gpus > group.gpus_per_node or group.nvlink_gb_per_s == 0:
        return group.free_gpus
    return min(group.nvlink_domain_gpus, group.free_gpus)


def seat_width(group: NodeGroup, tp: int) -> int:
    """GPUs of one NVLink domain that a TP group needs on a node: its own where a domain holds it, else any will do (1)."""
    return tp if tp <= domain_within_node(group) else 1


def place(problem: InventoryProblem, candidates: Candidates, plan: Plan) -> tuple[Stand, ...] | None:
    """Stands of every instance, in order of entries; None when this way of spreading finds no room.

    The largest instances go first, each to the rack and then the node with the least capacity on it that has room. Where
    that leaves no room, instances fill one node after the other instead.
    """
    for spread in (True, False):
        found = _place(problem, candidates, plan, spread)
        if found is not None:
            return found
    return None


@dataclass(frozen=True, slots=True)
class NodeBlock:
    """Nodes of a group that a part of an instance may take together, in one rack."""

    group: int
    rack: str | None
    nodes: tuple[int, ...]


def blocks_of(problem: InventoryProblem, index: int, count: int) -> list[NodeBlock]:
    """Every aligned block of so many nodes of a group."""
    group, found = problem.groups[index], []
    together = group.nodes_together
    for start in range(0, group.nodes, group.nodes_per_rack):
        for first in range(start, min(start + group.nodes_per_rack, group.nodes), together):
            last = min(first + together, start + group.nodes_per_rack, group.nodes)
            for node in range(first, last - count + 1, count):
                found.append(NodeBlock(index, group.rack_of(node), tuple(range(node, node + count))))
    return found


def seated(
    problem: InventoryProblem,
    candidates: Candidates,
    plan: Plan,
    taken: Sequence[tuple[int, tuple[NodeBlock, ...], int]],
    rooms: Rooms | None = None,
) -> tuple[Stand, ...] | None:
    """Stands for counts of instances on blocks (entry, block of each part, instances); None when GPUs of a node do not suffice.

    Args:
        rooms: free GPUs of nodes that other models take from too; left out, all.
    """
    rooms = {} if rooms is None else rooms
    nodes: dict[tuple[int, int], _Node] = {}
    stands: list[tuple[int, int, Stand]] = []

    def largest_first(one: tuple[int, tuple[NodeBlock, ...], int]) -> tuple[object, ...]:
        most = max(part.gpus_per_node for part in candidate_of(candidates, plan.entries[one[0]]).parts)
        return (-most, one[0], [block.nodes for block in one[1]])

    for position, blocks, count in sorted(taken, key=largest_first):
        candidate = candidate_of(candidates, plan.entries[position])
        for _ in range(count):
            places: list[tuple[int, int]] = []
            gpus: list[tuple[int, ...]] = []
            for block, part in zip(blocks, candidate.parts, strict=True):
                group = problem.groups[block.group]
                for node in block.nodes:
                    room = rooms.setdefault((block.group, node), room_of(group))
                    state = nodes.setdefault((block.group, node), _Node(room))
                    found = state.take(
                        part.gpus_per_node, seat_width(group, min(candidate.shape.tp, part.gpus_per_node))
                    )
                    if found is None:
                        return None
                    places.append((block.group, node))
                    gpus.append(found)
            stands.append((position, len(stands), Stand(position, tuple(places), tuple(gpus))))
    return tuple(stand for _, _, stand in sorted(stands, key=lambda item: item[:2]))


def _place(problem: InventoryProblem, candidates: Candidates, plan: Plan, spread: bool) -> tuple[Stand, ...] | None:
    floor = Floor(problem, spread)
    stands: list[tuple[int, int, Stand]] = []
    for number, position in enumerate(order_of(candidates, plan)):
        stand = floor.stand(candidates, plan, position)
        if stand is None:
            return None
        stands.append((position, number, stand))
    return tuple(stand for _, _, stand in sorted(stands, key=lambda item: item[:2]))


def order_of(candidates: Candidates, plan: Plan) -> list[int]:
    """Entries of the instances in the order in which they are stood: over two groups first, then group by group, large ones first."""

    def key(position: int) -> tuple[int, ...]:
        candidate, groups = (
            candidate_of(candidates, plan.entries[position]),
            candidates.places[plan.entries[position].place].groups,
        )
        group = -1 if len(groups) > 1 else groups[0]
        most = max(part.gpus_per_node for part in candidate.parts)
        return (group, -candidate.nodes, -most, -candidate.shape.tp, -candidate.capacity)

    entries = sorted(range(len(plan.entries)), key=key)
    return [position for position in entries for _ in range(plan.entries[position].count)]


class Floor:
    """The nodes of all groups while instances are being stood on them.

    Args:
        spread: stand each where least of the capacity stands; else fill one node after the other.
        rooms: free GPUs of nodes that other models take from too, whose instances do not count as load; left out, all.
    """

    def __init__(self, problem: InventoryProblem, spread: bool, rooms: Rooms | None = None) -> None:
        self.problem, self.spread = problem, spread
        self._rooms: Rooms = {} if rooms is None else rooms
        self._rack_load: dict[object, int] = {}
        self._nodes: dict[int, list[_Node]] = {}
        self._racks: dict[int, dict[tuple[object, int], list[int]]] = {}
        self._open: dict[tuple[int, int, int, int], list[tuple[int, int, _Blocks]]] = {}
        """By group and what a part needs: (load of the rack, number, blocks with room) of racks, the emptiest first."""

    def stand(self, candidates: Candidates, plan: Plan, position: int) -> Stand | None:
        """A place for one instance of an entry, taken; None where there is no room."""
        entry = plan.entries[position]
        candidate = candidate_of(candidates, entry)
        places: list[tuple[int, int]] = []
        gpus: list[tuple[int, ...]] = []
        for number, (index, part) in enumerate(parts_of(candidates, entry)):
            found = self._part(index, part, candidate, first=number == 0)
            if found is None:
                return None
            for node, taken in found:
                places.append((index, node))
                gpus.append(taken)
        return Stand(position, tuple(places), tuple(gpus))

    def _part(
        self, index: int, part: StagePart, candidate: InstanceCandidate, *, first: bool
    ) -> list[tuple[int, tuple[int, ...]]] | None:
        """Nodes and GPUs for a part of an instance, taken."""
        nodes, _ = self._group(index)
        tp = seat_width(self.problem.groups[index], min(candidate.shape.tp, part.gpus_per_node))
        there = self._emptiest(index, part.nodes, part.gpus_per_node, tp)
        if there is None:
            return None
        found = []
        for node in there.emptiest() or ():
            taken = nodes[node].take(part.gpus_per_node, tp)
            if taken is None:
                raise RuntimeError("a node that has room has none")
            found.append((node, taken))
            nodes[node].load += candidate.capacity
        if first:  # both parts of an instance are in one rack
            self._rack_load[there.rack] = self._rack_load.get(there.rack, 0) + candidate.capacity
        return found

    def _emptiest(self, index: int, count: int, each: int, tp: int) -> _Blocks | None:
        """The least loaded rack with room. Loads only grow and room only shrinks: what was looked at before is never in vain."""
        nodes, racks = self._group(index)
        heap = self._open.get((index, count, each, tp))
        if heap is None:
            heap = self._open[index, count, each, tp] = [
                (self._load(rack), number, _Blocks(rack, count, each, tp, members, nodes, self.spread))
                for number, ((rack, _), members) in enumerate(racks.items())
            ]
            heapify(heap)
        while heap:
            load, number, blocks = heap[0]
            now = self._load(blocks.rack)
            if now != load:
                heapreplace(heap, (now, number, blocks))
            elif blocks.emptiest() is None:
                heappop(heap)
            else:
                return blocks
        return None

    def _load(self, rack: object) -> int:
        """What stands in a rack; nothing matters where instances fill one node after the other."""
        return self._rack_load.get(rack, 0) if self.spread else 0

    def _group(self, index: int) -> tuple[list[_Node], dict[tuple[object, int], list[int]]]:
        """Nodes of a group, and which of them are together in a rack and an NVLink domain."""
        if index not in self._nodes:
            group = self.problem.groups[index]
            self._nodes[index] = [
                _Node(self._rooms.setdefault((index, node), room_of(group))) for node in range(group.nodes)
            ]
            racks: dict[tuple[object, int], list[int]] = {}
            for node in range(group.nodes):
                rack = group.rack_of(node) or (group.name, "no rack")
                racks.setdefault((rack, node % group.nodes_per_rack // group.nodes_together), []).append(node)
            self._racks[index] = racks
        return self._nodes[index], self._racks[index]


class _Blocks:
    """Nodes of one rack with room for a part: single ones, or for an instance over several nodes aligned blocks of them.

    Blocks keep instances over several nodes from chaining nodes together: what fails together stays small.
    """

    def __init__(
        self, rack: object, count: int, each: int, tp: int, members: Sequence[int], nodes: list[_Node], spread: bool
    ) -> None:
        self.rack = rack
        self._count, self._each, self._tp = count, each, tp
        self._members, self._nodes, self._spread = members, nodes, spread
        self._heap = [(self._load(start), start) for start in range(0, len(members) - count + 1, count)]
        heapify(self._heap)

    def emptiest(self) -> Sequence[int] | None:
        """The block with the least on its fullest node, the first one of several; None where none has room."""
        while self._heap:
            load, start = self._heap[0]
            block = self._members[start : start + self._count]
            now = self._load(start)
            if now != load:
                heapreplace(self._heap, (now, start))
            elif all(self._nodes[node].fits(self._each, self._tp) for node in block):
                return block
            else:
                heappop(self._heap)
        return None

    def _load(self, start: int) -> int:
        if not self._spread:
            return 0
        return max(self._nodes[node].load for node in self._members[start : start + self._count])
