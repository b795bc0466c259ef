"""What so many GPUs are: the one place that turns a count into hardware.

The facts know equal nodes. N GPUs are N / gpus_per_node whole nodes, rounded down; fewer than a node holds are one node of
that many. GPUs that fill no node stand idle, and the point says so.
"""

from __future__ import annotations

from optimizer.facts.hardware import HardwareFacts


def hardware_of(hardware: HardwareFacts, gpus: int) -> HardwareFacts:
    """The stated hardware with so many GPUs (1 or more).

    A node that holds fewer GPUs than stated has an NVLink domain no larger than itself; a domain that spans nodes stays.
    """
    per_node = hardware.gpus_per_node
    if gpus >= per_node:
        return hardware.model_copy(update={"nodes": gpus // per_node})
    domain = hardware.nvlink_domain_gpus
    if domain <= per_node:
        domain = min(domain, gpus)
    fewer = {"nodes": 1, "gpus_per_node": gpus, "idle_gpus_per_node": 0, "nvlink_domain_gpus": domain}
    return hardware.model_copy(update=fewer)


def idle_sentence(hardware: HardwareFacts, gpus: int) -> str | None:
    """What is left out of ``hardware_of`` for this count, for people; None when nothing is."""
    there = hardware_of(hardware, gpus).gpus
    if there == gpus:
        return None
    nodes, left = there // hardware.gpus_per_node, gpus - there
    return (
        f"{gpus} GPUs were considered as {nodes} whole node{'s' if nodes != 1 else ''} of {hardware.gpus_per_node}; "
        f"the other {left} fill{'s' if left == 1 else ''} no node and {'stands' if left == 1 else 'stand'} idle."
    )
