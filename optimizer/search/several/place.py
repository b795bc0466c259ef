"""From a split to GPUs: which GPUs of which node every instance takes.

Other home: ``verify/several/placed.py``; docs/several.md, section 3.
"""

from __future__ import annotations

from collections.abc import Iterator

from optimizer.facts.several import SeveralProblem
from optimizer.results.several import ServedInstance
from optimizer.search.several.solve import Split
from optimizer.search.uniform.evaluate import strategy_of


def placed(problem: SeveralProblem, split: Split) -> tuple[tuple[ServedInstance, ...], tuple[int, ...]]:
    """(every instance on its GPUs, GPUs left free on each node).

    Wide TP groups come first on a node: after groups of powers of two that are no smaller, one begins at a multiple of its width.
    """
    hardware = problem.hardware
    per_node, used = hardware.gpus_per_node, [0] * hardware.nodes
    spots: dict[int, list[list[tuple[int, int]]]] = {number: [] for number in range(len(problem.models))}
    for number, one in enumerate(split.candidates):
        if one.footprint.whole:
            spots[number] = list(_on_whole_nodes(split, number, per_node))
    widths = [strategy_of(one.quantities, one.choice).tensor_parallel for one in split.candidates]
    for number in sorted(spots, key=lambda n: (-widths[n], n)):
        one = split.candidates[number]
        if one.footprint.whole:
            continue
        for node in range(hardware.nodes):
            for _ in range(split.instances[number][node]):
                first = used[node]
                used[node] += one.footprint.instance_gpus
                spots[number].append([(node, gpu) for gpu in range(first, used[node])])
    found = []
    for number, served in enumerate(problem.models):
        for place, taken in enumerate(sorted(spots[number])):
            nodes = tuple(f"node-{node}" for node in dict.fromkeys(node for node, _ in taken))
            gpus = tuple(f"node-{node}/gpu-{gpu}" for node, gpu in taken)
            found.append(ServedInstance(served.name, place, nodes, gpus))
    taken_on = [
        sum(gpu.startswith(f"node-{node}/") for one in found for gpu in one.gpus) for node in range(hardware.nodes)
    ]
    return tuple(found), tuple(per_node - taken for taken in taken_on)


def _on_whole_nodes(split: Split, number: int, per_node: int) -> Iterator[list[tuple[int, int]]]:
    """Instances one after the other over the GPUs of the nodes that a model has for itself."""
    footprint = split.candidates[number].footprint
    there = [(node, gpu) for node, here in enumerate(split.on[number]) if here for gpu in range(per_node)]
    size, within = footprint.instance_gpus, footprint.instance_gpus <= per_node
    if within and footprint.instances <= footprint.nodes * (per_node // size):
        # None spans nodes: spread evenly over them.
        nodes = [node for node, here in enumerate(split.on[number]) if here]
        for place in range(footprint.instances):
            node, first = nodes[place % len(nodes)], place // len(nodes) * size
            yield [(node, gpu) for gpu in range(first, first + size)]
        return
    for place in range(footprint.instances):
        yield there[place * size : (place + 1) * size]
