"""What one engine instance is and carries, as the search sees it: a candidate. ``docs/inventories.md``, section 2."""

from __future__ import annotations

from dataclasses import dataclass

from optimizer.costs.shapes import Shape
from optimizer.facts.inventory import NodeGroup

MICRO = 1_000_000
"""Rates are counted in whole millionths of a request/s."""


@dataclass(frozen=True, slots=True)
class StagePart:
    """Stages of an instance on one group: so many GPUs on each of so many nodes."""

    stages: int
    nodes: int
    gpus_per_node: int

    @property
    def gpus(self) -> int:
        """GPUs of the part."""
        return self.nodes * self.gpus_per_node


@dataclass(frozen=True, slots=True)
class InstanceCandidate:
    """One shape on one kind of node, or over two. Rates in millionths of a request/s per instance."""

    shape: Shape
    row: int  # in the table of its nodes
    parts: tuple[StagePart, ...]
    slots: int
    capacity: int  # c
    slots_capacity: int  # k
    peak: int  # d · X(n)
    restart_s: float  # R: engine start and weights

    @property
    def gpus(self) -> int:
        """GPUs of an instance."""
        return self.shape.instance_gpus

    @property
    def nodes(self) -> int:
        """Nodes of an instance."""
        return sum(part.nodes for part in self.parts)


def kind_key(group: NodeGroup) -> tuple[object, ...]:
    """What an instance can see of a group; equal keys offer the same shapes."""
    plain = group.model_dump(include={"gpus_per_node", "free_gpus", "nvlink_gb_per_s", "nvlink_domain_gpus"})
    links = (group.pcie_gb_per_s, group.internode_gbit_per_s, group.internode_latency_us, group.memory_used_mib)
    return (group.gpu.name, group.gpu.model_dump_json(), *plain.values(), *links)


def nodes_needed(gpus: int, parts: int, free: int, together: int) -> int | None:
    """q: the fewest nodes with ``free`` GPUs that hold an instance in so many equal parts; None where ``together`` nodes do not."""
    for nodes in range(1, together + 1):
        if (nodes == 1 or parts % nodes == 0) and gpus <= nodes * free and gpus % nodes == 0:
            return nodes
    return None


def in_one_rack(one: NodeGroup, other: NodeGroup) -> bool:
    """Whether a pipeline may stand on both groups."""
    return not one.racks and not other.racks and one.rack == other.rack
