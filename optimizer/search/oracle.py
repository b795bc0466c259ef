"""Is a changed problem feasible? Exact, and fast for many problems that differ in little.

A problem is feasible when some row keeps every enforced rule (``Screen``). Rows that break a rule on degrees, placement
or memory are dropped before anything is computed about time, and tables are shared between problems that agree on what
they depend on. Nothing here approximates: sharing and dropping leave the answer as it is.
"""

from __future__ import annotations

import numpy as np

from optimizer.answer import Fixed
from optimizer.costs.distinct import distinct
from optimizer.costs.shapes import Bools, Ints
from optimizer.facts.problem import Problem
from optimizer.search.quantities import Quantities
from optimizer.search.screen import Screen
from optimizer.search.space import Space, build_space, chain_length

STATIC_RULES = frozenset(
    {
        "gpu_count", "attention_heads", "kv_heads", "ffn_width", "vocabulary", "experts", "expert_groups", "layer_split",
        "nvlink_locality", "memory", "context", "max_batch", "min_batch",
    }
)  # fmt: skip
"""Rules that speak of degrees and bytes only."""
_TIMES = ("service", "_chain", "full_batch_tpot_ns", "best_completion_per_s")
_LOADS = ("normal", "_surviving")
MOST_KEPT = 6


def subspace(space: Space, rows: Ints) -> Space:
    """The same space with some of its rows, and only the shapes these have."""
    first, row_shape = distinct(space.row_shape[rows])
    shapes = tuple(space.shapes[i] for i in space.row_shape[rows][first].tolist())
    return Space(shapes, row_shape, space.row_dp[rows], space.slots)


def derived(q: Quantities, problem: Problem) -> Quantities:
    """Quantities of another problem over the same space, sharing each table that the change does not touch.

    The problems must agree on everything that decides the space and the times of steps (``same_times``).
    """
    other = Quantities(problem, q.space, q.costs)
    kept: tuple[str, ...] = _TIMES
    if problem.hardware.failures == q.problem.hardware.failures:
        kept = (*kept, "down")
    if problem.workload == q.problem.workload:
        kept = (*kept, *_LOADS)
    for name in kept:
        if name in q.__dict__:
            other.__dict__[name] = q.__dict__[name]
    if problem.max_sequence_tokens == q.problem.max_sequence_tokens:
        other.__dict__["memory"] = q.memory
    else:
        other.__dict__["memory"] = Quantities(problem, q.space).memory
    return other


def same_times(first: Problem, second: Problem) -> bool:
    """Whether rows and times of steps are the same: only limits, the arrival rate, the context or failures differ."""
    a, b = first.search, second.search
    return (
        chain_length(first) == chain_length(second)
        and first.engine == second.engine
        and first.costs == second.costs
        and first.hardware == second.hardware.model_copy(update={"failures": first.hardware.failures})
        and (a is b or a.model_copy(update={"disabled_rules": ()}) == b.model_copy(update={"disabled_rules": ()}))
        and first.workload.model_copy(update={"requests_per_s": 1.0})
        == second.workload.model_copy(update={"requests_per_s": 1.0})
        and (first.model is second.model or first.model == second.model)
    )


class Oracle:
    """Feasibility of problems near each other, under the same fixed decisions."""

    def __init__(self, fixed: Fixed | None = None) -> None:
        self.fixed = fixed
        self._whole: list[Quantities] = []
        self._parts: list[tuple[Ints, Quantities]] = []
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
        rows, q = self._candidates(problem)
        if q is None or not len(rows):
            return None
        viable = Screen(q, self.fixed).viable
        return (q, viable) if viable.any() else None

    def _candidates(self, problem: Problem) -> tuple[Ints, Quantities | None]:
        whole = self._whole_of(problem)
        if not whole.space.rows:
            return np.empty(0, dtype=np.int64), None
        rows = np.flatnonzero(Screen(whole, self.fixed, STATIC_RULES).viable)
        if not len(rows):
            return rows, None
        for position, (kept, q) in enumerate(self._parts):
            if same_times(q.problem, problem) and np.isin(rows, kept, assume_unique=True).all():
                near = derived(q, problem)
                near.normal  # noqa: B018 - computed here so that later problems with this load share it
                self._parts[position] = (kept, near)
                return rows, near
        part = Quantities(problem, subspace(whole.space, rows))
        self._parts = [(rows, part), *self._parts[: MOST_KEPT - 1]]
        return rows, part

    def _whole_of(self, problem: Problem) -> Quantities:
        """Quantities over the whole space, of which only degrees and bytes are ever asked."""
        for q in self._whole:
            if same_times(q.problem, problem):
                return derived(q, problem) if q.space.rows else q
        q = Quantities(problem, build_space(problem, self.fixed))
        self._whole = [q, *self._whole[: MOST_KEPT - 1]]
        return q
