"""What is proved of all plans from models of some: pipelines over two groups not built, and candidates that others beat."""

from __future__ import annotations

import math

import numpy as np

from optimizer.costs.shapes import Bools
from optimizer.results.answer import Status
from optimizer.search.common.scale import NS_PER_MS
from optimizer.search.inventory.cuts import FINE
from optimizer.search.inventory.found import Placed
from optimizer.search.inventory.master import LARGEST_NS, Master
from optimizer.search.inventory.prices import Prices
from optimizer.search.inventory.pruning import Pruning, without_slow
from optimizer.search.inventory.rounds import RESOLUTION_NS, TIERS, Rounds

LAST_CUTS = 4
"""Multipliers of the search among few candidates whose cuts the proof among all begins with."""
MOST_NAMED = 4
"""Multipliers that an answer names as what proves it."""


class Proofs(Rounds):
    """Bounds of all plans, and which candidates they leave open."""

    def _pairs_matter(self, status: Status) -> bool:
        """Whether pipelines over two groups that may be part of a plan worth having became candidates.

        Afterwards bounds hold for those that did not as well.
        """
        if self.candidates.all_built:
            self._settle(self._few_ns)
            if status == "feasible" and self.best is not None and self.serves is None:
                self._price()
            return False
        if self.best is None and status != "infeasible":
            return False
        # What is put first has no price; and with no plan, or one that has to serve enough, whatever carries more may help.
        priced = self.best is not None and self.serves is None and self.problem.objective.preset not in TIERS
        if self.best is None or (not priced and status in ("optimal", "infeasible")):
            admitted = self.candidates.admit()
            self._settle(0 if admitted else self._few_ns)
            return admitted
        wanted = self._price()
        if status != "optimal":
            # The time is over: what nodes are worth bounds all plans, those with such pipelines too.
            return False
        admitted = self.candidates.admit(wanted)
        self._settle(0 if admitted else min(self.best.whole_ms * RESOLUTION_NS, self._few_ns))
        return admitted

    def _price(self) -> list[Bools]:
        """Of every pair, the pipelines that a plan no worse than the best may contain; what nodes are worth bounds all plans."""
        few = self._master(everything=False, refused=False)
        wanted = [pair.left.copy() for pair in self.candidates.pairs]
        most = self.best.whole_ms * RESOLUTION_NS if self.best is not None else LARGEST_NS
        gammas = list(self._cuts.gammas[-LAST_CUTS:])
        if self.best is not None:
            own = self._cuts.gamma(self.best)
            gammas = [own, *(gamma for gamma in gammas if gamma != own)]
        for gamma in gammas:
            with np.errstate(over="ignore", invalid="ignore"):
                prices = Prices(self.problem, self.candidates, few, self._cuts.own(few, gamma, FINE))
            if not math.isfinite(prices.least_ns):
                continue  # a multiplier beyond what floats hold proves nothing
            self.floor_ns = max(self.floor_ns, min(most, math.floor(prices.least_ns)))
            wanted = [a & b for a, b in zip(wanted, prices.may_matter(most), strict=True)]
        return wanted

    def _settle(self, least_ns: int) -> None:
        """Every candidate that may matter is in the models from here on; no plan is below so many ns."""
        self._settled, self.floor_ns = True, max(self.floor_ns, least_ns)

    def _pruned(self, within_ms: int | None = None) -> frozenset[tuple[int, int]]:
        """Candidates whose plans are all above the best value, by the multiplier of the best plan; what else is dominated becomes one.

        Args:
            within_ms: above so many milliseconds instead.
        """
        # What serves too little may have less of what is put first: then bounds decide nothing.
        if self.best is None or (self.serves is not None and self.problem.objective.preset in TIERS):
            self.candidates.widen()
            return frozenset()
        few = self._master(everything=False, refused=False)
        tier = self._first_tier(few)
        if tier is not None:
            few.model.add(tier <= self._tier_value(few, self.best.plan))
        gamma = self._cuts.gamma(self.best)
        terms = without_slow(self._cuts.own(few, gamma))
        few.cut(terms)
        goal = few.theta + few.gpus_ns()
        few.model.minimize(goal)
        solver, status = self._solve(few)
        if status != "optimal":
            self.candidates.widen()
            return frozenset()
        limit = self.best.whole_ms if within_ms is None else within_ms
        known = Pruning(few, terms, int(solver.value(goal)), limit * RESOLUTION_NS)
        self.candidates.widen(known.may_matter)
        full = self._master(everything=True, refused=False)
        return known.among(full, self._cuts.own(full, gamma))

    def multipliers(self, best: Placed) -> tuple[float, ...]:
        """What a further request/s costs, ms, in the bounds that prove a plan: its own, that of the least objective, then the latest."""
        own = [self._cuts.gamma(one) for one in (best, self.best) if one is not None]
        return tuple(dict.fromkeys((*own, *reversed(self._cuts.told))))[:MOST_NAMED]

    def _bounding(self, best: Placed) -> Master:
        """The model of the candidates that no other beats with every cut so far and nothing else: its bounds are those of all plans."""
        master = self._master(everything=False, refused=False)
        tier = self._first_tier(master)
        if tier is not None:
            master.model.add(tier <= self._tier_value(master, best.plan))
        self._cuts.again(master, self._cuts.gammas)
        return master

    def _bound_of(self, master: Master) -> int:
        """The least bound of a model in whole milliseconds, rounded up; 0 where the time was over before."""
        goal = master.theta + master.gpus_ns()
        master.model.minimize(goal)
        solver, status = self._solve(master)
        if status != "optimal":
            return 0
        self.floor_ns = max(self.floor_ns, int(solver.value(goal)))
        return math.ceil(self.floor_ns / RESOLUTION_NS)

    def _fewest_of_all(self, master: Master) -> bool:
        """Fewer GPUs within the same whole millisecond, first among few candidates; whether it is proved that no plan has fewer."""
        if self.best is None or not self._fewest(self._again(self.best)):
            return False
        master.model.add(master.theta + master.gpus_ns() <= self.best.whole_ms * NS_PER_MS)
        spent = self._spent(master)
        master.model.minimize(spent)
        solver, status = self._solve(master)
        return status == "optimal" and int(solver.value(spent)) >= self._spent_by(self.best.plan)

    def _again(self, best: Placed) -> Master:
        """The model of the candidates that no other beats, with the cuts so far and what is known of the best plan."""
        master = self._bounding(best)
        master.at_least_for(best.plan, math.floor((best.value.exact_ms - best.value.gpus_ms) * NS_PER_MS))
        return master
