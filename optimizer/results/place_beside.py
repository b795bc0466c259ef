"""Where joint instances beside prefill and decode pools stand: on GPUs of their own. ``docs/disaggregated.md``, section 14.

Each part is placed by itself, and every place of it is one of the whole: of several nodes the first are the joint instances'; of a
single node each part has whole NVLink domains first, so that what stands in one domain by itself does so here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from optimizer.facts.hardware import HardwareFacts
from optimizer.facts.inventory import InventoryProblem
from optimizer.facts.problem import Problem
from optimizer.facts.side_by_side import TENTHS, BesideSplit, joint_part, pools_part
from optimizer.results.answer import Strategy
from optimizer.results.cluster_side_by_side import GroupDivided
from optimizer.results.place_pools import place_pools
from optimizer.results.placement import GpuPlace, Placement, place_evenly
from optimizer.results.pools import PoolsStrategy

Moved = Callable[[GpuPlace], GpuPlace]


def place_joint_part(problem: Problem, split: BesideSplit, strategy: Strategy) -> Placement:
    """The joint instances, with their share of all requests.

    Raises:
        ValueError: they find no room so.
    """
    own = place_evenly(joint_part(problem, split), strategy)
    return _of_the_whole(own, split.tenths / TENTHS, joint_place(problem.hardware, split))


def place_pools_part(problem: Problem, split: BesideSplit, strategy: PoolsStrategy) -> Placement:
    """The instances of both pools, with their share of all requests.

    Raises:
        ValueError: they find no room so.
    """
    own = place_pools(pools_part(problem, split), strategy)
    return _of_the_whole(own, 1 - split.tenths / TENTHS, pools_place(problem.hardware, split))


def _of_the_whole(placement: Placement, share: float, place: Moved) -> Placement:
    found = moved(placement, place)
    return Placement(tuple(replace(one, share=one.share * share) for one in found.instances))


def moved(placement: Placement, place: Moved) -> Placement:
    """The same instances, each GPU where it stands among all."""
    return Placement(tuple(replace(one, gpus=tuple(place(gpu) for gpu in one.gpus)) for one in placement.instances))


def joint_place(hardware: HardwareFacts, split: BesideSplit) -> Moved:
    """Where a GPU of the joint instances' own problem stands among all."""
    if hardware.nodes > 1:
        return lambda gpu: gpu
    order = _order_of(hardware, split)[: split.units]
    return lambda gpu: GpuPlace(gpu.node, order[gpu.index])


def pools_place(hardware: HardwareFacts, split: BesideSplit) -> Moved:
    """The same of the pools."""
    if hardware.nodes > 1:
        return lambda gpu: GpuPlace(f"node-{int(gpu.node.rpartition('-')[2]) + split.units}", gpu.index)
    order = _order_of(hardware, split)[split.units :]
    return lambda gpu: GpuPlace(gpu.node, order[gpu.index])


def places_on(problem: InventoryProblem, divided: Sequence[GroupDivided]) -> tuple[Moved, Moved]:
    """Where a GPU of either part's own inventory stands among all: joint instances have the first nodes of each group, pools the last.

    A group that is one node of both parts is divided as a single node is.
    """
    of_group = {one.group: one for one in divided}
    groups = {group.name: group for group in problem.groups}

    def place(gpu: GpuPlace, *, pools: bool) -> GpuPlace:
        name, _, number = gpu.node.rpartition("-")
        group, own = groups[name], of_group[name]
        if group.nodes == 1 and own.joint_gpus and own.pools_gpus:
            order = _order(group.nvlink_domain_gpus, group.free_gpus, own.joint_gpus)
            return GpuPlace(gpu.node, order[gpu.index + (own.joint_gpus if pools else 0)])
        return GpuPlace(group.node_name(int(number) + own.joint_nodes), gpu.index) if pools else gpu

    return partial(place, pools=False), partial(place, pools=True)


def _order_of(hardware: HardwareFacts, split: BesideSplit) -> list[int]:
    """GPUs of the one node in the order of the joint part's, then those of the pools'."""
    return _order(hardware.nvlink_domain_gpus, hardware.gpus_per_node, split.units)


def _order(size: int, every: int, joint: int) -> list[int]:
    """The same of a node of so many GPUs, of which the joint instances have some.

    Whole domains of the joint instances, whole domains of the pools, then what either has beyond, from a new domain on.
    """
    pools = every - joint
    first, second = joint // size * size, pools // size * size
    rest = list(range(first + second, every))
    return [*range(first), *rest[: joint - first], *range(first, first + second), *rest[joint - first :]]
