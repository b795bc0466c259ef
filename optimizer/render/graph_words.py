"""What a person is told about an execution graph beside the document itself."""

from __future__ import annotations

from collections.abc import Iterator

from optimizer.answer import Answer, CheckAnswer
from optimizer.explain.numbers import count, milliseconds
from optimizer.graph_answer import Graph, GraphCheck

SHOWN = 5


def graph_sentences(graph: Graph, check: GraphCheck, answer: Answer, out: str | None) -> Iterator[str]:
    """Whole sentences: what was drawn, for which load, and what the check says."""
    where = f"{out}: " if out is not None else ""
    first = next(graph.instances())
    yield (
        f"{where}{graph.problem}, {graph.strategy.label}, one token for each of "
        f"{count(graph.sequences_in_progress, 'sequence')} in progress per replica every "
        f"{milliseconds(first.decode_step_ms)}: {count(check.nodes, 'node')}, "
        f"{'1 dependency' if check.edges == 1 else f'{check.edges:,} dependencies'}."
    )
    if isinstance(answer, CheckAnswer) and answer.feasible is False:
        yield "This strategy does not keep every rule of the problem; optimizer check says which it breaks."
    yield from graph.notes
    if check.passed:
        yield f"Checked: {check.checks:,} facts recomputed from the problem, all agree."
        return
    yield "error: the independent check disagrees with the graph, so nothing is written; please report this as a defect:"
    for mismatch in check.mismatches[:SHOWN]:
        yield f"  {mismatch.what}: expected {mismatch.expected}, found {mismatch.actual}"
