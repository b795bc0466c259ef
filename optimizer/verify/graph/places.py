"""Which GPUs there are, and which links join them, from the problem alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from optimizer.facts.hardware import HardwareFacts


@dataclass(frozen=True, slots=True)
class Stand:
    """Node and NVLink domain of a GPU, counted over the cluster."""

    node: int
    domain: int


def stand_of(hardware: HardwareFacts, name: str) -> Stand | None:
    """Where a GPU of this name stands (``node-0/gpu-3``); None when there is no such GPU."""
    node, _, gpu = name.partition("/")
    numbers = node.removeprefix("node-"), gpu.removeprefix("gpu-")
    if not all(part.isascii() and part.isdigit() for part in numbers) or name != f"node-{numbers[0]}/gpu-{numbers[1]}":
        return None
    i, j = int(numbers[0]), int(numbers[1])
    per_node = hardware.gpus_per_node
    if i >= hardware.nodes or j >= per_node:
        return None
    size = hardware.nvlink_domain_gpus if hardware.nvlink_gb_per_s > 0 else 1
    if size > per_node:
        return Stand(i, (i * per_node + j) // size)
    in_node = -(-per_node // size)
    return Stand(i, i * in_node + j // size)


def link_of(stands: Sequence[Stand]) -> str | None:
    """The slowest link that a group needs; None for one GPU."""
    if len(stands) < 2:
        return None
    if len({stand.domain for stand in stands}) == 1:
        return "nvlink"
    return "pcie" if len({stand.node for stand in stands}) == 1 else "network"


def link_of_pairs(senders: Sequence[Stand], receivers: Sequence[Stand]) -> str | None:
    """The slowest link that any pair needs."""
    order = ("nvlink", "pcie", "network")
    kinds = [link_of(pair) for pair in zip(senders, receivers, strict=True)]
    found = [order.index(kind) for kind in kinds if kind is not None]
    return order[max(found)] if found else None
