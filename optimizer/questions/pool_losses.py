"""How many instances of each pool may be away at the same time: what launch files let an operator take away."""

from __future__ import annotations

import numpy as np

from optimizer.facts.problem import Problem
from optimizer.results.pools import FixedPool, FixedPools, PoolsAnswer, PoolStrategy
from optimizer.search.common.scale import milliseconds, planned_ms
from optimizer.search.pools.answer import prefers_together, transfer_ns
from optimizer.search.pools.model import PoolColumns
from optimizer.search.pools.solve import RowPair, columns_of


def may_lose(problem: Problem, answer: PoolsAnswer) -> tuple[int, int]:
    """Instances of prefill and of decode whose loss, both at once, leaves what ``survive`` promises; (0, 0) where it promises nothing.

    The losses of ``survive`` may hit either pool, and a budget for each cannot say "one or the other": so many of both are
    counted as what is left still carries with every limit.
    """
    survive = problem.requirements.survive
    if answer.strategy is None or not (survive.gpu or survive.node):
        return 0, 0
    pools = answer.strategy.prefill, answer.strategy.decode
    columns = columns_of(problem, FixedPools(*(_fixed(pool, side == 1) for side, pool in enumerate(pools))))
    if columns is None:
        return 0, 0
    rows = columns.tables.prefill, columns.tables.decode
    at = [
        next((i for i in range(len(rows[side])) if int(rows[side].nodes[i]) == pools[side].nodes), 0) for side in (0, 1)
    ]
    pair = prefers_together(columns, at[0], at[1])
    most = [
        min(
            pools[side].instances, max(survive.gpu, int(rows[side].lost[at[side], survive.node]) if survive.node else 0)
        )
        for side in (0, 1)
    ]
    larger = 0 if pools[0].instances > pools[1].instances else 1
    tried = sorted(
        ((a, b) for a in range(most[0] + 1) for b in range(most[1] + 1)),
        key=lambda away: (sum(away), min(away), away[larger]),
        reverse=True,
    )
    return next((away for away in tried if _carried(columns, pair, away)), (0, 0))


def _fixed(pool: PoolStrategy, decode: bool) -> FixedPool:
    return FixedPool(
        pool.tensor_parallel,
        pool.expert_parallel,
        pool.instances,
        pool.max_num_seqs if decode else None,
        pool.weight_precision,
        pool.kv_precision,
    )


def _carried(columns: PoolColumns, pair: RowPair, away: tuple[int, int]) -> bool:
    """Whether the demand is carried, with every limit, without so many instances of both."""
    problem, at = columns.tables.problem, (pair.prefill, pair.decode)
    counts = columns.tables.prefill.count, columns.tables.decode.count
    left = [columns.lost(side, np.full_like(counts[side], away[side])) for side in (0, 1)]
    if not all(left[side].fine[at[side]] for side in (0, 1)):
        return False
    limits = problem.requirements
    for limit in limits.latency_limits:
        if limit.rule in problem.search.disabled_rules:
            continue
        total = sum(
            int(one.times[limit.rule][row]) for one, row in zip(left, at, strict=True) if limit.rule in one.times
        )
        if limit.metric == "ttft":
            total += transfer_ns(columns, pair, 1 if limit.percentile == 50 else 2)
        if milliseconds(total) > planned_ms(limit.limit_ms, limits.margin):
            return False
    return True
