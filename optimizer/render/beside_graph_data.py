"""The graph of joint instances beside pools for programs: JSON in networkx's node-link layout, and GraphML. ``docs/graph.md``.

Nodes and edges of the pools are those of their own graph; joint instances have ``pool`` joint, their stages ``pipeline_parallel`` edges.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from optimizer.render.graph_json import dumps, listed, opening
from optimizer.render.pool_graph_data import edges_of, graphml_of, nodes_of
from optimizer.results.beside_graph import BesideGraph
from optimizer.results.graph import GraphCheck


def beside_json_lines(graph: BesideGraph, check: GraphCheck) -> Iterator[str]:
    """The document in pieces, one node or edge to a line."""
    yield opening(graph, check) + ',\n"nodes": ['
    yield from listed(dumps(node) for node in _nodes(graph))
    yield '],\n"edges": ['
    yield from listed(dumps(edge) for edge in _edges(graph))
    yield "]}\n"


def beside_graphml_lines(graph: BesideGraph) -> Iterator[str]:
    """The document, line by line."""
    return graphml_of(graph.header(), _nodes(graph), _edges(graph))


def _nodes(graph: BesideGraph) -> Iterator[dict[str, Any]]:
    for instance in graph.instances:
        data = asdict(instance)
        yield {"id": data.pop("name"), "kind": "instance", "pool": "joint", **data}
    for gpu in graph.gpus:
        data = asdict(gpu)
        yield {"id": data.pop("name"), "kind": "gpu", "pool": "joint", **data}
    yield from nodes_of(graph.pools)


def _edges(graph: BesideGraph) -> Iterator[dict[str, Any]]:
    for gpu in graph.gpus:
        yield {"source": gpu.instance, "target": gpu.name, "kind": "holds"}
    for edge in graph.tensor:
        yield {**asdict(edge), "kind": "tensor_parallel"}
    for send in graph.sends:
        yield {**asdict(send), "kind": "pipeline_parallel"}
    yield from edges_of(graph.pools)
