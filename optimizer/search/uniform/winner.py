"""The best candidate of a problem by comparing all rows at once: the naive counterpart of ``Solver.best``, for questions that ask
the same thing of many slightly changed problems.

More sequences never cost more (``objective_at_most_slots``), so a row is at its best with as many as its rules allow, and
the best row is the first in the order of the objective's tiers and the tie-break. Exact; ``tests/explain`` holds it to
``Solver.best``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optimizer.facts.problem import Problem
from optimizer.results.answer import Fixed, Strategy
from optimizer.results.rule_groups import STATIC_RULES
from optimizer.search.uniform.evaluate import objective_of, strategy_of
from optimizer.search.uniform.oracle import derived, same_times, subspace
from optimizer.search.uniform.quantities import Quantities
from optimizer.search.uniform.rule import Choice
from optimizer.search.uniform.screen import Screen, first_tier, objective_at_most_slots
from optimizer.search.uniform.space import Space, build_space, tie_rank


@dataclass(frozen=True, slots=True)
class Winner:
    """The best candidate: what it is, its tiers (smaller is better; ns, or the preset's own unit) and its objective."""

    strategy: Strategy
    tiers: tuple[int, int]
    objective_ms: float
    terms: dict[str, float]
    quantities: Quantities
    choice: Choice


def winner(problem: Problem, fixed: Fixed | None = None, near: Quantities | None = None) -> Winner | None:
    """The best feasible candidate; None when there is none.

    Args:
        near: of an earlier winner; its tables are shared where the change does not touch them.

    Raises:
        SpaceTooLargeError: more rows than are modelled.
    """
    space = build_space(problem, fixed)
    if not space.rows:
        return None
    rank = tie_rank(space)
    rows = np.flatnonzero(Screen(Quantities(problem, space), fixed, STATIC_RULES).viable)
    if not len(rows):
        return None
    part = subspace(space, rows)
    if near is not None and same_times(near.problem, problem) and _same(near.space, part):
        quantities = derived(near, problem)
    else:
        quantities = Quantities(problem, part)
    screen = Screen(quantities, fixed)
    viable = np.flatnonzero(screen.viable)
    if not len(viable):
        return None
    first, value = first_tier(quantities, screen.most), objective_at_most_slots(quantities, screen.most)
    row = int(viable[np.lexsort((rank[rows][viable], value[viable], first[viable]))[0]])
    choice = Choice(row, int(screen.most[row]))
    objective = objective_of(quantities, choice, None)
    tiers = int(first[row]), int(value[row])
    return Winner(strategy_of(quantities, choice), tiers, objective.value, objective.terms, quantities, choice)


def _same(first: Space, second: Space) -> bool:
    return (
        first.slots == second.slots
        and first.shapes == second.shapes
        and np.array_equal(first.row_shape, second.row_shape)
        and np.array_equal(first.row_dp, second.row_dp)
    )


def layout(strategy: Strategy) -> tuple[object, ...]:
    """A strategy without max_num_seqs: what is deployed, whatever its number of slots."""
    s = strategy
    degrees = s.tensor_parallel, s.pipeline_parallel, s.data_parallel, s.expert_parallel
    shared = s.expert_slice_ranks, s.decode_context_parallel
    return (*degrees, *shared, s.layers_per_stage, s.weight_precision, s.kv_precision)


def fits(strategy: Strategy, fixed: Fixed) -> bool:
    """Whether a strategy has every decision that is fixed."""
    return all(getattr(fixed, name) in (None, getattr(strategy, name)) for name in Fixed.__dataclass_fields__)
