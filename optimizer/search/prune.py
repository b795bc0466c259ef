"""Leave out layer splits that another split of the same replica beats or equals in every respect.

Every rule and the objective only get worse when a replica's times grow for any number of sequences, or when one of its
GPUs holds more. So a split that is nowhere better than another one can be dropped without changing the optimum, whatever
the limits are. The exhaustive twin of the verifier still enumerates all of them.
"""

from __future__ import annotations

import numpy as np

from optimizer.answer import Fixed
from optimizer.costs.analytic import AnalyticCosts
from optimizer.costs.shapes import Bools, Ints, Shape
from optimizer.costs.steps import ServiceTable
from optimizer.facts.problem import Problem
from optimizer.search.space import Space, build_space, within_split_rule

STRICTLY = 1e-9  # relative; far above rounding of doubles


def pruned_space(problem: Problem, fixed: Fixed | None = None) -> tuple[Space, AnalyticCosts | None]:
    """The space without dominated splits, and the costs of its shapes; no costs when no shape is left."""
    space = build_space(problem, fixed)
    if not space.rows:
        return space, None
    costs = AnalyticCosts(problem, space.shapes)
    groups: dict[tuple[int, int, int, str, str], list[int]] = {}
    for number, shape in enumerate(space.shapes):
        key = (shape.tp, shape.pp, shape.ep, shape.weight_format, shape.kv_format)
        groups.setdefault(key, []).append(number)
    if len(groups) == len(space.shapes):
        return space, costs
    service = costs.service(space.slots)
    fixed_bytes, each = costs.memory().fixed, costs.memory().per_sequence
    allowed = np.array([within_split_rule(problem, shape.layers_per_stage) for shape in space.shapes], dtype=np.bool_)
    keep = np.ones(len(space.shapes), dtype=np.bool_)
    for members in groups.values():
        if len(members) > 1:
            keep[members] = _undominated(service, fixed_bytes, each, allowed, np.array(members))
    chosen = np.flatnonzero(keep)
    renumbered = np.full(len(space.shapes), -1, dtype=np.int64)
    renumbered[chosen] = np.arange(len(chosen))
    rows = keep[space.row_shape]
    shapes: tuple[Shape, ...] = tuple(space.shapes[int(i)] for i in chosen)
    smaller = Space(shapes, renumbered[space.row_shape[rows]], space.row_dp[rows], space.slots)
    return smaller, AnalyticCosts(problem, shapes)


def _undominated(service: ServiceTable, fixed: Ints, each: Ints, allowed: Bools, members: Ints) -> Bools:
    """Which members are not dominated; members come in tie-break order, the one that wins ties first.

    A later member dominates an earlier one only when its requests are strictly faster, so that ties stay ties.
    """
    residence = service.residence_ms[members]
    times = np.concatenate(
        [
            service.round_ms[members],
            service.tpot_ms[members],
            service.prefill_ms[members],
            service.prefill_long_ms[members],
            residence,
            service.occupancy_ms[members][:, None],
        ],
        axis=1,
    )
    horizon = residence.shape[1]
    one_sequence, all_sequences = (fixed + each)[members], (fixed + horizon * each)[members]
    keep = np.ones(len(members), dtype=np.bool_)
    for loser in range(len(members)):
        for winner in range(len(members)):
            if winner == loser or not keep[winner] or (allowed[members[loser]] and not allowed[members[winner]]):
                continue
            if winner > loser and not (residence[winner] < residence[loser] * (1 - STRICTLY)).all():
                continue
            # Each line (fixed + n x each) of the winner lies below one line of the loser at both ends, so everywhere.
            below = (one_sequence[winner][:, None] <= one_sequence[loser]) & (
                all_sequences[winner][:, None] <= all_sequences[loser]
            )
            if (times[winner] <= times[loser]).all() and below.any(axis=1).all():
                keep[loser] = False
                break
    return keep
