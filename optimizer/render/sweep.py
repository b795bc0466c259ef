"""A sweep in a terminal: one screen of what matters, or every line with what each curve says; progress while it runs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from optimizer.explain.common.numbers import count, listing, milliseconds
from optimizer.render.columns import Shown, fitting, output_width
from optimizer.render.text import console
from optimizer.sweeps.screen import SweepRow, one_screen, runs_of, value_words, varied

if TYPE_CHECKING:
    from rich.console import Console

    from optimizer.sweeps.curve import Curve
    from optimizer.sweeps.points import Point

MOST_REASONS = 8
MOST_WORSE = 5
STYLES = {"optimal": "green", "feasible": "yellow", "infeasible": "red", "unknown": "yellow", "error": "bold red"}
STATUS_WORDS = {"optimal": "proved best", "infeasible": "infeasible", "error": "error", "unknown": "not decided"}


def print_sweep(points: Sequence[Point], readings: Sequence[Curve], *, everything: bool = False) -> None:
    """One screen: of each scenario the rows that matter, and why others have none; every line there is with ``everything``."""
    out = console()
    screen = one_screen(points, readings)
    rows = runs_of(points) if everything else screen.rows
    if rows:
        table, left_out = fitting(_columns(points, rows), output_width(), [_style(row.first) or "" for row in rows])
        out.print(table)
        if left_out:
            out.print(Text(f"  Left out for the width: {listing(left_out)}; --csv has every column."))
    if everything or len(readings) == 1:
        _all_sentences(out, points, readings, reasons=everything or not screen.none)
    else:
        _few_sentences(out, points, readings)
    for sentence in () if everything else screen.none:
        out.print(Text(f"  {sentence}"))
    if not everything and (screen.hidden_lines or screen.hidden_scenarios):
        more = (
            f", of {count(screen.hidden_scenarios, 'further scenario')} among them" if screen.hidden_scenarios else ""
        )
        out.print(
            Text(f"  {count(screen.hidden_lines, 'more line')}{more}: --all prints them, --csv and --json every point.")
        )
    _footer(points)


def _columns(points: Sequence[Point], rows: Sequence[SweepRow]) -> list[Shown]:
    """Scenario, count and strategy always; of the rest what has room, latencies and prices last to go."""
    shown = [
        Shown(name.replace("_per_", "/"), [value_words(row.first, field) for row in rows], wraps=1)
        for field, name in varied(points).items()
    ]
    of_several = any(point.figures is not None and point.strategy is None for point in points)
    hourly = any(point.price_per_hour is not None for point in points)
    shown += [
        Shown("point", [row.what for row in rows], weight=3, wraps=1),
        Shown("GPUs", [_counts(row) for row in rows], right=True),
        Shown("best strategy", [_chosen(row.first) for row in rows], wraps=36 if of_several else 0),
        Shown("TTFT\nP99", [_time(row.first, "ttft_p99_ms") for row in rows], 2, right=True),
        Shown("TPOT\nP99", [_time(row.first, "tpot_p99_ms") for row in rows], 1, right=True),
        Shown("request\nmean", [_time(row.first, "request_mean_ms") for row in rows], 5, right=True),
        Shown("tokens/s\nat most", [_figure(row.first, "peak_tokens_per_s", ",.0f") for row in rows], 6, right=True),
        Shown("served", [_figure(row.first, "availability", ".5%") for row in rows], 7, right=True),
    ]
    if hourly:
        shown += [
            Shown("price\nper hour", [_price(row.first.price_per_hour) for row in rows], 4, right=True),
            Shown(
                "price per\nM tokens",
                [_price(row.first.price_per_million_output_tokens) for row in rows],
                1,
                right=True,
            ),
        ]
    return [*shown, Shown("binding, or why not", [_why(row.first) for row in rows], 8, wraps=30)]


def _counts(row: SweepRow) -> str:
    first, last = row.points[0].gpus, row.points[-1].gpus
    return "" if first is None else f"{first:,}" if first == last else f"{first:,}–{last:,}"


def _chosen(point: Point) -> str:
    if point.figures is None:
        return STATUS_WORDS.get(point.status, point.status)
    return f"{point.label} × {point.strategy.max_num_seqs}" if point.strategy else point.label


def _time(point: Point, name: str) -> str:
    return "" if point.figures is None else _ms(getattr(point.figures, name))


def _figure(point: Point, name: str, form: str) -> str:
    return "" if point.figures is None else format(getattr(point.figures, name), form)


def _price(price: float | None) -> str:
    return "" if price is None else f"{price:,.2f}"


def _why(point: Point) -> str:
    return ", ".join(point.binding) if point.figures is not None else point.error or ", ".join(point.conflict)


def _all_sentences(out: Console, points: Sequence[Point], readings: Sequence[Curve], *, reasons: bool) -> None:
    """What each curve says, and why points are infeasible."""
    for sentence in _reasons(runs_of(points)) if reasons else ():
        out.print(Text(f"  {sentence}"))
    for reading in readings:
        if reading.name:
            out.print(Text(reading.name, style="bold"))
        for sentence in reading.sentences:
            out.print(Text(f"  {sentence}"))


def _few_sentences(out: Console, points: Sequence[Point], readings: Sequence[Curve]) -> None:
    """Of many curves what is out of the ordinary."""
    worse = [(reading.name, said) for reading in readings for said in reading.violations]
    for name, said in worse[:MOST_WORSE]:
        out.print(Text(f"  {name}: worse with more: {said}"))
    if len(worse) > MOST_WORSE:
        out.print(Text(f"  {count(len(worse) - MOST_WORSE, 'more such count')}: --all names them."))
    named = {point.name for point in points if point.figures is not None}
    unpriced = {point.name for point in points if point.figures is not None and point.price_per_hour is None}
    if named and unpriced == named:
        out.print(Text("  Prices are not known; state price_per_gpu_hour, or give --prices FILE."))
    elif unpriced:
        out.print(Text(f"  No price is known in {count(len(unpriced), 'scenario')} of these."))


def _reasons(rows: Sequence[SweepRow]) -> list[str]:
    """Why points are infeasible, each sentence once; of neighbours that of the most GPUs, which holds for fewer all the more."""
    said: dict[str, Point] = {}
    for row in rows:
        if row.points[-1].said:
            said.setdefault(row.points[-1].said, row.points[-1])
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
