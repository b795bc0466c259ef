"""The execution graph as GraphML, written by networkx, for graph tools such as Gephi and yEd.

GraphML has no lists: GPUs are joined by spaces, and times are those of the first micro-batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from optimizer.render.graph_json import node_data
from optimizer.results.graph import Graph


def graphml_lines(graph: Graph) -> Iterator[str]:
    """The document, line by line."""
    import networkx

    found = networkx.DiGraph()
    header = graph.header()
    found.graph.update({key: value for key, value in header.items() if isinstance(value, str | int | float)})
    for instance in graph.instances():
        found.graph[f"{instance.name} decode_step_ms"] = instance.decode_step_ms
        found.graph[f"{instance.name} micro_batches"] = instance.micro_batches
        for node in instance.nodes:
            data = node_data(node)
            found.add_node(data.pop("id"), **_flat(data))
        for edge in instance.edges:
            found.add_edge(edge.source, edge.target, gpu=edge.gpu)
    for line in networkx.generate_graphml(found):
        yield f"{line}\n"


def _flat(data: dict[str, Any]) -> dict[str, Any]:
    """Scalars only; what a node does not have is left out."""
    flat = {key: value for key, value in data.items() if isinstance(value, str | int | float)}
    flat["gpus"] = " ".join(data["gpus"])
    flat["start_ms"], flat["end_ms"] = data["start_ms"][0], data["end_ms"][0]
    for name, value in data.get("terms_ms", {}).items():
        flat[f"{name} ms"] = value
    for name, value in data.get("experts", {}).items():
        flat[f"experts {name}"] = value
    return flat
