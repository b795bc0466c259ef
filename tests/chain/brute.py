"""The naive counterpart: every placement of a tiny instance, each with its maximum flow by networkx."""

from __future__ import annotations

import itertools
from fractions import Fraction
from math import floor

import networkx as nx

from optimizer.facts.chain import SINK, SOURCE, ChainProblem

Held = tuple[int, int]


def best_value(problem: ChainProblem) -> int:
    """The highest throughput of any placement, thousandths of a token per second. No limits on chains."""
    layers = problem.model.layers
    options: list[list[Held | None]] = []
    for node in problem.cluster.nodes:
        most = problem.max_layers(node.type)
        options.append([None, *((s, n) for n in range(1, most + 1) for s in range(layers - n + 1))])
    return max(max_flow(problem, chosen) for chosen in itertools.product(*options))


def best_limited(problem: ChainProblem, stages: int) -> int:
    """The same under a limit on stages, by choosing also which links may be used (tiny cases only)."""
    layers = problem.model.layers
    options: list[list[Held | None]] = []
    for node in problem.cluster.nodes:
        most = problem.max_layers(node.type)
        options.append([None, *((s, n) for n in range(1, most + 1) for s in range(layers - n + 1))])
    best = 0
    for chosen in itertools.product(*options):
        pairs = joined(problem, chosen)
        if max_flow(problem, chosen) <= best:
            continue
        for size in range(len(pairs) + 1):
            for kept in itertools.combinations(pairs, size):
                if longest(problem, chosen, kept) <= stages:
                    best = max(best, max_flow(problem, chosen, kept))
    return best


def longest(problem: ChainProblem, chosen: tuple[Held | None, ...], kept: tuple[tuple[int, int], ...]) -> int:
    """Most nodes on any way from the source to the sink."""
    graph = nx.DiGraph()
    for index, held in enumerate(chosen):
        if held is not None:
            graph.add_node(index)
    graph.add_edges_from(kept)
    starts = [n for n, held in enumerate(chosen) if held is not None and held[0] == 0]
    ends = [n for n, held in enumerate(chosen) if held is not None and sum(held) == problem.model.layers]
    depth = 0
    for a in starts:
        for b in ends:
            if a == b:
                depth = max(depth, 1)
            for way in nx.all_simple_paths(graph, a, b):
                depth = max(depth, len(way))
    return depth


def joined(problem: ChainProblem, chosen: tuple[Held | None, ...]) -> list[tuple[int, int]]:
    """Pairs of nodes that the rule joins."""
    found = []
    for a, here in enumerate(chosen):
        for b, there in enumerate(chosen):
            if a == b or here is None or there is None:
                continue
            end = sum(here)
            exact = there[0] == end
            inside = problem.connection == "contained" and there[0] <= end < sum(there)
            if exact or inside:
                found.append((a, b))
    return found


def max_flow(
    problem: ChainProblem, chosen: tuple[Held | None, ...], pairs: tuple[tuple[int, int], ...] | None = None
) -> int:
    """Maximum flow of one placement."""
    nodes = problem.cluster.nodes
    graph = nx.DiGraph()
    graph.add_nodes_from([SOURCE, SINK])

    def edge(a: object, b: object, capacity: Fraction | None) -> None:
        if capacity is None:
            graph.add_edge(a, b)
        else:
            graph.add_edge(a, b, capacity=floor(capacity * 1000))

    for index, held in enumerate(chosen):
        if held is None:
            continue
        node = nodes[index]
        edge((index, "in"), (index, "out"), problem.rate(node.type, held[1]))
        if held[0] == 0:
            edge(SOURCE, (index, "in"), problem.capacity(SOURCE, node.name))
        if sum(held) == problem.model.layers:
            edge((index, "out"), SINK, problem.capacity(node.name, SINK))
    for a, b in joined(problem, chosen) if pairs is None else pairs:
        edge((a, "out"), (b, "in"), problem.capacity(nodes[a].name, nodes[b].name))
    return int(nx.maximum_flow_value(graph, SOURCE, SINK))
