"""Section 3, links: bytes over NVLink, PCIe or the network, as affine functions of the bytes or tokens sent.

Other home: ``costs/links.py``; docs/model.md, section 3.
"""

from __future__ import annotations

from fractions import Fraction

from optimizer.facts.hardware import HardwareFacts
from optimizer.verify.common.arithmetic import Affine, ceil_ratio, constant, exact

_BYTES_PER_MS = 10**6  # one GB/s


def _nvlink(hardware: HardwareFacts) -> Affine:
    return Affine(slope=1 / (exact(hardware.nvlink_gb_per_s) / 2 * _BYTES_PER_MS))


def _pcie(hardware: HardwareFacts) -> Affine:
    return Affine(1 / (exact(hardware.pcie_gb_per_s) * _BYTES_PER_MS), constant("pcie_latency_us") / 1000)


def _network(hardware: HardwareFacts) -> Affine:
    bandwidth = exact(hardware.internode_gbit_per_s) / 8 * _BYTES_PER_MS
    return Affine(1 / bandwidth, exact(hardware.internode_latency_us) / 1000)


def _local(hardware: HardwareFacts, gpus: int) -> Affine | None:
    """The link that joins so many GPUs without the network, if one does."""
    if gpus <= hardware.nvlink_domain_gpus and hardware.nvlink_gb_per_s > 0:
        return _nvlink(hardware)
    return _pcie(hardware) if gpus <= hardware.gpus_per_node else None


def _ring(link: Affine, ranks: int) -> Affine:
    """2 (r-1)/r of the bytes and 2 (r-1) messages."""
    return Affine(link.slope * Fraction(2 * (ranks - 1), ranks), link.fixed * 2 * (ranks - 1))


def all_reduce(hardware: HardwareFacts, ranks: int) -> Affine:
    """Milliseconds for x bytes over so many tensor-parallel ranks."""
    if ranks == 1:
        return Affine()
    near = _local(hardware, ranks)
    inside = _ring(near or _local(hardware, min(ranks, hardware.gpus_per_node)) or Affine(), _inside(hardware, ranks))
    inside = Affine(inside.slope * constant("ar_factor"), inside.fixed)
    if near is not None:
        return inside
    network = _network(hardware)
    slow = Affine(network.slope, network.fixed * constant("network_reduce_steps"))
    return inside.plus(_ring(slow, ceil_ratio(ranks, hardware.gpus_per_node)))


def _inside(hardware: HardwareFacts, ranks: int) -> int:
    """Ranks that reduce among themselves before the network is used."""
    return ranks if _local(hardware, ranks) is not None else min(ranks, hardware.gpus_per_node)


def all_to_all(hardware: HardwareFacts, gpus: int) -> Affine:
    """Milliseconds when each of the GPUs that hold the experts sends x bytes."""
    near, start = _local(hardware, gpus), constant("exchange_latency_us") / 1000
    if near is not None:
        return Affine(near.slope * Fraction(gpus - 1, gpus), near.fixed + start)
    network = _network(hardware)
    return Affine(network.slope * min(hardware.gpus_per_node, gpus), network.fixed + start)


def exchange_places(hardware: HardwareFacts, gpus: int) -> int:
    """Places that a token's copies go to: GPUs, or nodes where the network is between (NVLink spreads them inside)."""
    return gpus if _local(hardware, gpus) is not None else ceil_ratio(gpus, hardware.gpus_per_node)


def context_exchange(hardware: HardwareFacts, ranks: int) -> Affine:
    """Milliseconds of the three collectives of a layer in which each of the ranks that share contexts sends x bytes in all."""
    if ranks == 1:
        return Affine()
    near = _local(hardware, ranks)
    if near is not None:
        return Affine(near.slope, 3 * (ranks - 1) * near.fixed)
    network = _network(hardware)
    hops = ceil_ratio(ranks, hardware.gpus_per_node) - 1
    return Affine(
        network.slope * min(hardware.gpus_per_node, ranks), 3 * hops * constant("network_reduce_steps") * network.fixed
    )


def sends(hardware: HardwareFacts, tensor: int, stages: int, hidden: int) -> Affine:
    """Milliseconds of all stage-to-stage sends of one replica together, for m tokens."""
    if stages == 1:
        return Affine()
    node, domain = hardware.gpus_per_node, hardware.nvlink_domain_gpus
    replica, together = tensor * stages, max(node, domain)
    aligned = hardware.gpus <= together or together % replica == 0
    far = 0 if replica <= together and aligned else min(stages - 1, ceil_ratio(replica, together))
    near = stages - 1 - far
    by_nvlink = (replica <= domain or (replica > together and domain >= node)) and hardware.nvlink_gb_per_s > 0
    total = Affine().plus(_network(hardware), far)
    if near:
        total = total.plus(_nvlink(hardware) if by_nvlink else _pcie(hardware), near)
    return Affine(total.slope * hidden * 2 * 2, total.fixed)


def network_send(hardware: HardwareFacts, hidden: int) -> Affine:
    """Milliseconds of one stage-to-stage send of m tokens between nodes."""
    return Affine(_network(hardware).slope * hidden * 2 * 2, _network(hardware).fixed)
