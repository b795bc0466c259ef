"""From counts to a plan that stands: its shares, its placement with what that survives, and its exact value."""

from __future__ import annotations

import math
from dataclasses import dataclass

from optimizer.facts.inventory import InventoryProblem
from optimizer.search.inventory.candidates import Candidates
from optimizer.search.inventory.exact_placing import NotSettledError, place_exactly
from optimizer.search.inventory.found import Placed
from optimizer.search.inventory.losses import worst_losses
from optimizer.search.inventory.placing import place
from optimizer.search.inventory.plan import Plan, Stand, candidate_of
from optimizer.search.inventory.states import TooManyStatesError
from optimizer.search.inventory.valuation import LoadSplit, Valuation


@dataclass(frozen=True)
class Serves:
    """At most so large a share of the requests may go unserved with failures counted, as a valuation of its own counts them.

    ``refused`` are plans known to serve less.
    """

    valuation: Valuation
    most_unserved: float
    refused: tuple[Plan, ...] = ()

    def enough(self, placed: Placed) -> bool:
        """Whether a placed plan serves so much."""
        judged = self.valuation.value(placed.plan, placed.split, placed.site)
        return 1 - judged.availability <= self.most_unserved


class Placer:
    """Places and values plans of one problem."""

    def __init__(self, problem: InventoryProblem, candidates: Candidates, valuation: Valuation) -> None:
        self.problem, self.candidates, self.valuation = problem, candidates, valuation

    def place(self, plan: Plan) -> Placed | None:
        """The plan placed, shared out and valued; None where it breaks a rule or finds no room.

        Raises:
            NotSettledError: its placement or its failure states could not be settled.
        """
        split = self.valuation.split(plan)
        if split is None:
            return None
        stands = place(self.problem, self.candidates, plan)
        if stands is None or not self.survives(plan, stands):
            stands = place_exactly(self.problem, self.candidates, plan, self.needed)
            if stands is None or not self.survives(plan, stands):
                return None
        return self.valued(plan, split, stands)

    @property
    def needed(self) -> int:
        """Capacity that has to be left after losses, millionths of a request/s."""
        return math.ceil(self.problem.workload.requests_per_s * self.problem.demand_share * 1e6 - 1e-6)

    def valued(self, plan: Plan, split: LoadSplit, stands: tuple[Stand, ...]) -> Placed:
        """A plan that stands somewhere, valued there.

        Raises:
            NotSettledError: there are too many failure states.
        """
        site = self.valuation.site(plan, stands)
        try:
            value = self.valuation.value(plan, split, site)
        except TooManyStatesError:
            raise NotSettledError from None
        return Placed(plan, stands, split, site, value)

    def survives(self, plan: Plan, stands: tuple[Stand, ...]) -> bool:
        """Whether the capacity left after the worst of every stated losses suffices."""
        capacity = sum(candidate_of(self.candidates, entry).capacity * entry.count for entry in plan.entries)
        needed = self.problem.workload.requests_per_s * self.problem.demand_share * 1e6 - 1e-6
        for losses in self.problem.survive:
            if f"survive_{losses.level}" in self.problem.search.disabled_rules:
                continue
            worst = worst_losses(self.problem, self.candidates, plan, stands, losses.level, losses.count)
            if capacity - worst.capacity < needed:
                return False
        return True
