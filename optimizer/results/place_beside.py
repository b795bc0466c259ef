"""Where joint instances beside prefill and decode pools stand: on GPUs of their own. ``docs/disaggregated.md``, section 14.

Each part is placed by itself, and every place of it is one of the whole: of several nodes the first are the joint instances'; of a
single node each part has whole NVLink domains first, so that what stands in one domain by itself does so here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from optimizer.facts.hardware import HardwareFacts
from optimizer.facts.problem import Problem
from optimizer.facts.side_by_side import TENTHS, BesideSplit, joint_part, pools_part
from optimizer.results.answer import Strategy
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
    order = _order(hardware, split)[: split.units]
    return lambda gpu: GpuPlace(gpu.node, order[gpu.index])


def pools_place(hardware: HardwareFacts, split: BesideSplit) -> Moved:
    """The same of the pools."""
    if hardware.nodes > 1:
        return lambda gpu: GpuPlace(f"node-{int(gpu.node.rpartition('-')[2]) + split.units}", gpu.index)
    order = _order(hardware, split)[split.units :]
    return lambda gpu: GpuPlace(gpu.node, order[gpu.index])


def _order(hardware: HardwareFacts, split: BesideSplit) -> list[int]:
    """GPUs of the one node in the order of the joint part's, then those of the pools'.

    Whole domains of the joint instances, whole domains of the pools, then what either has beyond, from a new domain on.
    """
    size, every = hardware.nvlink_domain_gpus, hardware.gpus_per_node
    joint, pools = split.units, every - split.units
    first, second = joint // size * size, pools // size * size
    rest = list(range(first + second, every))
    return [*range(first), *rest[: joint - first], *range(first, first + second), *rest[joint - first :]]
