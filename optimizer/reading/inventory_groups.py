"""From the entries of ``cluster:`` to node groups, and from ``domains:`` to what fails together."""

from __future__ import annotations

from collections.abc import Mapping

from optimizer.catalog import lookup as catalog
from optimizer.catalog.constants import constants
from optimizer.facts.base import LARGEST_COUNT
from optimizer.facts.derived import following
from optimizer.facts.errors import ProblemError, closest
from optimizer.facts.hardware import GpuFacts
from optimizer.facts.inventory import (
    BUILT_IN_LEVELS,
    HOST,
    Domain,
    NodeGroup,
)
from optimizer.reading.inventory_input import GroupInput
from optimizer.reading.load import (
    known_capability,
    most_used,
    network_of,
    nvlink_domain,
    price_of_a_gpu,
)
from optimizer.reading.money import interruptions
from optimizer.reading.power import with_idle, working_gpus


def node_groups(stated: tuple[GroupInput, ...]) -> tuple[NodeGroup, ...]:
    """The groups, each resolved from its entry and the catalog.

    Raises:
        ProblemError: an entry contradicts itself, or two have one name.
    """
    groups: list[NodeGroup] = []
    for number, entry in enumerate(stated):
        field = f"cluster.{number}"
        gpu = known_capability(entry.gpu) if isinstance(entry.gpu, GpuFacts) else catalog.gpu(entry.gpu, f"{field}.gpu")
        gpu = with_idle(gpu, entry.idle_watts)
        per_node = entry.gpus_per_node or gpu.gpus_per_node
        free = entry.free_gpus or per_node
        if free > per_node:
            raise ProblemError(f"{field}.free_gpus", f"{free} is more than the {per_node} GPUs of a node")
        if entry.rack is not None and entry.racks is not None:
            raise ProblemError(f"{field}.racks", "stands beside rack; state one of them")
        if entry.racks is not None and entry.nodes % entry.racks:
            raise ProblemError(
                f"{field}.racks",
                f"{entry.nodes} nodes are not spread equally over {entry.racks} racks; split the group",
            )
        nvlink = gpu.nvlink_gb_per_s if entry.nvlink_gb_per_s is None else entry.nvlink_gb_per_s
        domain = nvlink_domain(gpu, per_node, entry.nvlink_gb_per_s, entry.nvlink_domain_gpus)
        if nvlink == 0 and domain > 1:
            raise ProblemError(f"{field}.nvlink_domain_gpus", f"{domain} needs nvlink_gb_per_s above 0")
        network, assumed = _network(entry, gpu, per_node, field)
        watts, host = entry.node_power_limit_watts, entry.host_watts
        working = working_gpus(gpu, free, watts, host, field, held=per_node - free)
        with following(field):
            groups.append(
                NodeGroup(
                    name=entry.name or f"{gpu.name}-{number}",
                    gpu=gpu,
                    nodes=entry.nodes,
                    gpus_per_node=per_node,
                    free_gpus=working,
                    nvlink_gb_per_s=nvlink,
                    nvlink_domain_gpus=domain,
                    pcie_gb_per_s=gpu.pcie_gb_per_s if entry.pcie_gb_per_s is None else entry.pcie_gb_per_s,
                    internode_gbit_per_s=network,
                    internode_latency_us=entry.internode_latency_us,
                    memory_used_mib=most_used(entry.memory_used_mib, gpu, free, f"{field}.memory_used_mib"),
                    rack=entry.rack,
                    racks=entry.racks or 0,
                    zone=entry.zone,
                    price_per_gpu_hour=price_of_a_gpu(
                        entry.price_per_gpu_hour, entry.price_per_node_hour, per_node, field
                    ),
                    pricing=entry.pricing,
                    interruptions_per_hour=interruptions(entry.pricing, entry.interruptions_per_hour, field),
                    node_power_limit_watts=watts,
                    host_watts=host,
                    idle_gpus=free - working,
                    assumed=assumed,
                )
            )
    names = [group.name for group in groups]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise ProblemError(f"cluster.{number}.name", f"{name!r} is taken; each group needs a name of its own")
    if sum(group.nodes * group.gpus_per_node for group in groups) > LARGEST_COUNT:
        raise ProblemError("cluster", f"holds more than {LARGEST_COUNT:,} GPUs")
    return tuple(groups)


def _network(entry: GroupInput, gpu: GpuFacts, gpus_per_node: int, field: str) -> tuple[float, tuple[str, ...]]:
    """Gbit/s of one node, from its network cards where those are stated, and what was assumed."""
    if (entry.nics is None) != (entry.nic_gbit_per_s is None):
        raise ProblemError(f"{field}.nics", "nics and nic_gbit_per_s are stated together")
    if entry.nics is None or entry.nic_gbit_per_s is None:
        return network_of(gpu, gpus_per_node, entry.internode_gbit_per_s)
    total = entry.nics * entry.nic_gbit_per_s
    if entry.internode_gbit_per_s not in (None, total):
        raise ProblemError(
            f"{field}.internode_gbit_per_s", f"{entry.internode_gbit_per_s} is not nics × nic_gbit_per_s = {total}"
        )
    return total, ()


def wide_domains(stated: Mapping[str, Mapping[str, tuple[str, ...]]], groups: set[str]) -> tuple[Domain, ...]:
    """The failure domains of levels of one's own.

    Args:
        groups: names of the groups there are.

    Raises:
        ProblemError: a level has the name of another, or a domain names no group.
    """
    found = []
    for level, named in stated.items():
        if level in (*BUILT_IN_LEVELS, "demand_share", "within_s"):
            raise ProblemError(f"domains.{level}", "is a level of its own already; use another word")
        for name, members in named.items():
            if not members:
                raise ProblemError(f"domains.{level}.{name}", "is empty; name at least one group of cluster")
            for member in members:
                if member not in groups:
                    raise ProblemError(f"domains.{level}.{name}", f"no group {member!r}; {closest(member, groups)}")
            found.append(Domain(level=level, name=name, groups=tuple(dict.fromkeys(members))))
    return tuple(found)


def in_one_host(groups: tuple[NodeGroup, ...], domains: tuple[Domain, ...]) -> tuple[NodeGroup, ...]:
    """The groups, which reach each other over PCIe where all of them are the cards of one machine.

    Raises:
        ProblemError: a group of several nodes is said to be in one host.
    """
    nodes = {group.name: group.nodes for group in groups}
    for host in (domain for domain in domains if domain.level == HOST):
        for name in host.groups:
            if any(group.name == name and group.node_power_limit_watts is not None for group in groups):
                said = f"{name} is part of one machine; state power_limits_watts: {{{HOST}: {{{host.name}: …}}}}"
                raise ProblemError("node_power_limit_watts", said)
            if nodes[name] > 1:
                raise ProblemError(
                    f"domains.{HOST}.{host.name}",
                    f"is one machine, and group {name} has {nodes[name]} nodes; state one node, or another level",
                )
        if set(host.groups) == set(nodes):
            latency = constants().pcie_latency_us
            return tuple(
                group.model_copy(
                    update={
                        "internode_gbit_per_s": 8 * group.pcie_gb_per_s,
                        "internode_latency_us": latency,
                        "assumed": (),
                    }
                )
                for group in groups
            )
    return groups
