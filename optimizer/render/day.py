"""Plans for a day as text for a terminal and as JSON data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from optimizer.explain.common.numbers import milliseconds, time_or_none
from optimizer.render.as_json import repairs_data, strategy_data
from optimizer.render.frame import print_foot, print_head, print_repairs, print_sentences
from optimizer.render.text import STATUS_WORDS, console, model_sentences
from optimizer.results.answer import SCHEMA_VERSION
from optimizer.results.day import DayAnswer, HourOfDay


def day_data(answer: DayAnswer) -> dict[str, Any]:
    """Everything in an answer as JSON-ready data."""
    data = asdict(answer)
    for hour, one in zip(data["hours"], answer.hours, strict=True):
        hour["strategy"] = strategy_data(one.strategy)
    for shape, of in zip(data["shapes"], answer.shapes, strict=True):
        shape["strategy"] = strategy_data(of.strategy)
    data["repairs"] = repairs_data(answer.repairs)
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "day",
        "strategy": None,
        "placement": None,
        "objective": None,
        "metrics": None,
        "rules": [],
        "cost_source": "analytic",
        "feasible": None,
        "optimum": None,
        "label": answer.label,
        **data,
    }


def print_day(answer: DayAnswer, *, full: bool = True, launch: Sequence[str] = ()) -> None:
    """The answer of ``solve`` for a day: one screen, or every table (``full``)."""
    out = console()
    print_head(out, answer, answer.label or "no plan", STATUS_WORDS[answer.status])
    print_repairs(out, answer)
    if answer.hours:
        out.print(_hours(answer))
        out.print(Text("Switch-over", "bold"))
        print_sentences(out, answer.switches or ("Nothing changes over the day.",))
        if full:
            out.print(_thresholds(answer))
    print_sentences(out, launch)
    out.print()
    if not full:
        said = "--full shows the rates at which an instance is added; optimizer deploy FILE --target kubernetes writes the plan."
        out.print(Text(f"  Next: {said}"))
    limits = (*answer.search_limits, *(f"Assumed: {one}." for one in answer.assumed)) if full else ()
    print_foot(out, (*limits, *model_sentences(answer.model, full=full)), answer.verification, answer.status)


def _hours(answer: DayAnswer) -> Table:
    """Hours alike are one line."""
    table = Table(box=None, pad_edge=False, title="Hours", title_justify="left")
    table.add_column("hours")
    table.add_column("instances")
    for title in ("GPUs", "requests/s", "rules hold to", "TTFT P99", "TPOT P99", "request"):
        table.add_column(title, justify="right")
    runs: list[list[HourOfDay]] = []
    for one in answer.hours:
        if runs and (runs[-1][0].strategy, runs[-1][0].requests_per_s) == (one.strategy, one.requests_per_s):
            runs[-1].append(one)
        else:
            runs.append([one])
    for alike in runs:
        one, strategy = alike[0], alike[0].strategy
        table.add_row(
            f"{one.hour:02d}–{alike[-1].hour + 1:02d}",
            f"{one.instances} × TP{strategy.tensor_parallel}·PP{strategy.pipeline_parallel}{strategy.sharing}",
            str(strategy.gpus),
            f"{one.requests_per_s:g}",
            f"{one.within:g}",
            time_or_none(one.ttft_p99_ms),
            time_or_none(one.tpot_p99_ms),
            milliseconds(one.value),
        )
    return table


def _thresholds(answer: DayAnswer) -> Table:
    table = Table(box=None, pad_edge=False, title="When to add an instance", title_justify="left")
    table.add_column("instances")
    table.add_column("rules hold to, requests/s", justify="right")
    table.add_column("start the next at, requests/s", justify="right")
    for shape in answer.shapes:
        strategy = shape.strategy
        for one in shape.thresholds:
            name = f"{one.instances} × TP{strategy.tensor_parallel}·PP{strategy.pipeline_parallel}{strategy.sharing}"
            table.add_row(name, f"{one.requests_per_s:g}", f"{one.add_at_per_s:g}")
    return table
