"""GPU types side by side in a terminal, and as JSON data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from optimizer.explain.common.numbers import count, milliseconds
from optimizer.render.text import console
from optimizer.results.answer import SCHEMA_VERSION
from optimizer.sweeps.compare import cheapest
from optimizer.sweeps.points import point_data

if TYPE_CHECKING:
    from optimizer.sweeps.compare import TypeRow


def print_comparison(rows: Sequence[TypeRow], prices_of: str | None = None) -> None:
    """One row a type that is enough; then what keeps the others out, and what was taken from the catalog."""
    out = console()
    good = [row for row in rows if row.point is not None]
    best = cheapest(rows)
    out.print(_headline(rows, good, best))
    priced = best is not None
    for table in _tables(good, best) if good else ():
        out.print(table)
    for row in rows:
        if row.point is None:
            for below in row.found.below:
                out.print(Text(f"  {row.gpu}: {count(below.gpus or 0, 'GPU')} are not enough. {below.said}"))
            if not row.found.below:
                out.print(Text(f"  {row.gpu}: no allowed number of GPUs is enough."))
    if good:
        words = "Prices are of the GPUs in use; M tokens is a million output tokens; " if priced else ""
        if priced and any(row.users for row in good):
            words += "user·month is the price of 730 hours for one of the users; "
        out.print(
            Text(
                f"  {words}kW is the board power at most, kWh/M that of a million output tokens; requests/s is what all limits allow. "
                "Predicted, not measured."
            )
        )
    if priced and prices_of is not None:
        out.print(Text(f"  Prices are those of {prices_of}."))
    unpriced = [row.gpu for row in good if priced and row.point is not None and row.point.price_per_hour is None]
    if unpriced:
        out.print(Text(f"  No price is known of {', '.join(unpriced)}: whether it is cheaper is not said."))
    taken: dict[str, list[str]] = {}
    for row in good:
        for default in row.defaults:
            taken.setdefault(default, []).append(row.gpu)
    for default, names in taken.items():
        out.print(Text(f"  The problem does not state {default}: {', '.join(names)}."))
    if good and not priced:
        out.print(Text("  No prices are known: --prices FILE states them (docs/compare.md)."))


def _headline(rows: Sequence[TypeRow], good: Sequence[TypeRow], best: TypeRow | None) -> Text:
    if not good:
        return Text(
            "No type is enough within the numbers of GPUs allowed; each was proved infeasible.", style="bold red"
        )
    chosen = best or min(good, key=_gpus)
    how = (
        "is the cheapest with a price"
        if best and any(row.point and row.point.price_per_hour is None for row in good)
        else ""
    )
    how = how or "is the cheapest" if best else "needs the fewest GPUs"
    said = f"{chosen.gpu} {how} of {count(len(rows), 'type')}: {count(_gpus(chosen), 'GPU')}"
    if chosen.point is not None and chosen.point.price_per_hour is not None:
        said += f", {chosen.point.price_per_hour:,.2f} per hour"
    return Text(f"{said} — each type's least hardware is proved.", style="bold green")


def _gpus(row: TypeRow) -> int:
    return (row.point.gpus_used or 0) if row.point else 0


def _tables(good: Sequence[TypeRow], best: TypeRow | None) -> tuple[Table, ...]:
    """What is needed and how fast it is, then what it costs: side by side they would not fit 80 columns."""
    fast, cost = (Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold") for _ in range(2))
    for table in (fast, cost):
        table.add_column("GPU type", no_wrap=True)
    fast.add_column("GPUs", justify="right", no_wrap=True)
    fast.add_column("strategy", no_wrap=True)
    for heading in ("TTFT P99", "TPOT P99"):
        fast.add_column(heading, justify="right", no_wrap=True)
    users = any(row.users for row in good)
    money = ("per hour", "user·month" if users else "per month", "M tokens")
    for heading in (*(money if best is not None else ()), "kW", "kWh/M", "requests/s"):
        cost.add_column(heading, justify="right", no_wrap=True)
    for row in good:
        style = "bold" if row is best else ""
        fast.add_row(row.gpu, *_speeds(row), style=style)
        cost.add_row(row.gpu, *_costs(row, best is not None), style=style)
    return fast, cost


def _speeds(row: TypeRow) -> list[str]:
    point = row.point
    assert point is not None and point.figures is not None
    times = point.figures.ttft_p99_ms, point.figures.tpot_p99_ms
    return [f"{point.gpus_used:,}", point.label, *("–" if ms is None else milliseconds(ms) for ms in times)]


def _costs(row: TypeRow, priced: bool) -> list[str]:
    point = row.point
    assert point is not None and point.figures is not None
    money = (
        _money(point.price_per_hour),
        _money(row.price_per_user_and_month) if row.users else _money(row.price_per_month, 0),
        _money(point.price_per_million_output_tokens),
    )
    return [
        *(money if priced else ()),
        "–" if row.kilowatts is None else f"{row.kilowatts:,.1f}",
        _money(point.metrics.kwh_per_million_output_tokens_at_most if point.metrics else None),
        f"{point.figures.max_request_rate:g}",
    ]


def _money(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def comparison_data(rows: Sequence[TypeRow]) -> dict[str, Any]:
    """Plain data: every type, cheapest first."""
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "comparison",
        "types": [
            {
                "gpu": row.gpu,
                "enough": row.point is not None,
                "point": point_data(row.point) if row.point is not None else None,
                "price_per_month": row.price_per_month,
                "price_per_user_and_month": row.price_per_user_and_month,
                "kilowatts_at_most": row.kilowatts,
                "taken_from_the_catalog": list(row.defaults),
                "not_enough": [point_data(below) for below in row.found.below],
                "verified": row.found.verified,
            }
            for row in rows
        ],
    }
