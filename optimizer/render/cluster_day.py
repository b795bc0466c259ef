"""Answers about a day on an inventory as text for a terminal and as JSON data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from optimizer.explain.common.numbers import milliseconds
from optimizer.facts.profile import HOURS
from optimizer.render.as_json import changes_data
from optimizer.render.inventory import inventory_data
from optimizer.render.pools import STYLES
from optimizer.render.text import STATUS_WORDS, console, costs_sentence, model_sentences, verification_lines
from optimizer.results.answer import SCHEMA_VERSION
from optimizer.results.cluster_day import ClusterDayAnswer


def cluster_day_data(answer: ClusterDayAnswer) -> dict[str, Any]:
    """Everything in an answer as JSON-ready data; the ``answer`` of each run of hours is what an inventory's answer prints."""
    data = asdict(answer)
    for hours, one in zip(data["hours"], answer.hours, strict=True):
        hours["answer"] = inventory_data(one.answer)
    data["repairs"] = [
        {"changes": changes_data(repair.changes), "sentence": repair.sentence, "result": repair.result}
        for repair in answer.repairs
    ]
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
    out.print(
        Text(f"{answer.problem}: {answer.label or 'no plan'} — {STATUS_WORDS[answer.status]}", STYLES[answer.status])
    )
    for sentence in answer.explanation:
        out.print(Text("  " + sentence))
    for number, repair in enumerate(answer.repairs, start=1):
        out.print(Text(f"  Repair {number}. {repair.sentence}"))
    if answer.hours:
        out.print(_hours(answer))
        out.print(Text("Switch-over", "bold"))
        for sentence in answer.switches or ("Nothing changes over the day.",):
            out.print(Text("  " + sentence))
        if full:
            out.print(_homes(answer))
    for sentence in launch:
        out.print(Text("  " + sentence))
    out.print()
    for said in answer.search_limits if full else ():
        out.print(Text(f"  {said}", "dim"))
    for sentence in model_sentences(answer.model, answer.assumed, full=full):
        out.print(Text("  " + sentence, "dim"))
    verification_lines(out, answer.verification, answer.status)
    out.print(Text(costs_sentence("analytic"), "dim"))


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
