"""What no choice contains that is better than an answer, as far as prices tell: it need not be gone through."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

from optimizer.facts.inventory import NodeGroup
from optimizer.verify.common.groups import ReplicaShape

ShapeOn = tuple[Hashable, ReplicaShape]
"""A kind of groups (``likeness``) and a shape on it."""
AcrossLeftOut = Callable[[tuple[NodeGroup, NodeGroup], int, tuple[int, int], tuple[int, int]], bool]
"""Whether pipelines over two groups are left out: the groups, the TP degree, the nodes of either part and the GPUs on each of them."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Shapes on one group, and pipelines over two."""

    shapes: frozenset[ShapeOn] = frozenset()
    across: AcrossLeftOut | None = None
    """None: no pipeline is left out."""
    after: frozenset[ShapeOn] = frozenset()
    """As ``shapes``, left out once it is known what they would carry in the places of pipelines over two groups."""


NOTHING = LeftOut()
"""Everything is gone through."""
