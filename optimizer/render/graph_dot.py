"""The execution graph in Graphviz's DOT language: an overview by stage, or every module."""

from __future__ import annotations

from collections.abc import Iterator

from optimizer.render.graph_overview import overview
from optimizer.results.graph import COMMUNICATION, Graph, InstanceGraph
from optimizer.writing.quoting import dot as _quoted


def dot_lines(graph: Graph, *, modules: bool) -> Iterator[str]:
    """The document, line by line.

    Args:
        modules: every module, collective and send; otherwise one box per stage.
    """
    yield f"digraph {_quoted(f'{graph.problem}: {graph.label}')} {{\n"
    yield "  rankdir=LR;\n  node [shape=box, fontname=Helvetica];\n  edge [fontname=Helvetica];\n"
    for instance in graph.instances():
        yield from _every_module(instance) if modules else _stages(instance)
    yield "}\n"


def _stages(instance: InstanceGraph) -> Iterator[str]:
    boxes, arrows = overview(instance)
    yield f"  subgraph {_quoted(f'cluster {instance.name}')} {{\n    label={_quoted(_title(instance))};\n"
    for replica in instance.replicas:
        several = len(instance.replicas) > 1
        if several:
            yield f"    subgraph {_quoted(f'cluster replica {replica}')} {{\n    label={_quoted(f'replica {replica}')};\n"
        for box in boxes:
            if box.replica == replica:
                yield f"    {box.id} [label={_quoted(chr(10).join(box.lines))}];\n"
        if several:
            yield "    }\n"
    for arrow in arrows:
        both = ", dir=both, constraint=false" if arrow.both_ways else ""
        yield f"    {arrow.source} -> {arrow.target} [label={_quoted(arrow.words)}{both}];\n"
    yield "  }\n"


def _every_module(instance: InstanceGraph) -> Iterator[str]:
    yield f"  subgraph {_quoted(f'cluster {instance.name}')} {{\n    label={_quoted(_title(instance))};\n"
    for node in instance.nodes:
        where = node.gpus[0] if len(node.gpus) == 1 else f"{len(node.gpus)} GPUs"
        style = ", style=rounded" if node.kind in COMMUNICATION else ""
        words = f"{node.id}\n{where}\n{node.start_ms[0]:.3f} ms to {node.end_ms[0]:.3f} ms"
        yield f"    {_quoted(node.id)} [label={_quoted(words)}{style}];\n"
    for edge in instance.edges:
        yield f"    {_quoted(edge.source)} -> {_quoted(edge.target)};\n"
    yield "  }\n"


def _title(instance: InstanceGraph) -> str:
    return f"{instance.name}: one token every {instance.decode_step_ms:.2f} ms"
