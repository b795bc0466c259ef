"""The cheapest way around the clock on a small inventory by dynamic programming: every choice of instances of every rate is a state.

What the search keeps over the day, places of their own for all instances, is not asked here: so no plan is below this cost. Where the
instances of the cheapest way find room side by side, it is a plan.

Other home: ``search/profile/cluster_model.py``; docs/profile.md, section 7.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from optimizer.facts.cluster_day import ClusterDayProblem
from optimizer.facts.profile import HOUR_S, HOURS
from optimizer.verify.common.arithmetic import exact
from optimizer.verify.common.float_times import Floats, Ints
from optimizer.verify.inventory.budget import Budget
from optimizer.verify.inventory.candidates import CheckedInstance
from optimizer.verify.inventory.choices import TooMany
from optimizer.verify.inventory.left_out import LeftOut
from optimizer.verify.inventory.listed import ListedChoices
from optimizer.verify.inventory.restarts import restart_s
from optimizer.verify.inventory.spread import Unfinished
from optimizer.verify.inventory.states import TooManyStates
from optimizer.verify.inventory.stock import SpaceTooLarge

MOST_GPUS = 16
MOST_STATES = 400
"""Of one rate; of more the steps between hours are too many."""


@dataclass(frozen=True, slots=True)
class CheapestWay:
    """The least cost around the clock, in prices where all are stated, else GPU-hours; infinite where an hour has no state."""

    cost: float
    states: int
    stands: bool
    """Whether the instances of this way find room side by side and keep the rules at the largest rate."""


def cheapest_day(day: ClusterDayProblem, budget: Budget) -> CheapestWay | None:
    """The least cost of a day, changes an hour limited as asked; None where there is too much to go through."""
    if day.problem.gpus > MOST_GPUS or day.problem.power_limits:
        return None
    try:
        return _Days(day, budget).run()
    except (TooMany, SpaceTooLarge, Unfinished, TooManyStates):
        return None


class _Days:
    def __init__(self, day: ClusterDayProblem, budget: Budget) -> None:
        self.day, self.budget = day, budget
        self.listed: dict[float, ListedChoices] = {}
        self.states: dict[float, Ints] = {}
        for rate in day.distinct_rates:
            one = self.listed[rate] = ListedChoices(day.at(rate), budget, LeftOut(across=lambda *_: True))
            one.list_below(None)
            if len(one.counts) > MOST_STATES:
                raise TooMany
            kept = [counts for at, counts in enumerate(one.counts) if one.alone(at) is not None]
            self.states[rate] = np.array(kept, dtype=np.int64).reshape(len(kept), len(one.candidates))
        first = self.listed[day.distinct_rates[0]].candidates
        self.serve = np.array([self._hourly(one) for one in first])
        leads = [math.ceil(restart_s(day.problem, one.instance)) for one in first]
        self.start = self.serve * np.array(leads) / HOUR_S + float(exact(day.schedule.start_price))
        # A start that takes longer than an hour is not modelled: what needs one is no state.
        late = np.array(leads) > HOUR_S
        self.stop = self.serve * day.schedule.drain_s / HOUR_S
        for rate, states in self.states.items():
            self.states[rate] = states[(states[:, late] == 0).all(axis=1)] if late.any() else states

    def _hourly(self, one: CheckedInstance) -> float:
        group = self.day.problem.groups[one.group]
        return one.gpus * ((group.price_per_gpu_hour or 0.0) if self.day.problem.priced else 1.0)

    def run(self) -> CheapestWay:
        rates = self.day.rates
        count = sum(len(states) for states in self.states.values())
        if any(not len(states) for states in self.states.values()):
            return CheapestWay(math.inf, count, False)
        steps = {
            (a, b): self._steps(self.states[a], self.states[b])
            for a, b in dict.fromkeys((rates[h - 1], rates[h]) for h in range(HOURS))
        }
        begin = self.states[rates[0]] @ self.serve
        best, way = math.inf, list[int]()
        for first, cost in enumerate(begin.tolist()):
            self.budget.spend()
            ahead: Floats = np.full(len(begin), np.inf)
            ahead[first] = cost
            back = []
            for hour in range(1, HOURS):
                through = ahead[:, None] + steps[rates[hour - 1], rates[hour]]
                back.append(through.argmin(axis=0))
                ahead = through.min(axis=0) + self.states[rates[hour]] @ self.serve
            total = ahead + steps[rates[-1], rates[0]][:, first]
            at = int(total.argmin())
            if total[at] < best:
                best, way = float(total[at]), [at]
                for step in reversed(back):
                    way.append(int(step[way[-1]]))
                way.reverse()
        if not way:
            return CheapestWay(math.inf, count, False)
        return CheapestWay(best, count, self._stands(way))

    def _steps(self, before: Ints, after: Ints) -> Floats:
        """Cost of starts and stops from every state to every other; infinite where there are too many."""
        more = after[None, :, :] - before[:, None, :]
        started, stopped = np.maximum(more, 0), np.maximum(-more, 0)
        cost: Floats = started @ self.start + stopped @ self.stop
        most = self.day.schedule.most_changes_per_hour
        if most is not None:
            cost = np.where((started + stopped).sum(axis=2) > most, np.inf, cost)
        return cost

    def _stands(self, way: list[int]) -> bool:
        """Whether the most of every instance over the day find room together."""
        most = np.max([self.states[rate][at] for rate, at in zip(self.day.rates, way, strict=True)], axis=0)
        listed = self.listed[self.day.distinct_rates[-1]]
        used = most @ listed.uses_of_one.T
        if (used > np.array(listed.room)).any():
            return False
        listed.counts.append(most.tolist())
        return listed.alone(len(listed.counts) - 1) is not None
