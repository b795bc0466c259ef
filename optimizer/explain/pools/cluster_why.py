"""What an answer about pools on an inventory says: what was chosen, what binds, the knee of the ratio, what was not considered."""

from __future__ import annotations

from optimizer.explain.common.numbers import amount, count, milliseconds, time_or_none
from optimizer.explain.pools.why import TIGHT, _busy, _in_progress, _percent, breaks_first, longest_part, thinned_words
from optimizer.facts.inventory import InventoryProblem
from optimizer.results.answer import RuleResult
from optimizer.results.cluster_pools import ClusterPoolsAnswer, GroupPool
from optimizer.results.pools import PoolMetrics
from optimizer.search.common.scale import limit_ns
from optimizer.search.common.scale import milliseconds as ms_of
from optimizer.search.pools.cluster_answer import SIDES, ChosenPools
from optimizer.search.pools.cluster_columns import ClusterColumns
from optimizer.search.pools.cluster_picked import Picked
from optimizer.search.pools.model import RATE_STEPS
from optimizer.search.pools.options import PARTS


def cluster_words(chosen: ChosenPools, answer: ClusterPoolsAnswer) -> list[str]:
    """Why these pools."""
    metrics, strategy, objective = answer.metrics, answer.strategy, answer.objective
    if metrics is None or strategy is None or objective is None:
        return []
    said = []
    for part, one in zip(strategy.prefill, metrics.prefill, strict=True):
        said.append(
            f"Prefill: {_stands(chosen, part)}, {_busy(one)}; prompts take {time_or_none(metrics.prefill_p50_ms)} (P50)."
        )
    for part, one in zip(strategy.decode, metrics.decode, strict=True):
        slots = f"up to {part.pool.max_num_seqs} sequences a rank"
        said.append(f"Decode: {_stands(chosen, part)}, {slots}, {_in_progress(one)}; {_busy(one)}.")
    said.append(_link(chosen, answer))
    terms = ", ".join(f"{name} {milliseconds(value)}" for name, value in objective.terms.items() if value)
    said.append(f"Expected {milliseconds(objective.value)} a request over all failure states: {terms}.")
    if metrics.price_per_hour is not None:
        said.append(f"The GPUs in use cost {metrics.price_per_hour:,.2f} an hour.")
    for rule in answer.rules:
        numbers = isinstance(rule.limit, int | float) and rule.slack is not None and rule.limit
        words = f"{amount(rule.actual, rule.unit)}"
        if rule.enabled and not rule.holds:
            said.append(f"Rule {rule.id} is broken: {words}, allowed {amount(rule.limit, rule.unit)}.")
        elif rule.enabled and numbers and rule.id not in ("gpu_count", "min_batch", "state_blocks") and _tight(rule):
            said.append(f"Rule {rule.id} is close: {words} of {amount(rule.limit, rule.unit)}.")
    if answer.feasible is not False:
        said += _full_first(chosen, metrics.max_request_rate)
        said += knee(chosen)
    return said


def _tight(rule: RuleResult) -> bool:
    return rule.slack is not None and rule.slack <= TIGHT * abs(float(rule.limit))


def _stands(chosen: ChosenPools, part: GroupPool) -> str:
    group = chosen.problem.group(part.group)
    nodes = part.pool.nodes if part.pool.instance_gpus > group.free_gpus else min(part.pool.nodes, part.pool.instances)
    share = "" if part.share == 1 else f", {part.share:.0%} of the requests"
    return f"{part.pool.label} on {count(nodes, 'node')} of {part.group} ({group.gpu.name}){share}"


def _link(chosen: ChosenPools, answer: ClusterPoolsAnswer) -> str:
    """Which end of which group binds, and at which rate it would be full."""
    metrics, strategy = answer.metrics, answer.strategy
    assert metrics is not None and strategy is not None
    ends: list[tuple[float, str, str]] = []
    for side in SIDES:
        parts: tuple[GroupPool, ...] = getattr(strategy, side)
        ones: tuple[PoolMetrics, ...] = getattr(metrics, side)
        ends += [(one.link_busy or 0.0, side, part.group) for part, one in zip(parts, ones, strict=True)]
    most, side, group = max(ends)
    full = chosen.problem.workload.requests_per_s / most if most else float("inf")
    each = ", ".join(f"{_percent(busy)} on the {name} side ({where})" for busy, name, where in ends)
    binds = f"its {side} end on {group} would be full at {full:,.1f} requests/s" if most else "it carries nothing"
    return f"Link: {answer.link}, {milliseconds(metrics.transfer_ms)} for the cache of a mean prompt, busy {each}; {binds}."


def _full_first(chosen: ChosenPools, rate: float) -> list[str]:
    """Which pool, or which limit, keeps the load from growing, shares kept."""
    more = rate + 1 / RATE_STEPS
    found = [chosen.columns.carried(side, chosen.at[side], more) for side in (0, 1)]
    full = [f"the capacity or cache of the {SIDES[side]} pool" for side in (0, 1) if not found[side][0]]
    if full:
        return [breaks_first(rate, full, "")]
    slowest = [times for _, times in found]
    limits = chosen.problem.requirements
    off = chosen.problem.search.disabled_rules
    broken = [
        limit.rule
        for limit in limits.latency_limits
        if limit.rule not in off and chosen.total_ns(limit.rule, slowest) > limit_ns(limit.limit_ms, limits.margin)
    ]
    first = next((rule for rule in broken if rule.startswith("ttft")), None)
    part = ""
    if first is not None:
        moved = chosen.transfer_ns(1 if first.endswith("p50") else 2)
        part = longest_part(slowest[0][first], slowest[1][first], moved)
    return [breaks_first(rate, broken, part)]


def knee(chosen: ChosenPools) -> list[str]:
    """What one instance more or less of a part would change, the shapes and shares kept."""
    said = []
    for side in (0, 1):
        for position, option in enumerate(chosen.at[side].tolist()):
            for more in (1, -1):
                other = _beside(chosen, side, option, more)
                if other is not None:
                    said.append(_changed(chosen, side, position, other, more))
    return said


def _beside(chosen: ChosenPools, side: int, option: int, more: int) -> int | None:
    """The option with so many instances more, on as many nodes as there are for it."""
    block, row = chosen.options.located(side, option)
    rows = block.rows
    same = (rows.shape == rows.shape[row]) & (rows.cache == rows.cache[row]) & (block.share == block.share[row])
    found = [int(one) for one in (same & (rows.count == rows.count[row] + more)).nonzero()[0]]
    return option - row + found[-1] if found else None


def _changed(chosen: ChosenPools, side: int, position: int, other: int, more: int) -> str:
    picked = [list(one) for one in chosen.picked.options]
    picked[side][position] = other
    then = ChosenPools(chosen.columns, Picked((tuple(picked[0]), tuple(picked[1])), chosen.picked.together))
    group = chosen.problem.groups[chosen.options.located(side, other)[0].group]
    what = f"One {'more' if more > 0 else 'fewer'} {SIDES[side]} instance on {group.name} would"
    rates = chosen.max_request_rate(), then.max_request_rate()
    if rates[1] < chosen.problem.workload.requests_per_s and more < 0 and not _finite(then):
        return f"{what} not carry {chosen.problem.workload.requests_per_s:g} requests/s."
    now, after = chosen.slowest(), then.slowest()
    parts = []
    for key, label in (("ttft_p99", "TTFT P99"), ("tpot_p99", "TPOT P99")):
        before, later = chosen.total_ns(key, now), then.total_ns(key, after)
        if before != later:
            parts.append(f"{label} {milliseconds(ms_of(before))} → {milliseconds(ms_of(later))}")
    parts.append(f"the most requests/s {rates[0]:.2f} → {rates[1]:.2f}")
    index = chosen.problem.groups.index(group)
    used = sum(then._on(index, "gpus"))
    needs = f" ({count(used - group.gpus, 'GPU')} more than {group.name} has)" if used > group.gpus else ""
    return f"{what} change {', '.join(parts)}{needs}."


def _finite(chosen: ChosenPools) -> bool:
    from optimizer.search.common.scale import NEVER_NS

    slowest = chosen.slowest()
    return all(chosen.total_ns(name, slowest) < NEVER_NS for name in ("ttft_p99", "tpot_p99"))


def cluster_limits(problem: InventoryProblem, columns: ClusterColumns | None) -> tuple[str, ...]:
    """What was not considered."""
    said = []
    if columns is not None:
        blocks = [block for side in columns.options.blocks for block in side]
        shapes = {block.tables.shapes[index] for block in blocks for index in set(block.rows.shape.tolist())}
        tensor, expert = (sorted({getattr(s, name) for s in shapes}) for name in ("tp", "ep"))
        experts = f", EP {', '.join(map(str, expert))}" if problem.model.experts else ""
        said.append(f"Pools considered: TP {', '.join(map(str, tensor))}{experts}; PP 1 on both sides.")
    if columns is not None and columns.options.thinned:
        said.append(thinned_words(columns.options.spacing))
    if PARTS == 1:
        said.append("Each pool stands on one group; pools over several groups were not considered.")
    else:
        said.append(
            f"A pool has one shape on each group, which is sent whole parts of {PARTS} of the requests; "
            "decode instances of all groups have one TP."
        )
    said += [
        "The instances of a pool on a group are spread evenly over its nodes there; the pools stand on nodes of their own, or both on all.",
        "Of more than 8 nodes a pool is spread over the fewest, twice, four times … as many, over as many as it can, or over all.",
        "Joint and disaggregated instances side by side were not considered; nor were shapes whose instances fill no whole nodes.",
        "Transfers overlap with nothing; each prefill rank has a queue of its own.",
    ]
    if problem.search.disabled_rules:
        said.append(f"Rules switched off in the problem file: {', '.join(problem.search.disabled_rules)}.")
    return tuple(said)
