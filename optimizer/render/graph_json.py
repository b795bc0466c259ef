"""The execution graph as JSON in networkx's node-link layout, line by line, so that graphs of any size stream.

``networkx.node_link_graph(json.load(file), edges="edges")`` reads it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from optimizer.results.beside_graph import BesideGraph
from optimizer.results.graph import COMMUNICATION, MODULES, Gpu, Graph, GraphCheck, GraphNode, InstanceGraph
from optimizer.results.pool_graph import PoolGraph


def json_lines(graph: Graph, check: GraphCheck) -> Iterator[str]:
    """The document in pieces: header, GPUs, nodes and edges, one to a line."""
    yield opening(graph, check) + ',\n"instances": ['
    yield from listed(dumps(instance_data(instance)) for instance in graph.instances())
    yield '],\n"gpus": ['
    yield from listed(dumps(gpu_data(gpu)) for instance in graph.instances() for gpu in instance.gpus)
    yield '],\n"nodes": ['
    yield from listed(dumps(node_data(node)) for instance in graph.instances() for node in instance.nodes)
    yield '],\n"edges": ['
    yield from listed(dumps(asdict(edge)) for instance in graph.instances() for edge in instance.edges)
    yield "]}\n"


def opening(graph: Graph | PoolGraph | BesideGraph, check: GraphCheck) -> str:
    """The beginning of a document in node-link layout, up to its header."""
    header = graph.header()
    header["verification"] = {
        "passed": check.passed,
        "checks": check.checks,
        "nodes": check.nodes,
        "edges": check.edges,
    }
    return f'{{"directed": true, "multigraph": false, "graph": {dumps(header)}'


def instance_data(instance: InstanceGraph) -> dict[str, Any]:
    """What all nodes of an instance have in common."""
    s = instance.strategy
    return {
        "name": instance.name,
        "tensor_parallel": s.tensor_parallel,
        "pipeline_parallel": s.pipeline_parallel,
        "expert_parallel": s.expert_parallel,
        "layers_per_stage": list(s.layers_per_stage),
        "weight_precision": s.weight_precision,
        "kv_precision": s.kv_precision,
        "max_num_seqs": s.max_num_seqs,
        "sequences_in_progress": instance.sequences_in_progress,
        "replicas": list(instance.replicas),
        "decode_step_ms": instance.decode_step_ms,
        "micro_batches": instance.micro_batches,
        "sequences_per_micro_batch": instance.sequences_per_micro_batch,
    }


def gpu_data(gpu: Gpu) -> dict[str, Any]:
    """A GPU with what no module holds."""
    return {**asdict(gpu), "rest_bytes": dict(gpu.rest_bytes)}


def node_data(node: GraphNode) -> dict[str, Any]:
    """A node with the fields that its kind has."""
    data: dict[str, Any] = {
        "id": node.id,
        "kind": node.kind,
        "instance": node.instance,
        "replica": node.replica,
        "stage": node.stage,
        "layer": node.layer,
        "shard": node.shard,
        "gpus": node.gpus,
        "start_ms": node.start_ms,
        "end_ms": node.end_ms,
    }
    if node.kind in MODULES:
        data["weights_bytes"] = node.weights_bytes
        data["kv_cache_bytes"] = node.kv_cache_bytes
        data["logits_bytes"] = node.logits_bytes
        data["terms_ms"] = {name: round(value, 9) for name, value in node.terms_ms.items()}
    if node.kind in COMMUNICATION:
        data["link"] = node.link
        data["message_bytes"] = node.message_bytes
        data["sent_bytes_per_gpu"] = node.sent_bytes_per_gpu
    if node.experts is not None:
        data["experts"] = dict(zip(("first", "count", "slices"), node.experts, strict=True))
    return data


def listed(items: Iterable[str]) -> Iterator[str]:
    """The items of a JSON list, a line each."""
    first = True
    for item in items:
        yield f"\n{item}" if first else f",\n{item}"
        first = False


def dumps(data: Any) -> str:
    """One line of JSON; text as it is written."""
    return json.dumps(data, ensure_ascii=False, allow_nan=False)
