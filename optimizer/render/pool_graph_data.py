"""The graph of pools for programs: JSON in networkx's node-link layout, and GraphML. ``docs/graph.md``, pools.

Nodes are instances and GPUs. Edges: an instance ``holds`` its GPUs, a GPU sends to the next of its TP group (``tensor_parallel``), a
prefill instance sends ``cache`` to a decode instance.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from optimizer.render.graph_json import dumps, listed, opening
from optimizer.results.graph import GraphCheck
from optimizer.results.pool_graph import PoolGraph


def pool_json_lines(graph: PoolGraph, check: GraphCheck) -> Iterator[str]:
    """The document in pieces, one node or edge to a line; ``networkx.node_link_graph(json.load(file), edges="edges")`` reads it."""
    yield opening(graph, check) + ',\n"nodes": ['
    yield from listed(dumps(node) for node in nodes_of(graph))
    yield '],\n"edges": ['
    yield from listed(dumps(edge) for edge in edges_of(graph))
    yield "]}\n"


def pool_graphml_lines(graph: PoolGraph) -> Iterator[str]:
    """The document, line by line."""
    return graphml_of(graph.header(), nodes_of(graph), edges_of(graph))


def graphml_of(
    header: dict[str, Any], nodes: Iterable[dict[str, Any]], edges: Iterable[dict[str, Any]]
) -> Iterator[str]:
    """GraphML of plain data: it has no lists (names of nodes are joined by spaces) and leaves out what is not there."""
    import networkx

    found = networkx.DiGraph()
    found.graph.update(header)
    for node in nodes:
        found.add_node(node.pop("id"), **_flat(node))
    for edge in edges:
        found.add_edge(edge.pop("source"), edge.pop("target"), **_flat(edge))
    for line in networkx.generate_graphml(found):
        yield f"{line}\n"


def nodes_of(graph: PoolGraph) -> Iterator[dict[str, Any]]:
    """Instances, then GPUs, as plain data."""
    for instance in graph.instances:
        data = asdict(instance)
        yield {"id": data.pop("name"), "kind": "instance", **data}
    for gpu in graph.gpus:
        data = asdict(gpu)
        yield {"id": data.pop("name"), "kind": "gpu", **data}


def edges_of(graph: PoolGraph) -> Iterator[dict[str, Any]]:
    """What holds what, traffic in TP groups, and cache between the pools, as plain data."""
    for gpu in graph.gpus:
        yield {"source": gpu.instance, "target": gpu.name, "kind": "holds"}
    for edge in graph.tensor:
        yield {**asdict(edge), "kind": "tensor_parallel"}
    for transfer in graph.transfers():
        yield {**asdict(transfer), "kind": "cache"}


def _flat(data: dict[str, Any]) -> dict[str, Any]:
    joined = {name: " ".join(value) if isinstance(value, tuple) else value for name, value in data.items()}
    return {name: value for name, value in joined.items() if value is not None}
