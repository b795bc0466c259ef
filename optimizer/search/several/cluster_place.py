"""From counts of every model to instances that stand on the same nodes: each model spread as it would be alone, on GPUs that are its own.

Other home: ``verify/several/cluster_check.py``; docs/several.md, section 8.
"""

from __future__ import annotations

from collections.abc import Sequence

from optimizer.facts.cluster_models import ClusterModelsProblem
from optimizer.facts.inventory import InventoryProblem
from optimizer.search.inventory.candidates import Candidates
from optimizer.search.inventory.exact_placing import PlanToPlace, place_all_exactly
from optimizer.search.inventory.found import Placed
from optimizer.search.inventory.placer import Placer
from optimizer.search.inventory.placing import Floor, Rooms, order_of
from optimizer.search.inventory.plan import Plan, Stand, candidate_of

Stands = tuple[Stand, ...]


class SharedPlacer:
    """Places and values plans of several models together.

    Args:
        placers: of every model, each for itself.
    """

    def __init__(self, problem: ClusterModelsProblem, placers: Sequence[Placer]) -> None:
        self.problem, self.placers = problem, placers

    def place(self, plans: Sequence[Plan]) -> tuple[Placed, ...] | None:
        """Every plan placed, shared out and valued; None where they find no room together, or one would not survive its losses.

        Raises:
            NotSettledError: the placement or failure states could not be settled.
        """
        splits = [placer.valuation.split(plan) for placer, plan in zip(self.placers, plans, strict=True)]
        stands = self._stood(plans)
        found = []
        for placer, plan, split, stood in zip(self.placers, plans, splits, stands or (), strict=stands is not None):
            if split is None:
                return None
            found.append(placer.valued(plan, split, stood))
        return tuple(found) if stands is not None else None

    def _stood(self, plans: Sequence[Plan]) -> list[Stands] | None:
        for spread in (True, False):
            stands = self._spread(plans, spread)
            if stands is not None and self._survive(plans, stands):
                return stands
        asked = [
            PlanToPlace(one.problem, one.candidates, plan, one.needed)
            for one, plan in zip(self.placers, plans, strict=True)
        ]
        exactly = place_all_exactly(asked)
        return exactly if exactly is not None and self._survive(plans, exactly) else None

    def _survive(self, plans: Sequence[Plan], stands: Sequence[Stands]) -> bool:
        return all(
            placer.survives(plan, stood) for placer, plan, stood in zip(self.placers, plans, stands, strict=True)
        )

    def _spread(self, plans: Sequence[Plan], spread: bool) -> list[Stands] | None:
        """Instances over several nodes first, then wide ones, of whichever model; each where least of its own model stands."""
        asked = [(placer.problem, placer.candidates, plan) for placer, plan in zip(self.placers, plans, strict=True)]
        return spread_out(asked, spread, {})


def spread_out(
    asked: Sequence[tuple[InventoryProblem, Candidates, Plan]], spread: bool, rooms: Rooms
) -> list[Stands] | None:
    """Where instances of several plans stand, found one after the other; None where one finds no room.

    Args:
        spread: each where least of its own model stands; else one node after the other is filled.
        rooms: free GPUs of nodes from which something was taken already.
    """
    floors = [Floor(problem, spread, rooms) for problem, _, _ in asked]
    todo: list[tuple[tuple[int, int, int], int, int]] = []
    for number, (_, candidates, plan) in enumerate(asked):
        for position in order_of(candidates, plan):
            candidate = candidate_of(candidates, plan.entries[position])
            widest = max(part.gpus_per_node for part in candidate.parts)
            todo.append(((-candidate.nodes, -widest, -candidate.shape.tp), number, position))
    found: list[list[Stand]] = [[] for _ in asked]
    for _, number, position in sorted(todo, key=lambda one: one[0]):
        _, candidates, plan = asked[number]
        stand = floors[number].stand(candidates, plan, position)
        if stand is None:
            return None
        found[number].append(stand)
    return [tuple(sorted(mine, key=lambda stand: stand.entry)) for mine in found]
