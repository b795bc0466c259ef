"""Memory of one GPU of each stage, stacked, against what may be used and what there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from optimizer.facts.hardware import GIB
from optimizer.reporting.pictures.theme import (
    INK,
    LEGEND,
    MUTED,
    ON_FILL,
    SMALL,
    Canvas,
    both_cuts,
    fit,
    legend,
    series,
)

ROW = 34.0


@dataclass(frozen=True, slots=True)
class MemoryBar:
    """A group of equal GPUs: words for it, and bytes by term in a fixed order."""

    words: str
    bytes: Sequence[int]


def memory_picture(
    bars: Sequence[MemoryBar], terms: Sequence[str], budget: int, device: int, title: str, alt: str
) -> str:
    """The stacked bars as HTML; sizes in bytes."""

    def legend_rows(narrow: bool) -> int:
        return -(-len(terms) // (2 if narrow else 3))

    def height(width: float, narrow: bool) -> float:
        return legend_rows(narrow) * LEGEND + 34 + len(bars) * ROW + (14 * len(bars) if narrow else 0) + 44

    def draw(canvas: Canvas) -> None:
        head = legend_rows(canvas.narrow) * LEGEND + 34
        legend(canvas, terms, 2 if canvas.narrow else 3)
        left = 6.0 if canvas.narrow else 150.0
        row = ROW + (14 if canvas.narrow else 0)
        wide = canvas.width - left - 24
        axes = canvas.axes(left, head, wide, len(bars) * row)
        axes.set_xlim(0, device / GIB * 1.02)
        axes.set_ylim(len(bars), 0)
        per_gib = wide / (device / GIB * 1.02)
        for position, bar in enumerate(bars):
            at, start = position + (0.62 if canvas.narrow else 0.5), 0.0
            thick = (ROW - 12) / row
            for number, value in enumerate(bar.bytes):
                long = value / GIB
                axes.barh(at, long, left=start, height=thick, color=series(number), linewidth=0)
                label = f"{long:.1f}"
                if fit(label, long * per_gib - 4):
                    axes.text(start + long / 2, at, label, ha="center", va="center", color=ON_FILL, fontsize=SMALL)
                start += long
            total = f"{sum(bar.bytes) / GIB:.2f} GiB"
            if canvas.narrow:
                axes.text(0, position + 0.2, f"{bar.words}: {total}", ha="left", va="center", color=INK, fontsize=SMALL)
            else:
                axes.text(-8 / per_gib, at - 0.16, bar.words, ha="right", va="center", color=INK, fontsize=SMALL)
                axes.text(-8 / per_gib, at + 0.22, total, ha="right", va="center", color=MUTED, fontsize=SMALL)
        axes.axvline(budget / GIB, color=INK, linewidth=1.2, linestyle=(0, (4, 2)))
        axes.axvline(device / GIB, color=MUTED, linewidth=1.2)
        axes.text(
            budget / GIB, -10 / row, f"may be used: {budget / GIB:.2f} GiB", ha="right", va="center", fontsize=SMALL
        )
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(f"GiB of {device / GIB:.2f} on the device")

    return both_cuts("memory", title, alt, height, draw)
