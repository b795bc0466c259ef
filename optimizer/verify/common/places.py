"""Which GPUs there are, and which links join them, from the problem alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from optimizer.facts.hardware import HardwareFacts


@dataclass(frozen=True, slots=True)
class GpuStand:
    """Node and NVLink domain of a GPU; domains of other nodes have other names."""

    node: str
    domain: tuple[str, int]


@dataclass(frozen=True, slots=True)
class Ground:
    """Equal nodes: ``<prefix>-0`` and so on, each with GPUs ``gpu-0`` and so on."""

    prefix: str
    nodes: int
    hardware: HardwareFacts
    """Links, and GPUs of each node that may be used; its own number of nodes does not count."""

    def stand(self, name: str) -> GpuStand | None:
        """Where a GPU of this name stands (``node-0/gpu-3``); None when there is no such GPU here."""
        node, _, gpu = name.rpartition("/")  # a group may have a "/" in its name
        numbers = node.removeprefix(f"{self.prefix}-"), gpu.removeprefix("gpu-")
        spelled = f"{self.prefix}-{numbers[0]}/gpu-{numbers[1]}"
        if not all(part.isascii() and part.isdigit() for part in numbers) or name != spelled:
            return None
        i, j = int(numbers[0]), int(numbers[1])
        per_node = self.hardware.gpus_per_node
        if i >= self.nodes or j >= per_node:
            return None
        size = self.hardware.nvlink_domain_gpus if self.hardware.nvlink_gb_per_s > 0 else 1
        if size > per_node:
            # No node is called so, whatever the groups are called.
            return GpuStand(node, (f"{self.prefix}-", (i * per_node + j) // size))
        return GpuStand(node, (node, j // size))


def link_of(stands: Sequence[GpuStand]) -> str | None:
    """The slowest link that a group needs; None for one GPU."""
    if len(stands) < 2:
        return None
    if len({stand.domain for stand in stands}) == 1:
        return "nvlink"
    return "pcie" if len({stand.node for stand in stands}) == 1 else "network"


def link_of_pairs(senders: Sequence[GpuStand], receivers: Sequence[GpuStand]) -> str | None:
    """The slowest link that any pair needs."""
    order = ("nvlink", "pcie", "network")
    kinds = [link_of(pair) for pair in zip(senders, receivers, strict=True)]
    found = [order.index(kind) for kind in kinds if kind is not None]
    return order[max(found)] if found else None
