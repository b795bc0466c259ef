"""What all pictures share: roles instead of colours, sizes, and the SVG that a page can hold.

matplotlib draws with one stand-in colour per role; in the SVG each becomes a CSS variable (``--ink``, ``--s1`` …), so that one
picture serves the light and the dark scheme and print. Text stays text, in the page's font.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

SERIES = tuple(f"#0b000{i}" for i in range(1, 9))
"""Eight series, told apart in both schemes."""
INK, MUTED, GRID, SURFACE, ON_FILL, BAD = "#0b0011", "#0b0012", "#0b0013", "#0b0014", "#0b0015", "#0b0016"
ROLES = {
    **{colour: f"s{i}" for i, colour in enumerate(SERIES, start=1)},
    INK: "ink", MUTED: "muted", GRID: "grid", SURFACE: "surface", ON_FILL: "on-fill", BAD: "bad",
}  # fmt: skip
WIDTHS = {"wide": 736.0, "narrow": 328.0}
"""Units across: CSS pixels at the page's full measure, and on a phone of 360 pixels."""
TEXT, SMALL, LEGEND = 11.0, 10.0, 18.0

_STYLE = {
    "svg.fonttype": "none", "svg.hashsalt": "optimizer", "font.family": "DejaVu Sans", "font.size": TEXT,
    "text.color": INK, "axes.labelcolor": MUTED, "axes.edgecolor": GRID, "xtick.color": GRID, "ytick.color": GRID,
    "xtick.labelcolor": MUTED, "ytick.labelcolor": INK, "axes.facecolor": "none", "figure.facecolor": "none",
    "axes.titlesize": TEXT, "axes.labelsize": SMALL, "xtick.labelsize": SMALL, "ytick.labelsize": SMALL,
    "axes.spines.top": False, "axes.spines.right": False, "grid.color": GRID, "grid.linewidth": 0.6, "axes.linewidth": 0.8,
    "axes.titlelocation": "left", "axes.titleweight": "bold", "axes.titlecolor": INK, "axes.axisbelow": True,
    "text.parse_math": False,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Canvas:
    """A figure under construction: ``width`` in units, ``narrow`` on a phone."""

    figure: Figure
    width: float
    narrow: bool

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Axes at a place given in units from the upper left corner."""
        whole, tall = self.figure.get_size_inches() * 72
        return self.figure.add_axes((left / whole, 1 - (top + height) / tall, width / whole, height / tall))

    def blank(self) -> Axes:
        """Axes over everything whose coordinates are units from the upper left corner."""
        whole, tall = self.figure.get_size_inches() * 72
        axes = self.figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(0, whole)
        axes.set_ylim(tall, 0)
        axes.axis("off")
        return axes


Draw = Callable[[Canvas], None]
Height = Callable[[float, bool], float]


def both_cuts(id: str, title: str, alt: str, height: Height, draw: Draw) -> str:
    """The picture in both cuts as HTML; the page shows the one that fits.

    Args:
        height: units tall, from the units across and whether it is the narrow cut.
        draw: draws on a canvas.
    """
    return "\n".join(_svg(id, title, alt, cut, height, draw) for cut in WIDTHS)


def _svg(id: str, title: str, alt: str, cut: str, height: Height, draw: Draw) -> str:
    width, narrow = WIDTHS[cut], cut == "narrow"
    with mpl.rc_context(_STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=(width / 72, height(width, narrow) / 72))
        draw(Canvas(figure, width, narrow))
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return inline(stream.getvalue(), f"{id}-{cut}", cut, title, alt)


def inline(document: str, id: str, cut: str, title: str, alt: str) -> str:
    """matplotlib's document as an element of a page: own ids, the page's colours and font, a title and a description."""
    body = document[document.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>\s*", "", body, flags=re.S)
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>\s*", "", body, flags=re.S)
    body = re.sub(r"<!--.*?-->\s*", "", body, flags=re.S)
    body = re.sub(r'\bid="([^"]+)"', rf'id="{id}-\1"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{id}-\1)", body)
    body = re.sub(r'xlink:href="#([^"]+)"', rf'href="#{id}-\1"', body)
    body = re.sub("|".join(ROLES), lambda found: f"var(--{ROLES[found.group()]})", body)
    body = re.sub(r"font: (?:(\w+) )?([\d.]+)px [^;\"]*", _font, body)
    size = re.search(r'viewBox="([^"]+)"', body)
    assert size is not None
    head = (
        f'<svg class="picture {cut}" role="img" aria-labelledby="{id}-title {id}-desc" viewBox="{size.group(1)}" '
        f'xmlns="http://www.w3.org/2000/svg">\n<title id="{id}-title">{escape(title)}</title>\n'
        f'<desc id="{id}-desc">{escape(alt)}</desc>'
    )
    return re.sub(r"<svg[^>]*>", lambda _: head, body, count=1).strip()


def _font(found: re.Match[str]) -> str:
    weight = {"bold": "bold", "700": "bold"}.get(found.group(1) or "", "normal")
    return f"font-size: {found.group(2)}px; font-weight: {weight}"


def fit(text: str, width: float, size: float = SMALL) -> bool:
    """Whether a text has room, by a generous estimate of its width."""
    return len(text) * size * 0.62 <= width


def series(number: int) -> str:
    """The colour of a series, counted from 0; they repeat after eight."""
    return SERIES[number % len(SERIES)]


def legend(canvas: Canvas, words: Sequence[str], columns: int) -> None:
    """Series by name in rows from the top, ``LEGEND`` units each."""
    axes = canvas.blank()
    for number, word in enumerate(words):
        x, y = 2 + number % columns * (canvas.width / columns), 10 + number // columns * LEGEND
        axes.plot([x + 5], [y], marker="s", markersize=9, color=series(number), linestyle="none", markeredgewidth=0)
        axes.text(x + 16, y, word, va="center", fontsize=SMALL)
