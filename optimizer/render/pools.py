"""Answers about prefill and decode pools as text for a terminal and as JSON data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from optimizer.explain.common.numbers import amount, milliseconds
from optimizer.render.as_json import changes_data
from optimizer.render.text import (
    STATUS_WORDS,
    console,
    costs_sentence,
    model_sentences,
    rules_lines,
    verification_lines,
)
from optimizer.results.answer import SCHEMA_VERSION
from optimizer.results.cluster_pools import ClusterPoolsAnswer
from optimizer.results.pools import PoolMetrics, PoolsAnswer, PoolStrategy

STYLES = {"optimal": "bold green", "feasible": "bold yellow", "infeasible": "bold red", "unknown": "bold yellow"}


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
    data["repairs"] = [
        {"changes": changes_data(repair.changes), "sentence": repair.sentence, "result": repair.result}
        for repair in answer.repairs
    ]
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
    words = STATUS_WORDS[answer.status]
    objective = answer.objective
    if answer.status == "feasible" and objective is not None and objective.gap > 0:
        words = f"{words}, its objective within {objective.gap:.2%} of a proved bound"
    if answer.optimum is not None:
        words = {True: "feasible", False: "not feasible", None: "not decided"}[answer.feasible]
    out.print(Text(f"{answer.problem}: {answer.label or 'no pools'} — {words}", STYLES[answer.status]))
    for sentence in answer.explanation:
        out.print(Text("  " + sentence))
    for number, repair in enumerate(answer.repairs, start=1):
        out.print(Text(f"  Repair {number}. {repair.sentence}"))
    if pools is not None:
        out.print(pools)
        out.print(_requests(answer))
    best = answer.optimum
    if best is not None and best.strategy is not None and best.objective is not None:
        value = milliseconds(best.objective.value)
        out.print(Text(f"  Best: {best.label}, {value} a request ({STATUS_WORDS[best.status]})."))
    if full:
        rules_lines(out, answer.rules)
    for sentence in launch:
        out.print(Text("  " + sentence))
    if not full:
        out.print()
        out.print(Text(f"  Next: --full shows every rule with its slack; {judge} judges other pools."))
    out.print()
    for limit in answer.search_limits if full else ():
        out.print(Text(f"  {limit}", "dim"))
    for sentence in model_sentences(answer.model, full=full):
        out.print(Text("  " + sentence, "dim"))
    verification_lines(out, answer.verification, answer.status)
    out.print(Text(costs_sentence("analytic"), "dim"))


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
