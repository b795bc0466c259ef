"""What each candidate breaks, as bit masks: the whole feasibility question of a space in a few hundred numbers.

For every row and every number of sequences at which the set of broken rules can change, the rules broken are one mask.
A set of rules can hold together exactly when some mask shares no bit with it; what has to be given up for a candidate is
its mask. Conflicts (minimal sets that hit every mask) and repairs (smallest masks) are two views of the same table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from optimizer.costs.shapes import Bools, Ints
from optimizer.facts.problem import Problem
from optimizer.results.answer import Fixed
from optimizer.search.uniform.quantities import Quantities
from optimizer.search.uniform.rule import Rule
from optimizer.search.uniform.rules import rules_for, rules_of
from optimizer.search.uniform.screen import Screen


@dataclass(slots=True)
class Posted:
    """What one rule says about rows and sequences."""

    least: Ints
    most: Ints
    excluded: Bools
    shared: list[tuple[str, Bools]] = field(default_factory=list)
    """(other rule, rows excluded only while that rule is on too)"""


class _Recorder(Screen):
    """A screen that keeps apart what one rule excludes on its own and what it excludes together with another."""

    def __init__(self, quantities: Quantities, rule: Rule) -> None:
        self.shared: list[tuple[str, Bools]] = []
        super().__init__(quantities, None, ())
        rule.post(self, quantities)

    def rows_at_most(self, rule: str, values: Ints, limit: int, also: str | None = None) -> None:
        """The row's value is within the limit, kept apart when it takes another rule as well."""
        if also is None:
            self.excluded = self.excluded | (values > limit)
        else:
            self.shared.append((also, values > limit))


def posted_rules(quantities: Quantities, problem: Problem) -> dict[str, Posted]:
    """What every enforced rule of a problem says, each on its own."""
    found = {}
    for rule in rules_of(quantities) if problem is quantities.problem else rules_for(problem):
        if rule.id not in problem.search.disabled_rules:
            seen = _Recorder(quantities, rule)
            found[rule.id] = Posted(seen.least, seen.most, seen.excluded, seen.shared)
    return found


def violation_masks(
    quantities: Quantities,
    bits: Mapping[str, int],
    row_bits: Ints,
    fixed: Fixed | None = None,
    relaxed: Problem | None = None,
    wanted: Callable[[Ints], Bools] | None = None,
    more_slots: Sequence[Ints] = (),
) -> Ints:
    """Distinct masks of what the candidates break.

    Args:
        q: of the problem whose rules are meant.
        bits: the bit of each rule that may be broken; a candidate that breaks any other enforced rule is left out.
        row_bits: (R,) bits that each row carries whatever its sequences.
        fixed: decisions that hold in any case.
        relaxed: a problem with looser limits; a candidate that breaks a rule even of it is left out.
        wanted: which candidates count, from their sequences (R, M) to (R, M); all when left out.
        more_slots: (R,) further numbers of sequences at which ``wanted`` can change.
    """
    if not quantities.space.rows:
        return np.empty(0, dtype=np.int64)
    stated = posted_rules(quantities, quantities.problem)
    loose = posted_rules(quantities, relaxed) if relaxed is not None else {}
    slots = _turning_points(quantities, [*stated.values(), *loose.values()], fixed, more_slots)
    left = np.full(slots.shape, True) if wanted is None else wanted(slots)
    masks = np.broadcast_to(row_bits[:, None], slots.shape).copy()
    pairs: list[str] = []
    for rule, posted in stated.items():
        broken = _broken(posted, slots)
        if rule not in bits:
            left &= ~broken
        else:
            masks |= np.where(broken, bits[rule], 0)
        if posted.shared:
            pairs.append(rule)
    for posted in loose.values():
        left &= ~_broken(posted, slots) & ~_together(posted, loose)[:, None]
    variants = [(masks, left)]
    for rule in pairs:
        # Two rules are broken together: giving up either is enough.
        together = _together(stated[rule], stated)
        if not together.any():
            continue
        others, cannot = _others(stated[rule], stated, bits)
        by_others = [(mask | others[:, None], kept & ~cannot[:, None]) for mask, kept in variants]
        alone = ~together[:, None] if rule not in bits else np.full((1, 1), True)
        itself = [(mask | np.where(together, bits.get(rule, 0), 0)[:, None], kept & alone) for mask, kept in variants]
        variants = itself + by_others
    masks = np.concatenate([mask[kept] for mask, kept in variants])
    return np.array(sorted(set(masks.tolist())), dtype=np.int64)


def _others(posted: Posted, rules: Mapping[str, Posted], bits: Mapping[str, int]) -> tuple[Ints, Bools]:
    """Bits of the other rule of every pair broken, and rows where such a rule may not be given up, (R,) each."""
    total: Ints = np.zeros(len(posted.excluded), dtype=np.int64)
    cannot: Bools = np.zeros(len(posted.excluded), dtype=np.bool_)
    for other, rows in posted.shared:
        if other in rules:
            total |= np.where(rows, bits.get(other, 0), 0)
            if other not in bits:
                cannot |= rows
    return total, cannot


def _together(posted: Posted, rules: Mapping[str, Posted]) -> Bools:
    total: Bools = np.zeros(len(posted.excluded), dtype=np.bool_)
    for other, rows in posted.shared:
        if other in rules:
            total |= rows
    return total


def _broken(posted: Posted, slots: Ints) -> Bools:
    result: Bools = posted.excluded[:, None] | (slots < posted.least[:, None]) | (slots > posted.most[:, None])
    return result


def _turning_points(quantities: Quantities, posted: list[Posted], fixed: Fixed | None, more: Sequence[Ints]) -> Ints:
    """Numbers of sequences at which some rule begins or ceases to hold, (R, M)."""
    rows = quantities.space.rows
    if fixed is not None and fixed.max_num_seqs is not None:
        return np.full((rows, 1), fixed.max_num_seqs, dtype=np.int64)
    columns = [np.ones(rows, dtype=np.int64), np.full(rows, quantities.space.slots, dtype=np.int64), *more]
    for rule in posted:
        columns += [rule.least] if (rule.least > 1).any() else []
        columns += [rule.most] if (rule.most < quantities.space.slots).any() else []
    return np.clip(np.stack(columns, axis=1), 1, quantities.space.slots)
