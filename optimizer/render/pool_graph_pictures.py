"""The graph of pools for people, node by node: Graphviz's DOT and Mermaid. ``docs/graph.md``, pools.

One box for what an instance has on a node; arrows for the cache that crosses, dashed lines where an instance goes on on another node.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from optimizer.facts.errors import ProblemError
from optimizer.render.graph_mermaid import MOST_CHARACTERS, MOST_EDGES
from optimizer.results.pool_graph import CacheTransfer, PoolGraph, PoolInstance
from optimizer.writing.quoting import dot, mermaid

COLOURS = {"prefill": "#fde9c8", "decode": "#cfe5f7", "joint": "#dcefd3"}
"""Of the boxes of either pool, and of joint instances beside them."""


@dataclass(frozen=True, slots=True)
class PictureBox:
    """What an instance has on a node; ``lines`` are to be read one under the other."""

    id: str
    pool: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OtherBoxes:
    """Boxes of instances beside the pools, and what is said of all together in place of the pools' own."""

    title: str
    nodes: tuple[tuple[str, PictureBox], ...]
    """Each with the name of its node."""
    joins: tuple[tuple[str, str], ...]
    """Boxes of one instance on successive nodes."""


class _Picture:
    """Boxes by node, in order of first use, and what joins them."""

    def __init__(self, graph: PoolGraph, others: OtherBoxes | None) -> None:
        self.graph = graph
        self.title = others.title if others else f"{graph.problem}: {graph.label}"
        self.nodes: dict[str, list[PictureBox]] = {}
        for node, box in others.nodes if others else ():
            self.nodes.setdefault(node, []).append(box)
        self.joins: list[tuple[str, str]] = [*others.joins] if others else []
        """Boxes of one instance on successive nodes."""
        self._first: dict[str, str] = {}
        sent = {edge.source: edge.bytes_per_s for edge in graph.tensor}
        gpus: dict[tuple[str, str], list[str]] = {}
        types = {gpu.instance: gpu.type for gpu in graph.gpus}
        for gpu in graph.gpus:
            gpus.setdefault((gpu.instance, gpu.node), []).append(gpu.name)
        for number, instance in enumerate(graph.instances):
            before: str | None = None
            for position, node in enumerate(instance.nodes):
                id = f"i{number}n{position}"
                here = gpus.get((instance.name, node), [])
                named = ", ".join(name.rpartition("/")[2] for name in here)
                lines = [_title(instance, position), f"{types[instance.name]}: {named}"]
                if before is None:
                    self._first[instance.name] = id
                    lines += _figures(instance, sent.get(here[0]) if here else None)
                else:
                    self.joins.append((before, id))
                self.nodes.setdefault(node, []).append(PictureBox(id, instance.pool, tuple(lines)))
                before = id

    def arrows(self) -> Iterator[tuple[str, str, str]]:
        """(box, box, words) of each transfer."""
        for transfer in self.graph.transfers():
            yield self._first[transfer.source], self._first[transfer.target], _words(transfer)


def pool_dot_lines(graph: PoolGraph, others: OtherBoxes | None = None) -> Iterator[str]:
    """The document in DOT, line by line."""
    picture = _Picture(graph, others)
    yield f"digraph {dot(picture.title)} {{\n"
    yield "  rankdir=LR;\n  node [shape=box, style=filled, fontname=Helvetica];\n  edge [fontname=Helvetica];\n"
    for node, boxes in picture.nodes.items():
        yield f"  subgraph {dot(f'cluster {node}')} {{\n    label={dot(node)};\n"
        for box in boxes:
            yield f'    {box.id} [label={dot(chr(10).join(box.lines))}, fillcolor="{COLOURS[box.pool]}"];\n'
        yield "  }\n"
    for one, other in picture.joins:
        yield f"  {one} -> {other} [dir=none, style=dashed];\n"
    for source, target, words in picture.arrows():
        yield f"  {source} -> {target} [label={dot(words)}];\n"
    yield "}\n"


def pool_mermaid_lines(graph: PoolGraph, others: OtherBoxes | None = None) -> Iterator[str]:
    """The document as a Mermaid flowchart, line by line.

    Raises:
        ProblemError: the chart would be larger than Mermaid draws.
    """
    picture = _Picture(graph, others)
    lines = ["flowchart LR\n"]
    for number, (node, boxes) in enumerate(picture.nodes.items()):
        lines.append(f'  subgraph n{number}["{mermaid(node)}"]\n')
        lines += [f'    {box.id}["{"<br/>".join(mermaid(line) for line in box.lines)}"]\n' for box in boxes]
        lines.append("  end\n")
    lines += [f"  {one} -.- {other}\n" for one, other in picture.joins]
    edges, size = len(picture.joins), sum(map(len, lines))
    for source, target, words in picture.arrows():
        lines.append(f'  {source} -->|"{mermaid(words)}"| {target}\n')
        edges, size = edges + 1, size + len(lines[-1])
        if edges > MOST_EDGES or size > MOST_CHARACTERS:
            break
    if edges > MOST_EDGES or size > MOST_CHARACTERS:
        raise ProblemError(
            "--format",
            f"mermaid draws at most {MOST_EDGES} arrows and {MOST_CHARACTERS:,} characters, and this graph has "
            "more; use --format dot",
        )
    for pool, colour in COLOURS.items():
        ids = ",".join(box.id for boxes in picture.nodes.values() for box in boxes if box.pool == pool)
        lines += [f"  classDef {pool} fill:{colour}\n  class {ids} {pool}\n"] if ids else []
    yield from lines


def _title(instance: PoolInstance, position: int) -> str:
    ranks = f"·DP{instance.ranks}" if instance.ranks > 1 else ""
    expert = f"·EP{instance.expert_parallel}" if instance.expert_parallel > 1 else ""
    part = f", node {position + 1} of {len(instance.nodes)}" if len(instance.nodes) > 1 else ""
    return f"{instance.name}: TP{instance.tensor_parallel}{ranks}{expert}{part}"


def _figures(instance: PoolInstance, reduced: float | None) -> Iterator[str]:
    tokens = "prompt" if instance.pool == "prefill" else "output"
    yield f"{instance.requests_per_s:,.2f} requests/s, {instance.tokens_per_s_per_rank:,.0f} {tokens} tokens/s a rank"
    if reduced is not None:
        yield f"all-reduce: {rate_words(reduced)} a GPU over {instance.all_reduce_link}"
    if instance.exchange_link is not None:
        yield f"experts: {rate_words(instance.exchange_bytes_per_s)} a GPU over {instance.exchange_link}"
    moved = "sends" if instance.pool == "prefill" else "receives"
    busy = "piles up" if instance.cache_link_busy is None else f"{instance.cache_link_busy:.1%} busy"
    yield (
        f"{moved} cache: {rate_words(instance.cache_bytes_per_s_per_gpu)} of {instance.cache_link_gb_per_s:,.2f} GB/s a GPU, {busy}"
    )


def _words(transfer: CacheTransfer) -> str:
    return (
        f"{transfer.bytes_per_request:,} bytes a request, {transfer.requests_per_s:,.2f} requests/s, "
        f"{rate_words(transfer.bytes_per_s)} over {transfer.link}"
    )


def rate_words(bytes_per_s: float) -> str:
    """Bytes in a second."""
    return f"{bytes_per_s / 1e9:,.2f} GB/s"
