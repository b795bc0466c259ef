"""Links, and what a message on them takes, as written arithmetic. ``docs/model.md``, section 3."""

from __future__ import annotations

from dataclasses import dataclass

from optimizer.costs.links import exchange_places
from optimizer.explain.common.numbers import count as counted
from optimizer.facts.hardware import HardwareFacts
from optimizer.reporting.ledger import byte, ms, number
from optimizer.reporting.subject import Subject


@dataclass(frozen=True, slots=True)
class LinkClass:
    """A link as the cost model counts it: one direction, 10^9 bytes/s, and the time of an empty message."""

    id: str
    title: str
    gb_per_s: float
    latency_ms: float

    def message(self, size: str) -> str:
        """Time of a message, as arithmetic."""
        late = f" + {ms(self.latency_ms)}" if self.latency_ms else ""
        return f"{size} / ({number(self.gb_per_s)} GB/s){late}"


def nvlink(hardware: HardwareFacts) -> LinkClass:
    """NVLink, or xGMI."""
    return LinkClass("nvlink", "NVLink", hardware.nvlink_gb_per_s / 2, 0.0)


def pcie(subject: Subject) -> LinkClass:
    """PCIe."""
    return LinkClass("pcie", "PCIe", subject.hardware.pcie_gb_per_s, subject.constants.pcie_latency_us / 1e3)


def network(hardware: HardwareFacts) -> LinkClass:
    """The network, per node."""
    return LinkClass(
        "network", "network (per node)", hardware.internode_gbit_per_s / 8, hardware.internode_latency_us / 1e3
    )


def links_there(subject: Subject) -> list[LinkClass]:
    """Every link class of the hardware."""
    found = [nvlink(subject.hardware)] if subject.hardware.nvlink_gb_per_s else []
    found.append(pcie(subject))
    return [*found, network(subject.hardware)] if subject.hardware.nodes > 1 else found


def group_link(subject: Subject, size: int) -> LinkClass:
    """The link that the cost model counts for a group of so many GPUs."""
    hardware = subject.hardware
    if size <= hardware.nvlink_domain_gpus and hardware.nvlink_gb_per_s > 0:
        return nvlink(hardware)
    return pcie(subject) if size <= hardware.gpus_per_node else network(hardware)


def all_reduce(subject: Subject, size: str) -> str:
    """Time of an all-reduce over the TP group, as arithmetic."""
    t, hardware = subject.shape.tp, subject.hardware
    whole = group_link(subject, t)
    inside = min(t, hardware.gpus_per_node) if whole.id == "network" else t
    near = group_link(subject, inside) if whole.id == "network" else whole
    text = f"{number(subject.constants.ar_factor)} × 2 × ({inside} − 1) / {inside} × {size} / ({number(near.gb_per_s)} GB/s)"
    if near.latency_ms:
        text += f" + 2 × ({inside} − 1) × {ms(near.latency_ms)}"
    if whole.id == "network":
        nodes = -(-t // hardware.gpus_per_node)
        text += f" + 2 × ({nodes} − 1) / {nodes} × {size} / ({number(whole.gb_per_s)} GB/s)"
        steps = number(subject.constants.network_reduce_steps)
        text += f" + 2 × ({nodes} − 1) × {steps} × {ms(whole.latency_ms)}"
    return text


def all_to_all(subject: Subject, size: str) -> str:
    """Time of an all-to-all between coupled replicas, as arithmetic."""
    group = int(subject.analytic.table.expert_gpus[0])
    link = group_link(subject, group)
    late = f" + {ms(subject.constants.exchange_latency_us / 1e3)}"
    late += f" + {ms(link.latency_ms)}" if link.latency_ms else ""
    crosses = link.id == "network"
    share = str(min(subject.hardware.gpus_per_node, group)) if crosses else f"({group} − 1) / {group}"
    return f"{share} × {size} / ({number(link.gb_per_s)} GB/s){late}"


def exchanged(subject: Subject) -> str:
    """Bytes of one token in one all-to-all, as arithmetic."""
    copies, width = copies_of_a_token(subject)
    return f"{copies} × {number(subject.model.hidden_size)} × {number(width)} B"


def copies_of_a_token(subject: Subject) -> tuple[int, float]:
    """(places that a token goes to in one all-to-all, bytes of each of its values)."""
    places = exchange_places(subject.hardware, int(subject.analytic.table.expert_gpus[0]))
    if subject.shape.slice_ranks > 1:
        return min(subject.shape.slice_ranks, places), 2.0
    per_token = max(int(v) for v in subject.analytic.arrays.experts_per_token)
    return min(per_token, places), subject.constants.exchange_bytes


def hops(subject: Subject) -> list[tuple[int, LinkClass]]:
    """(number, link) of the sends between the stages of a replica, as the cost model counts them."""
    hardware, shape = subject.hardware, subject.shape
    replica, domain, per_node = shape.tp * shape.pp, hardware.nvlink_domain_gpus, hardware.gpus_per_node
    reach = max(per_node, domain)
    whole = replica <= reach and (hardware.gpus <= reach or reach % replica == 0)
    crossings = 0 if whole else min(shape.pp - 1, -(-replica // reach))
    fast = hardware.nvlink_gb_per_s > 0 and (replica <= domain or (replica > reach and domain >= per_node))
    near = nvlink(hardware) if fast else pcie(subject)
    pairs = [(shape.pp - 1 - crossings, near), (crossings, network(hardware))]
    return [(count, link) for count, link in pairs if count]


def sends(subject: Subject, tokens: str) -> str:
    """Time of all sends of one pass through the stages, as arithmetic; hidden state and residual, 16 bit each."""
    size = f"{tokens} × {number(subject.model.hidden_size)} × 2 × {byte(2)}"
    return " + ".join(f"{counted(count, 'hop')} × ({link.message(size)})" for count, link in hops(subject)) or "0 ms"
