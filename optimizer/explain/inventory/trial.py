"""Whether a changed inventory has any set of instances: those within groups are tried first, for they are quick to list."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import permutations

from optimizer.facts.inventory import InventoryProblem
from optimizer.results.answer import Fixed, Strategy
from optimizer.search.inventory.answer import with_plan
from optimizer.search.inventory.candidate import in_one_rack
from optimizer.search.inventory.candidates import Candidates, KnownTables
from optimizer.search.inventory.found import Placed
from optimizer.search.inventory.solve import InventorySolver

Verdict = bool | None
"""Feasible, proved infeasible, or not known."""


@dataclass(frozen=True)
class TrialStanding:
    """A set of instances that keeps every rule of a changed problem, with the search that found it."""

    problem: InventoryProblem
    candidates: Candidates
    solver: InventorySolver
    placed: Placed

    def strategies(self) -> list[Strategy]:
        """What each of its pools runs."""
        answer = with_plan(self.problem, self.candidates, self.solver, self.placed)
        return [pool.strategy for pool in answer.pools]


class Trials:
    """Tries problems that differ as ``KnownTables`` says, and keeps what they share.

    Args:
        fixed: decisions that a person fixed.
        within_s: seconds for all trials; what comes later is not known.
    """

    def __init__(self, fixed: Fixed, within_s: float) -> None:
        self.fixed, self._known = fixed, KnownTables()
        self.deadline = time.monotonic() + within_s
        self.cut = False
        """Whether something was not tried, or not to its end, for time."""

    @property
    def late(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() > self.deadline

    def within_groups(self, problem: InventoryProblem) -> TrialStanding | Verdict:
        """Instances that each stand on one group and keep every rule; False where there are none, None where it is not known."""
        return self._try(problem, pairs=False)

    def any(self, problem: InventoryProblem) -> TrialStanding | Verdict:
        """Any instances that keep every rule; False where it is proved that there are none, None where it is not known."""
        found = self._try(problem, pairs=False)
        if isinstance(found, TrialStanding) or found is None or not _pairs(problem):
            return found
        return self._try(problem, pairs=True)

    def _try(self, problem: InventoryProblem, *, pairs: bool) -> TrialStanding | Verdict:
        if self.late:
            self.cut = True
            return None
        candidates = Candidates(problem, self.fixed, self._known, pairs=pairs)
        solver = InventorySolver(problem, candidates, fixed=self.fixed, deadline=self.deadline)
        found = solver.any()
        if found.best is not None:
            return TrialStanding(problem, candidates, solver, found.best)
        self.cut |= found.status != "infeasible"
        return False if found.status == "infeasible" else None


def _pairs(problem: InventoryProblem) -> bool:
    """Whether an instance may stand on two groups."""
    return any(in_one_rack(one, other) for one, other in permutations(problem.groups, 2))
