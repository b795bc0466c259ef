"""A sweep in a terminal: one line a point, equal neighbours together, then what the curve says; progress while it runs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from optimizer.explain.common.numbers import milliseconds
from optimizer.render.text import console

if TYPE_CHECKING:
    from optimizer.sweeps.curve import Curve
    from optimizer.sweeps.points import Point

MOST_LINES = 120
MOST_REASONS = 8
STYLES = {"optimal": "green", "feasible": "yellow", "infeasible": "red", "unknown": "yellow", "error": "bold red"}
STATUS_WORDS = {"optimal": "proved best", "infeasible": "infeasible", "error": "error", "unknown": "not decided"}


def print_sweep(points: Sequence[Point], readings: Sequence[Curve]) -> None:
    """The table of all points (the middle of a long one left out), then the reading of each scenario's curve."""
    out = console()
    runs = [list(group) for _, group in groupby(points, key=_same)]
    priced = any(point.price_per_hour is not None for point in points)
    named = any(point.name for point in points)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    if named:
        table.add_column("scenario", overflow="fold")
    for heading in ("GPUs", "best strategy", "TTFT P99", "TPOT P99", "request", "tokens/s at most", "served"):
        best = heading == "best strategy"
        fold = best and any(point.inventory is not None for point in points)
        table.add_column(heading, justify="left" if best else "right", no_wrap=not fold, overflow="fold")
    if priced:
        table.add_column("price per M tokens", justify="right")
    table.add_column("binding, or why not", overflow="fold")
    shown = runs if len(runs) <= MOST_LINES else [*runs[: MOST_LINES - 20], *runs[-20:]]
    for run in shown:
        table.add_row(*([run[0].name] if named else []), *_cells(run, priced), style=_style(run[0]))
    out.print(table)
    if len(shown) < len(runs):
        out.print(
            f"  {len(runs) - len(shown)} lines before the last 20 are not shown; --json, --csv and --out have every point."
        )
    for sentence in _reasons(runs):
        out.print(Text(f"  {sentence}"))
    for reading in readings:
        if reading.name:
            out.print(Text(reading.name, style="bold"))
        for sentence in reading.sentences:
            out.print(Text(f"  {sentence}"))
    _footer(points)


def _same(point: Point) -> object:
    """Neighbours with equal answers are one line; so are those where the same rules leave nothing."""
    if point.status == "infeasible" and point.gpus is not None:
        return point.name, point.status, point.conflict
    choice = point.inventory or point.strategy
    return point.name, point.status, choice, point.objective, point.said, point.error, point.gpus is None


def _cells(run: Sequence[Point], priced: bool) -> list[str]:
    first, last = run[0], run[-1]
    counts = f"{first.gpus}" if first.gpus == last.gpus else f"{first.gpus}–{last.gpus}"
    if first.gpus is None:
        counts = ""
    metrics = first.figures
    if metrics is None:
        blank = [""] * (6 if priced else 5)
        return [counts, STATUS_WORDS.get(first.status, first.status), *blank, first.error or ", ".join(first.conflict)]
    cells = [
        counts,
        f"{first.label} × {first.strategy.max_num_seqs}" if first.strategy else first.label,
        _ms(metrics.ttft_p99_ms),
        _ms(metrics.tpot_p99_ms),
        _ms(metrics.request_mean_ms),
        f"{metrics.peak_tokens_per_s:,.0f}",
        f"{metrics.availability:.5%}",
    ]
    if priced:
        price = first.price_per_million_output_tokens
        cells.append("" if price is None else f"{price:,.2f}")
    return [*cells, ", ".join(first.binding)]


def _reasons(runs: Sequence[Sequence[Point]]) -> list[str]:
    """Why points are infeasible, each sentence once; of neighbours that of the most GPUs, which holds for fewer all the more."""
    said: dict[str, Point] = {}
    for run in runs:
        if run[-1].said:
            said.setdefault(run[-1].said, run[-1])
    sentences = [f"{point.name}: {text}" if point.name else text for text, point in said.items()]
    more = len(sentences) - MOST_REASONS
    return sentences[:MOST_REASONS] + (
        [f"{more} more reasons are not listed; --json has every point."] if more > 0 else []
    )


def _ms(value: float | None) -> str:
    return "none" if value is None else milliseconds(value)


def _style(point: Point) -> str | None:
    return None if point.status == "optimal" else STYLES.get(point.status)


def _footer(points: Sequence[Point]) -> None:
    out = console()
    proved = [p for p in points if p.status in ("optimal", "infeasible") and p.verification and p.verification.passed]
    every = [p for p in proved if p.verification and p.verification.optimality == "exhaustive"]
    errors = sum(point.status == "error" for point in points)
    said = f"{len(proved):,} of {len(points):,} points proved and verified"
    if every:
        said += f", {len(every):,} of them against all candidates by the independent verifier"
    out.print(f"  {said}." + (f" {errors:,} could not be answered; their lines say why." if errors else ""))


def with_progress(points: Iterable[Point], many: int, rows_too: bool) -> Iterator[Point]:
    """Pass points on and show a bar with rate and time left on standard error; nothing where that is not a terminal.

    Args:
        rows_too: rows are printed as well; on one terminal a bar would only be in their way.
    """
    if not sys.stderr.isatty() or (rows_too and sys.stdout.isatty()):
        yield from points
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("solving"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("points", total=many, rate="")
        for point in points:
            speed = progress.tasks[0].speed
            progress.update(task, advance=1, rate=f"{speed:,.0f} points/s" if speed else "")
            yield point
