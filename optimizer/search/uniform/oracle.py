"""Is a changed problem feasible? Exact, and fast for many problems that differ in little.

A problem is feasible when some row keeps every enforced rule (``Screen``). Rows that break a rule on degrees, placement
or memory are dropped before anything is computed about time, and tables are shared between problems that agree on what
they depend on. Nothing here approximates: sharing and dropping leave the answer as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from optimizer.costs.distinct import distinct
from optimizer.costs.load import chain_length
from optimizer.costs.memory import most_sequences
from optimizer.costs.shapes import Bools, Ints
from optimizer.facts.problem import Problem
from optimizer.results.answer import Fixed
from optimizer.results.rule_groups import STATIC_RULES
from optimizer.search.common.scale import limit_ns, time_ns
from optimizer.search.uniform.quantities import Quantities
from optimizer.search.uniform.screen import Screen
from optimizer.search.uniform.space import Space, build_space

_TIMES = ("service", "_chain", "full_batch_tpot_ns", "completion_per_s")
_LOADS = ("normal", "_surviving")
MOST_KEPT = 6
ROUNDING = 1e-9
"""Room that bounds leave for the rounding of floating-point sums."""


def subspace(space: Space, rows: Ints) -> Space:
    """The same space with some of its rows, and only the shapes these have."""
    first, row_shape = distinct(space.row_shape[rows])
    shapes = tuple(space.shapes[i] for i in space.row_shape[rows][first].tolist())
    return Space(shapes, row_shape, space.row_dp[rows], space.slots)


def derived(quantities: Quantities, problem: Problem) -> Quantities:
    """Quantities of another problem over the same space, sharing each table that the change does not touch.

    The problems must agree on everything that decides the space and the times of steps (``same_times``).
    """
    other = Quantities(problem, quantities.space, quantities.costs)
    kept: tuple[str, ...] = _TIMES
    if problem.hardware.failures == quantities.problem.hardware.failures:
        kept = (*kept, "down")
    if problem.workload == quantities.problem.workload:
        kept = (*kept, *_LOADS)
    for name in kept:
        if name in quantities.__dict__:
            other.__dict__[name] = quantities.__dict__[name]
    if _decides_memory(problem) == _decides_memory(quantities.problem):
        other.__dict__["memory"] = quantities.memory
    else:
        other.__dict__["memory"] = Quantities(problem, quantities.space).memory
    return other


def _decides_memory(problem: Problem) -> tuple[object, ...]:
    """What memory depends on among the fields in which problems with ``same_times`` may differ."""
    return problem.requests, problem.max_sequence_tokens, most_sequences(problem)


def same_times(first: Problem, second: Problem) -> bool:
    """Whether rows and times of steps are the same: only limits, the arrival rate, the context or failures differ."""
    a, b = first.search, second.search
    return (
        chain_length(first) == chain_length(second)
        and first.engine == second.engine
        and first.costs == second.costs
        and first.hardware == second.hardware.model_copy(update={"failures": first.hardware.failures})
        and (a is b or a.model_copy(update={"disabled_rules": ()}) == b.model_copy(update={"disabled_rules": ()}))
        and first.workload.model_copy(update={"requests_per_s": 1.0, "users": None})
        == second.workload.model_copy(update={"requests_per_s": 1.0, "users": None})
        and first.requirements.goodput == second.requirements.goodput
        and (first.model is second.model or first.model == second.model)
    )


def restricted(quantities: Quantities, rows: Ints) -> Quantities:
    """Quantities over some of the rows; step times are taken over and not computed again."""
    part = Quantities(quantities.problem, subspace(quantities.space, rows))
    first, _ = distinct(quantities.space.row_shape[rows])
    part.__dict__["service"] = quantities.service.part(quantities.space.row_shape[rows][first])
    return part


def within_reach(quantities: Quantities, screen: Screen) -> Bools:
    """Rows that the load may leave feasible, (R,): those left out break a limit however few requests there are.

    A latency is never below its least over all numbers of sequences, and a replica never completes more than X(n).
    """
    problem, service = quantities.problem, quantities.service
    off = set(problem.search.disabled_rules)
    least = {
        ("prefill", 50): service.prefill_ms,
        ("prefill", 99): service.prefill_long_ms,
        ("ttft", 50): service.admission_ms + service.prefill_ms,
        ("ttft", 99): service.admission_ms + service.prefill_long_ms,
        ("tpot", 50): service.tpot_ms,
        ("tpot", 99): service.tpot_ms,
    }
    reached: Bools = np.full(len(quantities.space.shapes), True)
    margin = problem.requirements.margin
    for limit in problem.requirements.latency_limits:
        if limit.rule not in off and not problem.workload.mixed and limit.metric not in ("e2e", "goodput"):
            times = least[limit.metric, limit.percentile]
            reached &= time_ns(times.min(axis=1) * (1 - ROUNDING)) <= limit_ns(limit.limit_ms, margin)
    result: Bools = reached[quantities.space.row_shape]
    if "request_rate" not in off:
        slots = np.clip(screen.most, 1, quantities.space.slots)
        done = quantities.completes(quantities.space.row_shape, slots) * quantities.space.row_dp
        result &= done * (1 + ROUNDING) >= (0.0 if problem.workload.users else problem.workload.requests_per_s)
    return result


@dataclass(slots=True)
class _OraclePart:
    """Rows of a whole space with step times, and the parts of them for which loads were computed."""

    rows: Ints
    quantities: Quantities
    loaded: list[tuple[Ints, Quantities]] = field(default_factory=list)


class Oracle:
    """Feasibility of problems near each other, under the same fixed decisions."""

    def __init__(self, fixed: Fixed | None = None) -> None:
        self.fixed = fixed
        self._whole: list[Quantities] = []
        self._parts: list[_OraclePart] = []
        self.calls = 0

    def feasible(self, problem: Problem) -> bool:
        """Whether some strategy keeps every enforced rule."""
        return self.survivors(problem) is not None

    def survivors(self, problem: Problem) -> tuple[Quantities, Bools] | None:
        """Quantities over rows that may keep every rule, and which of them do; None when none does.

        Raises:
            SpaceTooLargeError: more rows than are modelled.
        """
        self.calls += 1
        quantities = self._candidates(problem)
        if quantities is None:
            return None
        viable = Screen(quantities, self.fixed).viable
        return (quantities, viable) if viable.any() else None

    def _candidates(self, problem: Problem) -> Quantities | None:
        whole = self._whole_of(problem)
        if not whole.space.rows:
            return None
        rows = np.flatnonzero(Screen(whole, self.fixed, STATIC_RULES).viable)
        if not len(rows):
            return None
        part = self._part(problem, whole.space, rows)
        quantities = derived(part.quantities, problem)
        near = within_reach(quantities, Screen(quantities, self.fixed, STATIC_RULES)) & np.isin(
            part.rows, rows, assume_unique=True
        )
        wanted = np.flatnonzero(near)
        if not len(wanted):
            return None
        for position, (kept, loaded) in enumerate(part.loaded):
            if np.isin(wanted, kept, assume_unique=True).all():
                found = derived(loaded, problem)
                del part.loaded[position]
                break
        else:
            kept, found = wanted, restricted(quantities, wanted)
        found.normal  # noqa: B018 - computed here so that later problems with this load share it
        part.loaded = [(kept, found), *part.loaded[: MOST_KEPT - 1]]
        return found

    def _part(self, problem: Problem, space: Space, rows: Ints) -> _OraclePart:
        """Rows that hold at least these, with step times that hold for the problem."""
        for part in self._parts:
            if same_times(part.quantities.problem, problem) and np.isin(rows, part.rows, assume_unique=True).all():
                return part
        part = _OraclePart(rows, Quantities(problem, subspace(space, rows)))
        part.quantities.service, part.quantities.completion_per_s  # noqa: B018 - computed once for all that is derived from it
        self._parts = [part, *self._parts[: MOST_KEPT - 1]]
        return part

    def _whole_of(self, problem: Problem) -> Quantities:
        """Quantities over the whole space, of which only degrees and bytes are ever asked."""
        for quantities in self._whole:
            if same_times(quantities.problem, problem):
                return derived(quantities, problem) if quantities.space.rows else quantities
        quantities = Quantities(problem, build_space(problem, self.fixed))
        self._whole = [quantities, *self._whole[: MOST_KEPT - 1]]
        return quantities
