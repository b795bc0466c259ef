"""Which node each instance stands on, as part of the model over counts: where losses of nodes or racks have to be survived on few nodes.

The bounds of single models on what a loss takes (``search.inventory.lost_capacity``) do not know that others fill the nodes: splits
that no placement lets survive would be refused one by one (two models on four nodes: 45 of them before the best was proved).
"""

from __future__ import annotations

from itertools import product
from typing import Any

from optimizer.search.inventory.exact_placing import NotSettledError, keep
from optimizer.search.inventory.master import Master
from optimizer.search.inventory.placing import blocks_of, domain_within_node

MOST_NODES = 24
"""With more nodes instances find places that survive nearly always, and this model would be larger than all else."""


def stand_on_nodes(model: Any, masters: list[Master]) -> None:
    """Add that every instance stands on nodes with room for it, so that each model keeps what it needs after any loss of nodes or racks.

    Left out where there are many nodes, or parts of nodes that counts of GPUs do not describe.
    """
    problem = masters[0].problem
    groups = problem.groups
    levels = {losses.level for one in masters for losses in one.problem.survive}
    if not levels & {"node", "rack"} or sum(group.nodes for group in groups) > MOST_NODES:
        return
    if any(domain_within_node(group) < group.free_gpus for group in groups):
        return
    on_node: dict[tuple[int, int], list[tuple[int, Any]]] = {}
    for one in masters:
        _stand(model, one, on_node)
    taken = {node: sum(gpus * count for gpus, count in held) for node, held in on_node.items()}
    for (index, node), gpus in taken.items():
        model.add(gpus <= groups[index].free_gpus)
        # Equal nodes of a rack in one order: which of them is which does not matter.
        after = taken.get((index, node + 1))
        if after is not None and groups[index].rack_of(node) == groups[index].rack_of(node + 1):
            model.add(gpus >= after)


def _stand(model: Any, one: Master, on_node: dict[tuple[int, int], list[tuple[int, Any]]]) -> None:
    problem = one.problem
    load: dict[tuple[str, str], list[tuple[int, Any]]] = {}
    for item in one.items:
        parts, here = list(item.parts), []
        for blocks in product(*(blocks_of(problem, index, part.nodes) for index, part in parts)):
            count = model.new_int_var(0, item.most, "")
            here.append(count)
            for block, (index, part) in zip(blocks, parts, strict=True):
                for node in block.nodes:
                    on_node.setdefault((index, node), []).append((part.gpus_per_node, count))
                    name = problem.groups[index].node_name(node)
                    load.setdefault(("node", name), []).append((item.candidate.capacity, count))
            if blocks[0].rack is not None:
                load.setdefault(("rack", blocks[0].rack), []).append((item.candidate.capacity, count))
        model.add(sum(here) == item.count)
    needed = int(one.demand * problem.demand_share - 1e-6)
    for losses in problem.survive:
        if losses.level not in ("node", "rack") or f"survive_{losses.level}" in problem.search.disabled_rules:
            continue
        domains = [held for (level, _), held in load.items() if level == losses.level]
        try:
            keep(model, domains, losses.count, one.capacity - needed)
        except NotSettledError:
            continue  # looked at after placing
