"""From a lane of blocks to intervals on named nodes."""

from __future__ import annotations

from optimizer.search.chain.groups import Groups
from optimizer.search.chain.instance import ChainInstance, Placement
from optimizer.search.chain.lanes import Lane


def place(instance: ChainInstance, groups: Groups, lane: Lane) -> Placement:
    """The interval of each node used; what reaches past the last layer is cut off."""
    free = [
        {
            kind: [node for node in members if instance.node_type[node] == kind]
            for kind in {instance.node_type[n] for n in members}
        }
        for members in groups.members
    ]
    placement: Placement = {}
    for group, at, block in lane:
        for part in block.parts:
            start = at + part.offset
            held = min(part.layers, instance.layers - start)
            if held > 0:
                placement[free[group][part.kind].pop(0)] = (start, held)
    return placement
