"""Where things stand in an inventory: the group, rack, NVLink domain, zone and stated domains of every node, by name."""

from __future__ import annotations

from dataclasses import dataclass

from optimizer.facts.inventory import SPOT, InventoryProblem, NodeGroup
from optimizer.results.placement import GpuPlace, PlacedInstance
from optimizer.verify.inventory.instance import domain_nodes

Part = tuple[str, str]
"""A part that fails: (level, name)."""


@dataclass(frozen=True, slots=True)
class SiteNode:
    """One node and what it belongs to."""

    name: str
    group: NodeGroup
    rack: str | None
    together: tuple[str | None, int]
    """Nodes with equal values may share an instance: (rack, block of an NVLink domain that spans nodes)."""


class CheckedSite:
    """The nodes of an inventory, looked up by name when asked for."""

    def __init__(self, inventory: InventoryProblem) -> None:
        self.inventory = inventory
        self._groups = {group.name: group for group in inventory.groups}
        self._nodes: dict[str, SiteNode | None] = {}
        self._wide: dict[str, tuple[Part, ...]] = {group.name: () for group in inventory.groups}
        for level in inventory.levels():
            if level not in ("gpu", "node", "rack"):
                for name, members in inventory.wide_domains(level).items():
                    for member in members:
                        self._wide[member] += ((level, name),)

    def group(self, name: str) -> NodeGroup | None:
        """The group of this name; None when there is none."""
        return self._groups.get(name)

    def node(self, name: str) -> SiteNode | None:
        """The node of this name; None when there is none."""
        if name not in self._nodes:
            self._nodes[name] = self._find(name)
        return self._nodes[name]

    def _find(self, name: str) -> SiteNode | None:
        stem, _, number = name.rpartition("-")
        group = self._groups.get(stem)
        if group is None or not number.isdecimal() or str(int(number)) != number or int(number) >= group.nodes:
            return None
        index = int(number)
        return SiteNode(name, group, group.rack_of(index), self._together(group, index))

    def _together(self, group: NodeGroup, index: int) -> tuple[str | None, int]:
        span = domain_nodes(group)
        within = index % group.nodes_per_rack
        return group.rack_of(index), within // span if span else 0

    def free(self, place: GpuPlace) -> bool:
        """Whether the GPU exists and is free."""
        node = self.node(place.node)
        return node is not None and type(place.index) is int and 0 <= place.index < node.group.free_gpus

    def wide(self, group: NodeGroup) -> tuple[Part, ...]:
        """Zone and stated domains of a group."""
        return self._wide[group.name]

    def shared_parts(self, instance: PlacedInstance) -> tuple[Part, ...]:
        """Nodes, racks, zone and stated domains that an instance touches. Its GPUs are its own."""
        nodes = [self.node(name) for name in instance.nodes]
        known = [node for node in nodes if node is not None]
        racks = dict.fromkeys(("rack", node.rack) for node in known if node.rack is not None)
        wide = dict.fromkeys(part for node in known for part in self.wide(node.group))
        return (*(("node", node.name) for node in known), *racks, *wide)

    def failing_parts(self, instance: PlacedInstance) -> tuple[Part, ...]:
        """The same, and the nodes among them that are taken away at times, once more by themselves."""
        nodes = [node for node in map(self.node, instance.nodes) if node is not None]
        spot = ((f"{SPOT} {node.group.name}", node.name) for node in nodes if node.group.interruptions_per_hour)
        return (*self.shared_parts(instance), *spot)

    def exists(self, part: Part) -> bool:
        """Whether the inventory has the domain; a GPU by its name ``<node>/gpu-<index>``."""
        level, name = part
        if level == "gpu":
            node, _, index = name.rpartition("/gpu-")
            return index.isdecimal() and self.free(GpuPlace(node, int(index)))
        if level == "node":
            return self.node(name) is not None
        if level == "rack":
            return any(
                name == group.rack or (group.racks and name in {group.rack_of(n) for n in range(group.nodes)})
                for group in self.inventory.groups
            )
        return name in self.inventory.wide_domains(level)

    def count(self, level: str) -> int:
        """Domains of a level in the whole inventory."""
        if level == "gpu":
            return self.inventory.gpus
        if level == "node":
            return sum(group.nodes for group in self.inventory.groups)
        if level.startswith(f"{SPOT} "):
            return self.inventory.group(level.removeprefix(f"{SPOT} ")).nodes
        if level == "rack":
            named = {group.rack for group in self.inventory.groups if group.rack is not None and not group.racks}
            return len(named) + sum(group.racks for group in self.inventory.groups)
        return len(self.inventory.wide_domains(level))
