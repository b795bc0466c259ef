"""Answers with joint instances beside prefill and decode pools on an inventory, as text for a terminal and as JSON data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from optimizer.explain.common.numbers import milliseconds
from optimizer.explain.pools.against import inventory_figures
from optimizer.render.cluster_pools import cluster_pools_data
from optimizer.render.frame import STYLES, print_foot, print_sentences, status_words
from optimizer.render.inventory import inventory_data
from optimizer.render.side_by_side import mix_data
from optimizer.render.text import console, model_sentences, rules_lines
from optimizer.results.cluster_pools import ClusterPoolsAnswer
from optimizer.results.cluster_side_by_side import ClusterSideBySideAnswer


def cluster_side_by_side_data(answer: ClusterSideBySideAnswer) -> dict[str, Any]:
    """Everything in an answer as JSON-ready data: each part as ``solve`` prints it by itself."""
    joint, pools = inventory_data(answer.joint), cluster_pools_data(answer.pools)
    data = mix_data(answer, "cluster_side_by_side", joint, pools, _optimum_data)
    data["groups"] = [asdict(one) for one in answer.groups]
    return data


def _optimum_data(optimum: Any) -> dict[str, Any]:
    """The best of whichever kind, as ``solve`` prints it."""
    if isinstance(optimum, ClusterSideBySideAnswer):
        return cluster_side_by_side_data(optimum)
    return cluster_pools_data(optimum) if isinstance(optimum, ClusterPoolsAnswer) else inventory_data(optimum)


def print_cluster_side_by_side(
    answer: ClusterSideBySideAnswer, *, full: bool = True, launch: Sequence[str] = ()
) -> None:
    """The answer of ``solve``: one screen, or with the rules of either part (``full``)."""
    out = console()
    words = status_words(answer)
    if answer.optimum is None and answer.status == "feasible" and answer.objective.gap > 0:
        words = f"{words}, its objective within {answer.objective.gap:.2%} of a proved bound"
    out.print(Text(f"{answer.problem}: {answer.label} — {words}", STYLES[answer.status]))
    print_sentences(out, answer.explanation)
    out.print()
    out.print(_divided(answer))
    out.print(_parts(answer))
    if full or answer.feasible is False:
        for part in (answer.joint, answer.pools):
            rules_lines(out, part.rules)
    print_sentences(out, launch)
    if not full and answer.feasible is not False:
        out.print()
        out.print(Text("  Next: --full shows every rule of either part."))
    out.print()
    print_foot(out, model_sentences(answer.model, full=full), answer.verification, answer.status)


def _divided(answer: ClusterSideBySideAnswer) -> Table:
    """GPUs in use of each group, of those that either part has."""
    used: tuple[dict[str, int], dict[str, int]] = {}, {}
    for place in answer.joint.placement.instances if answer.joint.placement is not None else ():
        for gpu in place.gpus:
            name = gpu.node.rpartition("-")[0]
            used[0][name] = used[0].get(name, 0) + 1
    assert answer.pools.strategy is not None
    for part in (*answer.pools.strategy.prefill, *answer.pools.strategy.decode):
        used[1][part.group] = used[1].get(part.group, 0) + part.pool.gpus
    table = Table(box=None, pad_edge=False, title="GPUs in use", title_justify="left")
    for title in ("group", "joint instances", "pools"):
        table.add_column(title, justify="left" if title == "group" else "right")
    for one in answer.groups:
        table.add_row(
            one.group,
            f"{used[0].get(one.group, 0)} of {one.joint_gpus}",
            f"{used[1].get(one.group, 0)} of {one.pools_gpus}",
        )
    return table


def _parts(answer: ClusterSideBySideAnswer) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("", "joint instances", "pools", "together"):
        table.add_column(title, justify="right" if title else "left")
    first, second, both = inventory_figures(answer.joint), answer.pools.metrics, answer.metrics
    assert second is not None and answer.pools.objective is not None and answer.pools.strategy is not None
    assert answer.joint.objective is not None and answer.joint.reliability is not None
    table.add_row("requests", f"{answer.share:.0%}", f"{1 - answer.share:.0%}", "100%")
    table.add_row(
        "GPUs in use", *(str(gpus) for gpus in (answer.joint.gpus_used, answer.pools.strategy.gpus, answer.gpus))
    )
    if answer.price_per_hour is not None:
        prices = answer.joint.price_per_hour, second.price_per_hour, answer.price_per_hour
        table.add_row("price per hour", *("–" if price is None else f"{price:,.2f}" for price in prices))
    for title, name in (("TTFT", "ttft"), ("TPOT", "tpot")):
        table.add_row(
            f"{title} P50 / P99",
            *(
                " / ".join(_ms(getattr(of, f"{name}_p{percentile}_ms")) for percentile in (50, 99))
                for of in (first, second, both)
            ),
        )
    values = answer.joint.objective.value, answer.pools.objective.value, answer.objective.value
    table.add_row("objective", *(milliseconds(value) for value in values))
    rates = first.max_request_rate or 0.0, second.max_request_rate, both.max_request_rate
    table.add_row("most requests/s", *(f"{rate:.2f}" for rate in rates))
    served = answer.joint.reliability.availability, second.availability, both.availability
    table.add_row("served", *(f"{share:.5%}" for share in served))
    return table


def _ms(value: float | None) -> str:
    return "–" if value is None else milliseconds(value)
