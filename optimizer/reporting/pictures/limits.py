"""The verdict at a glance: each limit as a bar up to the limit, with the prediction and where such measurements fell."""

from __future__ import annotations

from collections.abc import Sequence

from optimizer.reporting.limits import LimitBar
from optimizer.reporting.pictures.theme import BAD, GRID, INK, MUTED, SMALL, Canvas, both_cuts, series

ROW, MOST_SHARE = 30.0, 1.5


def limits_picture(bars: Sequence[LimitBar], title: str, alt: str) -> str:
    """The bars as HTML; the limit stands at 1, and what goes far beyond it ends in an arrow."""
    top = min(MOST_SHARE, max([1.1, *(value * 1.05 for bar in bars for value in (bar.share, bar.high or 0.0))]))

    def height(width: float, narrow: bool) -> float:
        return 26 + len(bars) * (ROW + (14 if narrow else 0)) + 8

    def draw(canvas: Canvas) -> None:
        left, right = (4.0, 12.0) if canvas.narrow else (178.0, 178.0)
        row = ROW + (14 if canvas.narrow else 0)
        axes = canvas.axes(left, 26, canvas.width - left - right, len(bars) * row)
        axes.set_xlim(0, top)
        axes.set_ylim(len(bars), 0)
        per = top / (canvas.width - left - right)
        for position, bar in enumerate(bars):
            at = position + (0.66 if canvas.narrow else 0.5)
            broken = bar.share > 1
            axes.barh(at, 1, height=10 / row, color=GRID, alpha=0.55, linewidth=0)
            axes.barh(at, min(bar.share, top), height=10 / row, color=BAD if broken else series(0), linewidth=0)
            if bar.low is not None and bar.high is not None:
                axes.plot([min(bar.low, top), min(bar.high, top)], [at, at], color=INK, linewidth=1.4)
                ends = [bar.low] if bar.high > top else [bar.low, bar.high]
                axes.plot([e for e in ends if e <= top], [at] * len([e for e in ends if e <= top]), marker="|", markersize=9,
                          color=INK, linestyle="none", markeredgewidth=1.4)  # fmt: skip
            if max(bar.share, bar.high or 0.0) > top:
                axes.plot([top * 0.995], [at], marker=">", markersize=5, color=BAD if broken else INK, clip_on=False)
            if canvas.narrow:
                axes.text(0, position + 0.24, f"{bar.words}: {bar.figures}", ha="left", va="center", fontsize=SMALL)
            else:
                axes.text(-8 * per, at, bar.words, ha="right", va="center", fontsize=SMALL)
                axes.text(top + 12 * per, at, bar.figures, ha="left", va="center", fontsize=SMALL, color=MUTED)
        axes.axvline(1, color=BAD, linewidth=1.2, linestyle=(0, (4, 2)))
        axes.text(1, -9 / row, "limit", ha="center", va="center", fontsize=SMALL, color=BAD)
        axes.set_yticks([])
        axes.set_xticks([])
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)

    return both_cuts("limits", title, alt, height, draw)
