"""What a person is told about an execution graph beside the document itself."""

from __future__ import annotations

from collections.abc import Iterator

from optimizer.explain.common.numbers import amount, count, milliseconds
from optimizer.results.beside_graph import BesideGraph
from optimizer.results.graph import Graph, GraphCheck, InstanceGraph
from optimizer.results.pool_graph import PoolGraph

SHOWN = 5


def graph_sentences(graph: Graph, check: GraphCheck, *, keeps_rules: bool, out: str | None) -> Iterator[str]:
    """Whole sentences: what was drawn, for which load, and what the check says."""
    where = f"{out}: " if out is not None else ""
    dependencies = "1 dependency" if check.edges == 1 else f"{check.edges:,} dependencies"
    yield f"{where}{graph.problem}, {graph.label}: {count(check.nodes, 'node')}, {dependencies}."
    steps = dict.fromkeys(_step(instance) for instance in graph.instances())
    yield from steps
    if not keeps_rules:
        yield "This strategy does not keep every rule of the problem; optimizer check says which it breaks."
    yield from graph.notes
    yield from _checked(check)


def pool_graph_sentences(graph: PoolGraph, check: GraphCheck, *, keeps_rules: bool, out: str | None) -> Iterator[str]:
    """The same of prefill and decode pools."""
    where = f"{out}: " if out is not None else ""
    sizes = f"{count(len(graph.instances), 'instance')} on {count(len(graph.gpus), 'GPU')}"
    yield f"{where}{graph.problem}, {graph.label}: {sizes}, {check.edges:,} edges."
    first = next(graph.transfers(), None)
    if first is not None:
        yield (
            f"Each request sends {amount(first.bytes_per_request, 'bytes')} of cache from prefill to decode, counted over "
            f"{graph.link}: {milliseconds(graph.transfer_ms)} with no other in the way."
        )
    if not keeps_rules:
        yield "These pools do not keep every rule of the problem; optimizer check says which they break."
    yield from _checked(check)


def beside_graph_sentences(
    graph: BesideGraph, check: GraphCheck, *, keeps_rules: bool, out: str | None
) -> Iterator[str]:
    """The same of joint instances beside pools."""
    where, pools = f"{out}: " if out is not None else "", graph.pools
    instances, gpus = len(graph.instances) + len(pools.instances), len(graph.gpus) + len(pools.gpus)
    yield (
        f"{where}{graph.problem}, {graph.label}: {count(instances, 'instance')} on {count(gpus, 'GPU')}, {check.edges:,} edges."
    )
    yield (
        f"{graph.share:.0%} of the requests go to {count(len(graph.instances), 'joint instance')} on {count(len(graph.gpus), 'GPU')}, the "
        f"others to pools on {count(len(pools.gpus), 'GPU')}; shares of instances are of what their part is sent."
    )
    first = next(pools.transfers(), None)
    if first is not None:
        yield (
            f"Each request to the pools sends {amount(first.bytes_per_request, 'bytes')} of cache from prefill to decode, counted over "
            f"{pools.link}: {milliseconds(pools.transfer_ms)} with no other in the way."
        )
    if any(instance.exchange_bytes_per_token is None for instance in graph.instances):
        yield "Experts of the joint instances are sliced among replicas: what these exchange is not drawn."
    if not keeps_rules:
        yield "Not every rule of the problem is kept; optimizer check says which one a part breaks."
    yield from _checked(check)


def _checked(check: GraphCheck) -> Iterator[str]:
    if check.passed:
        yield f"Checked: {check.checks:,} facts recomputed from the problem, all agree."
        return
    yield "error: the independent check disagrees with the graph, so nothing is written; please report this as a defect:"
    for mismatch in check.mismatches[:SHOWN]:
        yield f"  {mismatch.what}: expected {mismatch.expected}, found {mismatch.actual}"


def _step(instance: InstanceGraph) -> str:
    s = instance.strategy
    shape = f"TP{s.tensor_parallel}·PP{s.pipeline_parallel}"
    return (
        f"A replica of {shape} with {count(instance.sequences_in_progress, 'sequence')} in progress gives each "
        f"one token every {milliseconds(instance.decode_step_ms)}."
    )
