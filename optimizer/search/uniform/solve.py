"""Run a model: lexicographic tiers to proven optimality under one time limit, with honest statuses."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from optimizer.costs.shapes import Bools, Ints
from optimizer.results.answer import Fixed, Status
from optimizer.search.common.solver import CtrlC, cp_model, new_solver, outcome_of, solve_stoppable
from optimizer.search.uniform.build import Model
from optimizer.search.uniform.quantities import Quantities
from optimizer.search.uniform.rule import Choice
from optimizer.search.uniform.screen import Screen, first_tier, objective_at_most_slots
from optimizer.search.uniform.space import tie_rank

FIRST_BATCH = 64


@dataclass(frozen=True, slots=True)
class Progress:
    """What a live line shows: the phase, and the incumbent with its bound in ``unit``, None while there is none."""

    elapsed_s: float
    incumbent: float | None = None
    bound: float | None = None
    unit: str = "ns"
    phase: str = "searching"


@dataclass(frozen=True, slots=True)
class Found:
    """Outcome of a solve. ``value`` and ``bound`` are of the objective tier, in ns; tiers as in ``Model.tiers``."""

    outcome: Status
    choice: Choice | None
    value: int | None
    bound: int | None
    seconds: float


class Solver:
    """CP-SAT with one worker and a fixed seed: the same question gets the same answer.

    Args:
        keep_incumbent: Ctrl-C ends the search as a time limit does, and ``interrupted`` says so; False passes it on.
    """

    def __init__(
        self,
        time_limit_s: float | None = None,
        progress: Callable[[Progress], None] | None = None,
        *,
        keep_incumbent: bool = False,
    ) -> None:
        self.started = time.monotonic()
        self.deadline = None if time_limit_s is None else self.started + time_limit_s
        self.progress = progress
        self.keep_incumbent = keep_incumbent
        self.interrupted = False
        self._shown_tier = False
        self._second = False
        """Whether what was found before is left out: values and bounds are then not those of the answer."""
        self._rest_ns: int | None = None
        self._ctrl_c: CtrlC | None = None

    def say(self, phase: str) -> None:
        """Tell whoever shows progress what is being done."""
        if self.progress:
            self.progress(Progress(self._seconds(), phase=phase))

    def interrupt(self) -> None:
        """Note that Ctrl-C came: no search runs from here on."""
        self.interrupted = True
        self.deadline = self.started

    def _fresh(self) -> Any:
        solver = new_solver(seed=1)
        # One literal of many is chosen: probing pairs of them is quadratic and finds nothing (3.5 s at 2,184 rows with
        # probing, 0.8 s without, 0.5 s with one presolve round).
        solver.parameters.cp_model_probing_level = 0
        solver.parameters.max_presolve_iterations = 1
        if self.deadline is not None:
            solver.parameters.max_time_in_seconds = max(0.0, self.deadline - time.monotonic())
        return solver

    def run(self, model: Any) -> tuple[Any, Status]:
        """Solve a CP model once.

        Raises:
            RuntimeError: the model is invalid, which is a defect of the builder and never of the input.
        """
        solver = self._fresh()
        callback = _live()(self) if self.progress and not self._second else None
        status, interrupted = solve_stoppable(solver, model, callback, self._ctrl_c)
        if interrupted:
            if not self.keep_incumbent:
                raise KeyboardInterrupt
            self.interrupt()
        return solver, outcome_of(status, model)

    def lexicographic(self, built: Model) -> Found:
        """Minimise the model's tiers one after the other; each is fixed at its proven optimum before the next."""
        tiers = built.tiers()
        objective_tier = len(tiers) - 2
        choice: Choice | None = None
        value = bound = None
        outcome: Status = "unknown"
        for number, tier in enumerate(tiers):
            built.model.minimize(tier)
            self._shown_tier = number == objective_tier
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
                for row, literal in zip(built.rows.tolist(), built.chosen, strict=True):
                    built.model.add_hint(literal, row == choice.row)
        if choice is not None and value is not None and outcome == "optimal":
            final = int(solver.value(built.objective()))
            return Found("optimal", choice, final, final, self._seconds())
        return Found(outcome, choice, value, bound, self._seconds())

    def best(self, quantities: Quantities, fixed: Fixed | None = None, without: Bools | None = None) -> Found:
        """The best candidate of a space, proved.

        The model is given the rows whose exact bound on the first tier is best; it grows until no row left out could
        win. A space in which the screen leaves no row is given to the model whole, so that the solver says so itself.

        Args:
            without: (R,) rows that may not be chosen, for alternatives to an answer.
        """
        if not self.keep_incumbent:
            return self._best(quantities, fixed, without)
        with CtrlC() as self._ctrl_c:
            try:
                return self._best(quantities, fixed, without)
            finally:
                if self._ctrl_c.came:
                    self.interrupt()
                self._ctrl_c = None

    def listed(self, quantities: Quantities, fixed: Fixed | None = None) -> Found:
        """The same as ``best``, by tables alone, for a check: every row's tiers at the most sequences that its rules leave it.

        No row's objective or first tier is better with fewer, and among equals the most are taken.
        """
        screen = Screen(quantities, fixed)
        if not screen.viable.any():
            return Found("infeasible", None, None, None, self._seconds())
        keys, candidates = _in_order(quantities, screen, screen.viable)
        row = int(candidates[0])
        value = int(keys[1, row])
        return Found("optimal", Choice(row, int(screen.most[row])), value, value, self._seconds())

    def _best(self, quantities: Quantities, fixed: Fixed | None, without: Bools | None) -> Found:
        self._second = without is not None
        screen = Screen(quantities, fixed)
        viable = screen.viable if without is None else screen.viable & ~without
        if not viable.any():
            rows = np.flatnonzero(~without) if without is not None else None
            if rows is not None and not len(rows):
                return Found("infeasible", None, None, None, self._seconds())
            model = Model(quantities, fixed, rows=rows)
            _, outcome = self.run(model.model)
            if outcome not in ("infeasible", "unknown"):
                raise RuntimeError("the screen and the model disagree on feasibility")
            return Found(outcome, None, None, None, self._seconds())
        keys, candidates = _in_order(quantities, screen, viable)
        nothing = Found("unknown", None, None, None, self._seconds())
        size, found, incumbent = FIRST_BATCH, nothing, nothing
        while self._ctrl_c is None or not self._ctrl_c.came:
            rest = keys[1, candidates[size:]]
            self._rest_ns = int(rest.min()) if len(rest) else None
            found = self.lexicographic(Model(quantities, fixed, rows=candidates[:size], most_slots=screen.most))
            if found.outcome == "infeasible":
                return found
            if found.outcome != "optimal" or found.choice is None:
                break
            if size >= len(candidates) or tuple(keys[:, found.choice.row]) <= tuple(keys[:, candidates[size]]):
                return found
            incumbent, found = found, nothing
            size *= 2
        return self._unproved(found, incumbent, keys, candidates)

    def _unproved(self, found: Found, incumbent: Found, keys: Ints, candidates: Ints) -> Found:
        """The better of what the last batch and those before it found, with a bound that holds for every candidate.

        A batch's own bound says nothing about the rows left out; no row is better than its objective with the most sequences
        it may run. Where a tier comes before the objective, only that bound of all rows holds.
        """
        better = incumbent
        if found.choice is not None and (incumbent.choice is None or _rank(found, keys) < _rank(incumbent, keys)):
            better = found
        if better.choice is None or better.value is None:
            return Found("unknown", None, None, None, self._seconds())
        lowest = int(keys[1, candidates].min())
        single_tier = bool((keys[0] == keys[1]).all())
        if single_tier and found.bound is not None:
            lowest = max(lowest, found.bound if self._rest_ns is None else min(found.bound, self._rest_ns))
        return Found("feasible", better.choice, better.value, min(lowest, better.value), self._seconds())

    def _seconds(self) -> float:
        return time.monotonic() - self.started


def _in_order(quantities: Quantities, screen: Screen, viable: Bools) -> tuple[Ints, Ints]:
    """Exact bounds of the tiers of every row, (3, R), and the viable rows, the best first."""
    keys = np.stack(
        [
            first_tier(quantities, screen.most),
            objective_at_most_slots(quantities, screen.most),
            tie_rank(quantities.space),
        ]
    )
    candidates = np.flatnonzero(viable)
    return keys, candidates[np.lexsort(keys[::-1, candidates])]


def _rank(found: Found, keys: Ints) -> tuple[int, int]:
    if found.choice is None or found.value is None:
        raise ValueError("nothing was found")
    return int(keys[0, found.choice.row]), found.value


def _choice(built: Model, solver: Any) -> Choice:
    chosen = (
        row for row, literal in zip(built.rows.tolist(), built.chosen, strict=True) if solver.boolean_value(literal)
    )
    return Choice(next(chosen), int(solver.value(built.slots)))


def _floor(bound: float) -> int:
    return int(bound // 1)


@cache
def _live() -> Any:
    """The class that passes each improvement on to whoever shows progress; CP-SAT's own class is loaded for it."""

    class Live(cp_model.CpSolverSolutionCallback):  # type: ignore[misc]
        def __init__(self, solver: Solver) -> None:
            super().__init__()
            self.solver = solver

        def on_solution_callback(self) -> None:
            solver = self.solver
            if solver.progress is None or not solver._shown_tier:
                return
            bound = float(self.best_objective_bound)
            if solver._rest_ns is not None:
                bound = min(bound, float(solver._rest_ns))
            solver.progress(Progress(solver._seconds(), float(self.objective_value), bound))

    return Live
