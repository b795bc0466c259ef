"""A front in a terminal (table, character plot, sentences), as JSON data, and as a CSV file's text."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from optimizer.explain.common.numbers import milliseconds
from optimizer.explain.common.pareto import axis_value, served
from optimizer.render.as_json import strategy_data
from optimizer.render.text import console
from optimizer.results.answer import SCHEMA_VERSION
from optimizer.results.front import Axis, FrontPoint, ParetoFront
from optimizer.writing.quoting import csv_cell

WIDE, HIGH = 64, 14
STATUS = {
    "proved": "every point shown is proved",
    "incomplete": "INCOMPLETE: stopped before every point was proved",
    "infeasible": "infeasible: there is no front",
    "unknown": "not decided: nothing was found in time",
}
COLUMNS = (
    "number", "label", "request_mean_ms", "availability", "not_served", "gpus", "price_per_hour", "objective_ms", "proved",
    "verified", "knee", "bound_gpus", "bound_price", "sentence",
)  # fmt: skip
NAMES: dict[Axis, str] = {
    "latency": "mean time of a request, ms",
    "availability": "share of requests not served",
    "gpus": "GPUs",
    "price": "price per hour",
}


def front_data(front: ParetoFront, kind: str) -> dict[str, Any]:
    """The front as JSON data, with the kind of its problem."""
    data = asdict(front)
    for point, there in zip(data["points"], front.points, strict=True):
        point["strategy"] = strategy_data(there.strategy) or there.label
    return {"schema_version": SCHEMA_VERSION, "kind": kind, **data}


def front_csv(front: ParetoFront) -> str:
    """A header and one line a point."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for number, point in enumerate(front.points, start=1):
        writer.writerow({"number": number, **{name: csv_cell(value) for name, value in asdict(point).items()}})
    return text.getvalue()


def print_front(front: ParetoFront) -> None:
    """Table, plot and sentences."""
    out = console()
    out.print(Text(f"{front.problem}: {' against '.join(front.axes)} — {_status(front)}", style="bold"))
    if front.points:
        out.print(_table(front))
    if len(front.points) > 1:
        out.print(Text(character_plot(front)))
    for number, point in enumerate(front.points, start=1):
        out.print(Text(f"  {number}. {point.sentence}"))
    for sentence in front.proof:
        out.print(Text(f"  {sentence}"))
    if front.points:
        wrong = len(front.mismatches)
        said = "all agree" if not wrong else f"{wrong} disagree"
        out.print(Text(f"  Verified: {front.checks:,} numbers and rules recomputed by separate code, {said}."))
    for mismatch in front.mismatches[:5]:
        out.print(Text(f"  {mismatch}", style="red"))


def _status(front: ParetoFront) -> str:
    if front.mismatches:
        return "NOT confirmed by the independent verification"
    if front.covers and front.status == "unknown" and not front.points:
        return f"no front of {front.covers}"
    return STATUS[front.status] + (f", of {front.covers}" if front.covers else "")


def _table(front: ParetoFront) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    priced = any(point.price_per_hour is not None for point in front.points)
    table.add_column("")
    table.add_column("strategy", overflow="fold")
    for heading in ("request, mean", "served", "GPUs", *(["price/hour"] if priced else []), "objective"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("")
    for number, point in enumerate(front.points, start=1):
        price = [f"{point.price_per_hour:,.2f}" if point.price_per_hour is not None else ""] if priced else []
        table.add_row(
            str(number),
            point.label,
            milliseconds(point.request_mean_ms),
            served(point.not_served),
            f"{point.gpus:,}",
            *price,
            milliseconds(point.objective_ms),
            _marks(point),
        )
    return table


def _marks(point: FrontPoint) -> str:
    words = ["proved" if point.proved else "not proved"]
    words += [] if point.verified else ["not verified"]
    return ", ".join([*words, "knee"] if point.knee else words)


def character_plot(front: ParetoFront) -> str:
    """The first axis to the right, the second upwards; a letter or figure for each point, as in the table."""
    across, up = front.axes[0], front.axes[1]
    xs, ys = ([axis_value(point, axis) for point in front.points] for axis in (across, up))
    grid = [[" "] * WIDE for _ in range(HIGH)]
    for number, (x, y) in enumerate(zip(xs, ys, strict=True), start=1):
        column, row = _cell(x, xs, WIDE), HIGH - 1 - _cell(y, ys, HIGH)
        mark = str(number)
        # Two-figure numbers take two cells, the last of them inside the frame.
        start = min(column, WIDE - len(mark))
        if all(cell == " " for cell in grid[row][start : start + len(mark)]):
            grid[row][start : start + len(mark)] = mark
    top, bottom = _label(up, max(ys)), _label(up, min(ys))
    margin = max(len(top), len(bottom))
    left = [top.rjust(margin), *[" " * margin] * (HIGH - 2), bottom.rjust(margin)]
    lines = [f"  {NAMES[up]}"]
    lines += [f"  {label} ┤{''.join(row).rstrip()}" for label, row in zip(left, grid, strict=True)]
    lines.append(f"  {' ' * margin} └{'─' * WIDE}")
    low, high = _label(across, min(xs)), _label(across, max(xs))
    lines.append(f"  {' ' * margin}  {low}{high.rjust(WIDE - len(low))}")
    lines.append(f"  {' ' * margin}  {NAMES[across].rjust(WIDE)}")
    return "\n".join(lines)


def _cell(value: float, values: list[float], cells: int) -> int:
    low, span = min(values), max(values) - min(values)
    return round((value - low) / span * (cells - 1)) if span else 0


def _label(axis: Axis, value: float) -> str:
    if axis == "availability":
        return f"{math.pow(10, value):.1e}"
    return f"{value:,.0f}" if axis in ("latency", "gpus") else f"{value:,.2f}"
