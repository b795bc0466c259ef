"""The execution graph as a Mermaid flowchart, which Markdown viewers draw: one box per pipeline stage."""

from __future__ import annotations

from collections.abc import Iterator

from optimizer.facts.errors import ProblemError
from optimizer.render.graph_overview import overview
from optimizer.results.graph import Graph
from optimizer.writing.quoting import mermaid

MOST_EDGES, MOST_CHARACTERS = 500, 50_000
"""Mermaid's own defaults (maxEdges and maxTextSize of its configuration); a larger chart is not drawn."""


def mermaid_lines(graph: Graph) -> Iterator[str]:
    """The document, line by line.

    Raises:
        ProblemError: the chart would be larger than Mermaid draws.
    """
    lines, edges = ["flowchart LR\n"], 0
    for number, instance in enumerate(graph.instances()):
        boxes, arrows = overview(instance)
        title = f"{instance.name}: one token every {instance.decode_step_ms:.2f} ms"
        lines.append(f'  subgraph i{number}["{mermaid(title)}"]\n')
        for box in boxes:
            words = "<br/>".join(mermaid(line) for line in (f"replica {box.replica}, {box.lines[0]}", *box.lines[1:]))
            lines.append(f'    {box.id}["{words}"]\n')
        for arrow in arrows:
            line = "<-->" if arrow.both_ways else "-->"
            lines.append(f'    {arrow.source} {line}|"{mermaid(arrow.words)}"| {arrow.target}\n')
        lines.append("  end\n")
        edges += len(arrows)
        if edges > MOST_EDGES or sum(map(len, lines)) > MOST_CHARACTERS:
            raise ProblemError(
                "--format",
                f"mermaid draws at most {MOST_EDGES} arrows and {MOST_CHARACTERS:,} characters, and this graph has "
                "more; use --format dot",
            )
    yield from lines
