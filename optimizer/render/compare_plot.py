"""GPU types side by side as a picture: what each costs as the load grows, and its latencies against the limits (extra ``[plot]``)."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optimizer.facts.errors import ProblemError
from optimizer.render.sweep_plot import COLOURS, KINDS
from optimizer.sweeps.compare import cheapest

if TYPE_CHECKING:
    from optimizer.sweeps.compare import LoadPoint, TypeRow

LATENCIES = (("ttft_p99_ms", "first token P99, s", 1e-3), ("tpot_p99_ms", "token P99, ms", 1.0))


def comparison_plot(
    rows: Sequence[TypeRow],
    over: Mapping[str, Sequence[LoadPoint]],
    load: tuple[float, str],
    title: str,
    path: str,
    limits: Mapping[str, float],
) -> bytes:
    """The picture, PNG or SVG by the name.

    Args:
        rows: of ``compare``.
        over: of ``over_loads``.
        load: the stated load and its unit.
        title: what was asked about.
        limits: stated limits by figure, ms.

    Raises:
        ProblemError: the name ends in neither .png nor .svg, or matplotlib is not installed.
    """
    kind = Path(path).suffix.lower()
    if kind not in KINDS:
        raise ProblemError("--plot", f"{path} ends in neither .png nor .svg")
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise ProblemError(
            "--plot", "matplotlib is not installed; python3 -m pip install 'parallel-strategy-optimizer[plot]'"
        ) from None
    colours = {
        row.gpu: COLOURS[number % len(COLOURS)] for number, row in enumerate(sorted(rows, key=lambda row: row.gpu))
    }
    with matplotlib.rc_context(
        {"svg.hashsalt": "optimizer", "svg.fonttype": "none", "font.size": 9, "text.parse_math": False}
    ):
        notes = _notes(rows)
        figure = Figure(figsize=(9, 6.2 + 0.18 * len(notes)), layout="constrained")
        grid = figure.add_gridspec(2, 2, height_ratios=[2.2, 1.0])
        _prices(figure.add_subplot(grid[0, :]), rows, over, load, colours)
        for number, (name, label, factor) in enumerate(LATENCIES):
            _latencies(figure.add_subplot(grid[1, number]), rows, name, label, factor, limits.get(name), colours)
        figure.suptitle(f"{title}: which GPU type costs least as the load grows?", fontsize=11, fontweight="bold")
        if notes:
            figure.supxlabel("\n".join(notes), x=0.01, ha="left", fontsize=7.5, color="#444444")
        picture = io.BytesIO()
        figure.savefig(picture, format=kind[1:], dpi=150, metadata={"Date": None} if kind == ".svg" else None)
    return picture.getvalue()


def _prices(
    axis: Any,
    rows: Sequence[TypeRow],
    over: Mapping[str, Sequence[LoadPoint]],
    load: tuple[float, str],
    colours: Mapping[str, str],
) -> None:
    """One line a type; the cheapest at the stated load is ringed."""
    from matplotlib.ticker import FuncFormatter

    priced = any(point.price_per_hour is not None for points in over.values() for point in points)
    at, unit = load
    for gpu, points in over.items():
        good = [(at * p.part, p.price_per_hour if priced else p.gpus) for p in points]
        good = [(x, y) for x, y in good if y is not None]
        if good:
            axis.plot(*zip(*good, strict=True), marker="o", markersize=4, linewidth=1.4, color=colours[gpu], label=gpu)
    enough = [row for row in rows if row.point is not None and row.point.gpus_used is not None]
    best = cheapest(rows) or min(enough, key=_gpus, default=None)
    if best is not None and best.point is not None:
        value = best.point.price_per_hour if priced else best.point.gpus_used
        axis.plot(
            [at],
            [value],
            marker="o",
            markersize=14,
            markerfacecolor="none",
            markeredgewidth=1.8,
            color=colours[best.gpu],
        )
        axis.annotate(
            f"{best.gpu}: {value:,.2f}" if priced else f"{best.gpu}: {value:,} GPUs", (at, value), xytext=(10, -14),
            textcoords="offset points", fontsize=8.5, color=colours[best.gpu], fontweight="bold",
        )  # fmt: skip
    axis.axvline(at, color="#444444", linewidth=1, linestyle=(0, (4, 3)))
    axis.annotate(f"stated: {at:,g} {unit}", (at, 0.985), xycoords=("data", "axes fraction"), xytext=(4, 0), textcoords="offset points",
                  fontsize=7.5, va="top", color="#444444")  # fmt: skip
    axis.set_title("price per hour of the least hardware that keeps every limit" if priced else "GPUs that keep every limit, at least",
                   fontsize=9, loc="left")  # fmt: skip
    axis.set_xlabel(unit)
    axis.set_ylim(bottom=0)
    for each in (axis.xaxis, axis.yaxis):
        each.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.grid(True, alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    if any(points for points in over.values()):
        axis.legend(fontsize=8, loc="upper left", frameon=False)


def _gpus(row: TypeRow) -> int:
    return (row.point.gpus_used or 0) if row.point is not None else 0


def _latencies(
    axis: Any,
    rows: Sequence[TypeRow],
    name: str,
    label: str,
    factor: float,
    limit: float | None,
    colours: Mapping[str, str],
) -> None:
    """A bar a type with the interval of such measurements, against the limit."""
    from matplotlib.ticker import FuncFormatter

    good = [row for row in rows if row.point is not None and getattr(row.point.figures, name, None) is not None]
    for place, row in enumerate(good):
        assert row.point is not None
        value = getattr(row.point.figures, name) * factor
        axis.barh(place, value, height=0.5, color=colours[row.gpu])
        if name in row.intervals:
            low, high = (end * factor for end in row.intervals[name])
            axis.plot([low, high], [place, place], color="#222222", linewidth=1.2, marker="|", markersize=7)
    axis.set_yticks(range(len(good)), [row.gpu for row in good], fontsize=7.5)
    axis.invert_yaxis()
    if limit is not None:
        axis.axvline(limit * factor, color="#b00020", linewidth=1, linestyle=(0, (4, 3)))
        axis.annotate(f"limit {limit * factor:,.10g}", (limit * factor, 0.0), xycoords=("data", "axes fraction"), ha="right", va="bottom",
                      xytext=(-3, 2), textcoords="offset points",
                      fontsize=7.5, color="#b00020")  # fmt: skip
    axis.set_title(label, fontsize=9, loc="left")
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.set_xlim(left=0)
    axis.spines[["top", "right"]].set_visible(False)


def _notes(rows: Sequence[TypeRow]) -> list[str]:
    """Who is not enough, and why; what the lines across bars are."""
    import textwrap

    said = [
        f"{row.gpu}: {row.found.below[-1].said if row.found.below else 'no allowed number of GPUs is enough.'}"
        for row in rows
        if row.point is None
    ]
    if any(row.intervals for row in rows):
        said.append("Lines across bars: where 90 % of measurements of such predictions fell.")
    return [line for sentence in said for line in textwrap.wrap(sentence, 150)]
