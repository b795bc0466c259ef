"""Run a model: lexicographic tiers to proven optimality under one time limit, with honest statuses."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from optimizer.search.build import Model
from optimizer.search.rules import Choice
from optimizer.search.solver import cp_model

Outcome = Literal["optimal", "feasible", "infeasible", "unknown"]


@dataclass(frozen=True, slots=True)
class Progress:
    """What a live line shows while the solver runs."""

    elapsed_s: float
    incumbent: float
    bound: float


@dataclass(frozen=True, slots=True)
class Found:
    """Outcome of a solve. ``value`` and ``bound`` are of the objective tier, in ns; tiers as in ``Model.tiers``."""

    outcome: Outcome
    choice: Choice | None
    value: int | None
    bound: int | None
    seconds: float


class Solver:
    """CP-SAT with one worker and a fixed seed: the same question gets the same answer."""

    def __init__(self, time_limit_s: float | None = None, progress: Callable[[Progress], None] | None = None) -> None:
        self.started = time.monotonic()
        self.deadline = None if time_limit_s is None else self.started + time_limit_s
        self.progress = progress

    def _fresh(self) -> Any:
        solver = cp_model.CpSolver()
        solver.parameters.num_workers = 1
        solver.parameters.random_seed = 1
        if self.deadline is not None:
            solver.parameters.max_time_in_seconds = max(0.0, self.deadline - time.monotonic())
        return solver

    def run(self, model: Any) -> tuple[Any, Outcome]:
        """Solve a CP model once.

        Raises:
            RuntimeError: the model is invalid, which is a defect of the builder and never of the input.
        """
        solver = self._fresh()
        callback = _Live(self) if self.progress else None
        status = solver.solve(model, callback) if callback else solver.solve(model)
        outcomes: dict[Any, Outcome] = {
            cp_model.OPTIMAL: "optimal",
            cp_model.FEASIBLE: "feasible",
            cp_model.INFEASIBLE: "infeasible",
            cp_model.UNKNOWN: "unknown",
        }
        if status not in outcomes:
            raise RuntimeError(f"the model is invalid: {model.validate()}")
        return solver, outcomes[status]

    def lexicographic(self, built: Model) -> Found:
        """Minimise the model's tiers one after the other; each is fixed at its proven optimum before the next."""
        tiers = built.tiers()
        objective_tier = len(tiers) - 2
        choice: Choice | None = None
        value = bound = None
        outcome: Outcome = "unknown"
        for number, tier in enumerate(tiers):
            built.model.minimize(tier)
            solver, result = self.run(built.model)
            if result == "infeasible":
                return Found("infeasible", None, None, None, self._seconds())
            if result == "unknown":
                # The first tier found nothing in time, or a later one did not: what is proved so far stands.
                return Found("feasible" if choice else "unknown", choice, value, bound, self._seconds())
            choice = _choice(built, solver)
            best = int(solver.value(tier))
            proved = best if result == "optimal" else _floor(solver.best_objective_bound)
            if number <= objective_tier:
                value = int(solver.value(built.objective()))
                bound = proved if number == objective_tier else None
            outcome = "optimal" if result == "optimal" and proved == best else "feasible"
            if outcome != "optimal":
                break
            if number < len(tiers) - 1:
                built.model.add(tier <= best)
                built.model.clear_hints()
                built.model.add_hint(built.slots, choice.max_num_seqs)
                for row, literal in enumerate(built.chosen):
                    built.model.add_hint(literal, row == choice.row)
        if choice is not None and value is not None and outcome == "optimal":
            final = int(solver.value(built.objective()))
            return Found("optimal", choice, final, final, self._seconds())
        return Found(outcome, choice, value, bound, self._seconds())

    def _seconds(self) -> float:
        return time.monotonic() - self.started


def _choice(built: Model, solver: Any) -> Choice:
    row = next(row for row, literal in enumerate(built.chosen) if solver.boolean_value(literal))
    return Choice(row, int(solver.value(built.slots)))


def _floor(bound: float) -> int:
    return int(bound // 1)


class _Live(cp_model.CpSolverSolutionCallback):  # type: ignore[misc]
    """Passes each improvement on to whoever shows progress."""

    def __init__(self, solver: Solver) -> None:
        super().__init__()
        self.solver = solver

    def on_solution_callback(self) -> None:
        if self.solver.progress:
            self.solver.progress(
                Progress(self.solver._seconds(), float(self.objective_value), float(self.best_objective_bound))
            )
