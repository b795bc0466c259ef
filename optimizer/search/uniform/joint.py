"""One CP-SAT model over candidates of several problems: which hardware is part of the decision, and what it costs comes first.

Each part is one problem (a GPU type and a count) with the rows of it that the screen leaves. Exactly one row of one part is
chosen; the rules of a part bind its own rows. Minimised one after the other: the cost of the hardware, the preset's own tier,
the objective, and the tie-break, the parts' order last of all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from optimizer.costs.failures import STATES
from optimizer.costs.shapes import Bools, Ints
from optimizer.facts.demand import FEWEST
from optimizer.search.common.solver import cp_model
from optimizer.search.uniform.capacity import capacity
from optimizer.search.uniform.rule import Choice
from optimizer.search.uniform.rules import rules_for
from optimizer.search.uniform.screen import Screen, first_tier, objective_at_most_slots, peak_completions
from optimizer.search.uniform.shared import SpacePart
from optimizer.search.uniform.solve import FIRST_BATCH, Solver


@dataclass(frozen=True, slots=True)
class MachineChoice:
    """One hardware that may be chosen: its candidates, and its cost in whole units."""

    part: SpacePart
    cost: int


@dataclass(frozen=True, slots=True)
class JointChoice:
    """The optimum: a machine by its position, and the candidate in its part."""

    machine: int
    choice: Choice


class _PartPoster:
    """Posts the rules of one part on its own rows; all enforced rules are on."""

    def __init__(self, model: Any, slots: Any, part: SpacePart, rows: Ints, chosen: list[Any]) -> None:
        self.model, self.slots, self.part = model, slots, part
        self._literals = list(zip(rows.tolist(), chosen, strict=True))
        self._off = set(part.problem.search.disabled_rules)

    def forbid_rows(self, rule: str, forbidden: Bools) -> None:
        """No forbidden row."""
        for row, literal in self._literals:
            if forbidden[row]:
                self.model.add_bool_or([~literal])

    def rows_at_most(self, rule: str, values: Ints, limit: int, also: str | None = None) -> None:
        """The row's value is within the limit, if ``also`` (another rule) is on too."""
        if also not in self._off:
            self.forbid_rows(rule, values > limit)

    def slots_at_most(self, rule: str, limit: int) -> None:
        """At most so many sequences."""
        self.slots_at_most_rows(rule, np.full(self.part.space.rows, limit))

    def slots_at_most_rows(self, rule: str, limits: Ints) -> None:
        """At most as many sequences as the row allows."""
        for row, literal in self._literals:
            self.model.add(self.slots <= int(limits[row])).only_enforce_if(literal)

    def slots_at_least_rows(self, rule: str, needed: Ints) -> None:
        """At least as many sequences as the row needs."""
        for row, literal in self._literals:
            self.model.add(self.slots >= int(needed[row])).only_enforce_if(literal)

    def memory_at_most(self, rule: str, budget: int) -> None:
        """Every stage class of the row keeps within the budget."""
        memory = self.part.memory
        fixed, each = memory.fixed, memory.per_sequence
        for row, literal in self._literals:
            shape = int(self.part.space.row_shape[row])
            for column in range(fixed.shape[1]):
                room, step = budget - int(fixed[shape, column]), int(each[shape, column])
                self.model.add(step * self.slots <= room).only_enforce_if(literal)


class _Joint:
    """The model over some candidates (machine, row), best first."""

    def __init__(self, machines: list[MachineChoice], candidates: list[tuple[int, int]], most: list[Ints]) -> None:
        self.machines, self.candidates = machines, candidates
        self.model = cp_model.CpModel()
        self.chosen = [self.model.new_bool_var("") for _ in candidates]
        self.model.add_exactly_one(self.chosen)
        longest = max(machines[machine].part.space.slots for machine, _ in candidates)
        self.slots = self.model.new_int_var(1, longest, "max_num_seqs")
        for position in sorted({machine for machine, _ in candidates}):
            mine = [(row, x) for (machine, row), x in zip(candidates, self.chosen, strict=True) if machine == position]
            part = machines[position].part
            rows = np.array([row for row, _ in mine], dtype=np.int64)
            poster = _PartPoster(self.model, self.slots, part, rows, [x for _, x in mine])
            for rule in rules_for(part.problem):
                if rule.id not in part.problem.search.disabled_rules:
                    rule.post(poster, part)
        self.tiers = [self._sum(lambda machine, row: machines[machine].cost), *self._first(most), self._objective()]
        # The candidates come in the order of the tie-break.
        scale = longest + 1
        order = {pair: i for i, pair in enumerate(candidates)}
        self.tiers.append(self._sum(lambda machine, row: order[machine, row] * scale) - self.slots)

    def _sum(self, value: Any) -> Any:
        values = [int(value(machine, row)) for machine, row in self.candidates]
        return cp_model.LinearExpr.weighted_sum(self.chosen, values)

    def _first(self, most: list[Ints]) -> list[Any]:
        """The preset's own tier; a row's peak throughput is reached with enough sequences."""
        preset = self.machines[0].part.problem.objective.preset
        if preset in FEWEST:
            gpus = [machine.part.space.gpus for machine in self.machines]
            return [self._sum(lambda machine, row: gpus[machine][row])]
        if preset not in ("throughput", "capacity"):
            return []
        of_rows = peak_completions if preset == "throughput" else capacity
        peaks = [of_rows(machine.part, most[i]) for i, machine in enumerate(self.machines)]
        self.model.add(self.slots >= self._sum(lambda machine, row: peaks[machine][1][row]))
        return [-self._sum(lambda machine, row: peaks[machine][0][row])]

    def _objective(self) -> Any:
        """Expected nanoseconds per request, each failure state by whether the sequences carry it."""
        parts = [machine.part for machine in self.machines]
        worth = {i: parts[i].state_values for i in {machine for machine, _ in self.candidates}}
        rest = {i: sum(parts[i].rest_values) + parts[i].gpu_ns for i in worth}
        total = self._sum(lambda machine, row: worth[machine].carried[row].sum() + rest[machine][row])
        for (machine, row), literal in zip(self.candidates, self.chosen, strict=True):
            values = worth[machine]
            for down in range(STATES):
                extra = int(values.served[row, down] + values.unserved[row, down] - values.carried[row, down])
                if not extra:
                    continue
                needed = int(parts[machine].slots_to_carry[down][row])
                sheds = self.model.new_bool_var("")
                self.model.add_implication(sheds, literal)
                self.model.add(self.slots < needed).only_enforce_if(sheds)
                self.model.add(self.slots >= needed).only_enforce_if([literal, ~sheds])
                total = total + extra * sheds
        return total


def best_machines(machines: list[MachineChoice]) -> JointChoice | None:
    """The best candidate over all machines, proved by CP-SAT; None when no rule-abiding one exists.

    As in ``Solver.best``, the model is given the candidates whose exact bounds are best, and grows until none left out could win.
    """
    screens = [Screen(machine.part) for machine in machines]
    most = [screen.most for screen in screens]
    columns: list[Ints] = []
    for position, (machine, screen) in enumerate(zip(machines, screens, strict=True)):
        rows = np.flatnonzero(screen.viable)
        same = np.ones(len(rows), dtype=np.int64)
        first, value = (
            first_tier(machine.part, screen.most)[rows],
            objective_at_most_slots(machine.part, screen.most)[rows],
        )
        rank = np.argsort(np.argsort(machine.part.rank[rows]))
        columns.append(np.stack([machine.cost * same, first, value, position * same, rank, rows]))
    keys = np.concatenate(columns, axis=1)
    if not keys.shape[1]:
        return None
    keys = keys[:, np.lexsort(keys[4::-1])]
    candidates = [(int(machine), int(row)) for machine, row in zip(keys[3], keys[5], strict=True)]
    size = FIRST_BATCH
    while True:
        built = _Joint(machines, candidates[:size], most)
        at, slots = _lexicographic(built)
        # Bounds of what was left out begin where the batch ends; the winner's own are exact.
        if size >= len(candidates) or tuple(keys[:3, at]) <= tuple(keys[:3, size]):
            return JointChoice(candidates[at][0], Choice(candidates[at][1], slots))
        size *= 2


def _lexicographic(built: _Joint) -> tuple[int, int]:
    """(position of the chosen candidate, sequences), each tier proved before the next.

    Raises:
        RuntimeError: the screen and the model disagree, which is a defect.
    """
    solver = Solver()
    for tier in built.tiers:
        built.model.minimize(tier)
        run, outcome = solver.run(built.model)
        if outcome != "optimal":
            raise RuntimeError("the screen and the model disagree on feasibility")
        built.model.add(tier <= int(run.value(tier)))
        built.model.clear_hints()
        for literal in built.chosen:
            built.model.add_hint(literal, run.boolean_value(literal))
        built.model.add_hint(built.slots, int(run.value(built.slots)))
        at = next(i for i, literal in enumerate(built.chosen) if run.boolean_value(literal))
        slots = int(run.value(built.slots))
    return at, slots
