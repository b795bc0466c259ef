"""GPU types side by side in a terminal, and as JSON data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text

from optimizer.explain.common.numbers import count, listing, milliseconds
from optimizer.render.columns import Shown, fitting, output_width
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
    for columns in _tables(good, best) if good else ():
        table, left_out = fitting(columns, output_width(), ["bold" if row is best else "" for row in good])
        out.print(table)
        if left_out:
            out.print(Text(f"  Left out for the width: {listing(left_out)}; --json has every figure."))
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
                f"  {words}kW is the board power at most, kWh/M that of a million output tokens; requests/s is what all limits allow, "
                "headroom by how much the load may grow; 5–95 % is where measurements of such predictions fell, ms. "
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
    proved = all(row.found.proved for row in rows)
    if not good:
        none = "No type is enough within the numbers of GPUs allowed"
        if not proved:
            return Text(f"{none} as far as was found; that is not proved of each.", style="bold yellow")
        return Text(f"{none}; each was proved infeasible.", style="bold red")
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
    if not proved:
        return Text(f"{said} — not proved least of each type.", style="bold yellow")
    return Text(f"{said} — each type's least hardware is proved.", style="bold green")


def _gpus(row: TypeRow) -> int:
    return (row.point.gpus_used or 0) if row.point else 0


def _tables(good: Sequence[TypeRow], best: TypeRow | None) -> tuple[list[Shown], list[Shown]]:
    """What is needed and how fast it is, then what it costs: side by side they would not fit 80 columns."""
    types = Shown("GPU type", [row.gpu for row in good])
    fast = [
        types,
        Shown("GPUs", [f"{_gpus(row):,}" for row in good], right=True),
        Shown("nodes", [_nodes(row) for row in good], 5, right=True),
        Shown("strategy", [row.point.label if row.point else "" for row in good]),
        Shown("TTFT P99", [_time(row, "ttft_p99_ms") for row in good], right=True),
        Shown("5–95 %", [_interval(row, "ttft_p99_ms") for row in good], 4, right=True),
        Shown("TPOT P99", [_time(row, "tpot_p99_ms") for row in good], right=True),
        Shown("5–95 %", [_interval(row, "tpot_p99_ms") for row in good], 3, right=True),
        Shown("headroom", [_percent(row.headroom) for row in good], 2, right=True),
    ]
    users = any(row.users for row in good)
    money = [
        Shown("per hour", [_money(row.point.price_per_hour if row.point else None) for row in good], right=True),
        Shown("user·month", [_money(row.price_per_user_and_month) for row in good], right=True)
        if users
        else Shown("per month", [_money(row.price_per_month, 0) for row in good], right=True),
        Shown(
            "M tokens",
            [_money(row.point.price_per_million_output_tokens if row.point else None) for row in good],
            right=True,
        ),
    ]
    kwh = [_money(row.kwh_per_million_output_tokens) for row in good]
    cost = [
        types,
        *(money if best is not None else []),
        Shown("kW", ["–" if row.kilowatts is None else f"{row.kilowatts:,.1f}" for row in good], 1, right=True),
        Shown("kWh/M", kwh, 2, right=True),
        Shown("requests/s", [f"{row.point.figures.max_request_rate:g}" if row.point and row.point.figures else "" for row in good],
              3, right=True),
    ]  # fmt: skip
    return fast, cost


def _nodes(row: TypeRow) -> str:
    each, used = row.gpus_per_node, _gpus(row)
    return f"{-(-used // each):,}" if each else ""


def _time(row: TypeRow, name: str) -> str:
    value = getattr(row.point.figures, name) if row.point and row.point.figures else None
    return "–" if value is None else milliseconds(value)


def _interval(row: TypeRow, name: str) -> str:
    """Both ends in the unit of the figure beside it."""
    if name not in row.intervals:
        return "–"
    low, high = row.intervals[name]
    digits = 0 if high >= 100 else 1
    return f"{low:,.{digits}f}–{high:,.{digits}f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


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
                "headroom": row.headroom,
                "intervals": {name: list(ends) for name, ends in row.intervals.items()},
                "taken_from_the_catalog": list(row.defaults),
                "not_enough": [point_data(below) for below in row.found.below],
                "verified": row.found.verified,
            }
            for row in rows
        ],
    }
