"""The integers that the chain search works with; the one place where rates are scaled.

Rates and capacities are thousandths of a token per second, rounded down; times are microseconds, rounded up. A link or
a node never carries more than the two nodes at its ends can compute, so unlimited links get that finite capacity.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import ceil, floor

from optimizer.facts.chain import SINK, SOURCE, ChainProblem

PER_TOKEN = 1000
"""Resolution: flows are whole thousandths of a token per second."""

Interval = tuple[int, int]
"""First layer and number of layers of a node."""

Placement = dict[int, Interval]
"""Interval of each node in use, by index of the node."""


@dataclass(frozen=True)
class ChainInstance:
    """A chain problem in integers. Types and nodes are indices; ``rate[t][n - 1]`` is for n layers on type t."""

    layers: int
    rate: tuple[tuple[int, ...], ...]
    stage_us: tuple[tuple[int, ...], ...]
    node_type: tuple[int, ...]
    node_partition: tuple[int, ...]
    link: tuple[tuple[int, ...], ...]
    link_us: tuple[tuple[int, ...], ...]
    source: tuple[int, ...]
    sink: tuple[int, ...]
    source_us: tuple[int, ...]
    sink_us: tuple[int, ...]
    contained: bool
    max_stages: int | None
    max_us: int | None

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Nodes of each type."""
        counted = Counter(self.node_type)
        return tuple(counted[kind] for kind in range(len(self.rate)))

    @property
    def limited(self) -> bool:
        """Whether a chain's stages or time are limited."""
        return self.max_stages is not None or self.max_us is not None

    def best_rate(self, node: int) -> int:
        """The most a node computes, whatever it holds."""
        return max(self.rate[self.node_type[node]])


def scaled(problem: ChainProblem) -> ChainInstance:
    """A chain problem in integers."""
    names = list(problem.cluster.types)
    kinds = [range(1, problem.max_layers(name) + 1) for name in names]
    rate = tuple(
        tuple(floor(problem.rate(name, count) * PER_TOKEN) for count in counts)
        for name, counts in zip(names, kinds, strict=True)
    )
    stage_us = tuple(
        tuple(ceil((problem.stage_ms(name, count) or Fraction(0)) * 1000) for count in counts)
        for name, counts in zip(names, kinds, strict=True)
    )
    nodes = [node.name for node in problem.cluster.nodes]
    types = [names.index(node.type) for node in problem.cluster.nodes]
    partitions = sorted({node.partition for node in problem.cluster.nodes})
    best = [max(rate[kind]) for kind in types]

    def capacity(src: str, dst: str, most: int) -> int:
        stated = problem.capacity(src, dst)
        return most if stated is None else min(most, floor(stated * PER_TOKEN))

    def micros(src: str, dst: str) -> int:
        return ceil(problem.latency_ms(src, dst) * 1000)

    pairs = [[(a, b) for b in range(len(nodes))] for a in range(len(nodes))]
    requirements = problem.requirements
    limit_ms = requirements.max_ms_per_token
    return ChainInstance(
        layers=problem.model.layers,
        rate=rate,
        stage_us=stage_us,
        node_type=tuple(types),
        node_partition=tuple(partitions.index(node.partition) for node in problem.cluster.nodes),
        link=tuple(
            tuple(0 if a == b else capacity(nodes[a], nodes[b], min(best[a], best[b])) for a, b in row) for row in pairs
        ),
        link_us=tuple(tuple(0 if a == b else micros(nodes[a], nodes[b]) for a, b in row) for row in pairs),
        source=tuple(capacity(SOURCE, name, most) for name, most in zip(nodes, best, strict=True)),
        sink=tuple(capacity(name, SINK, most) for name, most in zip(nodes, best, strict=True)),
        source_us=tuple(micros(SOURCE, name) for name in nodes),
        sink_us=tuple(micros(name, SINK) for name in nodes),
        contained=problem.connection == "contained",
        max_stages=requirements.max_stages,
        max_us=None if limit_ms is None else floor(Fraction(str(limit_ms)) * 1000),
    )
