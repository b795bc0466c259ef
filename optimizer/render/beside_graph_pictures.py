"""The graph of joint instances beside pools for people, node by node: Graphviz's DOT and Mermaid. ``docs/graph.md``."""

from __future__ import annotations

from collections.abc import Iterator

from optimizer.render.pool_graph_pictures import (
    OtherBoxes,
    PictureBox,
    pool_dot_lines,
    pool_mermaid_lines,
    rate_words,
)
from optimizer.results.beside_graph import BesideGraph, JointInstance


def beside_dot_lines(graph: BesideGraph) -> Iterator[str]:
    """The document in DOT, line by line."""
    return pool_dot_lines(graph.pools, _boxes(graph))


def beside_mermaid_lines(graph: BesideGraph) -> Iterator[str]:
    """The document as a Mermaid flowchart, line by line.

    Raises:
        ProblemError: the chart would be larger than Mermaid draws.
    """
    return pool_mermaid_lines(graph.pools, _boxes(graph))


def _boxes(graph: BesideGraph) -> OtherBoxes:
    """One box for what a joint instance has on a node."""
    sent: dict[str, tuple[str, float]] = {edge.source: (edge.link, edge.bytes_per_s) for edge in graph.tensor}
    passed = {edge.source: (edge.link, edge.bytes_per_s) for edge in graph.sends}
    gpus: dict[tuple[str, str], list[str]] = {}
    for gpu in graph.gpus:
        gpus.setdefault((gpu.instance, gpu.node), []).append(gpu.name)
    boxes: list[tuple[str, PictureBox]] = []
    joins: list[tuple[str, str]] = []
    for number, instance in enumerate(graph.instances):
        before: str | None = None
        for position, node in enumerate(instance.nodes):
            id, here = f"j{number}n{position}", gpus.get((instance.name, node), [])
            type = graph.gpus[0].type
            lines = [_title(instance, position), f"{type}: {', '.join(name.rpartition('/')[2] for name in here)}"]
            if before is None:
                lines.append(
                    f"{instance.requests_per_s:,.2f} requests/s, {instance.tokens_per_s_per_rank:,.0f} prompt and output tokens/s a rank"
                )
            else:
                joins.append((before, id))
            for words, of in (("all-reduce", sent), ("to the next stage", passed)):
                found = next((of[name] for name in here if name in of), None)
                if found is not None:
                    lines.append(f"{words}: {rate_words(found[1])} a GPU over {found[0]}")
            boxes.append((node, PictureBox(id, "joint", tuple(lines))))
            before = id
    return OtherBoxes(f"{graph.problem}: {graph.label}", tuple(boxes), tuple(joins))


def _title(instance: JointInstance, position: int) -> str:
    ranks = f"·DP{instance.ranks}" if instance.ranks > 1 else ""
    expert = f"·EP{instance.expert_parallel}" if instance.expert_parallel > 1 else ""
    part = f", node {position + 1} of {len(instance.nodes)}" if len(instance.nodes) > 1 else ""
    return f"{instance.name}: TP{instance.tensor_parallel}·PP{instance.pipeline_parallel}{ranks}{expert}{part}"
