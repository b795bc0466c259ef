"""The placement of an inventory's instances: every node of every group with its GPUs, each in the colour of its instance.

Hand-made SVG, so that it is drawn where no extra is installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape

from optimizer.explain.common.numbers import count
from optimizer.facts.inventory import InventoryProblem, NodeGroup
from optimizer.results.inventory import InventoryAnswer, instance_label
from optimizer.results.placement import GpuPlace, PlacedInstance

MOST_NODES = 48
"""Nodes drawn of one group."""
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
    beside = max(1, int((WIDTH - 2 * LEFT) // (wide + GAP)))
    shown = min(group.nodes, MOST_NODES)
    for node in range(shown):
        x, y = LEFT + node % beside * (wide + GAP), top + node // beside * (tall + GAP)
        shapes += _node(group, node, instances, taken, x, y, across)
    top += -(-shown // beside) * (tall + GAP)
    if shown < group.nodes:
        shapes.append(_text(LEFT, top + 10, f"and {group.nodes - shown} more nodes of {group.name}"))
        top += NAME
    return shapes, top + GAP


def _node(
    group: NodeGroup,
    node: int,
    instances: tuple[PlacedInstance, ...],
    taken: dict[GpuPlace, int],
    x: float,
    y: float,
    across: int,
) -> Iterator[str]:
    name = group.node_name(node)
    down = -(-group.gpus_per_node // across)
    rack = group.rack_of(node)
    words = f"{name}{f' in {rack}' if rack else ''}"
    yield f"<g><title>{escape(words)}</title>"
    yield (
        f'<rect x="{x:g}" y="{y:g}" width="{across * CELL + 8:g}" height="{down * CELL + NAME + 6:g}" rx="4" fill="none" '
        'stroke="#9aa1ac"/>'
    )
    yield _text(x + 4, y + 12, name)
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
