"""Whether instances stand where an answer says: on GPUs there are, no two on one, spread evenly, TP groups where links join them.

Other home: ``search/several/place.py``; docs/several.md, section 3.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from optimizer.facts.hardware import HardwareFacts
from optimizer.results.several import ServedInstance, ServedShare, SeveralAnswer
from optimizer.verify.common.groups import row_of
from optimizer.verify.common.ledger import CheckLedger
from optimizer.verify.several.packing import stands_alone

Spot = tuple[int, int]
"""(node, GPU of the node)."""


def spot_of(name: str) -> Spot | None:
    """``node-0/gpu-3`` in numbers; None: not of that form."""
    node, _, gpu = name.partition("/gpu-")
    number = node.removeprefix("node-")
    return (int(number), int(gpu)) if number.isdecimal() and gpu.isdecimal() else None


def check_placement(ledger: CheckLedger, hardware: HardwareFacts, answer: SeveralAnswer) -> None:
    """Every instance of every model."""
    placed = answer.placement
    if not ledger.that("placement", placed is not None, "every instance on its GPUs", placed) or placed is None:
        return
    used: Counter[Spot] = Counter()
    nodes_of: dict[str, set[int]] = defaultdict(set)
    for one in placed:
        spots = [spot_of(name) for name in one.gpus]
        there = [
            spot for spot in spots if spot is not None and spot[0] < hardware.nodes and spot[1] < hardware.gpus_per_node
        ]
        ledger.that(f"placement {one.model}: GPUs", len(there) == len(one.gpus), "GPUs that there are", one.gpus)
        ledger.same(f"placement {one.model}: nodes", {f"node-{node}" for node, _ in there}, set(one.nodes))
        used.update(there)
        nodes_of[one.model] |= {node for node, _ in there}
    twice = [spot for spot, times in used.items() if times > 1]
    ledger.that("placement: one instance a GPU", not twice, "no GPU twice", twice)
    free = [hardware.gpus_per_node - sum(node == at for node, _ in used) for at in range(hardware.nodes)]
    ledger.same("free_gpus", tuple(free), answer.free_gpus)
    ledger.same("placement: models", {share.name for share in answer.models}, {one.model for one in placed})
    for share in answer.models:
        mine = [one for one in placed if one.model == share.name]
        _check_share(ledger, hardware, share, mine)
        if share.whole_nodes:
            others = {node for name, held in nodes_of.items() if name != share.name for node in held}
            alone = not others & nodes_of[share.name]
            ledger.that(f"placement {share.name}: whole nodes", alone, "nodes of its own", sorted(others))


def _check_share(
    ledger: CheckLedger, hardware: HardwareFacts, share: ServedShare, mine: Sequence[ServedInstance]
) -> None:
    what, row = f"placement {share.name}", row_of(share.strategy)
    size = row.shape.instance_gpus
    ledger.same(f"{what}: instances", row.instances, len(mine))
    ledger.that(
        f"{what}: size", all(len(one.gpus) == size for one in mine), f"{size} GPUs each", [len(o.gpus) for o in mine]
    )
    within = hardware.model_copy(update={"nodes": share.nodes})
    alone = stands_alone(within, row)
    ledger.same(f"{what}: whole_nodes", alone, share.whole_nodes)
    held = Counter(node for one in mine for node in one.nodes)
    ledger.that(f"{what}: spread", len(held) <= share.nodes, f"{share.nodes} nodes", sorted(held))
    if alone:
        return
    ledger.that(
        f"{what}: inside nodes", all(len(one.nodes) == 1 for one in mine), "one node each", [o.nodes for o in mine]
    )
    even = len(held) == share.nodes and max(held.values()) - min(held.values()) <= 1
    ledger.that(f"{what}: evenly", even, f"as many on each of {share.nodes} nodes, or one more", dict(held))
    domain, tensor = hardware.nvlink_domain_gpus, share.strategy.tensor_parallel
    if hardware.nvlink_gb_per_s > 0 and tensor <= domain < hardware.gpus_per_node:
        for one in mine:
            numbers = [spot[1] // domain for name in one.gpus if (spot := spot_of(name)) is not None]
            groups = [set(numbers[first : first + tensor]) for first in range(0, len(numbers), tensor)]
            ledger.that(f"{what}: TP groups", all(len(g) == 1 for g in groups), "each in one NVLink domain", one.gpus)
