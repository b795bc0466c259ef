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


def best_limited(problem: ChainProblem) -> int:
    """The same under limits on every way that tokens take: links are left out until no way breaks a limit (tiny cases only)."""
    layers = problem.model.layers
    options: list[list[Held | None]] = []
    for node in problem.cluster.nodes:
        most = problem.max_layers(node.type)
        options.append([None, *((s, n) for n in range(1, most + 1) for s in range(layers - n + 1))])
    best = 0
    for chosen in itertools.product(*options):
        graph = flow_graph(problem, chosen)
        best = max(best, _within_limits(problem, chosen, graph, best, set()))
    return best


def _within_limits(
    problem: ChainProblem, chosen: tuple[Held | None, ...], graph: nx.DiGraph, best: int, seen: set[frozenset[object]]
) -> int:
    """The most flow of a graph without some of its links, such that every way through it keeps the limits.

    A way that breaks a limit has to lose one of its links, so each of them is tried; what carries no more than is known is left.
    """
    kept = frozenset(graph.edges)
    if kept in seen:
        return best
    seen.add(kept)
    flow = int(nx.maximum_flow_value(graph, SOURCE, SINK))
    if flow <= best:
        return best
    for way in nx.all_simple_paths(graph, SOURCE, SINK):
        if _keeps(problem, chosen, way):
            continue
        for a, b in itertools.pairwise(way):
            if not (
                isinstance(a, tuple) and isinstance(b, tuple) and a[0] == b[0]
            ):  # a link, and not a node's own capacity
                less = graph.copy()
                less.remove_edge(a, b)
                best = max(best, _within_limits(problem, chosen, less, best, seen))
        return best
    return flow


def _keeps(problem: ChainProblem, chosen: tuple[Held | None, ...], way: list[object]) -> bool:
    """Whether one way, in and out of every node that it passes, is within both limits."""
    nodes, limits = problem.cluster.nodes, problem.requirements
    passed = [place[0] for place in way if isinstance(place, tuple) and place[1] == "in"]
    if limits.max_stages is not None and len(passed) > limits.max_stages:
        return False
    if limits.max_ms_per_token is None:
        return True
    stops = [SOURCE, *(nodes[index].name for index in passed), SINK]
    spent = sum((problem.latency_ms(a, b) for a, b in itertools.pairwise(stops)), Fraction(0))
    for index in passed:
        held = chosen[index]
        assert held is not None
        spent += problem.stage_ms(nodes[index].type, held[1]) or Fraction(0)
    return spent <= Fraction(str(limits.max_ms_per_token))


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


def max_flow(problem: ChainProblem, chosen: tuple[Held | None, ...]) -> int:
    """Maximum flow of one placement."""
    return int(nx.maximum_flow_value(flow_graph(problem, chosen), SOURCE, SINK))


def flow_graph(problem: ChainProblem, chosen: tuple[Held | None, ...]) -> nx.DiGraph:
    """Nodes in two halves with their throughput between them, and every link that the rule and the file allow."""
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
    for a, b in joined(problem, chosen):
        edge((a, "out"), (b, "in"), problem.capacity(nodes[a].name, nodes[b].name))
    return graph
