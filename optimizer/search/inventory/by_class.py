"""The bound of section 6 class by class of what is down (``down_counts``), with the share of the requests that a lost part takes along."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar

from optimizer.search.common.scale import NS_PER_MS
from optimizer.search.inventory.down_counts import DownCounts, Event
from optimizer.search.inventory.spare import surely_demand

if TYPE_CHECKING:
    from optimizer.search.inventory.counts import CountsModel, Terms

WHOLE = 100_000
"""All requests, in the unit in which shares are counted here."""
_OFTEN = 10**12
"""Always, in the unit in which probabilities are counted here."""
_FINER = 1_000
"""Prices of these are rounded down in so many parts of 1 ns."""
_MOST_LEVELS = 6
_Number = TypeVar("_Number", int, float)


class ByClass:
    """Adds to a model that the objective is at least the sum over all classes of their bounds."""

    def __init__(self, master: CountsModel, down_counts: DownCounts, most_ns: int) -> None:
        self._master, self._down_counts, self._most_ns = master, down_counts, most_ns
        model = master.model
        # Bounds of single classes may be below nothing: only then does what is lost by a shape stay lost in the sum.
        self._least = [model.new_int_var(-most_ns, most_ns, "") for _ in down_counts.probabilities]
        model.add(master.theta >= sum(self._least))
        places = range(len(master.candidates.places))
        self._shares = [model.new_int_var(0, WHOLE, "") for _ in places]
        self._share_out()
        self._lost = [self._lost_with(event) for event in down_counts.events]
        self._alone = self._lost_alone()

    def _share_out(self) -> None:
        """Shares of the requests by place, rounded down: together all of them, and on no place more than it carries."""
        master = self._master
        # Each is rounded down by less than one unit.
        master.model.add(sum(self._shares) >= WHOLE - len(self._shares))
        for place, share in enumerate(self._shares):
            here = sum(item.candidate.capacity * item.count for item in master.items if item.place == place)
            carried = master.model.new_int_var(0, master.demand, "")
            master.model.add(carried <= here)
            demand = surely_demand(master.problem)
            master.model.add(share * demand <= WHOLE * carried + demand)

    def _lost_alone(self) -> Any:
        """At least the mean share that instances which cannot be spared take along while no wide part is down.

        Where less than κ is to spare, none that carries κ can be. One that is down u of the time takes u of its share along, and
        shares add up to one: for any v the mean is at least v less the sum of (v − u) times the share of every instance, u being 0
        for those that carry less than κ, and the share at most what it carries.
        """
        master, model = self._master, self._master.model
        lost, demand = model.new_int_var(0, _OFTEN, ""), surely_demand(master.problem)
        down = [self._down_counts.none - item.up[0] for item in master.items]
        carries = [item.candidate.slots_capacity for item in master.items]
        slots = master.total(sum(k * item.count for k, item in zip(carries, master.items, strict=True)))
        for least in _some(set(carries)):
            enough = model.new_bool_var("")
            model.add(slots >= demand + least).only_enforce_if(enough)
            counted = [u if k >= least else 0.0 for u, k in zip(down, carries, strict=True)]
            for level in _some(set(counted) - {0.0}):
                less = [
                    math.ceil(max(0.0, level - u) * _OFTEN * item.candidate.capacity / demand * (1 + 1e-9))
                    for u, item in zip(counted, master.items, strict=True)
                ]
                # A variable stands for the sum, as below; no more of it matters than there is to lose.
                spared = model.new_int_var(0, _OFTEN, "")
                model.add(spared <= sum(k * item.count for k, item in zip(less, master.items, strict=True)))
                model.add(lost + spared >= math.floor(level * _OFTEN)).only_enforce_if(~enough)
        return lost

    def _lost_with(self, event: Event) -> Any:
        """A variable at least the share that one of the parts takes along, in the mean, where no part can be spared; else from 0."""
        master, model = self._master, self._master.model
        lost, spared = model.new_int_var(0, WHOLE, ""), model.new_bool_var("")
        on_it = [item for item in master.items if event.groups & set(item.groups)]
        others = [item for item in master.items if not event.groups & set(item.groups)]
        left = sum(item.candidate.slots_capacity * item.count for item in others)
        if event.parts > 1:
            # What stands on the other parts is at most what their GPUs carry.
            (group,) = (master.problem.groups[number] for number in event.groups)
            each = max((item.candidate.slots_capacity / item.candidate.gpus for item in on_it), default=0.0)
            left += math.floor(each * group.nodes_per_rack * group.free_gpus * (event.parts - 1) * (1 + 1e-9)) + 1
        # No sum behind a literal: the solver's presolve (9.15) got optima wrong where one was. A variable stands for it.
        model.add(master.total(left) >= surely_demand(master.problem)).only_enforce_if(spared)
        touched = [
            share
            for place, share in zip(master.candidates.places, self._shares, strict=True)
            if event.groups & set(place.groups)
        ]
        # The mean of the parts, rounded down.
        model.add(event.parts * (lost + 1) - 1 >= master.total(sum(touched))).only_enforce_if(~spared)
        return lost

    def cut(self, terms: Terms, extra: Any) -> None:
        """The bound of a multiplier in every class.

        Args:
            terms: of the multiplier.
            extra: what slow families in use add while everything is up.
        """
        master, w = self._master, self._master.weights
        worth_ms = w.unserved * w.penalty_ms - w.latency * terms.gamma_ms
        for number, (least, probability) in enumerate(zip(self._least, self._down_counts.probabilities, strict=True)):
            bound = math.floor(w.latency * probability * terms.gamma_ms * NS_PER_MS)
            bound -= sum(k * item.count for k, item in zip(terms.by_class_ns[number], master.items, strict=True))
            if number == 0:
                bound += extra
                price = math.floor(worth_ms * NS_PER_MS / _OFTEN * _FINER)
                if price > 0:
                    cost = master.model.new_int_var(0, self._most_ns, "")
                    master.model.add(_FINER * (cost + 1) - 1 >= price * self._alone)
                    bound += cost
            elif number <= len(self._lost) and worth_ms > 0:
                # A state that sheds loses the part's share at least; each request of it costs so much beyond the bound.
                bound += math.floor(probability * worth_ms * NS_PER_MS / WHOLE) * self._lost[number - 1]
            master.model.add(least >= bound)


def _some(values: set[_Number]) -> list[_Number]:
    """A few of many values, with the least and the largest."""
    ordered = sorted(values)
    steps = min(len(ordered), _MOST_LEVELS)
    return [ordered[round(step * (len(ordered) - 1) / max(1, steps - 1))] for step in range(steps)]
