"""Where joint instances beside prefill and decode pools stand: on GPUs of their own. ``docs/disaggregated.md``, section 14.

Each part is placed by itself, and every place of it is one of the whole: of several nodes the first are the joint instances'; of a
single node each part has whole NVLink domains first, so that what stands in one domain by itself does so here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from optimizer.facts.problem import Problem
from optimizer.facts.side_by_side import BesideSplit, joint_part, pools_part, units_of
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
    return _of_the_whole(own, split.tenths / 10, joint_place(problem, split))


def place_pools_part(problem: Problem, split: BesideSplit, strategy: PoolsStrategy) -> Placement:
    """The instances of both pools, with their share of all requests.

    Raises:
        ValueError: they find no room so.
    """
    own = place_pools(pools_part(problem, split), strategy)
    return _of_the_whole(own, 1 - split.tenths / 10, pools_place(problem, split))


def _of_the_whole(placement: Placement, share: float, moved: Moved) -> Placement:
    return Placement(
        tuple(
            replace(one, share=one.share * share, gpus=tuple(moved(gpu) for gpu in one.gpus))
            for one in placement.instances
        )
    )


def joint_place(problem: Problem, split: BesideSplit) -> Moved:
    """Where a GPU of the joint instances' own problem stands among all."""
    if problem.hardware.nodes > 1:
        return lambda gpu: gpu
    order = _order(problem, split)[: split.units]
    return lambda gpu: GpuPlace(gpu.node, order[gpu.index])


def pools_place(problem: Problem, split: BesideSplit) -> Moved:
    """The same of the pools."""
    if problem.hardware.nodes > 1:
        return lambda gpu: GpuPlace(f"node-{int(gpu.node.rpartition('-')[2]) + split.units}", gpu.index)
    order = _order(problem, split)[split.units :]
    return lambda gpu: GpuPlace(gpu.node, order[gpu.index])


def _order(problem: Problem, split: BesideSplit) -> list[int]:
    """GPUs of the one node in the order of the joint part's, then those of the pools'.

    Whole domains of the joint instances, whole domains of the pools, then what either has beyond, from a new domain on.
    """
    size, every = problem.hardware.nvlink_domain_gpus, units_of(problem)
    joint, pools = split.units, every - split.units
    first, second = joint // size * size, pools // size * size
    rest = list(range(first + second, every))
    return [*range(first), *rest[: joint - first], *range(first, first + second), *rest[joint - first :]]
