"""What the rules leave of each row on its own, computed for all rows at once.

The rules post themselves here as they do on the CP-SAT model; a row survives when no enforced rule forbids it and some
number of sequences is left for it. The solver is then given the rows that can still win: those with the best proven
bound. Rows that are left out are worse than, or no better than, the optimum found, by their own exact bound.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from optimizer.costs.failures import STATES
from optimizer.costs.shapes import Bools, Ints
from optimizer.facts.demand import FEWEST
from optimizer.results.answer import Fixed
from optimizer.search.uniform.capacity import capacity
from optimizer.search.uniform.quantities import Quantities
from optimizer.search.uniform.rules import rules_of


class Screen:
    """Rows and ranges of sequences that the enforced rules allow, each rule counted on its own for explanations."""

    def __init__(
        self, quantities: Quantities, fixed: Fixed | None = None, active: Collection[str] | None = None
    ) -> None:
        self.quantities = quantities
        self.space = quantities.space
        rules = rules_of(quantities)
        enabled = {rule.id for rule in rules} - set(quantities.problem.search.disabled_rules)
        self.enforced = frozenset(enabled if active is None else enabled & set(active))
        rows = self.space.rows
        wanted = fixed.max_num_seqs if fixed is not None else None
        self.least: Ints = np.full(rows, wanted or 1, dtype=np.int64)
        self.most: Ints = np.full(rows, wanted or self.space.slots, dtype=np.int64)
        self.excluded: Bools = np.zeros(rows, dtype=np.bool_)
        for rule in rules:
            if rule.id in self.enforced:
                rule.post(self, quantities)

    @property
    def viable(self) -> Bools:
        """Rows that keep every enforced rule with some number of sequences, (R,)."""
        result: Bools = ~self.excluded & (self.least <= self.most)
        return result

    def forbid_rows(self, rule: str, forbidden: Bools) -> None:
        """No forbidden row."""
        self.excluded |= forbidden

    def rows_at_most(self, rule: str, values: Ints, limit: int, also: str | None = None) -> None:
        """The row's value is within the limit, if ``also`` (another rule) is enforced too."""
        if also is None or also in self.enforced:
            self.excluded |= values > limit

    def slots_at_most(self, rule: str, limit: int) -> None:
        """At most so many sequences."""
        self.most = np.minimum(self.most, limit)

    def slots_at_most_rows(self, rule: str, limits: Ints) -> None:
        """At most as many sequences as the row allows."""
        self.most = np.minimum(self.most, limits)

    def slots_at_least_rows(self, rule: str, needed: Ints) -> None:
        """At least as many sequences as the row needs."""
        self.least = np.maximum(self.least, needed)

    def memory_at_most(self, rule: str, budget: int | Ints) -> None:
        """Every stage class keeps within the budget: one for all, or each its own, (S, C)."""
        memory = self.quantities.memory
        each = memory.per_sequence
        room = np.where(each > 0, (budget - memory.fixed) // np.maximum(each, 1), self.space.slots)
        # A padding column holds the engine alone; a real one without a cache fits or does not.
        room = np.where((each == 0) & (memory.fixed > budget), 0, room)
        self.most = np.minimum(self.most, room.min(axis=1)[self.space.row_shape])


def objective_at_most_slots(quantities: Quantities, most: Ints) -> Ints:
    """The objective of each row with as many sequences as it may run: its best, for carrying is never dearer, (R,) ns."""
    values, (rest_served, rest_unserved) = quantities.state_values, quantities.rest_values
    total: Ints = rest_served + rest_unserved + quantities.gpu_ns
    for down in range(STATES):
        shed = values.served[:, down] + values.unserved[:, down]
        total = total + np.where(quantities.slots_to_carry[down] <= most, values.carried[:, down], shed)
    return total


def peak_completions(quantities: Quantities, most: Ints) -> tuple[Ints, Ints]:
    """(micro-requests/s of all replicas at most, fewest sequences that reach it) for each row, (R,) and (R,)."""
    shape, top = quantities.space.row_shape, np.clip(most, 1, quantities.space.slots)
    micro = np.floor(quantities.completion_per_s[shape] * 1e6).astype(np.int64)
    peak = np.floor(quantities.completes(shape, top) * 1e6).astype(np.int64)
    fewest = np.minimum((micro < peak[:, None]).sum(axis=1) + 1, top)
    return peak * quantities.space.row_dp, fewest


def first_tier(quantities: Quantities, most: Ints) -> Ints:
    """The best value of the preset's first tier that each row can reach, smaller is better, (R,)."""
    preset = quantities.problem.objective.preset
    if preset == "throughput":
        return -peak_completions(quantities, most)[0]
    if preset in FEWEST:
        return quantities.space.gpus
    if preset == "capacity":
        return -capacity(quantities, most)[0]
    return objective_at_most_slots(quantities, most)
