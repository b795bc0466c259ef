"""After the best plan: the one that spends least of those hardly worse, and of these the best. ``docs/inventories.md``, section 5.

Spent is the price where every GPU has one, then the GPUs in use. Both steps are proved among the candidates that no other beats; what
beats a candidate spends no more and its bound is no higher, so as long as bounds alone decide they hold for all.

Other home: ``verify/inventory/sparing.py``; docs/inventories.md, section 5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from optimizer.facts.demand import Objective
from optimizer.search.common.scale import NS_PER_MS
from optimizer.search.inventory.cuts import FINE
from optimizer.search.inventory.found import Placed
from optimizer.search.inventory.master import Master
from optimizer.search.inventory.plan import Plan
from optimizer.search.inventory.proofs import LAST_CUTS, Proofs

MOST_SPARING_ROUNDS = 120
"""Models solved for it: beyond, what was found is kept and not called proved."""


@dataclass(frozen=True)
class Spared:
    """The plan that spends less.

    Args:
        best: the plan.
        least_ms: the objective of the best plan, in whole milliseconds.
        proved: no plan within the tolerance spends less, and none that spends as little is better.
    """

    best: Placed
    least_ms: int
    proved: bool


def most_ms(objective: Objective, least_ms: int) -> int:
    """The objective that a plan which spends less may have, in whole milliseconds: rounded down."""
    return math.floor(least_ms * (1 + (objective.tolerance or 0.0)) + 1e-9)


class Sparing(Proofs):
    """What may be done without."""

    def spare(self, least: Placed) -> Spared:
        """The plan that spends least of those within the tolerance of the least objective."""
        within = most_ms(self.problem.objective, least.whole_ms)
        self._left, self._sure = MOST_SPARING_ROUNDS, True
        best = self._spared(least, least, within, self._bounding(least))
        if not self._sure and self._goes_on():
            without = self._pruned(within)
            self._sure = True
            master = self._master(everything=True, without=without)
            self._cuts.open_all(master)
            self._cuts.again(master, self._cuts.gammas[-LAST_CUTS:])
            best = self._spared(best, least, within, master)
            self._sure = True
        return Spared(best, least.whole_ms, self._sure and self._left > 0 and not self._late())

    def _spared(self, best: Placed, least: Placed, within_ms: int, master: Master) -> Placed:
        """Of the plans of a model the one that spends least within the tolerance, and of those that spend as little the best.

        No plan is better than ``least``, whatever it spends.
        """
        best = self._spend_least(best, within_ms, master)
        return best if best is least else self._best_of_spent(best, master)

    def _spend_least(self, best: Placed, within_ms: int, master: Master) -> Placed:
        self._cuts.add(master, self._cuts.gamma(best), FINE)
        master.model.add(master.theta + master.gpus_ns() <= within_ms * NS_PER_MS)
        spent, seen = self._spent(master), set[Any]()
        while self._goes_on():
            master.model.minimize(spent)
            master.hint(best.plan)
            solver, status = self._solve(master)
            if status == "infeasible" or (
                status == "optimal" and int(solver.value(spent)) >= self._spent_by(best.plan)
            ):
                return best
            if status not in ("optimal", "feasible"):
                break
            plan = master.plan(solver)
            placed = self._place(plan)
            if placed is not None and placed.whole_ms <= within_ms and self._spent_by(plan) < self._spent_by(best.plan):
                best = placed
                if status == "optimal":
                    return best
                continue
            self._exclude(master, plan, placed, seen)
        self._left = 0
        return best

    def _best_of_spent(self, best: Placed, master: Master) -> Placed:
        self._cuts.add(master, self._cuts.gamma(best), FINE)
        goal, seen = master.theta + master.gpus_ns(), set[Any]()
        master.model.add(self._spent(master) <= self._spent_by(best.plan))
        while self._goes_on():
            master.model.minimize(goal)
            master.hint(best.plan)
            solver, status = self._solve(master)
            if status == "infeasible" or (
                status == "optimal" and math.ceil(int(solver.value(goal)) / NS_PER_MS) >= best.whole_ms
            ):
                return best
            if status not in ("optimal", "feasible"):
                break
            plan = master.plan(solver)
            placed = self._place(plan)
            if placed is not None and placed.value.exact_ms < best.value.exact_ms:
                best = placed
            self._exclude(master, plan, placed, seen)
        self._left = 0
        return best

    def _goes_on(self) -> bool:
        self._left -= 1
        return self._left > 0 and not self._late()

    def _exclude(self, master: Master, plan: Plan, placed: Placed | None, seen: set[Any]) -> None:
        """Tell the model what a plan is worth: by the cut of its own multiplier, and where that does not say enough by itself."""
        if placed is None:
            master.at_least_for(plan, None)
            return
        if plan.key not in seen:
            seen.add(plan.key)
            self._cuts.open(plan)
            self._cuts.add(master, self._cuts.gamma(placed), FINE)
            return
        # A plan with a candidate that another beats may be worth more than the one with what beats it: proved for these alone.
        self._sure = False
        master.at_least_for(plan, math.floor((placed.value.exact_ms - placed.value.gpus_ms) * NS_PER_MS))
