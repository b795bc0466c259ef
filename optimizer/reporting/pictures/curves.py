"""A Pareto front and a sweep over GPU counts, from the files of other commands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

from optimizer.explain.common.numbers import count
from optimizer.reporting.curves import FrontRow, SweepPoint, scenarios_of
from optimizer.reporting.pictures.theme import BAD, INK, LEGEND, MUTED, SMALL, Canvas, both_cuts, legend, series

LEAST_LOST = 1e-9
"""Shares of requests not served below this are drawn here: a logarithm has no zero."""
MOST_NUMBERS, MOST_COUNTS, MOST_CURVES = 24, 8, 16
LINES = ("-", "--")


def front_picture(points: Sequence[FrontRow], title: str, alt: str) -> str:
    """Mean time against the share of requests that is not served; numbers refer to the table below."""
    counts = sorted({point.gpus for point in points})

    def columns(narrow: bool) -> int:
        return 3 if narrow else 6

    def rows(narrow: bool) -> int:
        return -(-min(MOST_COUNTS, len(counts)) // columns(narrow))

    def height(width: float, narrow: bool) -> float:
        return (300 if narrow else 340) + rows(narrow) * LEGEND

    def draw(canvas: Canvas) -> None:
        _, tall = canvas.figure.get_size_inches() * 72
        head = rows(canvas.narrow) * LEGEND + 28
        axes = canvas.axes(58, head, canvas.width - 78, tall - head - 44)
        for number, gpus in enumerate(counts):
            here = [point for point in points if point.gpus == gpus]
            axes.plot([p.request_mean_ms / 1e3 for p in here], [max(LEAST_LOST, 1 - p.availability) for p in here],
                      marker="o", markersize=6, linestyle="none", color=series(number), markeredgewidth=0)  # fmt: skip
        for number, point in enumerate(points[:MOST_NUMBERS], start=1):
            place = (point.request_mean_ms / 1e3, max(LEAST_LOST, 1 - point.availability))
            axes.annotate(str(number), place, xytext=(5, 5), textcoords="offset points", fontsize=SMALL, color=INK)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(_power))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.margins(0.08, 0.12)
        axes.grid(True, axis="both")
        axes.set_xlabel("mean time of a request, s")
        axes.set_title("share of requests not served", fontsize=SMALL, fontweight="normal", color=MUTED, loc="left")
        _few(axes, canvas.narrow)
        legend(canvas, [count(gpus, "GPU") for gpus in counts[:MOST_COUNTS]], columns(canvas.narrow))

    return both_cuts("pareto", title, alt, height, draw)


def sweep_picture(points: Sequence[SweepPoint], title: str, alt: str) -> str:
    """Mean time of a request, and the largest rate within all limits, over the number of GPUs: one line a scenario."""
    panels = (
        ("request_mean_ms", "mean time of a request, s", 1e-3),
        ("max_request_rate", "requests/s within all limits", 1.0),
    )
    curves = scenarios_of(points)
    drawn = {name: good for name, group in curves.items() if (good := [p for p in group if _holds(p)])}
    without = [name for name in curves if name not in drawn]
    named = list(drawn)[:MOST_CURVES] if len(curves) > 1 else []
    notes = [f"{name}: no count works" for name in without if name][:MOST_CURVES]

    def head(narrow: bool) -> float:
        return -(-len(named) // (1 if narrow else 2)) * LEGEND

    def height(width: float, narrow: bool) -> float:
        return head(narrow) + 2 * 174 + 16 + 15 * len(notes)

    def draw(canvas: Canvas) -> None:
        top = head(canvas.narrow)
        for number, (name, words, factor) in enumerate(panels):
            axes = canvas.axes(58, top + 26 + number * 174, canvas.width - 78, 110)
            for position, good in enumerate(list(drawn.values())[:MOST_CURVES]):
                look: dict[str, Any] = {
                    "color": series(position if named else number),
                    "linestyle": LINES[position // 8 % len(LINES)],
                }
                counts = [p.gpus for p in good]
                values = [_value(p, name) * factor for p in good]
                axes.plot(counts, values, marker="o" if len(good) < 60 else None, markersize=3, **look)
            none = [] if named else [p.gpus for p in points if p.status == "infeasible"]
            if none:
                axes.plot(none, [0] * len(none), marker="x", linestyle="none", color=BAD, markersize=5, clip_on=False)
            axes.set_ylim(bottom=0)
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
            axes.grid(True, axis="y")
            axes.set_title(words, fontsize=SMALL, fontweight="normal", color=MUTED, loc="left")
            axes.set_xlabel("GPUs" + ("; ×: no strategy keeps every rule" if none else ""))
            _few(axes, canvas.narrow)
        if named:
            legend(canvas, named, 1 if canvas.narrow else 2)
        blank = canvas.blank() if notes else None
        for number, note in enumerate(notes):
            assert blank is not None
            blank.text(2, top + 2 * 174 + 18 + 15 * number, note, va="center", fontsize=SMALL, color=BAD)

    return both_cuts("sweep", title, alt, height, draw)


def _value(point: SweepPoint, name: str) -> float:
    """A figure of a point; where there is none the line is broken."""
    value = getattr(point, name)
    return math.nan if value is None else float(value)


def _holds(point: SweepPoint) -> bool:
    return point.request_mean_ms is not None and point.status != "infeasible"


def _power(value: float, _: int) -> str:
    """A power of ten as plain text: set as mathematics, a browser has no box for it to be measured by."""
    digits = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    return "1" if value == 1 else "10" + str(round(math.log10(value))).translate(digits)


def _few(axes: Axes, narrow: bool) -> None:
    if axes.get_xscale() == "linear":
        axes.locator_params(axis="x", nbins=4 if narrow else 8)
