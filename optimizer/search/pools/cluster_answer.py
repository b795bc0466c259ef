"""From chosen options to what people read: strategy, metrics, objective terms and judged rules of pools on an inventory.

Other home: ``verify/pools/cluster_pair.py``; docs/disaggregated.md,
section 13.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from optimizer.costs.shapes import Ints
from optimizer.results.answer import ObjectiveResult, RuleResult
from optimizer.results.cluster_pools import ClusterPoolsMetrics, ClusterPoolsStrategy, GroupPool
from optimizer.results.pools import PoolMetrics, PoolStrategy
from optimizer.search.common.scale import NEVER_NS, NS_PER_MS, limit_ns, milliseconds, planned_ms
from optimizer.search.pools.cluster_columns import ClusterColumns
from optimizer.search.pools.cluster_model import cluster_rule_ids
from optimizer.search.pools.cluster_picked import Picked
from optimizer.search.pools.losses import LossCase, loss_cases
from optimizer.search.pools.model import PEAK, RATE_STEPS, SENTENCES, sentence_of
from optimizer.search.pools.options import PARTS
from optimizer.search.uniform.quantities import ObjectiveWeights

SIDES = ("prefill", "decode")


class ChosenPools:
    """ChosenPools options with the numbers that answers state."""

    def __init__(self, columns: ClusterColumns, picked: Picked) -> None:
        self.columns, self.options, self.problem, self.picked = columns, columns.options, columns.problem, picked
        self.at: tuple[Ints, Ints] = (
            np.array(picked.options[0], dtype=np.int64), np.array(picked.options[1], dtype=np.int64)
        )  # fmt: skip

    def strategy(self) -> ClusterPoolsStrategy:
        """The decisions."""
        return ClusterPoolsStrategy(*(tuple(self._part(side, int(o)) for o in self.at[side]) for side in (0, 1)))

    def _part(self, side: int, option: int) -> GroupPool:
        block, row = self.options.located(side, option)
        rows, tables = block.rows, block.tables
        shape = tables.shapes[int(rows.shape[row])]
        work = self.problem.workload
        together = max(1, self.problem.search.max_num_batched_tokens // work.prompt_tokens)
        slots = int(tables.allowed_slots[rows.shape[row]]) if side else together
        pool = PoolStrategy(
            instances=int(rows.count[row]), tensor_parallel=shape.tp, expert_parallel=shape.ep, max_num_seqs=slots,
            weight_precision=shape.weight_format, kv_precision=shape.kv_format, nodes=int(rows.nodes[row]),
        )  # fmt: skip
        return GroupPool(self.problem.groups[block.group].name, int(block.share[row]) / PARTS, pool)

    @property
    def link(self) -> str:
        """What the cache crosses."""
        block, _ = self.options.located(0, int(self.at[0][0]))
        return block.tables.costs.link.name

    @property
    def gpus(self) -> int:
        """GPUs in use."""
        return int(sum(self.options.of_rows(side, "gpus")[self.at[side]].sum() for side in (0, 1)))

    def transfer_ns(self, which: int) -> int:
        """ns on the link of the mean (0), the usual (1) or the longest prompt (2)."""
        ends = [(self.columns.moved[s][which] + self.options.latency_ns[s])[self.at[s]].max() for s in (0, 1)]
        return int(max(ends))

    def total_ns(self, rule: str, slowest: list[dict[str, int]]) -> int:
        """A latency by its rule's name, from the slowest parts of both pools."""
        total = sum(one[rule] for one in slowest if rule in one)
        if rule.startswith("ttft"):
            total += self.transfer_ns(1 if rule.endswith("p50") else 2)
        return total

    def slowest(self) -> list[dict[str, int]]:
        """The slowest part of each latency, of either pool."""
        return [
            {name: int(values[self.at[side]].max()) for name, values in self.columns.times[side].items()}
            for side in (0, 1)
        ]

    def value_ns(self) -> int:
        """The objective."""
        return sum(self._terms_ns().values())

    def _terms_ns(self) -> dict[str, int]:
        w, columns = ObjectiveWeights.of(self.problem.objective), self.columns

        def up(values: Any, side: int) -> int:
            return int(np.ceil(values[self.at[side]] * NS_PER_MS).sum())

        return {
            "prefill": up(columns.terms[0].served, 0),
            "transfer": round(w.latency) * self.transfer_ns(0),
            "decode": up(columns.terms[1].served, 1),
            "unserved": up(columns.terms[0].unserved, 0) + up(columns.terms[1].unserved, 1),
            "gpus": round(w.gpu_ms * NS_PER_MS) * self.gpus,
        }

    def objective(self, bound_ns: int | None) -> ObjectiveResult:
        """Value with its terms beside a proven bound (the value itself when None)."""
        terms = self._terms_ns()
        total = sum(terms.values())
        bound = total if bound_ns is None else min(bound_ns, total)
        return ObjectiveResult(
            value=milliseconds(total),
            bound=milliseconds(bound),
            gap=0.0 if bound == total else (total - bound) / max(abs(total), 1),
            unit="ms",
            terms={name: milliseconds(value) for name, value in terms.items()},
        )

    def metrics(self) -> ClusterPoolsMetrics:
        """Every metric."""
        columns, work, slowest = self.columns, self.problem.workload, self.slowest()
        names = ("prefill_p50", "prefill_p99", "ttft_p50", "ttft_p99", "tpot_p50", "tpot_p99")
        times = {name: _ms(self.total_ns(name, slowest)) for name in names}
        peak = min(int(columns.peaks[side][self.at[side]].min()) for side in (0, 1)) / PEAK
        means = [self._mean(side) for side in (0, 1)]
        whole = sum(means) + milliseconds(self.transfer_ns(0))
        lost = sum(float(columns.terms[side].lost[self.at[side]].sum()) for side in (0, 1))
        return ClusterPoolsMetrics(
            prefill=tuple(self._pool(0, int(option)) for option in self.at[0]),
            decode=tuple(self._pool(1, int(option)) for option in self.at[1]),
            **{f"{name}_ms": value for name, value in times.items()},
            transfer_ms=milliseconds(self.transfer_ns(1)),
            transfer_longest_ms=milliseconds(self.transfer_ns(2)),
            request_mean_ms=whole if np.isfinite(whole) else None,
            tokens_per_s=work.requests_per_s * work.output_tokens,
            peak_tokens_per_s=peak * work.output_tokens,
            max_request_rate=self.max_request_rate(),
            availability=max(0.0, 1 - lost),
            price_per_hour=self.price(),
        )

    def price(self) -> float | None:
        """Price per hour of the GPUs in use; None where one has none."""
        total = 0.0
        for side in (0, 1):
            for option in self.at[side].tolist():
                block, row = self.options.located(side, option)
                each = self.problem.groups[block.group].price_per_gpu_hour
                if each is None:
                    return None
                total += each * int(block.rows.gpus[row])
        return total

    def _mean(self, side: int) -> float:
        found: Any = self.columns.per_block(side, lambda _, load: load.mean_ms)
        return float((found[self.at[side]] * (self.options.share[side][self.at[side]] / PARTS)).sum())

    def _pool(self, side: int, option: int) -> PoolMetrics:
        block, row = self.options.located(side, option)
        load: Any = self.columns.loads[side][self.options.blocks[side].index(block)]
        tables, shape = block.tables, int(block.rows.shape[row])
        wanted, link = float(load.cache_wanted[row]), float(load.link_busy[row])
        own = block.rows.part(np.array([row]))
        peak = float((tables.decode_peak(own) if side else tables.prefill_peak(own))[0])
        sent = self.problem.workload.requests_per_s * (int(block.share[row]) / PARTS)
        peak = float(np.floor(peak * PEAK) / PEAK)
        busy = (sent / peak if peak else float("inf")) if side else float(load.busy[row])
        fine = bool(load.carries[row]) and side == 1
        return PoolMetrics(
            weights_bytes_per_gpu=int(tables.costs.costs.memory().weights[shape].max()),
            cache_room_bytes_per_gpu=max(0, int(tables.costs.room[shape])),
            cache_wanted_bytes_per_gpu=int(np.ceil(wanted)) if np.isfinite(wanted) else None,
            busy=busy if np.isfinite(busy) else None,
            link_busy=link if np.isfinite(link) else None,
            capacity_per_s=peak,
            concurrency_p50=int(load.n50[row]) if fine else None,
            concurrency_p99=int(load.n99[row]) if fine else None,
        )

    def carried_at(self, steps: int) -> bool:
        """Whether the rules of the load hold at a rate in thousandths of a request/s, shares kept."""
        found = [self.columns.carried(side, self.at[side], steps / RATE_STEPS) for side in (0, 1)]
        return all(fine for fine, _ in found) and self._within([times for _, times in found])

    def _within(self, slowest: list[dict[str, int]]) -> bool:
        limits, off = self.problem.requirements, self.problem.search.disabled_rules
        return all(
            self.total_ns(limit.rule, slowest) <= limit_ns(limit.limit_ms, limits.margin)
            for limit in limits.latency_limits
            if limit.rule not in off
        )

    def max_request_rate(self) -> float:
        """Largest rate in steps of 0.001 requests/s at which the rules of the load hold, shares kept."""
        low, high = 0, max(1, int(self.problem.workload.requests_per_s * RATE_STEPS))
        while self.carried_at(high):
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.carried_at(middle) else (low, middle)
        return low / RATE_STEPS

    # Rules

    def rules(self) -> tuple[RuleResult, ...]:
        """Every rule; switched-off rules are marked."""
        off = self.problem.search.disabled_rules
        return tuple(self._judge(rule, rule not in off) for rule in cluster_rule_ids(self.problem))

    def _judge(self, rule: str, enabled: bool) -> RuleResult:
        sentence = cluster_sentence(self.problem, rule)

        def at_most(actual: float | int, limit: float | int, unit: str) -> RuleResult:
            return RuleResult(rule, sentence, limit, actual, unit, actual <= limit, limit - actual, enabled)

        def words(holds: bool, limit: str, actual: str) -> RuleResult:
            return RuleResult(rule, sentence, limit, actual, "", holds, None, enabled)

        if rule == "gpu_count":
            used = [self._on(group, "gpus") for group in range(len(self.problem.groups))]
            slack = [(facts.gpus - sum(one), sum(one), facts.gpus) for facts, one in zip(self.problem.groups, used, strict=True)
                     if sum(one)]  # fmt: skip
            return at_most(*min(slack)[1:], "GPUs")
        if rule == "placement":
            wrong = [self.problem.groups[g].name for g in range(len(self.problem.groups)) if not self.stands(g)]
            return words(
                not wrong, "room on the nodes of each group", f"none on {', '.join(wrong)}" if wrong else "placed"
            )
        if rule.startswith("survive_"):
            level = rule.removeprefix("survive_")
            count = next(losses.count for losses in self.problem.survive if losses.level == level)
            holds = all(self.survives(case) for case in loss_cases(self.problem, level, count))
            return words(holds, f"{count} lost", "carried" if holds else "not carried")
        if rule in ("prefill_capacity", "link"):
            busy = [self._busy(side, rule) for side in ((0,) if rule == "prefill_capacity" else (0, 1))]
            most = max(busy)
            return (
                at_most(most, 1 - 1e-9, "of the time") if np.isfinite(most) else words(False, "below 1", "overloaded")
            )
        if rule in SENTENCES:
            found = [
                self._own(rule, side, int(o)) for side in (0, 1) for o in self.at[side] if self._speaks(rule, side)
            ]
            actual, limit, unit = min(found, key=lambda one: one[1] - one[0] if np.isfinite(one[0]) else -np.inf)
            if rule == "min_batch":
                return RuleResult(rule, sentence, limit, actual, unit, actual >= limit, actual - limit, enabled)
            if not np.isfinite(actual):
                return words(False, f"{limit:,} {unit}", "no finite value: requests pile up")
            return at_most(actual, limit, unit)
        limit_of = next(one for one in self.problem.requirements.latency_limits if one.rule == rule)
        total = self.total_ns(rule, self.slowest())
        if total >= NEVER_NS:
            return words(False, f"{limit_of.limit_ms:g} ms", "no finite value: requests pile up")
        return at_most(milliseconds(total), planned_ms(limit_of.limit_ms, self.problem.requirements.margin), "ms")

    def _on(self, group: int, name: str) -> list[int]:
        """A number of both pools on a group."""
        return [
            int(self.options.of_rows(side, name)[self.at[side][self.options.group[side][self.at[side]] == group]].sum())
            for side in (0, 1)
        ]

    @staticmethod
    def _speaks(rule: str, side: int) -> bool:
        return rule.startswith("prefill") if side == 0 else not rule.startswith("prefill")

    def _busy(self, side: int, rule: str) -> float:
        name = "busy" if rule == "prefill_capacity" else "link_busy"
        found: Any = self.columns.per_block(side, lambda _, load: getattr(load, name))
        return float(found[self.at[side]].max())

    def _own(self, rule: str, side: int, option: int) -> tuple[Any, Any, str]:
        """(actual, limit, unit) of a rule that speaks of one part alone; infinite where requests pile up."""
        block, row = self.options.located(side, option)
        load: Any = self.columns.loads[side][self.options.blocks[side].index(block)]
        tables, shape, limits = block.tables, int(block.rows.shape[row]), self.problem.requirements
        slots = int(tables.allowed_slots[shape])
        if rule.endswith("_memory"):
            needed = int(tables.costs.costs.memory().fixed[shape].max())
            return needed, needed - int(tables.costs.memory_short[shape]), "bytes"
        if rule.endswith("_kv_cache"):
            wanted = float(load.cache_wanted[row])
            room = max(0, int(tables.costs.room[shape]))
            return (int(np.ceil(wanted)) if np.isfinite(wanted) else wanted), room, "bytes"
        if rule == "decode_concurrency":
            return (int(load.n99[row]) if load.carries[row] else float("inf")), slots, "sequences"
        if rule == "state_blocks":
            return slots, int(tables.state_sequences[shape]), "sequences"
        if rule == "min_batch":
            return slots, limits.min_batch, "sequences"
        return milliseconds(int(tables.full_ns[shape])), planned_ms(limits.tpot_p99_ms or 0.0, limits.margin), "ms"

    def stands(self, group: int) -> bool:
        """Whether both pools find room on the nodes of a group."""
        facts = self.problem.groups[group]
        nodes, whole = self._on(group, "nodes"), [0, 0]
        fullest = [0, 0]
        for side in (0, 1):
            on = self.at[side][self.options.group[side][self.at[side]] == group]
            whole[side] = int(self.options.column(side, lambda b: b.whole)[on].sum())
            fullest[side] = int(self.options.column(side, lambda b: b.rack_nodes)[on].sum())
        if group not in self.picked.together:
            return sum(nodes) <= facts.nodes and (not any(whole) or sum(fullest) <= facts.nodes_together)
        every, over, more = (self._on(group, name) for name in ("every", "over", "more"))
        apart = sum(more) <= facts.nodes
        return sum(every) + (max(over) if apart else sum(over)) <= facts.free_gpus

    def survives(self, case: LossCase) -> bool:
        """Whether what one case of losses leaves carries the demand within every limit; cases of another placement do no harm."""
        shared = self.picked.together
        if not case.together <= shared or case.apart & shared:
            return True
        hit, slowest = dict(case.hit), []
        for side in (0, 1):
            left: list[tuple[int, int]] = []
            names: dict[str, int] = {}
            for option in self.at[side].tolist():
                group = int(self.options.group[side][option])
                if group in case.gone:
                    continue
                lost = hit.get((side, group), 0)
                if (
                    lost
                    and self.columns.taken(side, case.level, lost)[option]
                    >= self.options.of_rows(side, "count")[option]
                ):
                    continue
                left.append((option, lost))
            parts = sum(int(self.options.share[side][option]) for option, _ in left)
            if not parts:
                return False
            for option, lost in left:
                table = self.columns.lost(side, case.level if lost else "gpu", lost, parts, np.array([option]))
                if not table.fine[0]:
                    return False
                for name, values in table.times.items():
                    names[name] = max(names.get(name, 0), int(values[0]))
            slowest.append(names)
        return self._within(slowest)


def _ms(nanoseconds: int) -> float | None:
    return None if nanoseconds >= NEVER_NS else milliseconds(nanoseconds)


def cluster_sentence(problem: Any, rule: str) -> str:
    """A rule in words."""
    if rule.startswith("survive_"):
        level = rule.removeprefix("survive_")
        return f"What is left of both pools after the stated losses at level {level} carries the demand, one instance of each at least."
    if rule == "gpu_count":
        return "Both pools together use at most the free GPUs of each group."
    return sentence_of(rule)
