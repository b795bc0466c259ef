"""Shapes on a given number of nodes: which are allowed, and what an instance of each carries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from optimizer.costs.analytic import Costs
from optimizer.costs.load import SELDOM, LoadPoints, chain_length
from optimizer.costs.memory import memory_budget_bytes
from optimizer.costs.shapes import Bools, Floats, Ints, Shape
from optimizer.costs.two_groups import TwoGroupCosts
from optimizer.facts.inventory import InventoryProblem
from optimizer.facts.problem import Problem
from optimizer.search.common.scale import limit_ns, time_ns
from optimizer.search.inventory.candidate import MICRO, InstanceCandidate, StagePart
from optimizer.search.inventory.dominance import dominated_at_each_number
from optimizer.search.uniform.kernel_rules import kv_format_rule, weight_format_rule
from optimizer.search.uniform.oracle import derived
from optimizer.search.uniform.quantities import Quantities
from optimizer.search.uniform.rules import rules_for
from optimizer.search.uniform.screen import Screen
from optimizer.search.uniform.shape_rules import tensor_groups_fit
from optimizer.search.uniform.space import Space

_SECTIONS, _FEW_SECTIONS = 16, 4
_MANY_ROWS = 48
PART_BY_PART = ("memory", "nvlink_locality", "layer_split", "weight_format", "kv_format")
"""Rules that a pipeline over two groups keeps in each part for itself, or that say nothing about it."""


Times = dict[tuple[object, ...], Quantities]
"""Times and memory of shapes by what decides them, for tables of problems that differ in rules, limits, demand and losses."""


class InstanceTable:
    """Shapes on so many nodes of one group, or of two.

    Args:
        problems: H(group, nodes) of each part.
        shapes: S shapes, all on these nodes.
        times: what other tables have computed; new times are added.
    """

    def __init__(
        self,
        inventory: InventoryProblem,
        problems: Sequence[Problem],
        shapes: Sequence[Shape],
        *,
        times: Times | None = None,
    ) -> None:
        self.inventory, self.problems = inventory, tuple(problems)
        self.off = inventory.search.disabled_rules
        self.stages: Ints = np.array([shape.part_stages or (shape.pp,) for shape in shapes], dtype=np.int64)
        self.problem = problems[0]
        # Limits on latency bound the rate, not the shape: they are taken off here and put on the rate below. What goodput
        # asks of each request stays: the share that misses it is counted against it.
        limits = {limit.field: None for limit in self.problem.requirements.latency_limits if limit.metric != "goodput"}
        off = (*self.problem.search.disabled_rules, *(PART_BY_PART if len(problems) > 1 else ()))
        bare = self.problem.model_copy(
            update={
                "requirements": self.problem.requirements.model_copy(update=limits),
                "search": self.problem.search.model_copy(update={"disabled_rules": tuple(dict.fromkeys(off))}),
            }
        )
        self._limits = [limit for limit in self.problem.requirements.latency_limits if limit.rule not in self.off]
        self._dominated: dict[int, int] = {}
        self.quantities = (
            quantities(bare, problems, shapes) if times is None else _shared(bare, problems, shapes, times)
        )
        # What is in progress depends on the rate, as latency does.
        by_shape = {rule.id for rule in rules_for(self.quantities.problem)} - {"kv_cache", "goodput"}
        screen = Screen(self.quantities, None, by_shape)
        if len(problems) > 1:
            self._part_by_part(screen)
        self.least, self.most = screen.least, screen.most
        self.viable: Bools = screen.viable & (self.most >= 1)

    def _part_by_part(self, screen: Screen) -> None:
        """The rules of ``PART_BY_PART``, each stage by what it stands on."""
        table = self.quantities.costs.table
        if "memory" not in self.off:
            screen.memory_at_most("memory", self.quantities.budget)
        for number, problem in enumerate(self.problems):
            if "nvlink_locality" not in self.off:
                screen.forbid_rows("nvlink_locality", ~tensor_groups_fit(problem, table.tp, self.stages[:, number]))
            for rule in (weight_format_rule(problem), kv_format_rule(problem)):
                if rule.id not in self.off:
                    rule.post(screen, self.quantities)

    def load(self, rows: Ints, rates: Floats, *, everything: bool = True) -> LoadPoints:
        """Load of instances (rows of the table) at requests/s per instance, (Q,) each; ``everything`` as in ``evaluate``."""
        return self.quantities.load_of(rows, rates / self.quantities.ranks[rows], everything=everything)

    def candidates(self, more_than: Ints | None = None) -> list[InstanceCandidate]:
        """Allowed shapes that no other in the table beats at every number in progress; ``dominated`` gives the others.

        Args:
            more_than: (S,) millionths of a request/s that each shape has to exceed within every limit.
        """
        self._keep_full_batch()
        rows = np.flatnonzero(self.viable)
        if more_than is not None and len(rows):
            enough = self._within_limits(self._probe(rows, (more_than[rows] + 1) / MICRO), rows)
            if "request_rate" not in self.off:
                enough &= self._peak(rows) > more_than[rows]
            rows = rows[enough]
        if not len(rows):
            return []
        dominated = dominated_at_each_number(self.quantities, rows, self.most, self._needs(rows))
        self._dominated = {int(rows[one]): int(rows[winner]) for one, winner in dominated.items()}
        return self._rated(np.array([row for row in rows.tolist() if row not in self._dominated], dtype=np.int64))

    @property
    def dominated(self) -> dict[int, int]:
        """The allowed rows that ``candidates`` left out, each with the row that beats it and is itself beaten by none."""
        found = {}
        for row, first in sorted(self._dominated.items()):
            winner = first
            while winner in self._dominated:
                winner = self._dominated[winner]
            found[row] = winner
        return found

    def rated(self, rows: Ints) -> list[InstanceCandidate]:
        """Candidates of some rows, those that carry anything within the limits."""
        return self._rated(rows)

    def unrated(self, row: int) -> InstanceCandidate:
        """The candidate of a row whose rates are not looked for."""
        return InstanceCandidate(
            self.quantities.space.shapes[row], row, self.parts(row), int(self.most[row]), 0, 0, 0, 0.0
        )

    def least_stay_ms(self, rows: Ints) -> Floats:
        """How long a request stays at least, (Q,)."""
        result: Floats = self.quantities.service.residence_ms[rows, 0]
        return result

    def most_per_s(self, rows: Ints) -> Floats:
        """Requests/s that no instance of a row is without piling up, (Q,)."""
        result: Floats = self.quantities.completion_per_s[rows, -1] * self.quantities.ranks[rows]
        return result

    def earns_at_most(self, rows: Ints, gamma: float) -> Floats:
        """Γ(γ) at most, requests/s · ms, (Q,), by how long requests stay: with M in progress r = E[M / R(M)] and T(r) ≥ E[M] / r."""
        residence = self.quantities.service.residence_ms[rows, : chain_length(self.problem)]
        m = np.arange(1, residence.shape[1] + 1)
        most = np.maximum(0.0, (m * (gamma / residence - 1)).max(axis=1, initial=0.0))
        if "concurrency" not in self.off:
            # A slot is free for 99 % of the requests only where at most n - 1 are in progress in the mean, each for R(1) at least.
            most = np.minimum(most, np.maximum(0.0, (self.most[rows] - 1) * (gamma / residence[:, 0] - 1)))
        result: Floats = 1e3 * most * self.quantities.ranks[rows] * (1 + 1e-9)
        return result

    def _rated(self, rows: Ints) -> list[InstanceCandidate]:
        """Candidates of rows, those that carry anything within the limits."""
        if not len(rows):
            return []
        peak = self._peak(rows)
        capacity, slots_capacity = self._largest(rows)
        if "request_rate" not in self.off:
            capacity = np.minimum(capacity, peak)
        return [
            InstanceCandidate(
                self.quantities.space.shapes[row],
                row,
                self.parts(row),
                int(self.most[row]),
                int(c),
                int(k),
                int(x),
                self._restart_s(row),
            )
            for row, c, k, x in zip(rows.tolist(), capacity, slots_capacity, peak, strict=True)
            if c > 0
        ]

    def may_carry(self, more_than: Ints) -> Bools:
        """Allowed shapes of two groups that a quick bound does not keep from carrying more than so much, (S,)."""
        if not isinstance(self.quantities.costs, TwoGroupCosts):
            raise TypeError("the bound is one of pipelines over two groups")
        slots = self.most if "request_rate" not in self.off else np.full_like(self.most, self.quantities.space.slots)
        most = self.quantities.costs.completes_at_most(slots) * MICRO * (1 + 1e-9)
        result: Bools = self.viable & (most > more_than)
        return result

    def _probe(self, rows: Ints, rates: Floats) -> LoadPoints:
        """Load as far as the limits on latency ask for it."""
        asked = any(limit.rule in SELDOM for limit in self._limits)
        return self.load(rows, rates, everything=asked)

    def _within_slots(self, load: LoadPoints, at: Ints) -> Bools:
        fits: Bools = ~load.overloaded if "concurrency" in self.off else load.n99 <= self.most[at]
        if "kv_cache" not in self.off:
            fits = fits & (self.quantities.cache_shortfall(load, at) <= 0)
        return fits

    def _within_limits(self, load: LoadPoints, at: Ints) -> Bools:
        return self._within_slots(load, at) & self._in_time(load)

    def _in_time(self, load: LoadPoints) -> Bools:
        """Every latency limit that is on holds."""
        good: Bools = np.ones(len(load.n99), dtype=np.bool_)
        for limit in self._limits:
            most = limit_ns(limit.limit_ms, self.problem.requirements.margin)
            good &= time_ns(load.metric(limit.rule)) <= most
        return good

    def _peak(self, rows: Ints) -> Ints:
        """d · X(n) in millionths of a request/s, rounded down."""
        peak = np.floor(self.quantities.completes(rows, self.most[rows]) * MICRO).astype(np.int64)
        result: Ints = peak * self.quantities.ranks[rows]
        return result

    def _keep_full_batch(self) -> None:
        """Even with every slot taken, time per token keeps its limit."""
        limit = self.problem.requirements.tpot_p99_ms
        rows = np.flatnonzero(self.viable)
        if limit is None or "tpot_full_batch" in self.problem.search.disabled_rules or not len(rows):
            return
        allowed = self.quantities.full_batch_tpot_ns <= limit_ns(limit, self.problem.requirements.margin)
        self.most = np.minimum(self.most, allowed.sum(axis=1))
        self.viable &= (self.least <= self.most) & (self.most >= 1)

    def parts(self, row: int) -> tuple[StagePart, ...]:
        """Stages, nodes and GPUs on each node of the parts of a shape."""
        shape = self.quantities.space.shapes[row]
        each = shape.tp * shape.engine_ranks
        nodes = (problem.hardware.nodes for problem in self.problems)
        stages = self.stages[row].tolist()
        return tuple(StagePart(many, count, each * many // count) for many, count in zip(stages, nodes, strict=True))

    def widths(self, tp: Ints) -> Ints:
        """GPUs of one NVLink domain that a TP group of some width needs on each part, (parts, A): 1 where any of the node do."""
        found = []
        for problem in self.problems:
            domain, free = problem.hardware.nvlink_domain_gpus, problem.hardware.gpus_per_node
            found.append(np.where((tp > domain) | (domain >= free), 1, tp))
        return np.array(found, dtype=np.int64)

    def _needs(self, rows: Ints) -> Ints:
        """GPUs of each part, and the TP widths where they matter, (2 · parts, A)."""
        space = self.quantities.space
        tp = space.column("tp")[rows]
        gpus = self.stages[rows].T * tp * space.column("engine_ranks")[rows]
        needs: Ints = np.concatenate([gpus, self.widths(tp)])
        return needs

    def _largest(self, rows: Ints) -> tuple[Ints, Ints]:
        """The largest rates of each row, in millionths, within every limit and within its slots: both only get worse with load.

        Both are looked for at once: a round takes as long for few rates as for twice as many.
        """
        count = 2 if self._limits else 1
        place, limited = np.tile(np.arange(len(rows)), count), np.repeat(np.arange(count), len(rows)) == 1
        low = np.zeros(len(place), dtype=np.int64)
        high = np.tile(np.ceil(self.most_per_s(rows) * MICRO).astype(np.int64) + 1, count)
        while True:
            open_rows = np.flatnonzero(high - low > 1)
            if not len(open_rows):
                return low[-len(rows) :], low[: len(rows)]
            span = high[open_rows] - low[open_rows]
            # Few rows: many probes a round, for each round costs the same; many rows: few probes, for each probe counts.
            sections = _SECTIONS if len(open_rows) < _MANY_ROWS else _FEW_SECTIONS
            steps = np.arange(1, sections)
            probe = low[open_rows, None] + np.maximum(1, span[:, None] * steps // sections)
            probe = np.minimum(probe, high[open_rows, None] - 1)
            at = np.repeat(rows[place[open_rows]], probe.shape[1])
            load = self._probe(at, probe.ravel() / MICRO)
            fine = self._within_slots(load, at)
            fine &= ~np.repeat(limited[open_rows], probe.shape[1]) | self._in_time(load)
            held = np.cumprod(fine.reshape(probe.shape), axis=1).sum(axis=1)
            position = np.arange(len(open_rows))
            low[open_rows] = np.where(held > 0, probe[position, np.maximum(held, 1) - 1], low[open_rows])
            failed = held < probe.shape[1]
            high[open_rows] = np.where(failed, probe[position, np.minimum(held, probe.shape[1] - 1)], high[open_rows])

    def _restart_s(self, row: int) -> float:
        """R: engine start, then each node reads its part of the weights; the slowest node counts."""
        shape, table = self.quantities.space.shapes[row], self.quantities.costs.table
        weights = self.quantities.memory.weights[row] * table.multiplicity[row] * shape.tp * shape.engine_ranks
        most = max(
            int(weights[table.on_part[row] == number].sum()) / problem.hardware.nodes
            for number, problem in enumerate(self.problems)
        )
        recovery = self.inventory.recovery
        return recovery.engine_start_s + most / (recovery.storage_gb_per_s * 1e9)


def _shared(problem: Problem, problems: Sequence[Problem], shapes: Sequence[Shape], times: Times) -> Quantities:
    """The same as ``quantities``, with what was computed for such shapes before."""
    hardware = (one.hardware.model_dump_json() for one in problems)
    goodput = problem.requirements.goodput
    key = (*hardware, chain_length(problem), problem.max_sequence_tokens, problem.max_batch, goodput, tuple(shapes))
    known = times.get(key)
    # The latest has all that was computed so far.
    times[key] = quantities(problem, problems, shapes) if known is None else derived(known, problem)
    times[key].budget = _budget(problems, times[key])
    return times[key]


def _budget(problems: Sequence[Problem], quantities: Quantities) -> int | Ints:
    """Bytes of one GPU that may be used; over two groups for each stage class by what it stands on, (S, C)."""
    if len(problems) == 1:
        return quantities.budget
    return np.array([memory_budget_bytes(one) for one in problems])[quantities.costs.table.on_part]


def quantities(problem: Problem, problems: Sequence[Problem], shapes: Sequence[Shape]) -> Quantities:
    """Quantities of shapes on one group, or on two.

    Args:
        problem: what the rules and the load are of; its hardware is that of the first part.
        problems: H(group, nodes) of each part.
    """
    space = Space(
        shapes=tuple(shapes),
        row_shape=np.arange(len(shapes), dtype=np.int64),
        row_dp=np.array([shape.engine_ranks for shape in shapes], dtype=np.int64),
        slots=chain_length(problem),
    )
    costs: Costs | None = TwoGroupCosts((problems[0], problems[1]), shapes) if len(problems) == 2 else None
    found = Quantities(problem, space, costs)
    found.budget = _budget(problems, found)
    return found
