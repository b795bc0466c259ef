"""The report of prefill and decode pools on an inventory: every part of a pool on its group, what a request takes, how all is started."""

from __future__ import annotations

from optimizer.explain.common.numbers import count
from optimizer.facts.inventory import InventoryProblem
from optimizer.reporting.document import Cell, Column, Section, Table, Text
from optimizer.reporting.folding import folded
from optimizer.reporting.inventory import groups_section, placement_section, rules_section
from optimizer.reporting.ledger import Ledger, number, share
from optimizer.reporting.pools import (
    DOCS,
    FIGURES,
    advice_sections,
    launch_section,
    pool_figures,
    requests_section,
    summary_section,
)
from optimizer.results.cluster_pools import ClusterPoolsAnswer, ClusterPoolsMetrics, ClusterPoolsStrategy, GroupPool
from optimizer.results.place_pools import ROLES, place_cluster_pools
from optimizer.results.pools import PoolMetrics


def cluster_pools_sections(problem: InventoryProblem, answer: ClusterPoolsAnswer, ledger: Ledger) -> list[Section]:
    """Every section, the summary first."""
    groups, advice = groups_section(problem, ledger), advice_sections(answer)
    gists = {"inventory": f"{count(len(problem.groups), 'group')} with {count(problem.gpus, 'free GPU')}"}
    if answer.strategy is None or answer.metrics is None:
        return folded([summary_section(answer, ledger), groups, *advice], gists)
    pools = _pools(problem, answer.strategy, answer.metrics, ledger)
    requests = requests_section(answer, answer.metrics, ledger)
    _totals(problem, answer.strategy, answer.metrics, ledger)
    placed = place_cluster_pools(problem, answer.strategy).instances
    sections = [
        summary_section(answer, ledger),
        groups,
        pools,
        requests,
        placement_section(placed),
        rules_section(answer.rules),
        launch_section(problem, answer),
        *advice,
    ]
    gists |= {
        "placement": f"the GPUs of {count(len(placed), 'instance')}, one by one",
        "launch": f"commands for {problem.engine}",
    }
    return folded(sections, gists)


def _parts(strategy: ClusterPoolsStrategy, metrics: ClusterPoolsMetrics) -> list[tuple[str, GroupPool, PoolMetrics]]:
    return [
        (role, part, held)
        for role in ROLES
        for part, held in zip(getattr(strategy, role), getattr(metrics, role), strict=True)
    ]


def _pools(
    problem: InventoryProblem, strategy: ClusterPoolsStrategy, metrics: ClusterPoolsMetrics, ledger: Ledger
) -> Section:
    columns = (
        Column("pool", "Pool"), Column("group", "Group"), Column("shape", "Instances"), Column("share", "Sent in all", right=True),
        *FIGURES,
    )  # fmt: skip
    work = problem.workload
    rows: list[tuple[Cell, ...]] = []
    for role, part, held in _parts(strategy, metrics):
        rate = work.requests_per_s * part.share
        sent = ledger.derive(
            f"rate-{role}-{part.group}", f"Requests sent to the {role} pool on {part.group}", "requests/s × its share",
            f"{number(work.requests_per_s)} requests/s × {part.share:g}", rate, "requests/s",
        )  # fmt: skip
        rows.append(
            (role, part.group, part.pool.label, sent, *pool_figures(rate, role, part.pool, held, ledger, part.group))
        )
    first = strategy.prefill[0].pool
    said = (
        f"{problem.model.name} on {problem.engine}: {work.requests_per_s:g} requests/s of {work.prompt_tokens:g} prompt and "
        f"{work.output_tokens:g} output tokens in the mean. Weights are {first.weight_precision}, the cache is {first.kv_precision}."
    )
    return Section("pools", "Pools", (Text((said,)), Table("pools", columns, tuple(rows))))


def _totals(
    problem: InventoryProblem, strategy: ClusterPoolsStrategy, metrics: ClusterPoolsMetrics, ledger: Ledger
) -> None:
    work, parts = problem.workload, _parts(strategy, metrics)
    ledger.derive(
        "gpus-used", "GPUs in use", "those of all parts of both pools", " + ".join(str(part.pool.gpus) for _, part, _ in parts),
        strategy.gpus, "GPUs", inputs=tuple(f"gpus-{role}-{part.group}" for role, part, _ in parts),
    )  # fmt: skip
    ledger.derive(
        "tokens_per_s", "Output tokens per second at the demand", "requests per second × output tokens",
        f"{number(work.requests_per_s)} requests/s × {work.output_tokens}", metrics.tokens_per_s, "tokens/s",
    )  # fmt: skip
    ledger.given(
        "max_request_rate", "Largest request rate within all limits", metrics.max_request_rate, "requests/s",
        f"{DOCS}: the largest rate in steps of 0.001 requests/s at which every rule of the load holds, shares kept",
    )  # fmt: skip
    ledger.given(
        "availability", "Requests served, failures counted", metrics.availability * 100, "%", f"{DOCS}, sections 6 and 13",
        text=share(metrics.availability),
    )  # fmt: skip
    if metrics.price_per_hour is not None:
        prices = {group.name: group.price_per_gpu_hour or 0.0 for group in problem.groups}
        ledger.derive(
            "price_per_hour", "Price per hour", "GPUs in use × price of a GPU-hour, group by group",
            " + ".join(f"{part.pool.gpus} × {number(prices[part.group])}" for _, part, _ in parts), metrics.price_per_hour, "",
            text=f"{metrics.price_per_hour:,.2f}", note="price_per_gpu_hour of each group",
        )  # fmt: skip
