"""Answers about a day on an inventory as text for a terminal and as JSON data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from optimizer.explain.common.numbers import milliseconds
from optimizer.facts.profile import HOURS
from optimizer.render.as_json import repairs_data
from optimizer.render.frame import print_foot, print_head, print_repairs, print_sentences
from optimizer.render.inventory import inventory_data
from optimizer.render.text import STATUS_WORDS, console, model_sentences
from optimizer.results.answer import SCHEMA_VERSION
from optimizer.results.cluster_day import ClusterDayAnswer


def cluster_day_data(answer: ClusterDayAnswer) -> dict[str, Any]:
    """Everything in an answer as JSON-ready data; the ``answer`` of each run of hours is what an inventory's answer prints."""
    data = asdict(answer)
    for hours, one in zip(data["hours"], answer.hours, strict=True):
        hours["answer"] = inventory_data(one.answer)
    data["repairs"] = repairs_data(answer.repairs)
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "cluster_day",
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


def print_cluster_day(answer: ClusterDayAnswer, *, full: bool = True, launch: Sequence[str] = ()) -> None:
    """The answer of ``solve`` for a day on an inventory: one screen, or every place (``full``)."""
    out = console()
    print_head(out, answer, answer.label or "no plan", STATUS_WORDS[answer.status])
    print_repairs(out, answer)
    if answer.hours:
        out.print(_hours(answer))
        out.print(Text("Switch-over", "bold"))
        print_sentences(out, answer.switches or ("Nothing changes over the day.",))
        if full:
            out.print(_homes(answer))
    print_sentences(out, launch)
    out.print()
    said = (*(answer.search_limits if full else ()), *model_sentences(answer.model, answer.assumed, full=full))
    print_foot(out, said, answer.verification, answer.status)


def _hours(answer: ClusterDayAnswer) -> Table:
    table = Table(box=None, pad_edge=False, title="Hours", title_justify="left")
    table.add_column("hours")
    table.add_column("instances")
    for title in ("GPUs", "requests/s", "rules hold to", "request"):
        table.add_column(title, justify="right")
    for one in answer.hours:
        table.add_row(
            f"{one.first:02d}–{(one.first + one.hours - 1) % HOURS + 1:02d}",
            one.answer.label,
            f"{one.answer.gpus_used:,}",
            f"{one.requests_per_s:g}",
            f"{one.within:g}",
            milliseconds(one.answer.objective_exact_ms or 0.0),
        )
    return table


def _homes(answer: ClusterDayAnswer) -> Table:
    table = Table(box=None, pad_edge=False, title="Places", title_justify="left")
    table.add_column("instance")
    table.add_column("GPUs")
    table.add_column("starts in, s", justify="right")
    for home in answer.homes:
        table.add_row(home.name, ", ".join(home.gpus), f"{home.start_s:,}")
    return table
