"""Joint instances beside prefill and decode pools on an inventory: which splits there are, and the question that each part answers.

``docs/disaggregated.md``, section 14. Search and verifier both read the parts from here: they are part of what is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

from optimizer.facts.inventory import InventoryProblem, NodeGroup
from optimizer.facts.side_by_side import BY_TIME, TENTHS

MOST_BY_GPU = 1_000
"""Ways to divide an inventory up to which single nodes are divided GPU by GPU; of more, groups of one node go whole to either part."""
MOST_WAYS = 4_000
"""Of more ways the nodes are not divided at all."""


@dataclass(frozen=True, slots=True, order=True)
class ClusterSplit:
    """What the joint instances have; the pools have the rest."""

    tenths: int
    """Of the requests."""
    units: tuple[int, ...]
    """Of each group, in its own units."""


@dataclass(frozen=True, slots=True)
class GroupUnits:
    """In what a group is shared out."""

    nodes: int
    """Nodes of a unit; 0: GPUs of the group's one node."""
    gpus: int
    """Free GPUs of a unit."""
    count: int
    """Units there are."""

    @property
    def word(self) -> str:
        """Such as ``nodes``, ``racks of 4 nodes`` or ``GPUs``."""
        if self.nodes == 0:
            return "GPUs"
        return "nodes" if self.nodes == 1 else f"sets of {self.nodes} nodes"


def _units(group: NodeGroup, *, by_gpu: bool) -> GroupUnits:
    """Whole racks where a group has several, whole NVLink domains over nodes, else nodes; GPUs of a single node."""
    if group.nodes == 1:
        if by_gpu and group.node_power_limit_watts is None and _even_domains(group):
            return GroupUnits(0, 1, group.free_gpus)
        return GroupUnits(1, group.free_gpus, 1)
    nodes = 1
    if group.racks > 1:
        nodes = group.nodes_per_rack
    elif group.nvlink_domain_gpus > group.gpus_per_node and group.nodes % group.nodes_together == 0:
        nodes = group.nodes_together if group.nodes_together < group.nodes else 1
    return GroupUnits(nodes, nodes * group.free_gpus, group.nodes // nodes)


def _even_domains(group: NodeGroup) -> bool:
    """Whether the free GPUs of a node are whole NVLink domains, so that what either part gets of one is known; pairs always are."""
    domain = group.nvlink_domain_gpus
    return domain <= 2 or domain >= group.free_gpus or group.free_gpus % domain == 0


def units_of_groups(groups: tuple[NodeGroup, ...]) -> tuple[GroupUnits, ...]:
    """In what each group is shared out."""
    fine = tuple(_units(group, by_gpu=True) for group in groups)
    return fine if _ways(fine) <= MOST_BY_GPU else tuple(_units(group, by_gpu=False) for group in groups)


def _ways(units: Sequence[GroupUnits]) -> int:
    """Ways to share all groups out, something for either part."""
    return prod(one.count + 1 for one in units) - 2


def ways_of(problem: InventoryProblem) -> int:
    """Ways to share the groups out, something for either part; requests not counted."""
    return _ways(units_of_groups(problem.groups))


def divisions_of(problem: InventoryProblem) -> Iterator[tuple[int, ...]]:
    """Every way to share the groups out: units of the joint instances."""
    units = units_of_groups(problem.groups)
    every = tuple(one.count for one in units)
    for some in product(*(range(one + 1) for one in every)):
        if any(some) and some != every:
            yield some


def cluster_splits_of(problem: InventoryProblem) -> Iterator[ClusterSplit]:
    """Every split: whole tenths of the requests, whole units of each group, something for either part."""
    for units in divisions_of(problem):
        for tenths in range(1, TENTHS):
            yield ClusterSplit(tenths, units)


def not_split_on(problem: InventoryProblem) -> str | None:
    """Why joint instances and pools are not tried side by side; None: they are."""
    if problem.objective.preset not in BY_TIME:
        return f"with objective {problem.objective.preset}"
    if problem.workload.users is not None:
        return "with users in place of a request rate"
    if any(not rule.startswith("survive_") for rule in problem.search.disabled_rules):
        return "with rules switched off"
    ways = ways_of(problem)
    if ways > MOST_WAYS:
        return f"where there are {ways:,} ways to share the nodes out, more than {MOST_WAYS:,}"
    return None


def split_with(problem: InventoryProblem, tenths: int, joint_gpus: tuple[int, ...]) -> ClusterSplit:
    """The split in which the joint instances have so many free GPUs of each group."""
    units = units_of_groups(problem.groups)
    return ClusterSplit(tenths, tuple(gpus // one.gpus for gpus, one in zip(joint_gpus, units, strict=True)))


def joint_part_on(problem: InventoryProblem, split: ClusterSplit) -> InventoryProblem:
    """What the joint instances are asked."""
    return _part(problem, split.units, split.tenths, "joint")


def pools_part_on(problem: InventoryProblem, split: ClusterSplit) -> InventoryProblem:
    """What the pools beside them are asked."""
    units = units_of_groups(problem.groups)
    rest = tuple(one.count - used for one, used in zip(units, split.units, strict=True))
    return _part(problem, rest, TENTHS - split.tenths, "disaggregated")


def _part(problem: InventoryProblem, used: Sequence[int], tenths: int, serving: str) -> InventoryProblem:
    """The same question on some units with some of the requests; a GPU counts for fewer of them, so for more each."""
    units = units_of_groups(problem.groups)
    groups = tuple(
        _some_of(group, unit, count) for group, unit, count in zip(problem.groups, units, used, strict=True) if count
    )
    names = {group.name for group in groups}
    domains = tuple(
        domain.model_copy(update={"groups": tuple(name for name in domain.groups if name in names)})
        for domain in problem.domains
        if names & set(domain.groups)
    )
    gpu_ms = problem.objective.gpu_ms
    changed = problem.model_copy(
        update={
            "groups": groups,
            "domains": domains,
            "workload": problem.workload.model_copy(
                update={"requests_per_s": problem.workload.requests_per_s * tenths / TENTHS}
            ),
            "objective": problem.objective.model_copy(
                update={"gpu_ms": None if gpu_ms is None else gpu_ms * TENTHS / tenths}
            ),
            "serving": serving,
        }
    )
    # A level of which the part has nothing can lose nothing.
    levels = changed.levels()
    return changed.model_copy(update={"survive": tuple(one for one in problem.survive if one.level in levels)})


def _some_of(group: NodeGroup, unit: GroupUnits, count: int) -> NodeGroup:
    """A group with some of its units; the network of a node that both parts use is shared by its GPUs."""
    if count == unit.count:
        return group
    if unit.nodes == 0:
        network = group.internode_gbit_per_s * count / group.free_gpus
        return group.model_copy(update={"free_gpus": count, "internode_gbit_per_s": network})
    racks = count if group.racks > 1 else group.racks
    return group.model_copy(update={"nodes": count * unit.nodes, "racks": racks})
