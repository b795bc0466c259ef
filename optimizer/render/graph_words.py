"""What a person is told about an execution graph beside the document itself."""

from __future__ import annotations

from collections.abc import Iterator

from optimizer.explain.common.numbers import count, milliseconds
from optimizer.results.graph import Graph, GraphCheck, InstanceGraph

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
