"""Exact maximum flow of a labelled placement (integers, OR-Tools' push-relabel), with flow per link."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from ortools.graph.python import max_flow

from optimizer.search.chain.instance import ChainInstance, Interval, Placement

SOURCE, SINK = -1, -2
"""The coordinator's two ends in flows by node index."""

Flows = dict[tuple[int, int], int]


@dataclass(frozen=True, slots=True)
class Routed:
    """Total flow and the flow of each link that carries any, in thousandths of a token per second."""

    value: int
    flows: Flows


def connections(instance: ChainInstance, placement: Placement) -> list[tuple[int, int]]:
    """Pairs of nodes that may be joined under the connection rule, whatever their link."""
    if not instance.contained:
        starts: dict[int, list[int]] = defaultdict(list)
        for node, (start, _) in placement.items():
            starts[start].append(node)
        return [(a, b) for a, (start, count) in placement.items() for b in starts[start + count]]
    found = []
    for a, (start, count) in placement.items():
        end = start + count
        found += [(a, b) for b, (first, held) in placement.items() if first <= end < first + held]
    return found


def route(instance: ChainInstance, placement: Placement) -> Routed:
    """The most tokens/s a placement can carry, and a flow that carries them.

    Where chains are limited, only those nodes and links are used that cannot be part of too long a chain, so the value
    may be below the true maximum, never above it.
    """
    if instance.max_us is not None:
        placement = {node: held for node, held in placement.items() if not _slow_alone(instance, node, held)}
    pairs = [(a, b) for a, b in connections(instance, placement) if instance.link[a][b] > 0]
    if instance.limited:
        pairs = _within_limits(instance, placement, pairs)
    order = list(placement)
    entry = {node: 2 * number + 2 for number, node in enumerate(order)}
    tails, heads, capacities = [], [], []

    def arc(tail: int, head: int, capacity: int) -> None:
        tails.append(tail)
        heads.append(head)
        capacities.append(capacity)

    ends: list[tuple[int, int]] = []
    for node in order:
        start, count = placement[node]
        arc(entry[node], entry[node] + 1, instance.rate[instance.node_type[node]][count - 1])
        ends.append((node, node))
        if start == 0:
            arc(0, entry[node], instance.source[node])
            ends.append((SOURCE, node))
        if start + count == instance.layers:
            arc(entry[node] + 1, 1, instance.sink[node])
            ends.append((node, SINK))
    for a, b in pairs:
        arc(entry[a] + 1, entry[b], instance.link[a][b])
        ends.append((a, b))
    solver = max_flow.SimpleMaxFlow()
    arcs = solver.add_arcs_with_capacity(tails, heads, capacities)
    if not {(SOURCE, node) for node in order} & set(ends) or not {(node, SINK) for node in order} & set(ends):
        return Routed(0, {})
    if solver.solve(0, 1) != solver.OPTIMAL:
        raise RuntimeError("the flow of a placement could not be computed; its capacities overflow")
    carried = solver.flows(arcs)
    flows = {end: int(flow) for end, flow in zip(ends, carried, strict=True) if flow and end[0] != end[1]}
    return Routed(int(solver.optimal_flow()), flows)


def _slow_alone(instance: ChainInstance, node: int, held: Interval) -> bool:
    """Whether a node that holds the whole model is by itself too slow a chain."""
    own = instance.stage_us[instance.node_type[node]][held[1] - 1]
    alone = instance.source_us[node] + own + instance.sink_us[node]
    return held[1] == instance.layers and instance.max_us is not None and alone > instance.max_us


def _within_limits(
    instance: ChainInstance, placement: Placement, pairs: list[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Links kept greedily, by first layer, so that no chain over them is longer than the limits.

    The longest way to each node is tracked; a link that would make the shortest possible rest too long is dropped.
    """
    stages: dict[int, int] = {}
    micros: dict[int, int] = {}
    kept = []
    into: dict[int, list[int]] = defaultdict(list)
    for a, b in pairs:
        into[b].append(a)
    rest = _rest(instance, placement, pairs)
    most_stages = instance.max_stages or len(placement)
    for node in sorted(placement, key=lambda n: (sum(placement[n]), placement[n][0])):
        start, count = placement[node]
        own = instance.stage_us[instance.node_type[node]][count - 1]
        stages[node], micros[node] = 1, own + (instance.source_us[node] if start == 0 else 0)
        for before in sorted(into[node], key=lambda n: (stages.get(n, 0), n)):
            if before not in stages:
                continue
            longer = stages[before] + 1
            later = micros[before] + instance.link_us[before][node] + own
            ahead_stages, ahead_us = rest[node]
            if longer + ahead_stages > most_stages:
                continue
            if instance.max_us is not None and later + ahead_us > instance.max_us:
                continue
            stages[node], micros[node] = max(stages[node], longer), max(micros[node], later)
            kept.append((before, node))
    return kept


def _rest(instance: ChainInstance, placement: Placement, pairs: list[tuple[int, int]]) -> dict[int, tuple[int, int]]:
    """The longest way from each node to the sink: further stages and microseconds."""
    after: dict[int, list[int]] = defaultdict(list)
    for a, b in pairs:
        after[a].append(b)
    rest: dict[int, tuple[int, int]] = {}
    for node in sorted(placement, key=lambda n: -sum(placement[n])):
        stages, micros = 0, instance.sink_us[node]
        for other in after[node]:
            ahead = rest[other]
            own = instance.stage_us[instance.node_type[other]][placement[other][1] - 1]
            stages = max(stages, ahead[0] + 1)
            micros = max(micros, ahead[1] + own + instance.link_us[node][other])
        rest[node] = (stages, micros)
    return rest
