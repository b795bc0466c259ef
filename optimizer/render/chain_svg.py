"""A picture of a placement: layers from left to right, one bar per node, filled by the share of its tokens/s in use.

Nodes are gathered by partition; nodes whose intervals do not meet share a row. A line from the end of one bar to another is a
link that carries tokens, the wider the more; neighbours in a row need none.
Hand-made SVG: rectangles and text only, nothing to install.
"""

from __future__ import annotations

from xml.sax.saxutils import escape

from optimizer.results.chain import ChainAnswer, LayersHeld

WIDTH, LEFT, TOP, ROW, FOOT = 1200.0, 150.0, 64.0, 20.0, 56.0
COLOURS = (
    *("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb"),
    *("#999933", "#882255", "#44aa99", "#ddcc77", "#332288", "#88ccee", "#117733", "#cc6677"),
)
"""Paul Tol's bright and muted schemes, told apart with any colour vision."""
LONGEST_NAME = 21
WIDEST_LINE = 4.0


def chain_svg(answer: ChainAnswer) -> str:
    """The SVG document of a chain answer."""
    rows = _rows(answer.placement)
    kinds = sorted({place.type for place in answer.placement})
    height = TOP + ROW * max(1, len(rows)) + FOOT
    unit = (WIDTH - LEFT - 20) / answer.layers
    shapes = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {height:g}" font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
        _text(16, 24, _title(answer), size=15),
        *_legend(kinds),
        *_axis(answer.layers, unit, len(rows)),
    ]
    partition = None
    for number, row in enumerate(rows):
        top = TOP + ROW * number
        if row[0].partition != partition:
            partition = row[0].partition
            name = partition if len(partition) <= LONGEST_NAME else partition[: LONGEST_NAME - 1] + "…"
            shapes.append(_text(16, top + 13, name))
            shapes.append(f'<line x1="16" x2="{WIDTH - 20:g}" y1="{top:g}" y2="{top:g}" stroke="#888"/>')
        shapes += [_bar(place, top, unit, COLOURS[kinds.index(place.type) % len(COLOURS)]) for place in row]
    return "\n".join([*shapes, *_lines(answer, rows, unit), "</svg>", ""])


def _lines(answer: ChainAnswer, rows: list[list[LayersHeld]], unit: float) -> list[str]:
    """Links in use between bars that are not side by side in one row."""
    bar = {place.node: place for row in rows for place in row}
    row_of = {place.node: number for number, row in enumerate(rows) for place in row}
    shapes = []
    for flow in answer.flows:
        if flow.src not in bar or flow.dst not in bar or row_of[flow.src] == row_of[flow.dst]:
            continue
        x = LEFT + unit * (bar[flow.src].start + bar[flow.src].layers)
        y, below = (TOP + ROW * (row_of[node] + 0.5) for node in (flow.src, flow.dst))
        width = max(0.5, WIDEST_LINE * flow.tokens_per_s / answer.value)
        most = "no limit" if flow.capacity_tokens_per_s is None else f"{flow.capacity_tokens_per_s:,.1f}"
        said = f"{flow.src} to {flow.dst}: {flow.tokens_per_s:,.1f} of {most} tokens/s"
        shapes.append(
            f'<path d="M{x - 6:.1f} {y:.1f} C{x + 6:.1f} {y:.1f} {x - 6:.1f} {below:.1f} {x + 6:.1f} {below:.1f}" fill="none" '
            f'stroke="#333" stroke-opacity="0.6" stroke-width="{width:.1f}"><title>{escape(said)}</title></path>'
        )
    return shapes


def _title(answer: ChainAnswer) -> str:
    gap = "" if not answer.gap else f", proved bound {answer.bound:,.1f} ({answer.gap:.1%} above)"
    return f"{answer.problem}: {answer.value:,.1f} tokens/s, {answer.status}{gap}"


def _rows(placement: tuple[LayersHeld, ...]) -> list[list[LayersHeld]]:
    """Nodes whose intervals do not meet share a row, partition by partition."""
    rows: list[list[LayersHeld]] = []
    for place in sorted(placement, key=lambda p: (p.partition, p.start, -p.layers, p.node)):
        for row in rows:
            if row[0].partition == place.partition and row[-1].start + row[-1].layers <= place.start:
                row.append(place)
                break
        else:
            rows.append([place])
    return rows


def _bar(place: LayersHeld, top: float, unit: float, colour: str) -> str:
    left, width = LEFT + unit * place.start, unit * place.layers
    used = place.tokens_per_s / place.capacity_tokens_per_s if place.capacity_tokens_per_s else 0.0
    label = place.node if width > 7 * len(place.node) else ""
    said = (
        f"{place.node} ({place.type}, {place.partition}): layers {place.start} to {place.start + place.layers - 1}, "
        f"{place.tokens_per_s:,.1f} of {place.capacity_tokens_per_s:,.1f} tokens/s"
    )
    return (
        f"<g><title>{escape(said)}</title>"
        f'<rect x="{left:.1f}" y="{top + 2:g}" width="{width - 1:.1f}" height="{ROW - 4:g}" fill="{colour}" opacity="0.35"/>'
        f'<rect x="{left:.1f}" y="{top + 2 + (ROW - 4) * (1 - used):.1f}" width="{width - 1:.1f}" '
        f'height="{(ROW - 4) * used:.1f}" fill="{colour}"/>{_text(left + 3, top + 14, label)}</g>'
    )


def _axis(layers: int, unit: float, rows: int) -> list[str]:
    bottom = TOP + ROW * max(1, rows)
    step = max(1, 10 * round(layers / 100)) if layers >= 50 else 5 if layers >= 15 else 1
    shapes = [
        _text(
            LEFT,
            bottom + 34,
            "layer (bar: one node; its filled part: share of its tokens/s in use; line: a link in use)",
        )
    ]
    for layer in range(0, layers + 1, step):
        x = LEFT + unit * layer
        shapes.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP:g}" y2="{bottom:g}" stroke="#ddd"/>')
        shapes.append(_text(x - 4, bottom + 16, str(layer)))
    return shapes


def _legend(kinds: list[str]) -> list[str]:
    shapes, x = [], 16.0
    for number, kind in enumerate(kinds):
        shapes.append(f'<rect x="{x:g}" y="38" width="12" height="12" fill="{COLOURS[number % len(COLOURS)]}"/>')
        shapes.append(_text(x + 16, 48, kind))
        x += 40 + 7 * len(kind)
    return shapes


def _text(x: float, y: float, said: str, size: int | None = None) -> str:
    style = f' font-size="{size}" font-weight="bold"' if size else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{style}>{escape(said)}</text>'
