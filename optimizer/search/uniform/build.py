"""The one CP-SAT model behind every question: what is fixed, which rules are on and what is minimised differ, nothing else.

Decisions are one literal per row of the space (exactly one is chosen), the sequences per replica, and for each failure
state whether the survivors carry the demand. Rows carry whole-number quantities, so every rule is linear in the
literals, except memory, where sequences multiply the bytes each of them reserves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from optimizer.costs.failures import STATES
from optimizer.costs.shapes import Bools, Ints
from optimizer.facts.demand import FEWEST
from optimizer.results.answer import Fixed
from optimizer.search.common.scale import NEVER_NS
from optimizer.search.common.solver import cp_model
from optimizer.search.uniform.capacity import capacity
from optimizer.search.uniform.lost import lost
from optimizer.search.uniform.quantities import Quantities
from optimizer.search.uniform.rule import Rule
from optimizer.search.uniform.rules import rules_of
from optimizer.search.uniform.screen import peak_completions
from optimizer.search.uniform.space import tie_rank


class Model:
    """A CP-SAT model over rows of a space, with a switch for each rule.

    ``switch[rule] = 1`` enforces the rule. Disabled rules have their switch fixed to 0; the others are fixed to 1
    unless the model is built with ``free=True`` for explanations.

    Args:
        rows: the rows to choose from, as indices into the space; all when left out.
        most_slots: the most sequences each row of the space may run under the enforced rules, for the throughput tier.
    """

    def __init__(
        self,
        quantities: Quantities,
        fixed: Fixed | None = None,
        *,
        rows: Sequence[int] | Ints | None = None,
        most_slots: Ints | None = None,
        free: bool = False,
    ) -> None:
        self.quantities = quantities
        self.space = quantities.space
        self.rows: Ints = np.arange(self.space.rows) if rows is None else np.asarray(rows, dtype=np.int64)
        self.most_slots = most_slots
        self.rules: tuple[Rule, ...] = rules_of(quantities)
        self.model = cp_model.CpModel()
        self.chosen = [self.model.new_bool_var("") for _ in range(len(self.rows))]
        self.model.add_exactly_one(self.chosen)
        self.slots = self.model.new_int_var(1, self.space.slots, "max_num_seqs")
        if fixed is not None and fixed.max_num_seqs is not None:
            self.model.add(self.slots == fixed.max_num_seqs)
        self._quantities: dict[bytes, Any] = {}
        self._carries: dict[int, Any] = {}
        self._objective: Any = None
        disabled = set(quantities.problem.search.disabled_rules)
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

    def of_row(self, values: Ints) -> Any:
        """The chosen row's value, from values over all rows of the space, as a linear expression."""
        here = values[self.rows]
        if (here == here[0]).all():
            return int(here[0])
        return cp_model.LinearExpr.weighted_sum(self.chosen, here.tolist())

    def quantity(self, values: Ints) -> Any:
        """The chosen row's value as a variable (a number when all rows share it).

        Constraints behind a switch speak of such variables and never of the wide sum itself: presolve of ortools 9.15
        loses solutions when a sum over exactly-one literals stands directly behind an enforcement literal
        (``tests/search/test_solver_traps.py``).
        """
        here = values[self.rows]
        if (here == here[0]).all():
            return int(here[0])
        key = here.tobytes()
        if key not in self._quantities:
            variable = self.model.new_int_var(int(here.min()), int(here.max()), "")
            self.model.add(variable == self.of_row(values))
            self._quantities[key] = variable
        return self._quantities[key]

    def forbid_rows(self, rule: str, forbidden: Bools) -> None:
        """No forbidden row while the rule is on."""
        for position in np.flatnonzero(forbidden[self.rows]).tolist():
            self.model.add_implication(self.switch[rule], ~self.chosen[position])

    def rows_at_most(self, rule: str, values: Ints, limit: int, also: str | None = None) -> None:
        """The row's value is within the limit while the rule (and ``also``, another rule) is on."""
        switches = [self.switch[rule]] + ([self.switch[also]] if also else [])
        # "Never" becomes just above everything finite: sums over many rows must stay within 64 bits.
        finite = values[values < NEVER_NS]
        top = int(finite.max()) + 1 if finite.size else 1
        capped = min(limit, top)
        value = self.quantity(np.where(values < NEVER_NS, values, top + 1))
        if not isinstance(value, int):
            self.model.add(value <= capped).only_enforce_if(switches)
        elif value > capped:
            self.model.add_bool_or([~switch for switch in switches])

    def slots_at_most(self, rule: str, limit: int) -> None:
        """At most so many sequences while the rule is on."""
        self.model.add(self.slots <= limit).only_enforce_if(self.switch[rule])

    def slots_at_most_rows(self, rule: str, limits: Ints) -> None:
        """At most as many sequences as the row allows while the rule is on."""
        self.model.add(self.slots <= self.quantity(limits)).only_enforce_if(self.switch[rule])

    def slots_at_least_rows(self, rule: str, needed: Ints) -> None:
        """At least as many sequences as the row needs while the rule is on."""
        self.model.add(self.slots >= self.quantity(needed)).only_enforce_if(self.switch[rule])

    def memory_at_most(self, rule: str, budget: int) -> None:
        """Every stage class of the chosen row keeps within the budget while the rule is on."""
        fixed, per_sequence = self.quantities.memory.fixed, self.quantities.memory.per_sequence
        posted: set[bytes] = set()
        for column in range(fixed.shape[1]):
            base = fixed[:, column][self.space.row_shape]
            each = per_sequence[:, column][self.space.row_shape]
            key = base[self.rows].tobytes() + each[self.rows].tobytes()
            if key in posted:
                continue
            posted.add(key)
            reserved = self.model.new_int_var(0, int(each.max()) * self.space.slots, "")
            self.model.add_multiplication_equality(reserved, [self.slots, self.quantity(each)])
            self.model.add(self.quantity(base) + reserved <= budget).only_enforce_if(self.switch[rule])

    def objective(self) -> Any:
        """Expected nanoseconds per request over failure states, plus the GPUs' share, as one expression."""
        if self._objective is not None:
            return self._objective
        values = self.quantities.state_values
        rest_served, rest_unserved = self.quantities.rest_values
        not_carried = values.served + values.unserved
        total = self.of_row(values.carried.sum(axis=1) + rest_served + rest_unserved + self.quantities.gpu_ns)
        for down in range(STATES):
            extra = not_carried[:, down] - values.carried[:, down]
            if not extra[self.rows].any():
                continue
            carries = self.carries(down)
            shed = self.model.new_int_var(min(0, int(extra.min())), max(0, int(extra.max())), "")
            self.model.add(shed == 0).only_enforce_if(carries)
            self.model.add(shed == self.quantity(extra)).only_enforce_if(~carries)
            total = total + shed
        self._objective = total
        return total

    def carries(self, down: int) -> Any:
        """A literal that is true exactly where the chosen strategy carries the demand with so many instances down."""
        if down not in self._carries:
            carries = self.model.new_bool_var(f"carried with {down} down")
            needed = self.quantity(np.minimum(self.quantities.slots_to_carry[down], self.space.slots + 1))
            self.model.add(self.slots >= needed).only_enforce_if(carries)
            self.model.add(self.slots < needed).only_enforce_if(~carries)
            self._carries[down] = carries
        return self._carries[down]

    def lost(self) -> Any:
        """Share of requests not served over failure states, in parts (``scale.PARTS``); the demand is carried with all up."""
        states, rest = lost(self.quantities)
        self.model.add(self.carries(0) == 1)
        total = self.of_row(rest)
        for down in range(1, STATES):
            if not states[self.rows, down].any():
                continue
            missing = self.model.new_int_var(0, int(states[self.rows, down].max()), "")
            self.model.add(missing == 0).only_enforce_if(self.carries(down))
            self.model.add(missing == self.quantity(states[:, down])).only_enforce_if(~self.carries(down))
            total = total + missing
        return total

    def throughput(self, most_slots: Ints) -> Any:
        """Peak completions of the chosen strategy in micro-requests/s, rounded down.

        Completions only grow with the sequences, so a row's peak is at the most sequences its enforced rules allow; the
        model is asked to run as many as it takes to reach that peak.
        """
        peak, fewest = peak_completions(self.quantities, most_slots)
        self.model.add(self.slots >= self.of_row(fewest))
        return self.of_row(peak)

    def tiers(self) -> list[Any]:
        """What is minimised, first to last: the preset's own tier, the objective, then the stated tie-breaks."""
        preset = self.quantities.problem.objective.preset
        before: list[Any] = []
        if preset == "throughput" and self.most_slots is not None:
            before = [-self.throughput(self.most_slots)]
        elif preset == "capacity" and self.most_slots is not None:
            steps, fewest = capacity(self.quantities, self.most_slots)
            self.model.add(self.slots >= self.of_row(fewest))
            before = [-self.of_row(steps)]
        elif preset in FEWEST:
            before = [self.of_row(self.space.gpus)]
        rank = tie_rank(self.space)[self.rows].argsort().argsort()
        by_row = np.zeros(self.space.rows, dtype=np.int64)
        by_row[self.rows] = rank * (self.space.slots + 1)
        return [*before, self.objective(), self.of_row(by_row) - self.slots]
