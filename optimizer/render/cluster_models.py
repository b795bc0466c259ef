"""Answers about several models on one inventory as text for a terminal and as JSON data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from optimizer.explain.common.numbers import milliseconds
from optimizer.render.as_json import repairs_data
from optimizer.render.frame import print_sentences
from optimizer.render.inventory import inventory_data, places_table
from optimizer.render.several import print_split, print_split_foot, together
from optimizer.render.text import (
    console,
    rules_lines,
)
from optimizer.results.answer import SCHEMA_VERSION
from optimizer.results.cluster_models import ClusterModelsAnswer
from optimizer.results.inventory import instance_label


def cluster_models_data(answer: ClusterModelsAnswer) -> dict[str, Any]:
    """Everything in an answer as JSON-ready data; each model's ``answer`` is what an inventory's answer prints."""
    data = asdict(answer)
    data["models"] = [
        {"name": one.name, "weight": one.weight, "label": one.answer.label, "answer": inventory_data(one.answer)}
        for one in answer.models
    ]
    data["label"] = answer.label
    data["optimum"] = cluster_models_data(answer.optimum) if answer.optimum is not None else None
    data["repairs"] = repairs_data(answer.repairs)
    data.pop("price_per_hour")
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "cluster_models",
        "strategy": None,
        "placement": None,
        "metrics": together([share.answer for share in answer.models]),
        "rules": [],
        "cost_source": "analytic",
        **data,
    }


def print_cluster_models(answer: ClusterModelsAnswer, *, full: bool = True, launch: Sequence[str] = ()) -> None:
    """The answer of ``solve`` or ``check``: one screen, or every table (``full``)."""
    out = console()
    print_split(out, answer)
    if any(share.answer.pools for share in answer.models):
        out.print(_pools(answer))
        out.print(_groups(answer))
    if full:
        for share in answer.models:
            out.print(Text(share.name, "bold"))
            out.print(places_table(share.answer))
            rules_lines(out, share.answer.rules)
    print_sentences(out, launch)
    if not full and answer.models:
        out.print()
        out.print(
            Text(
                "  Next: --full shows every place and rule; optimizer check --placement FILE judges another split; "
                "optimizer deploy writes all."
            )
        )
    out.print()
    print_split_foot(out, answer, [share.answer.model for share in answer.models], full)


def _pools(answer: ClusterModelsAnswer) -> Table:
    table = Table(box=None, pad_edge=False, title="Pools", title_justify="left")
    for title in ("model", "group", "instance"):
        table.add_column(title)
    for title in ("instances", "share", "sent each", "carries each", "TTFT P99", "TPOT P99"):
        table.add_column(title, justify="right")
    for share in answer.models:
        for pool in share.answer.pools:
            times = [pool.metrics.ttft_p99_ms, pool.metrics.tpot_p99_ms]
            table.add_row(
                share.name,
                pool.where,
                instance_label(pool.strategy),
                f"{pool.instances:,}",
                f"{pool.share:.1%}",
                f"{pool.planned_rate:.3g}/s",
                f"{pool.capacity:.3g}/s",
                *("–" if time is None else milliseconds(time) for time in times),
            )
    return table


def _groups(answer: ClusterModelsAnswer) -> Table:
    """GPUs of each group by model."""
    table = Table(box=None, pad_edge=False, title="GPUs", title_justify="left")
    table.add_column("group")
    for share in answer.models:
        table.add_column(share.name, justify="right")
    table.add_column("left", justify="right")
    held = [share.gpus_by_group for share in answer.models]
    for group in answer.left:
        cells = [f"{one.get(group.group, 0):,}" for one in held]
        table.add_row(group.group, *cells, f"{group.left_gpus:,}")
    return table
