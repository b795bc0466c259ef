"""The strategy that comes nearest to keeping every rule, where none keeps them all: read from tables of what each candidate breaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from optimizer.costs.shapes import Bools, Ints
from optimizer.facts.demand import FEWEST
from optimizer.results.answer import Fixed
from optimizer.search.uniform.evaluate import judge_rules
from optimizer.search.uniform.quantities import Quantities
from optimizer.search.uniform.rule import Choice
from optimizer.search.uniform.screen import Screen, objective_at_most_slots
from optimizer.search.uniform.space import tie_rank
from optimizer.search.uniform.violations import Posted, posted_rules

# The fewest rules are broken first; among equally many, one that says how well the service performs rather than one that
# says what fits or what the person allowed: a person who left max_num_seqs out did not ask to exceed max_batch.
MOST_ROWS = 400
HARD, SOFT = 101, 100
HARD_RULES = frozenset({"gpu_count", "memory", "max_batch", "min_batch", "context"})


def least_broken(quantities: Quantities, fixed: Fixed | None) -> Choice | None:
    """A candidate that breaks few rules, best by objective and tie-break among those; None where there is no candidate.

    Among the ``MOST_ROWS`` rows that break the fewest rules on their own it is the one that breaks the fewest.
    """
    space = quantities.space
    if not space.rows:
        return None
    posted = posted_rules(quantities, quantities.problem)
    wanted = fixed.max_num_seqs if fixed is not None else None
    low, high = (1, space.slots) if wanted is None else (wanted, wanted)
    rows = _nearest_rows(quantities, posted, low, high)
    slots = _last_of_each(posted, rows, low, high)
    costs = _costs(posted, rows, slots)
    # More sequences carry more and are never dearer, so that the most are the best among equally many broken rules.
    most = np.where(costs == costs.min(), slots, 0).max(axis=1)
    at: Ints = np.full(space.rows, low, dtype=np.int64)
    at[rows] = np.maximum(most, low)
    keys = [tie_rank(space)[rows], objective_at_most_slots(quantities, at)[rows]]
    if quantities.problem.objective.preset in FEWEST:
        keys.append(space.gpus[rows])
    place = next(place for place in np.lexsort(keys).tolist() if most[place])
    return _no_fuller(quantities, fixed, Choice(int(rows[place]), int(most[place])))


def _no_fuller(quantities: Quantities, fixed: Fixed | None, choice: Choice) -> Choice:
    """The same with as few sequences as the rules that it keeps allow, when memory is too small anyway."""
    kept = {result.id for result in judge_rules(quantities, choice) if result.holds}
    if "memory" in kept:
        return choice
    return Choice(choice.row, max(1, int(Screen(quantities, fixed, kept).least[choice.row])))


def _nearest_rows(quantities: Quantities, posted: Mapping[str, Posted], low: int, high: int) -> Ints:
    """Rows that may break the fewest rules: those with the fewest that no number of sequences keeps, each on its own."""
    rows = quantities.space.rows
    alone = np.zeros(rows, dtype=np.int64)
    for rule in posted.values():
        alone += rule.excluded | (np.maximum(rule.least, low) > np.minimum(rule.most, high))
    best = objective_at_most_slots(quantities, np.full(rows, quantities.space.slots))
    order: Ints = np.lexsort((best, alone))[:MOST_ROWS]
    return order


def _last_of_each(posted: Mapping[str, Posted], rows: Ints, low: int, high: int) -> Ints:
    """Numbers of sequences after which some rule begins or ceases to hold, (rows, M): between them nothing changes."""
    columns = [np.full(len(rows), high, dtype=np.int64)]
    if low < high:
        columns += [rule.most[rows] for rule in posted.values()]
        columns += [rule.least[rows] - 1 for rule in posted.values()]
    return np.clip(np.stack(columns, axis=1), low, high)


def _costs(posted: Mapping[str, Posted], rows: Ints, slots: Ints) -> Ints:
    """What breaking the rules weighs that each candidate breaks, (rows, M)."""
    broken: dict[str, Bools] = {}
    total: Ints = np.zeros(slots.shape, dtype=np.int64)
    for name, rule in posted.items():
        apart = (slots < rule.least[rows, None]) | (slots > rule.most[rows, None])
        broken[name] = rule.excluded[rows, None] | apart
        total += _weight(name) * broken[name]
    pairs = [
        (name, other, held[rows]) for name, rule in posted.items() for other, held in rule.shared if other in posted
    ]
    code: Ints = np.zeros(slots.shape, dtype=np.int64)
    for place, (name, other, held) in enumerate(pairs):
        code += (held[:, None] & ~broken[name] & ~broken[other]).astype(np.int64) << place
    for found in sorted(set(code[code > 0].tolist())):
        open_pairs = [(name, other) for place, (name, other, _) in enumerate(pairs) if found >> place & 1]
        total[code == found] += _cover(open_pairs)
    return total


def _cover(pairs: Sequence[tuple[str, str]]) -> int:
    """The least weight of rules of which every pair, broken together, has one."""
    if not pairs:
        return 0
    return min(_weight(one) + _cover([pair for pair in pairs if one not in pair]) for one in pairs[0])


def _weight(rule: str) -> int:
    return HARD if rule in HARD_RULES else SOFT
