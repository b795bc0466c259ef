"""Other choices, where they were computed: a Pareto front, and a sweep over GPU counts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from optimizer.explain.common.numbers import milliseconds
from optimizer.reporting.curves import FrontRow, SweepPoint, scenarios_of
from optimizer.reporting.document import Block, Cell, Column, Figure, Picture, Section, Table, Text
from optimizer.reporting.ledger import share

MOST_ROWS = 64


def curves_section(front: Sequence[FrontRow], curve: Sequence[SweepPoint]) -> Section:
    """Both as pictures with the figures beside them; at least one is there."""
    blocks: list[Block] = []
    if front:
        blocks += [Picture("pareto", "Pareto front", _front_alt(front)), _front_table(front)]
    if curve:
        blocks += [Picture("sweep", "Over the number of GPUs", _sweep_alt(curve)), _sweep_table(curve)]
    blocks.append(
        Text(("These points come from the files that the report was given; they are drawn and not solved again here.",))
    )
    return Section("choices", "Other choices", tuple(blocks))


def _front_alt(front: Sequence[FrontRow]) -> str:
    fastest = min(front, key=lambda point: point.request_mean_ms)
    safest = max(front, key=lambda point: point.availability)
    return (
        f"{len(front)} strategies that no other beats in mean time, requests served and GPUs together. Fastest: {fastest.strategy} "
        f"with {milliseconds(fastest.request_mean_ms)}; most requests served: {safest.strategy} with {share(safest.availability)}."
    )


def _front_table(front: Sequence[FrontRow]) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (str(number), point.strategy, Figure(str(point.gpus), point.gpus, "GPUs"),
         Figure(milliseconds(point.request_mean_ms), point.request_mean_ms, "ms"),
         Figure(share(point.availability), point.availability * 100, "%"))
        for number, point in enumerate(front[:MOST_ROWS], start=1)
    ]  # fmt: skip
    columns = (
        Column("number", "No."), Column("strategy", "Strategy"), Column("gpus", "GPUs", right=True),
        Column("mean", "Mean time of a request", right=True), Column("served", "Requests served", right=True),
    )  # fmt: skip
    return Table("pareto", columns, tuple(rows), _cut("Points of the front", len(front)))


def _sweep_alt(curve: Sequence[SweepPoint]) -> str:
    """What the curves say, one sentence a scenario."""
    return " ".join(_curve_words(name, points) for name, points in scenarios_of(curve).items())


def _curve_words(name: str, curve: Sequence[SweepPoint]) -> str:
    good = [point for point in curve if point.request_mean_ms is not None and point.status != "infeasible"]
    counts = f"{name + ': ' if name else ''}{curve[0].gpus} to {curve[-1].gpus} GPUs"
    if not good:
        return f"{counts}: no strategy keeps every rule at any of {len(curve)} counts."
    first, best = good[0], min(good, key=lambda point: point.request_mean_ms or 0.0)
    return (
        f"{counts}, {len(curve)} points: every rule holds from {first.gpus} GPUs on where a strategy is drawn; the shortest mean time "
        f"is {milliseconds(best.request_mean_ms or 0.0)} with {best.gpus} GPUs ({best.strategy})."
    )


def _sweep_table(curve: Sequence[SweepPoint]) -> Table:
    """One row for neighbouring counts with the same answer."""
    runs = [list(run) for _, run in groupby(curve, key=_same)]
    named, priced = len({point.name for point in curve}) > 1, any(point.price_per_hour is not None for point in curve)
    rows: list[tuple[Cell, ...]] = []
    for run in runs[:MOST_ROWS]:
        point, last = run[0], run[-1]
        times = (point.ttft_p99_ms, point.tpot_p99_ms, point.request_mean_ms)
        cells: list[Cell] = [point.name] if named else []
        counts = f"{point.gpus:,}" if point is last else f"{point.gpus:,}–{last.gpus:,}"
        cells += [Figure(counts, point.gpus, "GPUs"), point.status, point.strategy or "–"]
        cells += [Figure(milliseconds(value), value, "ms") if value is not None else "–" for value in times]
        rate, price = point.max_request_rate, point.price_per_hour
        cells.append(Figure(f"{rate:,.3f} requests/s", rate, "requests/s") if rate is not None else "–")
        if priced:
            cells.append(Figure(f"{price:,.2f}", price) if price is not None else "–")
        rows.append(tuple(cells))
    columns = (
        *((Column("scenario", "Scenario"),) if named else ()),
        Column("gpus", "GPUs", right=True), Column("status", "Status"), Column("strategy", "Strategy"),
        Column("ttft", "TTFT P99", right=True), Column("tpot", "TPOT P99", right=True), Column("mean", "Mean request", right=True),
        Column("rate", "Largest rate", right=True), *((Column("price", "Per hour", right=True),) if priced else ()),
    )  # fmt: skip
    words = _cut("Rows of the sweep", len(runs))
    return Table("sweep", columns, tuple(rows), "", f"{words}, with latencies and rates")


def _same(point: SweepPoint) -> object:
    if point.status == "infeasible":
        return point.name, point.status
    return point.name, point.strategy, point.request_mean_ms, point.max_request_rate


def _cut(words: str, there: int) -> str:
    return words if there <= MOST_ROWS else f"{words}: the first {MOST_ROWS} of {there:,}"
