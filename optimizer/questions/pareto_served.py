"""The mean time of an inventory against the share of requests served: each step serves more than the one before, proved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optimizer.results.front import FrontPoint

if TYPE_CHECKING:
    from optimizer.facts.inventory import InventoryProblem
    from optimizer.search.inventory.candidates import Candidates
    from optimizer.search.inventory.found import Placed
    from optimizer.search.inventory.plan import Plan
    from optimizer.search.inventory.solve import InventorySolver

STEP = 1e-12
"""A further point serves more by at least this share of all requests: rarer states are not told apart."""
ROUNDING = 1e-9
"""Relative: what is never served may be computed as so much more than it is."""


@dataclass(frozen=True)
class ServedChain:
    """``complete``: nothing serves more than the last point, which is proved. ``stopped``: Ctrl-C, or the time was over."""

    points: tuple[FrontPoint, ...]
    complete: bool
    stopped: bool


def served_chain(
    stated: InventoryProblem,
    candidates: Candidates,
    most: int,
    deadline: Callable[[], float | None],
    point: Callable[[InventoryProblem, Candidates, InventorySolver, Placed, bool], FrontPoint],
    say: Callable[[str], None],
) -> ServedChain:
    """Plans with the least mean time, each among those that serve more than the plan before, until nothing serves more.

    Args:
        stated: the problem whose objective says what is served in each failure state.
        most: points at most.
        deadline: when to stop (``time.monotonic``), asked for before each step; None: never.
        point: makes a point of a plan, and whether it is proved.
    """
    from optimizer.search.inventory.never_served import never_served
    from optimizer.search.inventory.placer import Serves
    from optimizer.search.inventory.solve import InventorySolver
    from optimizer.search.inventory.valuation import Valuation

    goal = stated.model_copy(update={"objective": type(stated.objective)(preset="latency")})
    offered, valuation = candidates.again(goal), Valuation(stated, candidates)
    found: list[FrontPoint] = []
    refused: tuple[Plan, ...] = ()
    limit, never = 1.0, never_served(stated) * (1 - ROUNDING)
    while len(found) < most:
        say(f"proving plan {len(found) + 1} (least mean time that serves more)")
        solver = InventorySolver(goal, offered, deadline=deadline(), serves=Serves(valuation, limit, refused))
        try:
            outcome = solver.run()
            if outcome.best is None:
                return ServedChain(tuple(found), outcome.status == "infeasible", outcome.status != "infeasible")
            found.append(point(goal, offered, solver, outcome.best, outcome.status == "optimal"))
        except KeyboardInterrupt:
            return ServedChain(tuple(found), False, True)
        if outcome.status != "optimal":
            return ServedChain(tuple(found), False, True)
        refused = (*solver.refused, outcome.best.plan)
        limit = found[-1].not_served - STEP
        if limit < never or limit <= 0:
            return ServedChain(tuple(found), True, False)
    return ServedChain(tuple(found), False, False)
