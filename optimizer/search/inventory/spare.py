"""What is lost where no single instance can be spared: every state with one down then sheds at least its share.

The shares add up to one, so the least unavailability of an instance in use is lost at least. ``docs/inventories.md``, section 6.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from optimizer.search.common.scale import NS_PER_MS
from optimizer.search.inventory.candidate import MICRO

if TYPE_CHECKING:
    from optimizer.facts.inventory import InventoryProblem
    from optimizer.search.inventory.counts import CountsModel


def surely_demand(problem: InventoryProblem) -> int:
    """Millionths of a request/s that are surely no more than arrive."""
    return math.floor(problem.workload.requests_per_s * MICRO * (1 - 1e-9))


class Spare:
    """Literals of one model that say whether any instance can be spared, and how often those in use are down at least."""

    def __init__(self, master: CountsModel) -> None:
        self._master = master
        self._tight: Any = None
        self._levels: dict[tuple[float, ...], list[tuple[Any, float]]] = {}

    def terms(self, worth_ms: float, unavailable: Sequence[float]) -> list[tuple[Any, int]]:
        """(literal, ns): what is lost at least, in steps that add up.

        Args:
            worth_ms: what a request not served costs beyond the bound without this term.
            unavailable: of each item, the probability that counts.
        """
        if self._master.weights.unserved == 0 or worth_ms <= 0:
            return []
        found, before = [], 0.0
        for literal, share in self.levels(unavailable):
            found.append((literal, math.floor(worth_ms * NS_PER_MS * (share - before))))
            before = share
        return found

    def levels(self, unavailable: Sequence[float]) -> list[tuple[Any, float]]:
        """(literal, u): no instance can be spared, and every one in use is down at least u of the time; u rises."""
        key = tuple(unavailable)
        if key not in self._levels:
            self._levels[key] = self._made(key)
        return self._levels[key]

    def _made(self, unavailable: tuple[float, ...]) -> list[tuple[Any, float]]:
        master = self._master
        found: list[tuple[Any, float]] = []
        for level in sorted(set(unavailable)):
            better = [master.at_least(number, 1) for number, share in enumerate(unavailable) if share < level]
            if not better:
                found.append((self.none_spared(), level))
                continue
            literal = master.model.new_bool_var("")
            master.model.add_bool_or([literal, ~self.none_spared(), *better])
            found.append((literal, level))
        return found

    def none_spared(self) -> Any:
        """A literal that is true whenever no single instance in use can be spared."""
        if self._tight is None:
            master, model = self._master, self._master.model
            # No sum behind a literal: the solver's presolve (9.15) got optima wrong where one was. A variable stands for it.
            slots = master.total(sum(item.candidate.slots_capacity * item.count for item in master.items))
            spared = []
            for number, item in enumerate(master.items):
                one = model.new_bool_var("")
                model.add_implication(one, master.at_least(number, 1))
                needed = surely_demand(master.problem) + item.candidate.slots_capacity
                model.add(slots >= needed).only_enforce_if(one)
                spared.append(one)
            self._tight = model.new_bool_var("")
            model.add_bool_or([self._tight, *spared])
        return self._tight
