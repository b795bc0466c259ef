"""Graph compatibility: the execution graph of one decode step, built and checked by independent code."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from optimizer.explain.common.numbers import count, listing
from optimizer.graph import build_graph, plan_of
from optimizer.reporting.document import Cell, Column, Figure, Section, Status, Table, Text
from optimizer.reporting.ledger import size
from optimizer.reporting.subject import Subject
from optimizer.results.graph import COMMUNICATION, MODULES, GraphCheck
from optimizer.verify.graph import verify_graph

MOST_MODULES = 8_000
"""GPUs × layers up to which the graph of every instance is built; beyond, that of the first, which all others equal."""


@dataclass(frozen=True, slots=True)
class GraphFound:
    """What the graph holds, summed up; ``instances`` of ``of`` were built."""

    check: GraphCheck
    instances: int
    of: int
    kinds: Counter[str]
    links: Counter[str]
    micro_batches: int
    step_ms: float
    weights_bytes: int


def find_graph(subject: Subject) -> GraphFound | None:
    """Build and check the graph; None where the strategy has more GPUs than there are."""
    if subject.placement is None:
        return None
    strategy, of = subject.strategy, subject.instances
    if strategy.gpus * subject.model.layers > MOST_MODULES and of > 1:
        strategy = replace(strategy, data_parallel=subject.ranks)
    graph = build_graph(plan_of(subject.problem, strategy, subject.running), strategy)
    kinds: Counter[str] = Counter()
    links: Counter[str] = Counter()
    weights = built = micro = 0
    step = 0.0
    for instance in graph.instances():
        built, micro, step = built + 1, instance.micro_batches, instance.decode_step_ms
        for node in instance.nodes:
            kinds[node.kind] += 1
            weights += node.weights_bytes
            if node.kind in COMMUNICATION and node.link is not None:
                links[node.link] += 1
    check = verify_graph(subject.problem, graph)
    return GraphFound(check, built, of, kinds, links, micro, step, weights)


def graph_section(subject: Subject, found: GraphFound | None) -> Section:
    """What a graph of this strategy has, and whether it is true."""
    title = "Graph compatibility"
    if found is None:
        said = "The strategy needs more GPUs than there are, so its modules cannot be assigned to GPUs and there is no graph."
        return Section("graph", title, (Text((said,)),))
    check = found.check
    modules = sum(number for kind, number in found.kinds.items() if kind in MODULES)
    messages = sum(number for kind, number in found.kinds.items() if kind in COMMUNICATION)
    mark = Status("pass", "agrees") if check.passed else Status("fail", "disagrees")
    batches = "1 micro-batch" if found.micro_batches == 1 else f"{found.micro_batches} micro-batches"
    layout = f"{size(found.weights_bytes)} of weights, each module with weights, KV cache and logits"
    rows: list[tuple[Cell, ...]] = [
        ("Module division", f"{modules:,} modules, each on a named GPU: {_kinds(found, MODULES)}", mark),
        ("Communication", f"{messages:,} groups with members, bytes and link: {_kinds(found, COMMUNICATION) or 'none'}", mark),
        ("Memory layout", layout, mark),
        ("Execution schedule", f"start and end of every node for {batches}", mark),
        ("Dependencies", f"{check.edges:,} edges, acyclic and complete", mark),
    ]  # fmt: skip
    columns = (Column("part", "Part"), Column("what", "What the graph has"), Column("status", "Independent check"))
    scope = (
        f"all {count(found.of, 'engine instance')}" if found.instances == found.of and found.of > 1
        else "the engine instance" if found.of == 1
        else f"the first of {found.of:,} equal engine instances"
    )  # fmt: skip
    text = Text((
        f"The execution graph of one decode step of {scope} has ",
        Figure(f"{check.nodes:,}", check.nodes, "nodes"), " nodes; ", Figure(f"{check.checks:,}", check.checks, "facts"),
        f" facts of it were recomputed by code that shares nothing with the builder: "
        f"{'all agree' if check.passed else f'{len(check.mismatches)} disagree'}. "
        "optimizer graph writes it as JSON, GraphML, DOT, Mermaid or a Perfetto trace.",
    ))  # fmt: skip
    return Section("graph", title, (text, Table("graph", columns, tuple(rows))))


def _kinds(found: GraphFound, wanted: frozenset[str]) -> str:
    return listing([f"{number:,} {kind.replace('_', '-')}" for kind, number in found.kinds.items() if kind in wanted])
