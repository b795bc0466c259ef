"""Other choices, where they were computed: a Pareto front, and a sweep over GPU counts."""

from __future__ import annotations

from collections.abc import Sequence

from optimizer.explain.common.numbers import milliseconds
from optimizer.reporting.curves import FrontRow, SweepPoint
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
    good = [point for point in curve if point.request_mean_ms is not None and point.status != "infeasible"]
    counts = f"{curve[0].gpus} to {curve[-1].gpus} GPUs"
    if not good:
        return f"{counts}: no strategy keeps every rule at any of {len(curve)} counts."
    first, best = good[0], min(good, key=lambda point: point.request_mean_ms or 0.0)
    return (
        f"{counts}, {len(curve)} points: every rule holds from {first.gpus} GPUs on where a strategy is drawn; the shortest mean time "
        f"is {milliseconds(best.request_mean_ms or 0.0)} with {best.gpus} GPUs ({best.strategy})."
    )


def _sweep_table(curve: Sequence[SweepPoint]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for point in curve[:MOST_ROWS]:
        times = (point.ttft_p99_ms, point.tpot_p99_ms, point.request_mean_ms)
        cells = [Figure(milliseconds(value), value, "ms") if value is not None else "–" for value in times]
        rate = point.max_request_rate
        last: Cell = Figure(f"{rate:,.3f} requests/s", rate, "requests/s") if rate is not None else "–"
        rows.append((Figure(str(point.gpus), point.gpus, "GPUs"), point.status, point.strategy or "–", *cells, last))
    columns = (
        Column("gpus", "GPUs", right=True), Column("status", "Status"), Column("strategy", "Strategy"),
        Column("ttft", "TTFT P99", right=True), Column("tpot", "TPOT P99", right=True), Column("mean", "Mean request", right=True),
        Column("rate", "Largest rate", right=True),
    )  # fmt: skip
    return Table("sweep", columns, tuple(rows), _cut("Points of the sweep", len(curve)))


def _cut(words: str, there: int) -> str:
    return words if there <= MOST_ROWS else f"{words}: the first {MOST_ROWS} of {there:,}"
