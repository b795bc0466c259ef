"""Time on the links that a group of GPUs really crosses: NVLink, PCIe or the network. ``docs/model.md``, section 3.

Other home: ``verify/common/links.py``; docs/model.md, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from optimizer.catalog.constants import CostConstants
from optimizer.costs.shapes import Bools, Floats, Ints, ShapeTable
from optimizer.facts.hardware import HardwareFacts

CONTEXT_MESSAGES = 3
"""Collectives of a layer whose contexts are shared: queries, results, and the weights of the results."""


@dataclass(frozen=True, slots=True)
class LinkCosts:
    """Milliseconds per byte and per operation, per shape (S,): time = bytes x per_byte + fixed."""

    all_reduce_ms_per_byte: Floats
    all_reduce_ms: Floats
    all_to_all_ms_per_byte: Floats
    all_to_all_ms: Floats
    all_to_all_places: Floats
    """Places a token's copies go to at most: GPUs, or nodes where the network is between (one copy a node)."""
    context_ms_per_byte: Floats
    """Between the ranks that share the tokens of a sequence: each byte that a rank sends."""
    context_ms: Floats
    """The messages of all collectives of a layer."""
    send_ms_per_byte: Floats
    """All P - 1 sends of a replica together."""
    send_ms: Floats

    def part(self, rows: Ints) -> LinkCosts:
        """The same for some of the shapes."""
        return LinkCosts(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def exchange_places(hardware: HardwareFacts, gpus: int) -> int:
    """Places that copies of a token go to at most: GPUs, or nodes where the network is between (one copy a node)."""
    on_nvlink = gpus <= hardware.nvlink_domain_gpus and hardware.nvlink_gb_per_s > 0
    return gpus if on_nvlink or gpus <= hardware.gpus_per_node else -(-gpus // hardware.gpus_per_node)


def link_costs(hardware: HardwareFacts, constants: CostConstants, table: ShapeTable) -> LinkCosts:
    """Costs of the communication patterns."""
    nvlink = hardware.nvlink_gb_per_s / 2 * 1e6  # bytes per ms, one direction
    pcie = hardware.pcie_gb_per_s * 1e6
    network = hardware.internode_gbit_per_s / 8 * 1e6
    pcie_ms, network_ms = constants.pcie_latency_us / 1e3, hardware.internode_latency_us / 1e3
    domain, per_node = hardware.nvlink_domain_gpus, hardware.gpus_per_node

    def local(size: Ints) -> tuple[Floats, Floats, Bools]:
        """(ms per byte, latency, on NVLink or PCIe at all) of a group of ``size`` GPUs."""
        on_nvlink = (size <= domain) & (nvlink > 0)
        per_byte = np.where(on_nvlink, 1 / nvlink if nvlink else 0.0, 1 / pcie)
        return per_byte, np.where(on_nvlink, 0.0, pcie_ms), on_nvlink | (size <= per_node)

    tp = table.tp
    per_byte, latency, is_local = local(tp)
    inside = np.where(is_local, tp, np.minimum(tp, per_node))
    inside_byte, inside_latency, _ = local(inside)
    per_byte = np.where(is_local, per_byte, inside_byte)
    latency = np.where(is_local, latency, inside_latency)
    ring = 2 * (inside - 1) / inside
    across = np.where(is_local, 1, -(-tp // per_node))
    reduce_byte = constants.ar_factor * ring * per_byte + 2 * (across - 1) / across / network
    reduce_ms = 2 * (inside - 1) * latency + 2 * (across - 1) * constants.network_reduce_steps * network_ms

    group = table.expert_gpus
    group_byte, group_latency, group_local = local(group)
    exchange_byte = np.where(group_local, (group - 1) / group * group_byte, np.minimum(per_node, group) / network)
    start_ms = constants.exchange_latency_us / 1e3
    exchange_ms = start_ms + np.where(group_local, group_latency, network_ms)
    places = np.where(group_local, group, -(-group // per_node)).astype(np.float64)

    dcp = table.dcp
    context_byte, context_latency, context_local = local(dcp)
    nodes_of_context = -(-dcp // per_node)
    far_ms = (nodes_of_context - 1) * constants.network_reduce_steps * network_ms
    replica = tp * table.pp
    reach = max(per_node, domain)
    aligned = (hardware.gpus <= reach) | (reach % replica == 0)
    crossings = np.where((replica <= reach) & aligned, 0, np.minimum(table.pp - 1, -(-replica // reach)))
    near = table.pp - 1 - crossings
    stage_on_nvlink = (nvlink > 0) & ((replica <= domain) | ((replica > reach) & (domain >= per_node)))
    near_byte = np.where(stage_on_nvlink, 1 / nvlink if nvlink else 0.0, 1 / pcie)
    near_ms = np.where(stage_on_nvlink, 0.0, pcie_ms)
    coupled = table.ranks > 1
    return LinkCosts(
        all_reduce_ms_per_byte=np.where(tp > 1, reduce_byte, 0.0),
        all_reduce_ms=np.where(tp > 1, reduce_ms, 0.0),
        all_to_all_ms_per_byte=np.where(coupled, exchange_byte, 0.0),
        all_to_all_ms=np.where(coupled, exchange_ms, 0.0),
        all_to_all_places=places,
        context_ms_per_byte=np.where(context_local, context_byte, np.minimum(per_node, dcp) / network),
        context_ms=CONTEXT_MESSAGES * np.where(context_local, (dcp - 1) * context_latency, far_ms),
        send_ms_per_byte=near * near_byte + crossings / network,
        send_ms=near * near_ms + crossings * network_ms,
    )
