"""The CP-SAT model of a day: one row in each hour, and the starts and stops between hours, the last hour before the first.

Other home: ``verify/profile/day.py``; docs/profile.md, sections 3 and 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from optimizer.costs.shapes import Ints
from optimizer.facts.profile import HOUR_S, HOURS
from optimizer.results.answer import Status
from optimizer.search.common.clock import Clock
from optimizer.search.common.solver import cp_model, new_solver, outcome_of, solve_stoppable
from optimizer.search.profile.states import DayStates


@dataclass(frozen=True, slots=True)
class FoundDay:
    """What a search found: a row for each hour, and bounds of the first tier where it is not proved."""

    outcome: Status
    rows: tuple[int, ...] = ()
    bound: int | None = None


class DayModel:
    """One model; ``tiers`` are minimised one after the other.

    Args:
        constant: the same row in every hour, for the plan that never changes.
    """

    def __init__(self, states: DayStates, *, constant: bool = False) -> None:
        self.states, self.constant = states, constant
        self.model: Any = cp_model.CpModel()
        self.rows: list[Ints] = [states.allowed(hour) for hour in range(HOURS)]
        if constant:
            every = self.rows[0]
            for rows in self.rows[1:]:
                every = np.intersect1d(every, rows)
            self.rows = [every] * HOURS
        self.possible = all(len(rows) for rows in self.rows)
        if not self.possible:
            return
        model = self.model
        if constant:
            once = [model.new_bool_var("") for _ in self.rows[0]]
            self.chosen = [once] * HOURS
            model.add_exactly_one(once)
        else:
            self.chosen = [[model.new_bool_var("") for _ in rows] for rows in self.rows]
            for literals in self.chosen:
                model.add_exactly_one(literals)
        self.gpu_s: Any = sum(self._sum(h, HOUR_S * states.space.gpus[self.rows[h]]) for h in range(HOURS))
        self.time_us: Any = sum(self._sum(h, states.time_us(h, self.rows[h])) for h in range(HOURS))
        self.changes: Any = 0
        if not constant:
            self._changes()

    def _sum(self, hour: int, values: Ints) -> Any:
        return sum(int(value) * literal for value, literal in zip(values, self.chosen[hour], strict=True))

    def _changes(self) -> None:
        states, model = self.states, self.model
        hardware, most = states.day.problem.hardware, states.day.schedule.most_changes_per_hour
        shapes = sorted({int(shape) for rows in self.rows for shape in states.space.row_shape[rows]})
        instances = states.space.instances
        highest = int(max(instances[rows].max() for rows in self.rows))
        counts, active = [], []
        for hour in range(HOURS):
            of_shape = states.space.row_shape[self.rows[hour]]
            counts.append([self._sum(hour, np.where(of_shape == s, instances[self.rows[hour]], 0)) for s in shapes])
            active.append([self._sum(hour, (of_shape == s).astype(np.int64)) for s in shapes])
        loads = [[states.per_node(int(row)) for row in self.rows[hour]] for hour in range(HOURS)]
        for hour in range(HOURS):
            before, moved = hour - 1, []
            for number, shape in enumerate(shapes):
                started, stopped = (model.new_int_var(0, highest, "") for _ in range(2))
                model.add(started - stopped == counts[hour][number] - counts[before][number])
                in_day = states.shapes[shape]
                self.gpu_s += in_day.start_gpu_s * started + in_day.stop_gpu_s * stopped
                self.changes += started + stopped
                moved += [started, stopped]
            if most is not None:
                model.add(sum(moved) <= most)
            if len(shapes) > 1:
                # Of another shape all instances start beside those that stop: both find room on every node.
                other = model.new_bool_var("")
                for number in range(len(shapes)):
                    model.add(other >= active[hour][number] - active[before][number])
                node = hardware.gpus_per_node
                filled = [
                    self._sum(at, np.array([node if load is None else load for load in loads[at]]))
                    for at in (hour, before)
                ]
                model.add(filled[0] + filled[1] <= node).only_enforce_if(other)

    def tiers(self) -> list[Any]:
        """Cost and time in the order that is asked for, then changes, then the order of ties."""
        first = [self.gpu_s, self.time_us]
        if self.states.day.schedule.first == "time":
            first.reverse()
        rank = sum(self._sum(hour, self.states.rank[self.rows[hour]]) for hour in range(HOURS))
        return [*first, self.changes, rank]


def best_day(states: DayStates, clock: Clock, *, constant: bool = False) -> FoundDay:
    """The best day, or the best that never changes, proved tier by tier."""
    model = DayModel(states, constant=constant)
    if not model.possible:
        return FoundDay("infeasible")
    rows: tuple[int, ...] = ()
    bound: int | None = None
    for number, tier in enumerate(model.tiers()):
        if isinstance(tier, int):
            continue
        model.model.minimize(tier)
        solver = new_solver(seed=1)
        if clock.left_s is not None:
            solver.parameters.max_time_in_seconds = clock.left_s
        status, _ = solve_stoppable(solver, model.model, None, clock.ctrl_c)
        outcome = outcome_of(status, model.model)
        if outcome == "infeasible":
            return FoundDay("infeasible")
        if outcome == "unknown":
            return FoundDay("feasible" if rows else "unknown", rows, bound)
        rows = tuple(
            int(
                next(
                    row
                    for row, literal in zip(model.rows[h], model.chosen[h], strict=True)
                    if solver.boolean_value(literal)
                )
            )
            for h in range(HOURS)
        )
        if number == 0:
            bound = int(solver.best_objective_bound // 1)
        if outcome != "optimal":
            return FoundDay("feasible", rows, bound)
        model.model.add(tier <= int(solver.value(tier)))
    return FoundDay("optimal", rows, bound)
