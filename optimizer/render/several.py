"""Answers about several models as text for a terminal and as JSON data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from optimizer.explain.common.numbers import count, milliseconds, time_or_none
from optimizer.render.as_json import repairs_data
from optimizer.render.frame import print_foot, print_head, print_repairs, print_sentences, status_words
from optimizer.render.text import (
    STATUS_WORDS,
    console,
    model_sentences,
    rules_lines,
)
from optimizer.results.answer import SCHEMA_VERSION, ModelRead
from optimizer.results.cluster_models import ClusterModelsAnswer
from optimizer.results.several import SeveralAnswer


def several_data(answer: SeveralAnswer) -> dict[str, Any]:
    """Everything in an answer as JSON-ready data."""
    data = asdict(answer)
    for share, one in zip(data["models"], answer.models, strict=True):
        share["strategy"]["gpus"] = one.strategy.gpus
        share["label"] = one.strategy.label
    data["label"] = answer.label
    data["optimum"] = several_data(answer.optimum) if answer.optimum is not None else None
    data["repairs"] = repairs_data(answer.repairs)
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "models",
        "strategy": None,
        "metrics": together([share.metrics for share in answer.models]),
        "rules": [],
        "cost_source": "analytic",
        **data,
    }


FIGURES = ("tokens_per_s", "peak_tokens_per_s", "price_per_hour", "kilowatts_at_most")
"""Metrics that add up over the models."""


def together(each: Sequence[Any]) -> dict[str, float | None] | None:
    """What all models deliver and cost together; None of a figure that is not known of each, and None where there are none.

    Args:
        each: what has the figures of one model.
    """
    if not each:
        return None
    values = {name: [getattr(one, name) for one in each] for name in FIGURES}
    return {name: None if None in some else sum(some) for name, some in values.items()}


def print_split(out: Console, answer: SeveralAnswer | ClusterModelsAnswer) -> None:
    """Before the tables, whatever hardware the models share."""
    print_head(out, answer, answer.label or "no split", status_words(answer))
    print_sentences(out, (one.sentence for one in answer.conflicts if one.sentence not in answer.explanation))
    print_repairs(out, answer)


def print_split_foot(
    out: Console, answer: SeveralAnswer | ClusterModelsAnswer, models: Sequence[ModelRead | None], full: bool
) -> None:
    """After the tables."""
    said = [*(answer.search_limits if full else ()), *(f"Assumed: {one}." for one in answer.assumed)]
    said += [sentence for model in models for sentence in model_sentences(model, full=full)]
    print_foot(out, said, answer.verification, answer.status)


def print_several(answer: SeveralAnswer, *, full: bool = True, launch: Sequence[str] = ()) -> None:
    """The answer of ``solve`` or ``check`` for several models: one screen, or every table (``full``)."""
    out = console()
    print_split(out, answer)
    if answer.models:
        out.print(_models(answer))
    if answer.placement:
        out.print(_nodes(answer))
    if answer.optimum is not None and answer.optimum.objective is not None:
        best = answer.optimum
        value = answer.optimum.objective.value
        out.print(Text(f"  Best: {best.label}, weighted sum {milliseconds(value)} ({STATUS_WORDS[best.status]})."))
    if full:
        for share in answer.models:
            out.print(Text(share.name, "bold"))
            rules_lines(out, share.rules)
    print_sentences(out, launch)
    if not full:
        out.print()
        out.print(
            Text(
                "  Next: --full shows every rule with its slack; optimizer check --placement FILE judges another split."
            )
        )
    out.print()
    print_split_foot(out, answer, [share.model for share in answer.models], full)


def _models(answer: SeveralAnswer) -> Table:
    table = Table(box=None, pad_edge=False, title="Models", title_justify="left")
    table.add_column("model")
    table.add_column("strategy")
    for title in ("GPUs", "nodes", "requests/s", "at most", "TTFT P99", "TPOT P99", "value", "weight"):
        table.add_column(title, justify="right")
    for share in answer.models:
        metrics = share.metrics
        table.add_row(
            share.name,
            share.strategy.label,
            str(share.strategy.gpus),
            str(share.nodes),
            f"{metrics.requests_per_s or 0:,.4g}",
            f"{metrics.max_request_rate:,.4g}",
            time_or_none(metrics.ttft_p99_ms),
            time_or_none(metrics.tpot_p99_ms),
            milliseconds(share.value),
            f"{share.weight:g}",
        )
    return table


def _nodes(answer: SeveralAnswer) -> Table:
    """How many instances of each model stand on which node; nodes alike are one line."""
    table = Table(box=None, pad_edge=False, title="Nodes", title_justify="left")
    table.add_column("node")
    names = [share.name for share in answer.models]
    for name in names:
        table.add_column(name, justify="right")
    table.add_column("free GPUs", justify="right")
    lines: dict[tuple[str, ...], list[int]] = {}
    for node, free in enumerate(answer.free_gpus):
        held = [
            sum(
                gpu.startswith(f"node-{node}/")
                for one in answer.placement or ()
                if one.model == name
                for gpu in one.gpus
            )
            for name in names
        ]
        cells = (*(count(gpus, "GPU") if gpus else "–" for gpus in held), str(free))
        lines.setdefault(cells, []).append(node)
    for cells, nodes in lines.items():
        table.add_row(_named(nodes), *cells)
    return table


def _named(nodes: list[int]) -> str:
    """``node-0``, ``node-0…3``, or a list."""
    if len(nodes) > 1 and nodes == list(range(nodes[0], nodes[-1] + 1)):
        return f"node-{nodes[0]}…{nodes[-1]}"
    return ", ".join(f"node-{node}" for node in nodes)
