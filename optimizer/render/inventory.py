"""Answers for inventories as text for a terminal and as JSON data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

from rich.table import Table
from rich.text import Text

from optimizer.explain.common.numbers import milliseconds
from optimizer.render.as_json import repairs_data
from optimizer.render.frame import print_foot, print_head, status_words
from optimizer.render.text import (
    console,
    launch_and_next,
    model_sentences,
    rules_lines,
    simulation_table,
    within_words,
)
from optimizer.results.answer import SCHEMA_VERSION
from optimizer.results.inventory import InventoryAnswer, instance_label
from optimizer.results.placement import PlacedInstance

MOST_INSTANCES_SHOWN = 24
FIGURES = (
    "request_mean_ms",
    "tokens_per_s",
    "peak_tokens_per_s",
    "price_per_hour",
    "gpus_used",
    "gpus_free",
    "price_per_million_output_tokens",
    "kilowatts_at_most",
    "kwh_per_million_output_tokens_at_most",
)
"""What stands under ``metrics`` in the JSON envelope."""


def inventory_data(answer: InventoryAnswer) -> dict[str, Any]:
    """Everything in an inventory's answer as JSON-ready data; the placement lists each instance with its GPUs by name."""
    data = asdict(answer)
    data["placement"] = [_instance(one) for one in answer.placement.instances] if answer.placement else None
    data["label"] = answer.label
    data["optimum"] = inventory_data(answer.optimum) if answer.optimum else None
    data["repairs"] = repairs_data(answer.repairs)
    metrics: dict[str, Any] = {name: data.pop(name) for name in FIGURES}
    metrics["availability"] = answer.reliability.availability if answer.reliability else None
    metrics["max_request_rate"] = sum(pool.capacity * pool.instances for pool in answer.pools) if answer.pools else None
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "inventory",
        "strategy": None,
        "metrics": metrics,
        "cost_source": "analytic",
        **data,
    }


def _instance(one: PlacedInstance) -> dict[str, Any]:
    return {
        "name": one.name,
        "pool": one.pool,
        "share": one.share,
        "nodes": list(one.nodes),
        "gpus": [place.name for place in one.gpus],
    }


def print_inventory(answer: InventoryAnswer, *, full: bool = True, launch: Sequence[str] = ()) -> None:
    """The answer of ``solve`` or ``check`` for an inventory: one screen, or every table and each place (``full``)."""
    out = console()
    words = status_words(answer)
    if answer.within and answer.optimum is None:
        words += within_words(answer.within, answer.cut_by)
    print_head(out, answer, answer.label or "no instances", words)
    if answer.pools:
        out.print(_pools(answer))
        if full:
            out.print(places_table(answer))
            rules_lines(out, answer.rules)
            for one in answer.simulations:
                out.print()
                out.print(Text(f"Pool {one.pool} ({answer.pools[one.pool].where}), one replica"))
                simulation_table(out, one.simulation)
    launch_and_next(out, launch, full=full, found=bool(answer.pools))
    out.print()
    said = (*(answer.search_limits if full else ()), *model_sentences(answer.model, answer.assumed, full=full))
    print_foot(out, said, answer.verification, answer.status, sets=True)


def _pools(answer: InventoryAnswer) -> Table:
    table = Table(box=None, pad_edge=False, title="Pools", title_justify="left")
    for title in ("group", "instance", "weights"):
        table.add_column(title)
    for title in (
        "instances",
        "slots each",
        "share",
        "sent each",
        "carries each",
        "TTFT P99",
        "TPOT P99",
        "fullest GPU",
    ):
        table.add_column(title, justify="right")
    for pool in answer.pools:
        metrics = pool.metrics
        table.add_row(
            pool.where,
            instance_label(pool.strategy),
            pool.strategy.weight_precision,
            f"{pool.instances:,}",
            str(pool.strategy.max_num_seqs),
            f"{pool.share:.1%}",
            f"{pool.planned_rate:.3g}/s",
            f"{pool.capacity:.3g}/s",
            "–" if metrics.ttft_p99_ms is None else milliseconds(metrics.ttft_p99_ms),
            "–" if metrics.tpot_p99_ms is None else milliseconds(metrics.tpot_p99_ms),
            f"{metrics.memory_utilization:.0%}",
        )
    return table


def places_table(answer: InventoryAnswer) -> Table:
    table = Table(box=None, pad_edge=False, title="Placement", title_justify="left")
    for title in ("instance", "shape", "share", "GPUs"):
        table.add_column(title)
    instances = answer.placement.instances if answer.placement else ()
    for one in instances[:MOST_INSTANCES_SHOWN]:
        places = []
        for node, gpus in groupby(one.gpus, key=lambda place: place.node):
            places.append(f"{node}: {','.join(str(place.index) for place in gpus)}")
        table.add_row(one.name, instance_label(one.strategy), f"{one.share:.1%}", "; ".join(places))
    if len(instances) > MOST_INSTANCES_SHOWN:
        table.add_row("…", f"{len(instances) - MOST_INSTANCES_SHOWN:,} more (--json lists all)", "", "")
    return table
