"""The one place that imports CP-SAT.

``ortools.sat.python.cp_model`` imports pandas (0.3 s) for a few vectorised helpers that are not used here. Where pandas
is not loaded already, a stand-in with the two names that cp_model mentions is put in its place during that import only,
so that a command answers in half the time; a later ``import pandas`` gets the real one.

It is also the one place that sets what every solver needs (``new_solver``) and decides what Ctrl-C does to a running search
(``solve_stoppable``).
"""

from __future__ import annotations

import signal
import sys
import threading
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optimizer.results.answer import Status

_LOOK_S = 0.05


def _import_cp_model() -> Any:
    if "pandas" in sys.modules or "ortools.sat.python.cp_model" in sys.modules:
        from ortools.sat.python import cp_model

        return cp_model
    stand_in = types.ModuleType("pandas")
    stand_in.Index = type("Index", (), {})  # type: ignore[attr-defined]
    stand_in.Series = type("Series", (), {})  # type: ignore[attr-defined]
    sys.modules["pandas"] = stand_in
    try:
        from ortools.sat.python import cp_model
    finally:
        del sys.modules["pandas"]
    return cp_model


class _OnFirstUse:
    """CP-SAT, loaded once something of it is named: a question that tables answer does without it (0.05 s of processor time)."""

    _module: Any = None

    def __getattr__(self, name: str) -> Any:
        if self._module is None:
            self._module = _import_cp_model()
        return getattr(self._module, name)


cp_model: Any = _OnFirstUse()


def new_solver(workers: int = 1, seed: int = 0) -> Any:
    """A solver with the parameters that every search of ours needs; more than one worker gives up the same path each time."""
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = workers
    solver.parameters.random_seed = seed
    # Presolve of 9.15 simplifies pairs of an at-most-one and a linear constraint wrongly and then certifies worse optima; this
    # switches that family of rules off and leaves the rest (google/or-tools issue 5293; tests/search/test_solver_traps.py).
    solver.parameters.presolve_inclusion_work_limit = 0
    # CP-SAT's own handler of Ctrl-C leaves the process without one after any solve: the next Ctrl-C would kill it without a word.
    solver.parameters.catch_sigint_signal = False
    return solver


class CtrlC:
    """While entered, in the main thread, the first Ctrl-C is only noted; the second raises as always.

    SIGTERM counts as one where the program has it raise as Ctrl-C does, as the command line has.

    So nothing that is being written down is lost to an exception between two lines.
    """

    def __init__(self) -> None:
        self.came = False
        self._before: list[signal.Signals] = []

    def __enter__(self) -> CtrlC:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is signal.default_int_handler:
                    signal.signal(number, self._note)
                    self._before.append(number)
        return self

    def __exit__(self, *error: object) -> None:
        for number in self._before:
            signal.signal(number, signal.default_int_handler)

    def _note(self, *signal_and_frame: object) -> None:
        if self.came:
            raise KeyboardInterrupt
        self.came = True


def outcome_of(status: Any, model: Any) -> Status:
    """A solver's status in words.

    Raises:
        RuntimeError: the model is invalid, which is a defect of the builder and never of the input.
    """
    known: dict[Any, Status] = {
        cp_model.OPTIMAL: "optimal",
        cp_model.FEASIBLE: "feasible",
        cp_model.INFEASIBLE: "infeasible",
        cp_model.UNKNOWN: "unknown",
    }
    if status not in known:
        raise RuntimeError(f"the model is invalid: {model.validate()}")
    return known[status]


def solve_stoppable(solver: Any, model: Any, callback: Any = None, ctrl_c: CtrlC | None = None) -> tuple[Any, bool]:
    """Solve a CP model; Ctrl-C ends the search as a time limit does, instead of waiting for its end or killing the process.

    CP-SAT runs beside the main thread, which alone hears Ctrl-C.

    Args:
        ctrl_c: whoever notes Ctrl-C already; one of its own when left out.

    Returns:
        The solver's status, and whether Ctrl-C came.
    """
    if threading.current_thread() is not threading.main_thread():
        return solver.solve(model, callback), False
    if ctrl_c is None:
        with CtrlC() as own:
            return solve_stoppable(solver, model, callback, own)
    status: list[Any] = []
    errors: list[BaseException] = []
    done = threading.Event()

    def work() -> None:
        try:
            status.append(solver.solve(model, callback))
        except BaseException as error:
            errors.append(error)
        finally:
            done.set()

    threading.Thread(target=work, daemon=True).start()
    while not done.wait(_LOOK_S):
        if ctrl_c.came:
            # Repeated: before the search proper has begun there is nothing to stop yet.
            solver.stop_search()
    if errors:
        raise errors[0]
    return status[0], ctrl_c.came
