"""Answers about prefill and decode pools on an inventory as text for a terminal and as JSON data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from optimizer.explain.common.numbers import amount, milliseconds
from optimizer.render.as_json import changes_data
from optimizer.render.pools import STYLES, _requests
from optimizer.render.text import (
    STATUS_WORDS,
    console,
    costs_sentence,
    model_sentences,
    rules_lines,
    verification_lines,
)
from optimizer.results.answer import SCHEMA_VERSION
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
    data["label"] = answer.label
    data["optimum"] = cluster_pools_data(answer.optimum) if answer.optimum is not None else None
    data["repairs"] = [
        {"changes": changes_data(repair.changes), "sentence": repair.sentence, "result": repair.result}
        for repair in answer.repairs
    ]
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "cluster_pools",
        "placement": None,
        "cost_source": "analytic",
        **data,
    }


def print_cluster_pools(answer: ClusterPoolsAnswer, *, full: bool = True, launch: Sequence[str] = ()) -> None:
    """The answer of ``solve`` or ``check``: one screen, or every table (``full``)."""
    out = console()
    words = STATUS_WORDS[answer.status]
    if answer.optimum is not None:
        words = {True: "feasible", False: "not feasible", None: "not decided"}[answer.feasible]
    out.print(Text(f"{answer.problem}: {answer.label or 'no pools'} — {words}", STYLES[answer.status]))
    for sentence in answer.explanation:
        out.print(Text("  " + sentence))
    for number, repair in enumerate(answer.repairs, start=1):
        out.print(Text(f"  Repair {number}. {repair.sentence}"))
    if answer.strategy is not None and answer.metrics is not None:
        out.print(_parts(answer))
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
        said = "optimizer check --prefill group=NAME,… --decode … judges other pools."
        out.print()
        out.print(Text(f"  Next: --full shows every rule with its slack; {said}"))
    out.print()
    for limit in answer.search_limits if full else ():
        out.print(Text(f"  {limit}", "dim"))
    for sentence in model_sentences(answer.model, full=full):
        out.print(Text("  " + sentence, "dim"))
    verification_lines(out, answer.verification, answer.status)
    out.print(Text(costs_sentence("analytic"), "dim"))


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
