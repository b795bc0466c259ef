"""Answers about prefill and decode pools as text for a terminal and as JSON data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from optimizer.explain.common.numbers import amount, milliseconds
from optimizer.render.as_json import repairs_data
from optimizer.render.frame import print_foot, print_head, print_repairs, print_sentences, status_words
from optimizer.render.text import (
    STATUS_WORDS,
    console,
    model_sentences,
    rules_lines,
)
from optimizer.results.answer import SCHEMA_VERSION
from optimizer.results.cluster_pools import ClusterPoolsAnswer
from optimizer.results.pools import PoolMetrics, PoolsAnswer, PoolStrategy


def pools_data(answer: PoolsAnswer) -> dict[str, Any]:
    """Everything in an answer as JSON-ready data."""
    data = asdict(answer)
    if answer.strategy is not None:
        data["strategy"]["gpus"] = answer.strategy.gpus
        for name in ("prefill", "decode"):
            data["strategy"][name]["gpus"] = getattr(answer.strategy, name).gpus
    data["optimum"] = pools_data(answer.optimum) if answer.optimum is not None else None
    return enveloped(answer, "pools", data)


def enveloped(answer: PoolsAnswer | ClusterPoolsAnswer, kind: str, data: dict[str, Any]) -> dict[str, Any]:
    """An answer's own data in what pools of every kind of hardware have around it."""
    data["label"] = answer.label
    data["repairs"] = repairs_data(answer.repairs)
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": kind,
        "placement": None,
        "cost_source": "analytic",
        **data,
    }


def print_pools(answer: PoolsAnswer, *, full: bool = True, launch: Sequence[str] = ()) -> None:
    """The answer of ``solve`` or ``check`` for pools: one screen, or every table (``full``)."""
    table = _pools(answer) if answer.strategy is not None and answer.metrics is not None else None
    print_answer(answer, table, "optimizer check --prefill … --decode …", full=full, launch=launch)


def print_answer(
    answer: PoolsAnswer | ClusterPoolsAnswer, pools: Table | None, judge: str, *, full: bool, launch: Sequence[str]
) -> None:
    """An answer about pools, whatever hardware they are for.

    Args:
        pools: the table of the pools chosen; None where there are none.
        judge: the command that judges other pools.
    """
    out = console()
    words, objective = status_words(answer), answer.objective
    if answer.optimum is None and answer.status == "feasible" and objective is not None and objective.gap > 0:
        words = f"{words}, its objective within {objective.gap:.2%} of a proved bound"
    print_head(out, answer, answer.label or "no pools", words)
    print_repairs(out, answer)
    if pools is not None:
        out.print(pools)
        out.print(_requests(answer))
    best = answer.optimum
    if best is not None and best.strategy is not None and best.objective is not None:
        value = milliseconds(best.objective.value)
        out.print(Text(f"  Best: {best.label}, {value} a request ({STATUS_WORDS[best.status]})."))
    if full:
        rules_lines(out, answer.rules)
    print_sentences(out, launch)
    if not full:
        out.print()
        out.print(Text(f"  Next: --full shows every rule with its slack; {judge} judges other pools."))
    out.print()
    said = (*(answer.search_limits if full else ()), *model_sentences(answer.model, full=full))
    print_foot(out, said, answer.verification, answer.status)


def _pools(answer: PoolsAnswer) -> Table:
    table = Table(box=None, pad_edge=False, title="Pools", title_justify="left")
    table.add_column("pool")
    table.add_column("instances")
    for title in ("GPUs", "nodes", "weights / GPU", "cache room", "cache wanted", "carries", "link busy"):
        table.add_column(title, justify="right")
    assert answer.strategy is not None and answer.metrics is not None
    for name in ("prefill", "decode"):
        pool: PoolStrategy = getattr(answer.strategy, name)
        metrics: PoolMetrics = getattr(answer.metrics, name)
        table.add_row(
            name,
            pool.label,
            str(pool.gpus),
            str(pool.nodes),
            amount(metrics.weights_bytes_per_gpu, "bytes"),
            amount(metrics.cache_room_bytes_per_gpu, "bytes"),
            amount(metrics.cache_wanted_bytes_per_gpu, "bytes"),
            f"{metrics.capacity_per_s:.2f}/s",
            "–" if metrics.link_busy is None else f"{metrics.link_busy:.1%}",
        )
    return table


def _requests(answer: PoolsAnswer | ClusterPoolsAnswer) -> Table:
    metrics = answer.metrics
    assert metrics is not None
    table = Table(box=None, pad_edge=False, title="Requests", title_justify="left")
    for title in ("", "P50", "P99"):
        table.add_column(title, justify="right" if title else "left")
    for name, low, high in (
        ("prefill", metrics.prefill_p50_ms, metrics.prefill_p99_ms),
        ("transfer, alone", metrics.transfer_ms, metrics.transfer_longest_ms),
        ("TTFT", metrics.ttft_p50_ms, metrics.ttft_p99_ms),
        ("TPOT", metrics.tpot_p50_ms, metrics.tpot_p99_ms),
    ):
        table.add_row(name, *("–" if value is None else milliseconds(value) for value in (low, high)))
    table.add_row("most requests/s", f"{metrics.max_request_rate:.2f}", "")
    return table
