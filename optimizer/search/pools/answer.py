"""From a pair of rows to what people read: strategy, metrics, objective terms and judged rules."""

from __future__ import annotations

import numpy as np

from optimizer.costs.pools import DecodeLoad, PrefillLoad
from optimizer.costs.shapes import Ints
from optimizer.results.answer import ObjectiveResult, RuleResult
from optimizer.results.pools import PoolMetrics, PoolsMetrics, PoolsStrategy, PoolStrategy
from optimizer.search.common.scale import NEVER_NS, NS_PER_MS, milliseconds, planned_ms
from optimizer.search.pools.model import RATE_STEPS, PoolColumns, rule_ids, sentence_of
from optimizer.search.pools.solve import RowPair, at_rate
from optimizer.search.pools.tables import PoolTables, Rows


def strategy_of(columns: PoolColumns, pair: RowPair) -> PoolsStrategy:
    """The decisions of a pair."""
    tables = columns.tables
    together = max(1, tables.problem.search.max_num_batched_tokens // tables.problem.workload.prompt_tokens)
    slots = int(tables.allowed_slots[tables.decode.shape[pair.decode]])
    return PoolsStrategy(
        _pool(tables, tables.prefill, pair.prefill, together), _pool(tables, tables.decode, pair.decode, slots)
    )


def _pool(tables: PoolTables, rows: Rows, row: int, slots: int) -> PoolStrategy:
    shape = tables.shapes[int(rows.shape[row])]
    return PoolStrategy(
        instances=int(rows.count[row]),
        tensor_parallel=shape.tp,
        expert_parallel=shape.ep,
        max_num_seqs=slots,
        weight_precision=shape.weight_format,
        kv_precision=shape.kv_format,
        nodes=int(rows.nodes[row]),
    )


def transfer_ns(columns: PoolColumns, pair: RowPair, which: int) -> int:
    """ns on the link of the mean (0), the usual (1) or the longest prompt (2)."""
    sent, received = int(columns.sent[which][pair.prefill]), int(columns.received[which][pair.decode])
    return max(sent, received) + columns.latency_ns


def latencies_ns(columns: PoolColumns, pair: RowPair) -> dict[str, int]:
    """Every percentile; ``NEVER_NS`` or more where requests pile up."""
    first, second = (PoolColumns.times(load) for load in columns.loads)
    found = {name: int(first[name][pair.prefill]) for name in ("prefill_p50", "prefill_p99")}
    for name, which in (("ttft_p50", 1), ("ttft_p99", 2)):
        found[name] = (
            int(first[name][pair.prefill]) + int(second[name][pair.decode]) + transfer_ns(columns, pair, which)
        )
    return found | {name: int(second[name][pair.decode]) for name in ("tpot_p50", "tpot_p99")}


def metrics_of(columns: PoolColumns, pair: RowPair) -> PoolsMetrics:
    """Every metric of a pair."""
    tables = columns.tables
    problem, (p, d) = tables.problem, (pair.prefill, pair.decode)
    memory = tables.costs.costs.memory()
    times = {name: _ms(value) for name, value in latencies_ns(columns, pair).items()}
    first, second = columns.loads
    mean = [float(first.mean_ms[p]), float(second.mean_ms[d])]
    peaks = [int(columns.peaks[side][row]) / 1e6 for side, row in ((0, p), (1, d))]
    rate = problem.workload.requests_per_s

    def pool(
        side: int, row: int, busy: float, load: PrefillLoad | DecodeLoad, in_progress: tuple[int | None, int | None]
    ) -> PoolMetrics:
        rows = (tables.prefill, tables.decode)[side]
        shape = int(rows.shape[row])
        wanted = float(load.cache_wanted[row])
        link = float(load.link_busy[row])
        return PoolMetrics(
            weights_bytes_per_gpu=int(memory.weights[shape].max()),
            cache_room_bytes_per_gpu=max(0, int(tables.costs.room[shape])),
            cache_wanted_bytes_per_gpu=int(np.ceil(wanted)) if np.isfinite(wanted) else None,
            busy=busy if np.isfinite(busy) else None,
            link_busy=link if np.isfinite(link) else None,
            capacity_per_s=peaks[side],
            concurrency_p50=in_progress[0],
            concurrency_p99=in_progress[1],
        )

    fine = bool(second.carries[d])
    return PoolsMetrics(
        prefill=pool(0, p, float(first.busy[p]), first, (None, None)),
        decode=pool(
            1, d, rate / peaks[1] if peaks[1] else float("inf"), second,
            (int(second.n50[d]), int(second.n99[d])) if fine else (None, None),
        ),
        **{f"{name}_ms": value for name, value in times.items()},
        transfer_ms=milliseconds(transfer_ns(columns, pair, 1)),
        transfer_longest_ms=milliseconds(transfer_ns(columns, pair, 2)),
        request_mean_ms=sum(mean) + milliseconds(transfer_ns(columns, pair, 0)) if np.isfinite(sum(mean)) else None,
        tokens_per_s=rate * problem.workload.output_tokens,
        peak_tokens_per_s=min(peaks) * problem.workload.output_tokens,
        max_request_rate=max_request_rate(columns, pair),
        availability=max(0.0, 1 - sum(float(columns.terms[side].lost[row]) for side, row in ((0, p), (1, d)))),
    )  # fmt: skip


def _ms(nanoseconds: int) -> float | None:
    return None if nanoseconds >= NEVER_NS else milliseconds(nanoseconds)


def objective_of(columns: PoolColumns, pair: RowPair, bound_ns: int | None) -> ObjectiveResult:
    """Value with its terms beside a proven bound (the value itself when None)."""
    tables, (p, d) = columns.tables, (pair.prefill, pair.decode)
    w = tables.weights
    gpus = int(tables.prefill.gpus[p] + tables.decode.gpus[d])
    terms = {
        "prefill": _up(columns.terms[0].served[p]),
        "transfer": round(w.latency) * transfer_ns(columns, pair, 0),
        "decode": _up(columns.terms[1].served[d]),
        "unserved": _up(columns.terms[0].unserved[p]) + _up(columns.terms[1].unserved[d]),
        "gpus": round(w.gpu_ms * NS_PER_MS) * gpus,
    }
    total = sum(terms.values())
    bound = total if bound_ns is None else bound_ns
    return ObjectiveResult(
        value=milliseconds(total),
        bound=milliseconds(bound),
        gap=0.0 if bound == total else (total - bound) / max(abs(total), 1),
        unit="ms",
        terms={name: milliseconds(value) for name, value in terms.items()},
    )


def _up(ms: float) -> int:
    return int(np.ceil(ms * NS_PER_MS))


def carried_at(columns: PoolColumns, pair: RowPair, steps: int) -> bool:
    """Whether a pair keeps the rules of the load at a rate in thousandths of a request/s."""
    problem = at_rate(columns.tables.problem, steps)
    tables, limits = columns.tables, problem.requirements
    rate, off = problem.workload.requests_per_s, problem.search.disabled_rules
    rows = tables.prefill.part(np.array([pair.prefill])), tables.decode.part(np.array([pair.decode]))
    (first, prompts), (second, tokens) = (
        tables.load_of(side, mine, mine.count, rate) for side, mine in enumerate(rows)
    )
    if not (prompts[0] and tokens[0]):
        return False
    loads = PoolColumns.times(first), PoolColumns.times(second)
    for limit in limits.latency_limits:
        total = sum(int(times[limit.rule][0]) for times in loads if limit.rule in times)
        if limit.metric == "ttft":
            total += transfer_ns(columns, pair, 1 if limit.percentile == 50 else 2)
        if limit.rule not in off and milliseconds(total) > planned_ms(limit.limit_ms, limits.margin):
            return False
    return True


def max_request_rate(columns: PoolColumns, pair: RowPair) -> float:
    """Largest rate in steps of 0.001 requests/s at which the rules of the load hold."""
    low, high = 0, max(1, int(columns.tables.problem.workload.requests_per_s * RATE_STEPS))
    while carried_at(columns, pair, high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if carried_at(columns, pair, middle) else (low, middle)
    return low / RATE_STEPS


def judge_rules(columns: PoolColumns, pair: RowPair) -> tuple[RuleResult, ...]:
    """Every rule applied to a pair; switched-off rules are marked."""
    off = columns.tables.problem.search.disabled_rules
    return tuple(_judge(columns, pair, rule, rule not in off) for rule in rule_ids(columns.tables.problem))


def _judge(columns: PoolColumns, pair: RowPair, rule: str, enabled: bool) -> RuleResult:
    tables, (p, d) = columns.tables, (pair.prefill, pair.decode)
    problem, rows, (first, second) = tables.problem, (tables.prefill, tables.decode), columns.loads
    shapes = int(rows[0].shape[p]), int(rows[1].shape[d])
    hardware, limits = problem.hardware, problem.requirements

    def at_most(actual: float | int, limit: float | int, unit: str) -> RuleResult:
        return RuleResult(rule, sentence_of(rule), limit, actual, unit, actual <= limit, limit - actual, enabled)

    def words(holds: bool, limit: str, actual: str) -> RuleResult:
        return RuleResult(rule, sentence_of(rule), limit, actual, "", holds, None, enabled)

    def short(side: int, row: int) -> RuleResult:
        load = columns.loads[side]
        room = max(0, int(tables.costs.room[shapes[side]]))
        wanted = float(load.cache_wanted[row])
        if not np.isfinite(wanted):
            return words(False, f"{room:,} bytes", "no finite value: requests pile up")
        return at_most(int(np.ceil(wanted)), room, "bytes")

    def share(busy: float) -> RuleResult:
        if not np.isfinite(busy):
            return words(False, "below 1", "no instance is left")
        return at_most(busy, 1 - 1e-9, "of the time")

    if rule == "gpu_count":
        return at_most(int(rows[0].gpus[p] + rows[1].gpus[d]), hardware.gpus, "GPUs")
    if rule == "placement":
        return words(*placed(columns, pair))
    if rule in ("prefill_memory", "decode_memory"):
        side = 0 if rule == "prefill_memory" else 1
        memory = tables.costs.costs.memory()
        needed = int(memory.fixed[shapes[side]].max())
        return at_most(needed, needed - int(tables.costs.memory_short[shapes[side]]), "bytes")
    if rule == "prefill_capacity":
        return share(float(first.busy[p]))
    if rule == "link":
        return share(max(float(first.link_busy[p]), float(second.link_busy[d])))
    if rule == "prefill_kv_cache":
        return short(0, p)
    if rule == "decode_kv_cache":
        return short(1, d)
    if rule == "decode_concurrency":
        if not second.carries[d]:
            return words(False, str(int(tables.allowed_slots[shapes[1]])), "no finite value: requests pile up")
        return at_most(int(second.n99[d]), int(tables.allowed_slots[shapes[1]]), "sequences")
    if rule == "state_blocks":
        return at_most(int(tables.allowed_slots[shapes[1]]), int(tables.state_sequences[shapes[1]]), "sequences")
    if rule == "min_batch":
        slots = int(tables.allowed_slots[shapes[1]])
        holds = slots >= limits.min_batch
        return RuleResult(
            rule, sentence_of(rule), limits.min_batch, slots, "sequences", holds, slots - limits.min_batch, enabled
        )
    if rule == "tpot_full_batch":
        most = planned_ms(limits.tpot_p99_ms or 0.0, limits.margin)
        return at_most(milliseconds(int(tables.full_ns[shapes[1]])), most, "ms")
    if rule.startswith("survive_"):
        level = rule.removeprefix("survive_")
        return words(
            survives(columns, pair, level),
            f"{getattr(limits.survive, level)} lost",
            "carried" if survives(columns, pair, level) else "not carried",
        )
    limit = next(one for one in limits.latency_limits if one.rule == rule)
    actual = latencies_ns(columns, pair)[rule]
    if actual >= NEVER_NS:
        return words(False, f"{limit.limit_ms:g} ms", "no finite value: requests pile up")
    return at_most(milliseconds(actual), planned_ms(limit.limit_ms, limits.margin), "ms")


def placed(columns: PoolColumns, pair: RowPair) -> tuple[bool, str, str]:
    """(holds, limit, actual) of rule ``placement``."""
    tables = columns.tables
    hardware, one, other = tables.problem.hardware, tables.prefill, tables.decode
    p, d = pair.prefill, pair.decode
    nodes = int(one.nodes[p]) + int(other.nodes[d])
    if not pair.together:
        return nodes <= hardware.nodes, f"{hardware.nodes} nodes", f"{nodes} nodes, apart"
    every = int(one.every[p] + other.every[d])
    over = [int(one.over[p]), int(other.over[d])]
    apart = int(one.more[p] + other.more[d]) <= hardware.nodes
    most = every + (max(over) if apart else sum(over))
    return most <= hardware.gpus_per_node, f"{hardware.gpus_per_node} GPUs a node", f"{most} GPUs on the fullest node"


def survives(columns: PoolColumns, pair: RowPair, level: str) -> bool:
    """Whether what is left after losses carries the demand within every limit."""
    tables = columns.tables
    limits, rows = tables.problem.requirements, (tables.prefill, tables.decode)
    losses: int = getattr(limits.survive, level)
    shares = [(losses, losses)] if level == "node" and pair.together else [(a, losses - a) for a in range(losses + 1)]
    at = pair.prefill, pair.decode
    off = tables.problem.search.disabled_rules
    for share in shares:
        left = []
        for side in (0, 1):
            gone: Ints = (
                np.minimum(share[side], rows[side].count) if level == "gpu" else rows[side].lost[:, share[side]]
            )
            left.append(columns.lost(side, gone))
        if not all(left[side].fine[at[side]] for side in (0, 1)):
            return False
        for limit in limits.latency_limits:
            if limit.rule in off:
                continue
            total = sum(
                int(one.times[limit.rule][row]) for one, row in zip(left, at, strict=True) if limit.rule in one.times
            )
            if limit.metric == "ttft":
                total += transfer_ns(columns, pair, 1 if limit.percentile == 50 else 2)
            if milliseconds(total) > planned_ms(limit.limit_ms, limits.margin):
                return False
    return True


def prefers_together(columns: PoolColumns, prefill: int, decode: int) -> RowPair:
    """A pair with the placement that fits, apart where both do."""
    apart = RowPair(prefill, decode, False)
    if placed(columns, apart)[0]:
        return apart
    return RowPair(prefill, decode, True)
