"""The one CP-SAT model behind every question: what is fixed, which rules are on and what is minimised differ, nothing else.

Decisions are one literal per row of the space (exactly one is chosen), the sequences per replica, and for each failure
state whether the survivors carry the demand. Rows carry whole-number quantities, so every rule is linear in the
literals, except memory, where sequences multiply the bytes each of them reserves.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from optimizer.answer import Fixed
from optimizer.costs.failures import STATES
from optimizer.costs.shapes import Bools, Ints
from optimizer.search.quantities import Quantities
from optimizer.search.rules import Rule, rules_for
from optimizer.search.scale import NEVER_NS
from optimizer.search.solver import cp_model
from optimizer.search.space import tie_rank


class Model:
    """A CP-SAT model over a space, with a switch for each rule.

    ``switch[rule] = 1`` enforces the rule. Disabled rules have their switch fixed to 0; the others are fixed to 1
    unless the model is built with ``free=True`` for explanations.
    """

    def __init__(self, quantities: Quantities, fixed: Fixed | None = None, *, free: bool = False) -> None:
        self.q = quantities
        self.space = quantities.space
        self.rules: tuple[Rule, ...] = rules_for(quantities.problem)
        self._quantities: dict[bytes, Any] = {}
        self.model = cp_model.CpModel()
        self.chosen = [self.model.new_bool_var("") for _ in range(self.space.rows)]
        self.model.add_exactly_one(self.chosen)
        self.slots = self.model.new_int_var(1, self.space.slots, "max_num_seqs")
        if fixed is not None and fixed.max_num_seqs is not None:
            self.model.add(self.slots == fixed.max_num_seqs)
        disabled = set(quantities.problem.search.disabled_rules)
        self.enforced = frozenset() if free else frozenset(rule.id for rule in self.rules) - disabled
        self.most_slots: Ints = np.full(self.space.rows, self.space.slots, dtype=np.int64)
        if fixed is not None and fixed.max_num_seqs is not None:
            self.most_slots[:] = fixed.max_num_seqs
        self.switch: dict[str, Any] = {}
        for rule in self.rules:
            on = self.model.new_bool_var(f"rule {rule.id}")
            self.switch[rule.id] = on
            if rule.id in disabled:
                self.model.add(on == 0)
            elif not free:
                self.model.add(on == 1)
        for rule in self.rules:
            rule.post(self, quantities)
        self._objective: Any = None

    def of_row(self, values: Ints) -> Any:
        """The chosen row's value as a linear expression."""
        if values.size and (values == values[0]).all():
            return int(values[0])
        return cp_model.LinearExpr.weighted_sum(self.chosen, values.tolist())

    def quantity(self, values: Ints) -> Any:
        """The chosen row's value as a variable (a number when all rows share it).

        Constraints behind a switch speak of such variables and never of the wide sum itself: presolve of ortools 9.15
        loses solutions when a sum over exactly-one literals stands directly behind an enforcement literal
        (``tests/search/test_solver_traps.py``).
        """
        if (values == values[0]).all():
            return int(values[0])
        key = values.tobytes()
        if key not in self._quantities:
            variable = self.model.new_int_var(int(values.min()), int(values.max()), "")
            self.model.add(variable == self.of_row(values))
            self._quantities[key] = variable
        return self._quantities[key]

    def forbid_rows(self, rule: str, forbidden: Bools) -> None:
        """No forbidden row while the rule is on."""
        for row in np.flatnonzero(forbidden).tolist():
            self.model.add_implication(self.switch[rule], ~self.chosen[row])

    def rows_at_most(self, rule: str, values: Ints, limit: int, also: str | None = None) -> None:
        """The row's value is within the limit while the rule (and ``also``, another rule) is on."""
        switches = [self.switch[rule]] + ([self.switch[also]] if also else [])
        # "Never" becomes just above everything finite: sums over many rows must stay within 64 bits.
        finite = values[values < NEVER_NS]
        top = int(finite.max()) + 1 if finite.size else 1
        capped = min(limit, top)
        clipped = np.where(values < NEVER_NS, values, max(capped, top) + 1)
        value = self.quantity(clipped)
        if isinstance(value, int):
            if value > capped:
                self.model.add_bool_or([~switch for switch in switches])
            return
        self.model.add(value <= capped).only_enforce_if(switches)

    def slots_at_most(self, rule: str, limit: int) -> None:
        """At most so many sequences while the rule is on."""
        self.model.add(self.slots <= limit).only_enforce_if(self.switch[rule])
        self._bound_slots(rule, np.full(self.space.rows, limit, dtype=np.int64))

    def slots_at_most_rows(self, rule: str, limits: Ints) -> None:
        """At most as many sequences as the row allows while the rule is on."""
        self.model.add(self.slots <= self.quantity(limits)).only_enforce_if(self.switch[rule])
        self._bound_slots(rule, limits)

    def _bound_slots(self, rule: str, limits: Ints) -> None:
        """Remember the most sequences each row may run under the rules that are enforced."""
        if rule in self.enforced:
            self.most_slots = np.minimum(self.most_slots, limits)

    def slots_at_least_rows(self, rule: str, needed: Ints) -> None:
        """At least as many sequences as the row needs while the rule is on."""
        self.model.add(self.slots >= self.quantity(needed)).only_enforce_if(self.switch[rule])

    def memory_at_most(self, rule: str, budget: int) -> None:
        """Every stage class of the chosen row keeps within the budget while the rule is on."""
        fixed, per_sequence = self.q.memory.fixed, self.q.memory.per_sequence
        posted: set[bytes] = set()
        for column in range(fixed.shape[1]):
            base = fixed[:, column][self.space.row_shape]
            each = per_sequence[:, column][self.space.row_shape]
            key = base.tobytes() + each.tobytes()
            if not each.any() or key in posted:
                continue
            posted.add(key)
            reserved = self.model.new_int_var(0, int(each.max()) * self.space.slots, "")
            self.model.add_multiplication_equality(reserved, [self.slots, self.quantity(each)])
            self.model.add(self.quantity(base) + reserved <= budget).only_enforce_if(self.switch[rule])
            room = np.where(each > 0, (budget - base) // np.maximum(each, 1), self.space.slots)
            self._bound_slots(rule, room)

    def objective(self) -> Any:
        """Expected nanoseconds per request over failure states, plus the GPUs' share, as one expression."""
        if self._objective is not None:
            return self._objective
        values = self.q.state_values
        rest_served, rest_unserved = self.q.rest_values
        not_carried = values.served + values.unserved
        constant = values.carried.sum(axis=1) + rest_served + rest_unserved + self.q.gpu_ns
        total = self.of_row(constant)
        for down in range(STATES):
            extra = not_carried[:, down] - values.carried[:, down]
            if not extra.any():
                continue
            carries = self.model.new_bool_var(f"carried with {down} down")
            needed = self.quantity(np.minimum(self.q.slots_to_carry(down), self.space.slots + 1))
            self.model.add(self.slots >= needed).only_enforce_if(carries)
            self.model.add(self.slots < needed).only_enforce_if(~carries)
            shed = self.model.new_int_var(min(0, int(extra.min())), max(0, int(extra.max())), "")
            self.model.add(shed == 0).only_enforce_if(carries)
            self.model.add(shed == self.quantity(extra)).only_enforce_if(~carries)
            total = total + shed
        self._objective = total
        return total

    def throughput(self) -> Any:
        """Peak completions of the chosen strategy in micro-requests/s, rounded down.

        Completions only grow with the sequences, so a row's peak is at the most sequences its enforced rules allow; the
        model is asked to run as many as it takes to reach that peak.
        """
        completion = np.floor(self.q.best_completion_per_s * 1e6).astype(np.int64)[self.space.row_shape]
        most = np.clip(self.most_slots, 1, self.space.slots)
        peak = completion[np.arange(self.space.rows), most - 1]
        fewest = (completion < peak[:, None]).sum(axis=1) + 1
        self.model.add(self.slots >= self.of_row(np.minimum(fewest, most)))
        return self.of_row(peak * self.space.row_dp)

    def tiers(self) -> list[Any]:
        """What is minimised, first to last: the preset's own tier, the objective, then the stated tie-breaks."""
        preset = self.q.problem.objective.preset
        before: list[Any] = []
        if preset == "throughput" and self.enforced:
            before = [-self.throughput()]
        elif preset == "fewest-gpus":
            before = [self.of_row(self.space.gpus)]
        ties = self.of_row(tie_rank(self.space) * (self.space.slots + 1)) - self.slots
        return [*before, self.objective(), ties]

    def forbid(self, rows: Bools) -> None:
        """Take rows out, for alternatives to an answer."""
        for row in np.flatnonzero(rows).tolist():
            self.model.add(self.chosen[row] == 0)
