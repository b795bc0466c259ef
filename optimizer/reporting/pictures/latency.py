"""Where the time goes: one panel a question, one bar a term, each with its milliseconds beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from optimizer.explain.common.numbers import milliseconds
from optimizer.reporting.ledger import shown
from optimizer.reporting.pictures.theme import INK, MUTED, SMALL, Canvas, both_cuts, series

ROW, HEAD, FOOT = 20.0, 26.0, 12.0


@dataclass(frozen=True, slots=True)
class Panel:
    """A time and its terms in ms, which sum to it."""

    words: str
    terms: Sequence[tuple[str, float]]


def latency_picture(panels: Sequence[Panel], title: str, alt: str) -> str:
    """The panels one below the other, as HTML."""

    def tall(panel: Panel, narrow: bool) -> float:
        return HEAD + len(panel.terms) * (ROW + (12 if narrow else 0)) + FOOT

    def height(width: float, narrow: bool) -> float:
        return sum(tall(panel, narrow) for panel in panels)

    def draw(canvas: Canvas) -> None:
        axes = canvas.blank()
        top, left = 0.0, 2.0 if canvas.narrow else 190.0
        step = ROW + (12 if canvas.narrow else 0)
        wide = canvas.width - left - 70
        for number, panel in enumerate(panels):
            whole = sum(value for _, value in panel.terms)
            most = max(value for _, value in panel.terms)
            axes.text(
                2, top + 12, f"{panel.words}: {milliseconds(whole)}", fontweight="bold", va="center", fontsize=SMALL
            )
            for position, (term, value) in enumerate(panel.terms):
                y = top + HEAD + position * step + (12 if canvas.narrow else 0) + ROW / 2
                long = max(1.0, value / most * wide)
                axes.barh(y, long, left=left, height=11, color=series(number), linewidth=0)
                if canvas.narrow:
                    axes.text(left, y - 13, term, va="center", ha="left", fontsize=SMALL, color=INK)
                else:
                    axes.text(left - 8, y, term, va="center", ha="right", fontsize=SMALL, color=INK)
                axes.text(left + long + 6, y, shown(value, "ms"), va="center", ha="left", fontsize=SMALL, color=MUTED)
            top += tall(panel, canvas.narrow)

    return both_cuts("latency", title, alt, height, draw)
