"""Shapes that no choice contains: were an instance of one lost, nothing that fits beside it could carry what must be carried then."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import combinations

from optimizer.facts.inventory import NodeGroup
from optimizer.verify.inventory.claims import needed_after_losses
from optimizer.verify.inventory.instance import pairable
from optimizer.verify.inventory.outlive import levels_survived
from optimizer.verify.inventory.priced_shapes import ROUNDING, PricedShape
from optimizer.verify.inventory.site import CheckedSite
from optimizer.verify.inventory.worth import NodeWorth, worth

Shapes = dict[Hashable, list[PricedShape]]


def spared(site: CheckedSite, kinds: Sequence[Hashable], shapes: Shapes) -> Shapes:
    """The shapes of each kind of group, less those of which no instance can be spared.

    The worst loss of a GPU, or of a node, takes at least any one instance along. What carries the load then stands on the GPUs that
    the instance does not use. Where pipelines may stand on two groups nothing is left out: they are not among the shapes.
    """
    groups = site.inventory.groups
    lost = any(level in ("gpu", "node") for level, _ in levels_survived(site))
    if not lost or any(pairable(one, other) for one, other in combinations(groups, 2)):
        return shapes
    carried = [_most(group, shapes[kind]) for kind, group in zip(kinds, groups, strict=True)]
    total, needed = sum(one.total for one in carried), float(needed_after_losses(site.inventory))
    found: Shapes = {}
    for kind, every in shapes.items():
        mine = [one for one, other in zip(carried, kinds, strict=True) if other == kind]
        found[kind] = [
            shape
            for shape in every
            if (total - min(one.given_up(shape.nodes, shape.each) for one in mine)) * ROUNDING >= needed
        ]
    return found


def _most(group: NodeGroup, shapes: Sequence[PricedShape]) -> NodeWorth:
    """Requests/s that a group carries at most."""
    pieces: dict[int, float] = {}
    spans: dict[int, float] = {}
    for shape in shapes:
        if shape.nodes > group.nodes_together:
            continue
        if shape.nodes > 1 and shape.each == group.free_gpus:
            spans[shape.nodes] = max(spans.get(shape.nodes, 0.0), shape.completes)
        else:
            pieces[shape.each] = max(pieces.get(shape.each, 0.0), shape.completes / shape.nodes)
    return worth(group, pieces, spans)
