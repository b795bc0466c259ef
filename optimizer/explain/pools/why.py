"""What an answer about pools says: what was chosen, what binds, where the knee of the ratio is, and what was not considered."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from optimizer.explain.common.numbers import amount, count, listing, milliseconds, time_or_none
from optimizer.facts.problem import Problem
from optimizer.results.pools import (
    FixedPool,
    FixedPools,
    PoolMetrics,
    PoolsAnswer,
    PoolsMetrics,
    PoolsStrategy,
    PoolStrategy,
)
from optimizer.search.common.scale import NEVER_NS
from optimizer.search.common.scale import milliseconds as ms_of
from optimizer.search.pools.answer import judge_rules, latencies_ns, max_request_rate, prefers_together, transfer_ns
from optimizer.search.pools.model import RATE_STEPS, PoolColumns
from optimizer.search.pools.solve import RowPair, at_rate, columns_of
from optimizer.search.pools.tables import EVERY_COUNT, Rows

TIGHT = 0.1
"""Rules with less than this share of their limit to spare are named."""


def sentences(problem: Problem, columns: PoolColumns, pair: RowPair, answer: PoolsAnswer) -> list[str]:
    """Why these pools."""
    metrics, strategy, objective = answer.metrics, answer.strategy, answer.objective
    if metrics is None or strategy is None or objective is None:
        return []
    per_node = problem.hardware.gpus_per_node
    said = [
        f"Prefill: {strategy.prefill.label} on {_where(strategy.prefill, per_node)}, {_busy(metrics.prefill)}; "
        f"prompts take {time_or_none(metrics.prefill_p50_ms)} (P50).",
        f"Decode: {strategy.decode.label} on {_where(strategy.decode, per_node)}, up to {strategy.decode.max_num_seqs} "
        f"sequences a rank, {_in_progress(metrics.decode)}; {_busy(metrics.decode)}.",
        f"Link: {answer.link}, {milliseconds(metrics.transfer_ms)} for the cache of a mean prompt, busy "
        f"{_percent(metrics.prefill.link_busy)} on the sending and {_percent(metrics.decode.link_busy)} on the receiving side; "
        f"{_link(columns, pair)}.",
    ]
    terms = ", ".join(f"{name} {milliseconds(value)}" for name, value in objective.terms.items() if value)
    said.append(f"Expected {milliseconds(objective.value)} a request over all failure states: {terms}.")
    tight = [
        rule
        for rule in answer.rules
        if rule.enabled and rule.holds and rule.slack is not None and isinstance(rule.limit, int | float) and rule.limit
        and rule.id not in ("gpu_count", "min_batch", "state_blocks") and rule.slack <= TIGHT * abs(rule.limit)
    ]  # fmt: skip
    said += [
        f"Rule {rule.id} is close: {amount(rule.actual, rule.unit)} of {amount(rule.limit, rule.unit)}."
        for rule in tight
    ]
    said += [
        f"Rule {rule.id} is broken: {amount(rule.actual, rule.unit)}, allowed {amount(rule.limit, rule.unit)}."
        for rule in answer.rules
        if rule.enabled and not rule.holds
    ]
    if answer.feasible is not False:
        said += full_first(problem, strategy, metrics)
        said += knee(problem, columns, pair)
    return said


def _where(pool: PoolStrategy, per_node: int) -> str:
    """On how many nodes its instances stand: fewer than it may be spread over where it has fewer instances."""
    return count(pool.nodes if pool.instance_gpus > per_node else min(pool.nodes, pool.instances), "node")


def _busy(pool: PoolMetrics) -> str:
    return (
        "overloaded"
        if pool.busy is None
        else f"{_percent(pool.busy)} of its capacity of {pool.capacity_per_s:.2f} requests/s in use"
    )


def _in_progress(pool: PoolMetrics) -> str:
    if pool.concurrency_p99 is None:
        return "requests pile up"
    return f"{pool.concurrency_p50} in progress at P50 and {pool.concurrency_p99} at P99"


def _percent(share: float | None) -> str:
    return "more than there is" if share is None else f"{share:.1%}"


def _link(columns: PoolColumns, pair: RowPair) -> str:
    """Which end of the link decides, and at which rate it would be full."""
    loads = columns.loads
    busy = float(loads[0].link_busy[pair.prefill]), float(loads[1].link_busy[pair.decode])
    side, most = ("prefill", busy[0]) if busy[0] >= busy[1] else ("decode", busy[1])
    rate = columns.tables.problem.workload.requests_per_s
    if not 0 < most < float("inf"):
        return "it carries nothing"
    return f"its {side} end would be full at {rate / most:,.1f} requests/s"


def full_first(problem: Problem, strategy: PoolsStrategy, metrics: PoolsMetrics) -> list[str]:
    """Which rule breaks first as the load grows, and which pool it is about."""
    rate = metrics.max_request_rate + 1 / RATE_STEPS
    fixed = FixedPools(*(_exactly(pool) for pool in (strategy.prefill, strategy.decode)))
    more = at_rate(problem, round(rate * RATE_STEPS))
    columns = columns_of(more, fixed)
    if columns is None:
        return []
    at = [
        next((row for row in range(len(rows)) if int(rows.nodes[row]) == pool.nodes), None)
        for rows, pool in ((columns.tables.prefill, strategy.prefill), (columns.tables.decode, strategy.decode))
    ]
    if at[0] is None or at[1] is None:
        return []
    pair = prefers_together(columns, at[0], at[1])
    rules = [rule.id for rule in judge_rules(columns, pair) if rule.enabled and not rule.holds]
    return [breaks_first(metrics.max_request_rate, rules, _sides(columns, pair, rules))]


def breaks_first(rate: float, rules: Sequence[str], part: str) -> str:
    """The sentence on what keeps the load from growing.

    Args:
        rate: up to which every rule of the load holds.
        rules: those that do not just above it, losses left out.
        part: what most of the broken limit's time is, or nothing.
    """
    named = [rule for rule in rules if not rule.startswith("survive_")] or ["a limit"]
    return f"It carries up to {rate:.2f} requests/s; beyond, {listing(named)} {'breaks' if len(named) == 1 else 'break'} first{part}."


def _sides(columns: PoolColumns, pair: RowPair, rules: Sequence[str]) -> str:
    """What most of a first token's time is, where TTFT is what breaks."""
    broken = next((rule for rule in rules if rule.startswith("ttft")), None)
    if broken is None:
        return ""
    first, second = (PoolColumns.times(load)[broken] for load in columns.loads)
    return longest_part(
        int(first[pair.prefill]),
        int(second[pair.decode]),
        transfer_ns(columns, pair, 1 if broken.endswith("p50") else 2),
    )


def longest_part(prefill_ns: int, decode_ns: int, transfer_ns: int) -> str:
    """Which of the three parts of a first token's time is the longest."""
    if max(prefill_ns, decode_ns) >= NEVER_NS:
        return ""
    words = (
        "at the prefill rank, waiting and working",
        "at the decode rank",
        "on the link",
    )
    most = max(zip((prefill_ns, decode_ns, transfer_ns), words, strict=True))
    return f", most of it {most[1]}"


def _exactly(pool: PoolStrategy) -> FixedPool:
    return FixedPool(
        pool.tensor_parallel, pool.expert_parallel, pool.instances, None, pool.weight_precision, pool.kv_precision
    )


def knee(problem: Problem, columns: PoolColumns, pair: RowPair) -> list[str]:
    """What one instance more or less of either pool would change, the shapes kept."""
    rows = columns.tables.prefill, columns.tables.decode
    said = []
    for side, name in ((0, "prefill"), (1, "decode")):
        for more in (1, -1):
            other = _beside(rows[side], (pair.prefill, pair.decode)[side], more)
            if other is None:
                continue
            pairs = prefers_together(columns, other if side == 0 else pair.prefill, other if side == 1 else pair.decode)
            said.append(_changed(problem, columns, pair, pairs, name, more))
    return said


def _beside(rows: Rows, row: int, more: int) -> int | None:
    """The row with so many instances more, on as many nodes as suits it best: the most."""
    same = (rows.shape == rows.shape[row]) & (rows.cache == rows.cache[row]) & (rows.count == rows.count[row] + more)
    at = np.flatnonzero(same)
    return int(at[-1]) if len(at) else None


def _changed(problem: Problem, columns: PoolColumns, pair: RowPair, other: RowPair, name: str, more: int) -> str:
    now, then = latencies_ns(columns, pair), latencies_ns(columns, other)
    gpus = int(columns.tables.prefill.gpus[other.prefill] + columns.tables.decode.gpus[other.decode])
    what = f"One {'more' if more > 0 else 'fewer'} {name} instance would"
    if then["ttft_p99"] >= NEVER_NS or then["tpot_p99"] >= NEVER_NS:
        return f"{what} not carry {problem.workload.requests_per_s:g} requests/s."
    parts = [
        f"{label} {milliseconds(ms_of(now[key]))} → {milliseconds(ms_of(then[key]))}"
        for key, label in (("ttft_p99", "TTFT P99"), ("tpot_p99", "TPOT P99"))
        if now[key] < NEVER_NS and now[key] != then[key]
    ]
    rates = max_request_rate(columns, pair), max_request_rate(columns, other)
    parts.append(f"the most requests/s {rates[0]:.2f} → {rates[1]:.2f}")
    there = problem.hardware.gpus
    needs = f" ({count(gpus - there, 'GPU')} more than there are)" if gpus > there else ""
    return f"{what} change {', '.join(parts)}{needs}."


def thinned_words(spacing: float) -> str:
    """Which numbers of instances were left out, and that the bound speaks of them too."""
    return (
        f"Of more than {EVERY_COUNT} alike instances of a pool not every number was considered: each is at least {spacing:g} times the "
        "one before. The stated bound holds for every number."
    )


def limits_of(problem: Problem, columns: PoolColumns | None) -> tuple[str, ...]:
    """What was not considered."""
    said = []
    if columns is not None:
        shapes = columns.tables.shapes
        tensor, expert = (sorted({getattr(s, name) for s in shapes}) for name in ("tp", "ep"))
        experts = f", EP {', '.join(map(str, expert))}" if problem.model.experts else ""
        said.append(f"Pools considered: TP {', '.join(map(str, tensor))}{experts}; PP 1 on both sides.")
        if columns.tables.spacing > 1:
            said.append(thinned_words(columns.tables.spacing))
    said += [
        "The instances of a pool are alike and spread evenly over its nodes; pools stand on nodes of their own, or both on all nodes.",
        "Of more than 8 nodes a pool is spread over the fewest, twice, four times … as many, over as many as it can, or over all.",
        "Shapes whose instances fill no whole nodes were not considered."
        if problem.serving == "any"
        else "Joint and disaggregated instances side by side were not considered; nor were shapes whose instances fill no whole nodes.",
        "Transfers overlap with nothing; each prefill rank has a queue of its own.",
    ]
    if problem.search.disabled_rules:
        said.append(f"Rules switched off in the problem file: {', '.join(problem.search.disabled_rules)}.")
    return tuple(said)
