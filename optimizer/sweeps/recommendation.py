"""What was recommended, for every kind of problem: data only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from optimizer.sweeps.points import Point

Least = Literal["gpus", "price"]


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What was recommended, and why nothing less is enough.

    ``point`` is None where no hardware that was allowed meets everything. ``below`` holds hardware that costs less and is not enough
    (or, without a point, the largest of all), with its conflict: of equal nodes the largest of each GPU type, of an inventory the
    dearest sets of nodes. ``ruled_out`` counts all that costs less: of equal nodes each was proved infeasible by search and verifier; of
    an inventory ``by_bound`` of them cost less than any plan on all nodes has in use, and each of the others is within a set
    that was proved infeasible (``tried`` were searched). ``proved`` is False where the time limit left some of them open, and
    where the verifier does not confirm what was found. ``ties``
    counts sets of equal cost that are enough.
    """

    least: Least
    point: Point | None
    cost: float | None
    below: tuple[Point, ...]
    considered: int
    ruled_out: int
    verified: bool
    proved: bool = True
    by_bound: int = 0
    tried: int = 0
    ties: int = 1
