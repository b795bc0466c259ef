"""Import of a Helix instance (JSON) as a chain problem.

The form is that of the shared instances made from Helix's artifact: ``num_layers``, ``types`` with
``tokens_per_s_by_layers``, ``nodes``, ``links`` between ``source``, nodes and ``sink``. In Helix (ILPLayout.from_ini) a
link's capacity is its bandwidth divided by the bytes of a token at the coordinator and by the bytes of an activation
elsewhere, a link is bidirectional with the whole capacity each way, and a node's throughput is already cut to its NIC.
Near variants are accepted: see ``_NAMES``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optimizer.facts.chain import SINK, SOURCE
from optimizer.facts.errors import ProblemError

_NAMES: dict[str, tuple[str, ...]] = {
    "layers": ("num_layers", "layers", "n_layers"),
    "activation": ("activation_bytes", "activation_size_bytes", "activation_size"),
    "token": ("token_bytes", "token_size_bytes", "token_size"),
    "table": (
        "tokens_per_s_by_layers",
        "throughput_tokens_per_s_by_layers",
        "layer_count_2_throughput",
        "throughput_by_layers",
    ),
    "times": ("time_ms_by_layers",),
    "most": ("max_layers", "max_num_layers"),
    "node": ("index", "name", "id"),
    "type": ("type", "machine_type"),
    "partition": ("partition", "region", "site", "cluster"),
    "src": ("src", "from", "source_node"),
    "dst": ("dst", "to", "target"),
    "tokens_per_s": ("tokens_per_s", "throughput", "capacity_tokens_per_s"),
    "bandwidth": ("bandwidth_bytes_per_s", "bandwidth"),
    "latency": ("latency_ms",),
    "connection": ("connection",),
    "matrix": ("links_matrix", "tokens_per_s_matrix", "link_tokens_per_s", "bandwidth_matrix_bytes_per_s"),
}


def helix_to_chain(values: Mapping[str, Any], default_name: str = "helix") -> dict[str, Any]:
    """The contents of a chain problem file for a Helix instance; links that follow partitions are written as such.

    Raises:
        ProblemError: a field is missing or of the wrong kind.
    """
    types = _types(values)
    nodes = [_node(node, index) for index, node in enumerate(_list(values, "nodes"))]
    if not nodes:
        raise ProblemError("nodes", "is empty; one entry per node is needed")
    links, coordinator = _links(values, [node["name"] for node in nodes])
    model: dict[str, Any] = {"name": values.get("model", "model"), "layers": _need(values, "layers", "")}
    for key, name in (("activation", "activation_bytes"), ("token", "token_bytes")):
        found = _find(values, key)
        if found is not None:
            model[name] = found
    cluster: dict[str, Any] = {"types": types, "nodes": nodes}
    if "partition_links" in values:
        cluster["partition_links"] = values["partition_links"]
        cluster["links"] = [{"src": a, "dst": b, "bidirectional": False, **wire} for (a, b), wire in links.items()]
    elif links:
        cluster.update(_compact(nodes, links))
    if "coordinator" in values:
        if not isinstance(values["coordinator"], dict):
            raise ProblemError("coordinator", f"is {type(values['coordinator']).__name__}; a mapping is needed")
        cluster["coordinator"] = values["coordinator"]
    cluster.update(_coordinator(coordinator, [node["name"] for node in nodes], cluster))
    problem: dict[str, Any] = {
        "kind": "chain",
        "name": values.get("name", default_name),
        "model": model,
        "costs": "table",
        "objective": "throughput",
        "connection": _connection(values),
        "cluster": cluster,
    }
    for key in ("requirements", "published", "source"):
        if values.get(key):
            problem[key] = values[key]
    return problem


def _find(values: Mapping[str, Any], key: str) -> Any:
    for name in _NAMES[key]:
        if name in values:
            return values[name]
    return None


def _need(values: Mapping[str, Any], key: str, field: str) -> Any:
    found = _find(values, key)
    if found is None:
        raise ProblemError(f"{field}{_NAMES[key][0]}", "is missing")
    return found


def _list(values: Mapping[str, Any], name: str) -> list[Any]:
    found = values.get(name)
    if not isinstance(found, list):
        raise ProblemError(name, f"is {type(found).__name__}; a list is needed")
    return found


def _connection(values: Mapping[str, Any]) -> str:
    stated = _find(values, "connection")
    if stated is not None:
        return str(stated)
    return "contained" if values.get("allow_partial_inference") else "exact"


def _types(values: Mapping[str, Any]) -> dict[str, Any]:
    stated = values.get("types")
    if not isinstance(stated, dict) or not stated:
        raise ProblemError("types", "a mapping from type to its throughput table is needed")
    types: dict[str, Any] = {}
    for name, kind in stated.items():
        if not isinstance(kind, dict):
            raise ProblemError(f"types.{name}", f"is {type(kind).__name__}; a mapping is needed")
        table = _table(_need(kind, "table", f"types.{name}."), f"types.{name}")
        most = _find(kind, "most")
        types[str(name)] = {
            "max_layers": len(table) if most is None else most,
            "throughput_tokens_per_s_by_layers": table,
        }
        times = _find(kind, "times")
        if times is not None:
            types[str(name)]["time_ms_by_layers"] = _table(times, f"types.{name}")
    return types


def _table(stated: Any, field: str) -> dict[int, Any]:
    """A table by number of layers, from a mapping (keys may be text) or a list for 1, 2, ... layers."""
    if isinstance(stated, list):
        return {number + 1: value for number, value in enumerate(stated)}
    if not isinstance(stated, dict):
        raise ProblemError(field, f"its table is {type(stated).__name__}; a mapping from layers to tokens/s is needed")
    try:
        return {int(count): value for count, value in stated.items()}
    except (TypeError, ValueError):
        raise ProblemError(field, "its table has a key that is no whole number of layers") from None


def _node(node: Any, index: int) -> dict[str, Any]:
    if isinstance(node, str):
        return {"name": str(index), "type": node}
    if not isinstance(node, dict):
        raise ProblemError(f"nodes[{index}]", f"is {type(node).__name__}; a mapping with index and type is needed")
    name = _find(node, "node")
    found = {"name": str(index if name is None else name), "type": str(_need(node, "type", f"nodes[{index}]."))}
    partition = _find(node, "partition")
    return found if partition is None else {**found, "partition": str(partition)}


Pairs = dict[tuple[str, str], dict[str, Any]]


def _links(values: Mapping[str, Any], names: list[str]) -> tuple[Pairs, Pairs]:
    """Directed links between nodes, and those of the coordinator."""
    inner: Pairs = {}
    outer: Pairs = {}
    for index, link in enumerate(_list(values, "links") if values.get("links") is not None else []):
        field = f"links[{index}]"
        if not isinstance(link, dict):
            raise ProblemError(field, f"is {type(link).__name__}; a mapping with src and dst is needed")
        a, b = str(_need(link, "src", f"{field}.")), str(_need(link, "dst", f"{field}."))
        wire = _wire(link, field)
        for end in (a, b):
            if end not in names and end not in (SOURCE, SINK):
                raise ProblemError(field, f"{end!r} is no node; a node's index, 'source' or 'sink' is needed")
        if SOURCE in (a, b) or SINK in (a, b):
            # Whichever way round: tokens only leave the source and only enter the sink.
            outer[(SOURCE, b if a == SOURCE else a) if SOURCE in (a, b) else (b if a == SINK else a, SINK)] = wire
            continue
        inner[a, b] = wire
        if link.get("bidirectional", True):
            inner.setdefault((b, a), wire)
    matrix = _find(values, "matrix")
    if matrix is not None:
        key = "bandwidth_bytes_per_s" if "bandwidth_matrix_bytes_per_s" in values else "tokens_per_s"
        square = isinstance(matrix, list) and all(isinstance(row, list) for row in matrix)
        if not square or [len(row) for row in matrix] != [len(names)] * len(names):
            raise ProblemError("links_matrix", f"a matrix of {len(names)} rows and columns is needed")
        for a, row in zip(names, matrix, strict=True):
            for b, amount in zip(names, row, strict=True):
                if a != b and amount:
                    inner[a, b] = {key: amount}
    return inner, outer


def _wire(link: dict[str, Any], field: str) -> dict[str, Any]:
    tokens, bandwidth, latency = _find(link, "tokens_per_s"), _find(link, "bandwidth"), _find(link, "latency")
    if tokens is None and bandwidth is None:
        raise ProblemError(field, "states neither tokens_per_s nor bandwidth_bytes_per_s")
    wire = {"tokens_per_s": tokens} if tokens is not None else {"bandwidth_bytes_per_s": bandwidth}
    return {**wire, "latency_ms": latency} if latency else wire


def _compact(nodes: list[dict[str, Any]], links: Pairs) -> dict[str, Any]:
    """``partition_links`` when capacities depend on the partitions of both ends only, else ``links`` as they are."""
    groups: list[list[str]] = []
    stated = {node["name"]: node.get("partition") for node in nodes}
    names = list(stated)
    for name in names:
        for group in groups:
            if stated[group[0]] == stated[name] and _alike(group[0], name, names, links):
                group.append(name)
                break
        else:
            groups.append([name])
    listed = [(a, b) for a, b in links if (b, a) not in links or links[a, b] != links[b, a] or a < b]
    one_by_one = {
        "links": [
            {"src": a, "dst": b, "bidirectional": links.get((b, a)) == links[a, b], **links[a, b]} for a, b in listed
        ]
    }
    if len(groups) > len(set(stated.values())) and len(groups) > len(names) / 2:
        # Links that all differ: a partition for nearly every node would hide stated ones and save no line.
        return one_by_one
    home = {name: number for number, group in enumerate(groups) for name in group}
    between: dict[tuple[int, int], dict[str, Any]] = {}
    for a in names:
        for b in names:
            if a == b:
                continue
            wire = links.get((a, b), {})
            pair = (min(home[a], home[b]), max(home[a], home[b]))
            if between.setdefault(pair, wire) != wire:
                return one_by_one
    label = {number: _label(number, groups, stated) for number in range(len(groups))}
    for node in nodes:
        node["partition"] = label[home[node["name"]]]
    return {
        "partition_links": [
            {"between": [label[g], label[h]], **wire} for (g, h), wire in sorted(between.items()) if wire
        ]
    }


def _label(number: int, groups: list[list[str]], stated: dict[str, Any]) -> str:
    name = stated[groups[number][0]]
    if name is None:
        return "all" if len(groups) == 1 else f"p{number}"
    alone = sum(stated[group[0]] == name for group in groups) == 1
    return str(name) if alone else f"{name}-{number}"


def _alike(a: str, b: str, names: list[str], links: Pairs) -> bool:
    """Whether two nodes have the same links to all others, and the same both ways between them."""
    others = [name for name in names if name not in (a, b)]
    return links.get((a, b)) == links.get((b, a)) and all(
        links.get((a, n)) == links.get((b, n)) and links.get((n, a)) == links.get((n, b)) for n in others
    )


def _coordinator(outer: Pairs, names: list[str], cluster: dict[str, Any]) -> dict[str, Any]:
    """One ``coordinator`` entry when all its links are alike, else links; a node left out has no such link."""
    if not outer:
        return {}
    wires = [outer.get((SOURCE, name), {}) for name in names] + [outer.get((name, SINK), {}) for name in names]
    if all(wire == wires[0] for wire in wires):
        return {"coordinator": wires[0]}
    listed = [{"src": a, "dst": b, **wire} for (a, b), wire in outer.items()]
    result: dict[str, Any] = {"links": [*cluster.get("links", []), *listed], "coordinator": {"tokens_per_s": 0}}
    if "partition_links" not in cluster and not cluster.get("links"):
        partitions = sorted({node.get("partition", "all") for node in cluster["nodes"]})
        result["partition_links"] = [
            {"between": [a, b]} for number, a in enumerate(partitions) for b in partitions[number:]
        ]
    return result
