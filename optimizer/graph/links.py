"""The links that GPUs really share where they stand, and the time of a message on them. ``docs/model.md``, section 3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from optimizer.catalog.constants import constants
from optimizer.facts.hardware import HardwareFacts
from optimizer.graph.plan import LinkPlace
from optimizer.results.graph import GraphLink, LinkKind

SLOWEST_LAST: tuple[LinkKind, ...] = ("nvlink", "pcie", "network")


def links_of(hardware: HardwareFacts) -> dict[LinkKind, GraphLink]:
    """The links of a kind of node; no NVLink where it has none."""
    gpu = hardware.gpu.name
    found: dict[LinkKind, GraphLink] = {
        "pcie": GraphLink("pcie", gpu, hardware.pcie_gb_per_s, constants().pcie_latency_us / 1e3),
        "network": GraphLink("network", gpu, hardware.internode_gbit_per_s / 8, hardware.internode_latency_us / 1e3),
    }
    if hardware.nvlink_gb_per_s > 0:
        found["nvlink"] = GraphLink("nvlink", gpu, hardware.nvlink_gb_per_s / 2, 0.0)
    return found


def link_between(first: LinkPlace, second: LinkPlace) -> LinkKind:
    """The fastest link that joins two different GPUs."""
    if first.domain == second.domain:
        return "nvlink"
    return "pcie" if first.node == second.node else "network"


def pair_link(senders: Sequence[str], receivers: Sequence[str], places: Mapping[str, LinkPlace]) -> LinkKind:
    """The slowest link that any pair of a send needs."""
    kinds = (link_between(places[a], places[b]) for a, b in zip(senders, receivers, strict=True))
    return max(kinds, key=SLOWEST_LAST.index)


def group_link(gpus: Sequence[str], places: Mapping[str, LinkPlace]) -> LinkKind | None:
    """The slowest link that a group needs; None for a GPU alone."""
    if len(gpus) == 1:
        return None
    stand = [places[gpu] for gpu in gpus]
    if len({place.domain for place in stand}) == 1:
        return "nvlink"
    return "pcie" if len({place.node for place in stand}) == 1 else "network"


def counted_link(hardware: HardwareFacts, size: int) -> LinkKind | None:
    """The link that the cost model counts for a group of so many GPUs."""
    if size == 1:
        return None
    if size <= hardware.nvlink_domain_gpus and hardware.nvlink_gb_per_s > 0:
        return "nvlink"
    return "pcie" if size <= hardware.gpus_per_node else "network"


def joined(first: GraphLink, second: GraphLink) -> GraphLink:
    """What a message from nodes of one kind to those of another crosses: the smaller bandwidth, the larger latency."""
    return GraphLink(
        first.name,
        " and ".join(dict.fromkeys((first.gpu, second.gpu))),
        min(first.gb_per_s, second.gb_per_s),
        max(first.latency_ms, second.latency_ms),
    )


def message_ms(link: GraphLink, size_bytes: float) -> float:
    """Milliseconds of one message."""
    return size_bytes / (link.gb_per_s * 1e6) + link.latency_ms
