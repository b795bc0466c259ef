"""Answers about prefill and decode pools on an inventory as text for a terminal and as JSON data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from optimizer.explain.common.numbers import amount
from optimizer.render.pools import enveloped, print_answer
from optimizer.results.cluster_pools import ClusterPoolsAnswer, GroupPool
from optimizer.results.pools import PoolMetrics


def cluster_pools_data(answer: ClusterPoolsAnswer) -> dict[str, Any]:
    """Everything in an answer as JSON-ready data."""
    data = asdict(answer)
    if answer.strategy is not None:
        data["strategy"]["gpus"] = answer.strategy.gpus
        for name in ("prefill", "decode"):
            for part, found in zip(getattr(answer.strategy, name), data["strategy"][name], strict=True):
                found["pool"]["gpus"] = part.pool.gpus
    data["optimum"] = cluster_pools_data(answer.optimum) if answer.optimum is not None else None
    return enveloped(answer, "cluster_pools", data)


def print_cluster_pools(answer: ClusterPoolsAnswer, *, full: bool = True, launch: Sequence[str] = ()) -> None:
    """The answer of ``solve`` or ``check``: one screen, or every table (``full``)."""
    table = _parts(answer) if answer.strategy is not None and answer.metrics is not None else None
    print_answer(answer, table, "optimizer check --prefill group=NAME,… --decode …", full=full, launch=launch)


def _parts(answer: ClusterPoolsAnswer) -> Table:
    table = Table(box=None, pad_edge=False, title="Pools", title_justify="left")
    for title in ("pool", "instances", "group"):
        table.add_column(title)
    for title in ("share", "GPUs", "nodes", "cache room", "cache wanted", "carries", "link busy"):
        table.add_column(title, justify="right")
    assert answer.strategy is not None and answer.metrics is not None
    for name in ("prefill", "decode"):
        parts: tuple[GroupPool, ...] = getattr(answer.strategy, name)
        metrics: tuple[PoolMetrics, ...] = getattr(answer.metrics, name)
        for part, one in zip(parts, metrics, strict=True):
            table.add_row(
                name, part.pool.label, part.group, f"{part.share:.0%}", str(part.pool.gpus), str(part.pool.nodes),
                amount(one.cache_room_bytes_per_gpu, "bytes"), amount(one.cache_wanted_bytes_per_gpu, "bytes"),
                f"{one.capacity_per_s:.2f}/s", "–" if one.link_busy is None else f"{one.link_busy:.1%}",
            )  # fmt: skip
    return table
