"""The best plan for an inventory, proved: which models are searched in which order."""

from __future__ import annotations

from typing import Literal

from optimizer.results.answer import Status
from optimizer.search.inventory.cuts import FINE, FIRST_CUTS, ROUGH
from optimizer.search.inventory.found import InventoryFound, Start
from optimizer.search.inventory.master import Master
from optimizer.search.inventory.proofs import LAST_CUTS
from optimizer.search.inventory.sparing import Sparing


class InventorySolver(Sparing):
    """Searches the plans of one inventory."""

    def any(self, least: Literal["gpus", "price"] = "gpus") -> InventoryFound:
        """Any plan that keeps every rule, or the proof that there is none; the objective is not looked at.

        Args:
            least: what the plan has the least of.
        """
        # What beats a candidate keeps every rule in its place: where those that no other beats have no plan, there is none.
        master = self._master(everything=False)
        status = self._minimise(master, master.gpus if least == "gpus" else master.price)
        if status == "infeasible" and self.best is None and self.candidates.admit():
            master = self._master(everything=False)
            status = self._minimise(master, master.gpus if least == "gpus" else master.price)
        return self._found("feasible" if self.best else status, ties=False)

    def run(self) -> InventoryFound:
        """Search until the bound meets the best value, or the time is over."""
        try:
            return self._run()
        except KeyboardInterrupt:
            # Ctrl-C keeps the best plan and the proved bound.
            if self.best is None:
                raise
            return self._found("feasible", ties=False)

    def _run(self) -> InventoryFound:
        """First among the candidates that no other beats, which finds the plan; then the proof for all of them.

        A candidate that another beats can still be part of a better plan: requests are shared out by their mean time, so that a slower
        instance is sent fewer of them, and less is lost when it fails. But its plan's bound is never below that of the plan with
        what beats it in its place: where the bound alone decides, it decides for all. Otherwise all candidates are gone through.
        """
        status = self._among_few()
        if self._near:
            return self._found("feasible", ties=False)
        if self._pairs_matter(status):
            self.bound_ns = 0
            self._told = False
            status = self._among_few()
        ties = False
        if status == "optimal" and self.best is not None:
            master = self._bounding(self.best)
            if self._bound_of(master) >= self.best.whole_ms:
                return self._found(status, ties=self._fewest_of_all(master))
            if self._near or self.start is not None:
                # What begins with a plan asks whether it stays the best: what only the proof among all can tell is left open.
                return self._found("feasible", ties=False)
        # With a bound on what goes unserved, a plan of dominated candidates may serve more than the one with what beats them.
        if status == "optimal" or (status == "infeasible" and self.serves is not None):
            self.bound_ns, self._all = 0, True
            master = self._master(everything=True, without=self._pruned())
            self._cuts.again(master, self._cuts.gammas[-LAST_CUTS:])
            if self.best is not None:
                self._tell(master, self.best)
            status = self._tiers(master)
            ties = status == "optimal" and self._fewest(master)
        return self._found(status, ties=ties)

    def _among_few(self) -> Status:
        """The best plan of the candidates that no other beats."""
        master = self._master(everything=False)
        # Bounds are of no use where no plan keeps the rules.
        if not self._cuts.gammas and self.start is not None:
            self._begin(master, self.start)
        elif not self._cuts.gammas:
            if self._solve(master)[1] != "infeasible":
                self._cuts.first(master)
        else:
            self._cuts.again(master, self._cuts.gammas)
            if self.best is not None:
                self._tell(master, self.best)
        return self._tiers(master)

    def _begin(self, master: Master, start: Start) -> None:
        """With a plan that is worth trying first, and bounds that mattered where it was the best."""
        for gamma in start.gammas:
            self._cuts.add(master, gamma, ROUGH)
        there = {(item.place, item.position) for item in master.items}
        if all((entry.place, entry.candidate) in there for entry in start.plan.entries):
            self._learn(master, start.plan)
            return
        # A model without all of the plan's candidates cannot be told what the plan is worth.
        self.best = self._place(start.plan)
        if self.best is not None:
            self._cuts.add(master, self._cuts.gamma(self.best), FINE)

    @property
    def ended(self) -> Start | None:
        """What a search at other failure rates begins with."""
        if self.best is None:
            return None
        gammas = self._cuts.gammas[-LAST_CUTS:]
        return Start(self.best.plan, tuple(dict.fromkeys((*self._cuts.gammas[:FIRST_CUTS:2], *gammas))))
