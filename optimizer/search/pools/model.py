"""The CP-SAT model of both pools: one builder for every question. ``docs/disaggregated.md``.

A row is chosen for each pool; element constraints give its numbers, and what the pools share joins them: GPUs, nodes, the kind of
cache on the link, the sums that latency limits speak of. Rules are posted by name, so that explanations can leave any of them out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from optimizer.costs.shapes import Ints
from optimizer.engines.memory import state_blocks_of
from optimizer.facts.errors import ProblemError, closest
from optimizer.facts.inventory import InventoryProblem
from optimizer.facts.problem import Problem
from optimizer.search.common.scale import NS_PER_MS, limit_ns, time_ns
from optimizer.search.common.solver import cp_model
from optimizer.search.pools.tables import FULL, PoolTables, share_parts

RATE_STEPS = 1000
"""Steps in a request/s, for ``capacity``."""
PEAK = 1_000_000
"""Parts of a request/s in which capacities are counted."""
SENTENCES = {
    "gpu_count": "Both pools together use at most the GPUs there are.",
    "placement": "Both pools find room on the nodes, each spread evenly.",
    "prefill_memory": "A prefill instance holds its weights, buffers and one longest sequence.",
    "decode_memory": "A decode instance holds its weights, buffers and one longest sequence.",
    "prefill_capacity": "The prefill pool works prompts off faster than they arrive.",
    "prefill_kv_cache": "A prefill instance holds the cache of prompts being worked on and being sent.",
    "link": "The link between the pools moves cache faster than it arises.",
    "decode_concurrency": "At most 1 % of requests find no free slot at a decode instance.",
    "decode_kv_cache": "Requests in progress at a decode instance want more cache than there is for at most preemption_share of the time.",
    "state_blocks": "A decode instance has a block for the recurrent state of each sequence that it may run at once.",
    "min_batch": "A decode instance may run min_batch sequences at once.",
    "tpot_full_batch": "Even with every slot taken a token takes no longer than tpot_p99_ms.",
}


def rule_ids(problem: Problem) -> tuple[str, ...]:
    """Ids of the rules that apply, in the order they are shown; ``search.disabled_rules`` may name them."""
    requirements = problem.requirements
    left_out = {"tpot_full_batch"} if requirements.tpot_p99_ms is None else set()
    if state_blocks_of(problem) is None:
        left_out.add("state_blocks")
    ids = [name for name in SENTENCES if name not in left_out]
    ids += [limit.rule for limit in requirements.latency_limits]
    survive = requirements.survive
    ids += [f"survive_{level}" for level, lost in (("gpu", survive.gpu), ("node", survive.node)) if lost]
    return tuple(ids)


def sentence_of(rule: str) -> str:
    """A rule in words."""
    if rule in SENTENCES:
        return SENTENCES[rule]
    if rule.startswith("survive_"):
        level = rule.removeprefix("survive_").upper() if rule.endswith("gpu") else "node"
        return f"What is left of both pools after the stated {level} losses carries the demand, one instance of each at least."
    metric, percentile = rule.split("_")
    names = {"prefill": "Prefill", "ttft": "TTFT", "tpot": "TPOT"}
    return f"{names.get(metric, metric)} at {percentile.upper()}, both pools and the transfer added up, is within its limit."


def check_rules(problem: Problem | InventoryProblem, known: Iterable[str]) -> None:
    """Refuse a switched-off rule that does not exist.

    Raises:
        ProblemError: with the nearest name.
    """
    names = tuple(known)
    for rule in problem.search.disabled_rules:
        if rule not in names:
            raise ProblemError(
                "search.disabled_rules", f"no rule {rule!r} applies to disaggregated pools; {closest(rule, names)}"
            )


@dataclass(frozen=True, slots=True)
class Lost:
    """What is left after losses: the latencies of a pool in ns by name, and whether it carries."""

    fine: Ints
    times: dict[str, Ints]


class PoolColumns:
    """Whole-number columns of both pools, computed when first asked for."""

    def __init__(self, tables: PoolTables) -> None:
        self.tables = tables
        problem = tables.problem
        rate, rows = problem.workload.requests_per_s, (tables.prefill, tables.decode)
        self.loads = tables.prefill_load(rows[0], rows[0].count, rate), tables.decode_load(rows[1], rows[1].count, rate)
        self._values = (tables.prefill_value(rows[0]), tables.decode_value(rows[1]))
        self.values = self._values[0].ns, self._values[1].ns
        self.terms = self._values
        self.sent, self.received = tables.sent_ns(rows[0]), tables.received_ns(rows[1])
        self.latency_ns = int(time_ns(np.array([tables.costs.link.latency_ms]))[0])
        self.peaks = tuple(
            np.floor(p * PEAK).astype(np.int64) for p in (tables.prefill_peak(rows[0]), tables.decode_peak(rows[1]))
        )

    @staticmethod
    def times(load: Any) -> dict[str, Ints]:
        """Latencies of a load in ns by name."""
        names = ("ttft_p50", "ttft_p99", "prefill_p50", "prefill_p99", "tpot_p50", "tpot_p99")
        return {name: time_ns(getattr(load, name)) for name in names if hasattr(load, name)}

    def lost(self, side: int, instances: Ints) -> Lost:
        """A pool without so many instances at the share of demand that must still be carried, (R,)."""
        tables, problem = self.tables, self.tables.problem
        rows = (tables.prefill, tables.decode)[side]
        rate = problem.workload.requests_per_s * problem.requirements.survive.demand_share
        left = rows.count - instances
        load, carries = tables.load_of(side, rows, left, rate)
        return Lost((carries & (left > 0)).astype(np.int64), self.times(load))


class PoolsModel:
    """One model with the rules that are asked for."""

    def __init__(self, columns: PoolColumns, rules: Sequence[str]) -> None:
        self.columns, self.tables, self.problem = columns, columns.tables, columns.tables.problem
        self.model: Any = cp_model.CpModel()
        rows = self.tables.prefill, self.tables.decode
        self.row = tuple(self.model.new_int_var(0, len(one) - 1, f"row {i}") for i, one in enumerate(rows))
        self.together = self.model.new_bool_var("together")
        self.gpus = self._element(0, rows[0].gpus) + self._element(1, rows[1].gpus)
        self.model.add(self._element(0, rows[0].cache) == self._element(1, rows[1].cache))
        self.mean = self._transfer(0)
        weights = self.tables.weights
        self.value = (
            self._element(0, columns.values[0])
            + self._element(1, columns.values[1])
            + _whole(weights.latency) * self.mean
            + round(weights.gpu_ms * NS_PER_MS) * self.gpus
        )
        self.peak = self.model.new_int_var(0, int(min(p.max() for p in columns.peaks)), "peak")
        self.model.add_min_equality(self.peak, [self._element(side, columns.peaks[side]) for side in (0, 1)])
        self._nodes()
        for rule in rules:
            self._post(rule)

    def _element(self, side: int, values: Ints) -> Any:
        low, high = int(values.min()), int(values.max())
        if low == high:
            return low
        found = self.model.new_int_var(low, high, "")
        self.model.add_element(self.row[side], values.tolist(), found)
        return found

    def _transfer(self, which: int) -> Any:
        """ns on the link of the mean, the usual (P50) or the longest prompt (P99)."""
        ends = self.columns.sent[which], self.columns.received[which]
        found = self.model.new_int_var(0, int(max(end.max() for end in ends)), "")
        self.model.add_max_equality(found, [self._element(side, ends[side]) for side in (0, 1)])
        return found + self.columns.latency_ns

    def _nodes(self) -> None:
        """What stands where, as definitions; rule ``placement`` says what must fit."""
        rows, total = (self.tables.prefill, self.tables.decode), self.problem.hardware.nodes
        self.nodes = [self._element(side, rows[side].nodes) for side in (0, 1)]
        self.spread = self.nodes[0] + self.nodes[1]
        if total == 1:
            self.model.add(self.together == 1)
        for side in (0, 1):
            within = self.tables.sizes(rows[side]) <= self.problem.hardware.gpus_per_node
            shares = self._element(side, ((rows[side].nodes == total) & within).astype(np.int64))
            self.model.add(shares == 1).only_enforce_if(self.together)

    def _post(self, rule: str) -> None:
        tables, problem, model = self.tables, self.problem, self.model
        rows, loads = (tables.prefill, tables.decode), self.columns.loads
        hardware = problem.hardware
        if rule == "gpu_count":
            model.add(self.gpus <= hardware.gpus)
        elif rule == "placement":
            self._post_placement()
        elif rule in ("prefill_memory", "decode_memory"):
            side = 0 if rule == "prefill_memory" else 1
            self._at_most(side, tables.costs.memory_short[rows[side].shape], 0)
        elif rule == "prefill_capacity":
            self._at_most(0, share_parts(loads[0].busy), FULL - 1)
        elif rule == "link":
            for side in (0, 1):
                self._at_most(side, share_parts(loads[side].link_busy), FULL - 1)
        elif rule == "prefill_kv_cache":
            self._at_most(0, tables.prefill_short(rows[0], loads[0]), 0)
        elif rule == "decode_kv_cache":
            self._at_most(1, tables.decode_short(rows[1], loads[1]), 0)
        elif rule == "decode_concurrency":
            self._at_most(1, loads[1].n99 - tables.allowed_slots[rows[1].shape], 0)
        elif rule == "state_blocks":
            shape = rows[1].shape
            self._at_most(1, tables.allowed_slots[shape] - tables.state_sequences[shape], 0)
        elif rule == "min_batch":
            self._at_most(1, problem.requirements.min_batch - tables.allowed_slots[rows[1].shape], 0)
        elif rule == "tpot_full_batch":
            self._at_most(1, tables.full_ns[rows[1].shape], self._limit(problem.requirements.tpot_p99_ms or 0.0))
        elif rule.startswith("survive_"):
            self._post_survive(rule.removeprefix("survive_"))
        else:
            self._latency(rule, [PoolColumns.times(load) for load in loads], [])

    def _limit(self, milliseconds: float) -> int:
        return limit_ns(milliseconds, self.problem.requirements.margin)

    def _at_most(self, side: int, values: Ints, limit: int) -> None:
        self.model.add(self._element(side, values) <= limit)

    def _latency(self, rule: str, times: Sequence[dict[str, Ints]], only_if: Sequence[Any]) -> None:
        """One stated latency limit over what both pools and the link add up to."""
        limit = next(one for one in self.problem.requirements.latency_limits if one.rule == rule)
        most = self._limit(limit.limit_ms)
        if limit.metric == "prefill":
            total = self._element(0, times[0][rule])
        elif limit.metric == "tpot":
            total = self._element(1, times[1][rule])
        else:
            total = self._element(0, times[0][rule]) + self._element(1, times[1][rule])
            total = total + self._transfer(1 if limit.percentile == 50 else 2)
        posted = self.model.add(total <= most)
        if only_if:
            posted.only_enforce_if(*only_if)

    def _post_placement(self) -> None:
        rows, hardware, model = (self.tables.prefill, self.tables.decode), self.problem.hardware, self.model
        model.add(self.nodes[0] + self.nodes[1] <= hardware.nodes).only_enforce_if(~self.together)
        every = [self._element(side, rows[side].every) for side in (0, 1)]
        over = [self._element(side, rows[side].over) for side in (0, 1)]
        more = [self._element(side, rows[side].more) for side in (0, 1)]
        apart = model.new_bool_var("uneven nodes apart")
        model.add(more[0] + more[1] <= hardware.nodes).only_enforce_if(apart)
        for side in (0, 1):
            model.add(every[0] + every[1] + over[side] <= hardware.gpus_per_node).only_enforce_if(self.together)
        model.add(every[0] + every[1] + over[0] + over[1] <= hardware.gpus_per_node).only_enforce_if(
            self.together, ~apart
        )

    def _post_survive(self, level: str) -> None:
        losses = getattr(self.problem.requirements.survive, level)
        rows = self.tables.prefill, self.tables.decode
        shares: list[tuple[int, int, list[Any]]] = [(a, losses - a, []) for a in range(losses + 1)]
        if level == "node":
            shares = [(a, b, [~self.together]) for a, b, _ in shares] + [(losses, losses, [self.together])]
        known: dict[tuple[int, int], Lost] = {}
        for first, second, only_if in shares:
            for side, lost in ((0, first), (1, second)):
                if (side, lost) not in known:
                    gone = np.minimum(lost, rows[side].count) if level == "gpu" else rows[side].lost[:, lost]
                    known[side, lost] = self.columns.lost(side, gone)
            left = [known[0, first], known[1, second]]
            for side in (0, 1):
                fine = self._element(side, left[side].fine)
                posted = self.model.add(fine == 1)
                if only_if:
                    posted.only_enforce_if(*only_if)
            for limit in self.problem.requirements.latency_limits:
                if limit.rule not in self.problem.search.disabled_rules:
                    self._latency(limit.rule, [one.times for one in left], only_if)


def _whole(weight: float) -> int:
    """A weight of the objective that multiplies a decision: whole numbers only.

    Raises:
        ProblemError: it is no whole number.
    """
    if weight != int(weight):
        raise ProblemError("objective.latency_weight", f"{weight} is not a whole number; with pools one is needed")
    return int(weight)
