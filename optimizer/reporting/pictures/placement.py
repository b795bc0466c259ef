"""The placement of an inventory's instances: every node of every group with its GPUs, each in the colour of its instance.

Hand-made SVG, so that it is drawn where no extra is installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape

from optimizer.explain.common.numbers import count, listing
from optimizer.facts.inventory import InventoryProblem, NodeGroup
from optimizer.reporting.pictures.alike import alike, names, pattern_of
from optimizer.results.inventory import InventoryAnswer, instance_label
from optimizer.results.placement import GpuPlace, PlacedInstance

MOST_NODES = 48
"""Nodes drawn of one group, those that look alike once."""
WIDTH, LEFT, TOP, CELL, GAP, NAME = 960.0, 16.0, 44.0, 20.0, 10.0, 16.0
COLOURS = ("#2a66ad", "#0f766e", "#b0510a", "#6b4bb0", "#ae2447", "#47761f", "#5b6472", "#0b7089")


def placement_svg(problem: InventoryProblem, answer: InventoryAnswer) -> str:
    """The SVG document."""
    instances = answer.placement.instances if answer.placement else ()
    taken = {place: number for number, one in enumerate(instances) for place in one.gpus}
    shapes: list[str] = []
    top = TOP
    for group in problem.groups:
        drawn, top = _group(group, instances, taken, top)
        shapes += drawn
    height = top + 26
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {height:g}" width="100%" '
            'font-family="sans-serif" font-size="11" role="img">',
            f"<title>{escape(placement_words(answer))}</title>",
            '<rect width="100%" height="100%" fill="white"/>',
            _text(LEFT, 24, f"{problem.name}: {answer.label or 'no instances'}", 15),
            *shapes,
            _text(
                LEFT,
                height - 8,
                "box: node; square: GPU, in the colour of its instance; outline: free; grey: not ours to use",
            ),
            "</svg>",
            "",
        ]
    )


def placement_words(answer: InventoryAnswer) -> str:
    """What the picture shows, in a sentence."""
    instances = answer.placement.instances if answer.placement else ()
    nodes = len({node for one in instances for node in one.nodes})
    return (
        f"{count(len(instances), 'engine instance')} on {count(nodes, 'node')}: {answer.gpus_used} of "
        f"{count(answer.gpus_free, 'free GPU')} are in use."
    )


def _group(
    group: NodeGroup, instances: tuple[PlacedInstance, ...], taken: dict[GpuPlace, int], top: float
) -> tuple[list[str], float]:
    """The shapes of a group and where the next one starts."""
    where = [f"rack {group.rack}"] if group.rack else [f"{group.racks} racks"] if group.racks else []
    where += [f"zone {group.zone}"] if group.zone else []
    title = f"{group.name}: {group.nodes} nodes of {group.gpus_per_node} {group.gpu.name}"
    shapes = [_text(LEFT, top + 12, title + (f" ({', '.join(where)})" if where else ""), 12)]
    top += NAME + 4
    across = min(8, group.gpus_per_node)
    down = -(-group.gpus_per_node // across)
    wide, tall = across * CELL + 8, down * CELL + NAME + 6
    looks = _alike(group, instances, taken)
    wide = max(
        [wide, *(8 + 6.4 * len(names([group.node_name(node) for node in nodes])) for nodes in looks[:MOST_NODES])]
    )
    beside = max(1, int((WIDTH - 2 * LEFT) // (wide + GAP)))
    for place, nodes in enumerate(looks[:MOST_NODES]):
        x, y = LEFT + place % beside * (wide + GAP), top + place // beside * (tall + GAP)
        shapes += _node(group, nodes, instances, taken, x, y, across, wide)
    top += -(-min(len(looks), MOST_NODES) // beside) * (tall + GAP)
    if len(looks) > MOST_NODES:
        rest = sum(map(len, looks[MOST_NODES:]))
        shapes.append(_text(LEFT, top + 10, f"and {rest} more nodes of {group.name}"))
        top += NAME
    return shapes, top + GAP


def _alike(group: NodeGroup, instances: tuple[PlacedInstance, ...], taken: dict[GpuPlace, int]) -> list[list[int]]:
    """Nodes of a group by what stands on them, so that each look is drawn once."""
    numbers = {group.node_name(node): node for node in range(group.nodes)}
    doing = {
        place: (number, (instance_label(instances[number].strategy), instances[number].nodes.index(place.node)))
        for place, number in taken.items()
        if place.node in numbers
    }
    looks = alike(list(numbers), lambda node: pattern_of(node, group.gpus_per_node, doing))
    return [[numbers[name] for name in look] for look in looks]


def _node(
    group: NodeGroup,
    nodes: list[int],
    instances: tuple[PlacedInstance, ...],
    taken: dict[GpuPlace, int],
    x: float,
    y: float,
    across: int,
    wide: float,
) -> Iterator[str]:
    """One node, drawn for all that look like it."""
    name = group.node_name(nodes[0])
    down = -(-group.gpus_per_node // across)
    racks = list(dict.fromkeys(rack for node in nodes if (rack := group.rack_of(node))))
    label = names([group.node_name(node) for node in nodes])
    words = f"{label}{f' in {listing(racks)}' if racks else ''}"
    yield f"<g><title>{escape(words)}</title>"
    yield (
        f'<rect x="{x:g}" y="{y:g}" width="{wide:g}" height="{down * CELL + NAME + 6:g}" rx="4" fill="none" '
        'stroke="#9aa1ac"/>'
    )
    yield _text(x + 4, y + 12, label)
    for index in range(group.gpus_per_node):
        left, above = x + 4 + index % across * CELL, y + NAME + index // across * CELL
        number = taken.get(GpuPlace(name, index))
        style, said = 'fill="none" stroke="#d5d9e0"', f"{name}/gpu-{index}: free"
        if number is not None:
            one = instances[number]
            style = f'fill="{COLOURS[number % len(COLOURS)]}"'
            said = f"{name}/gpu-{index}: {one.name}, {instance_label(one.strategy)}, {one.share:.1%} of the requests"
        elif index >= group.free_gpus:
            style, said = 'fill="#d5d9e0"', f"{name}/gpu-{index}: not ours to use"
        yield (
            f'<rect x="{left + 1:g}" y="{above + 1:g}" width="{CELL - 2:g}" height="{CELL - 2:g}" {style}>'
            f"<title>{escape(said)}</title></rect>"
        )
        if number is not None:
            yield (
                f'<text x="{left + CELL / 2:g}" y="{above + CELL / 2 + 4:g}" text-anchor="middle" fill="white" font-size="10">'
                f"{number}</text>"
            )
    yield "</g>"


def _text(x: float, y: float, said: str, size: int | None = None) -> str:
    style = f' font-size="{size}" font-weight="bold"' if size else ""
    return f'<text x="{x:g}" y="{y:g}"{style}>{escape(said)}</text>'
