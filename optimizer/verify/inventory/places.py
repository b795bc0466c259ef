"""What the places of a pipeline over two groups carry otherwise: with instances within one of the groups each.

``docs/inventories.md``, section 2: which pipelines over two groups are considered.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from optimizer.facts.inventory import InventoryProblem, NodeGroup
from optimizer.results.answer import Fixed
from optimizer.verify.inventory.candidates import CheckedInstance, candidates_on
from optimizer.verify.inventory.instance import Instance, Instances
from optimizer.verify.inventory.rates import MILLION

_STEPS_UNSURE = 2
"""Millionths by which a rate found in floats may differ from the exact one."""


def fits_times(candidate: CheckedInstance, group: NodeGroup, nodes: int, each: int, tensor: int) -> int:
    """m: instances that fit in the place of a part with so many GPUs on each of its nodes.

    Args:
        group: of the candidate and of the part.
        tensor: TP of the pipeline.
    """
    some = group.nvlink_gb_per_s > 0 and group.nvlink_domain_gpus < group.free_gpus
    wide, mine = group.nvlink_domain_gpus, candidate.instance.shape.group.tensor
    # Groups wider than a domain stand anywhere on a node, others need so many GPUs of one domain.
    if some and mine <= wide and (tensor > wide or mine > tensor) and mine > 1:
        return 0
    if candidate.nodes > nodes or candidate.gpus // candidate.nodes > each:
        return 0
    return nodes * (each // candidate.gpus) if candidate.nodes == 1 else 1


def carried_in_place(
    candidates: Sequence[CheckedInstance], group: NodeGroup, nodes: int, each: int, tensor: int
) -> int:
    """c_i in millionths of a request/s, as floats have it."""
    return max((fits_times(one, group, nodes, each, tensor) * one.capacity for one in candidates), default=0)


def carried_otherwise(
    inventory: InventoryProblem,
    instances: Instances,
    groups: Sequence[NodeGroup],
    instance: Instance,
    fixed: Fixed,
    against: Fraction,
) -> Fraction:
    """c₁ + c₂ in requests/s, exact where it is close to what it is compared with. Callers work inside ``sixty_digits``."""
    tensor, total, unsure = instance.shape.group.tensor, 0, 0
    best: list[list[tuple[int, CheckedInstance]]] = []
    for group, nodes, gpus in zip(groups, instance.nodes, instance.gpus_of_segments, strict=True):
        candidates = candidates_on(inventory, instances, group, fixed, gpus)
        found = [(fits_times(one, group, nodes, gpus // nodes, tensor), one) for one in candidates]
        most = max((m * one.capacity for m, one in found), default=0)
        close = [(m, one) for m, one in found if m and m * (one.capacity + 2 * _STEPS_UNSURE) >= most]
        total += most
        unsure += _STEPS_UNSURE * max((m for m, _ in close), default=0)
        best.append(close)
    if abs(against * MILLION - total) > unsure:
        return Fraction(total, MILLION)
    return sum((max((m * _exactly(one) for m, one in close), default=Fraction(0)) for close in best), Fraction(0))


def _exactly(candidate: CheckedInstance) -> Fraction:
    """c(τ), requests/s."""
    return candidate.instance.capacity(candidate.instance.most_slots())
