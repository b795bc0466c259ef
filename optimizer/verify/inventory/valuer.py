"""What a choice of instances would be worth: split, stood and valued as the contract says, by the verifier's own means."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from fractions import Fraction

import numpy as np

from optimizer.results.placement import PlacedInstance
from optimizer.verify.common.arithmetic import exact
from optimizer.verify.common.float_times import Floats
from optimizer.verify.inventory.budget import Budget
from optimizer.verify.inventory.candidates import CheckedInstance
from optimizer.verify.inventory.choices import TooMany
from optimizer.verify.inventory.claims import needed_after_losses, noise_of
from optimizer.verify.inventory.float_times import TimeCurves
from optimizer.verify.inventory.losses import worst_loss
from optimizer.verify.inventory.rates import MILLION
from optimizer.verify.inventory.restarts import restarts_in_time
from optimizer.verify.inventory.shares import THOUSANDTHS, largest_share, least_split, share_costs
from optimizer.verify.inventory.site import CheckedSite
from optimizer.verify.inventory.spread import placements
from optimizer.verify.inventory.states import members_of, rates_of, states_of
from optimizer.verify.inventory.value import InstanceFamily, LoadWeights, totals

MOST_WORK = 3000
"""Units of about a millisecond for splitting requests and working through failure states."""
_SPLIT_WORK, _STATES_WORK = 10, 10
MOST_PLACINGS = 300
"""Steps of trying other places for one choice."""
POINTS = 200
BETWEEN_POINTS = 1e-3
"""Relative error of a mean time taken between points of the grid, at most."""


class Valuer:
    """Values of choices on one inventory."""

    def __init__(
        self,
        site: CheckedSite,
        curves: TimeCurves,
        groups_of: Mapping[int, Sequence[int]],
        most_work: float = MOST_WORK,
        budget: Budget | None = None,
    ) -> None:
        self._site, self._curves, self._groups_of = site, curves, groups_of
        inventory = site.inventory
        self._inventory, self._weights = inventory, LoadWeights.of(inventory.objective)
        self._demand = exact(inventory.workload.requests_per_s)
        self._levels = rates_of(inventory, inventory.failing_levels())
        self._costs: dict[tuple[Hashable, int], Floats] = {}
        self._means: dict[Hashable, tuple[Floats, Floats]] = {}
        self._back: dict[Hashable, bool] = {}
        self._work, self._most_work, self._budget = 0, most_work, budget

    def value(
        self, chosen: Sequence[tuple[CheckedInstance, int]], goal: float, *, surely: bool = False
    ) -> float | None:
        """The objective of a choice where it may stand, ms; None when it is surely above the goal, or no place keeps the rules.

        Args:
            surely: split by the mean time of every share itself: a split that is nearly the best is another plan.

        Raises:
            TooMany: the work is used up.
            Unfinished, TooManyStates: this choice is too much work.
        """
        kinds = list(dict.fromkeys(candidate.kind for candidate, _ in chosen))
        first = {candidate.kind: candidate for candidate, _ in reversed(chosen)}
        sizes = [sum(n for candidate, n in chosen if candidate.kind == kind) for kind in kinds]
        split = self._split([first[kind] for kind in kinds], sizes, surely)
        if split is None:
            return None
        mean, thousandths = split
        # Every instance is up at least so often, and then a request takes the mean time.
        certain = (
            max(0.0, 1 - sum((1 - candidate.availability) * n for candidate, n in chosen))
            if self._weights.unserved
            else 1
        )
        if self._weights.latency * mean * certain * (1 - BETWEEN_POINTS) > goal:
            return None
        self._spend(_STATES_WORK)
        placed = self._place(chosen)
        if placed is None:
            return None
        demand = float(self._demand)
        families = [
            InstanceFamily(
                self._curves.of(first[kind].instance),
                size,
                share * demand / (1000 * size),
                first[kind].slots_capacity / MILLION,
            )
            for kind, size, share in zip(kinds, sizes, thousandths, strict=True)
        ]
        instances, candidates = placed
        members = members_of(
            self._site, instances, [kinds.index(candidate.kind) for candidate in candidates], self._levels
        )
        found = totals(families, demand, self._weights, states_of(self._inventory, members, sizes))
        value = found.served_ms + found.unserved_ms
        value += self._weights.gpu_ms * sum(candidate.gpus * n for candidate, n in chosen)
        return value + noise_of(self._weights, found, value)

    def split(
        self, candidates: Sequence[CheckedInstance], sizes: Sequence[int]
    ) -> tuple[float, tuple[int, ...]] | None:
        """The shares that take least time, by the mean time of every share itself: (ms, thousandths of each family)."""
        return self._split(candidates, sizes, True)

    def _split(
        self, candidates: Sequence[CheckedInstance], sizes: Sequence[int], surely: bool
    ) -> tuple[float, tuple[int, ...]] | None:
        """(least mean time in ms, thousandths of each family); None when no split is within capacity."""
        most = [
            largest_share(self._demand, size, Fraction(candidate.capacity, MILLION))
            for candidate, size in zip(candidates, sizes, strict=True)
        ]
        if sum(most) < 1000 or min(most) < 1:
            return None
        self._spend(1 + _SPLIT_WORK * max(0, len(most) - 2))
        every = zip(candidates, sizes, most, strict=True)
        if surely:
            costs = [share_costs(self._curves.of(one.instance), self._demand, size, upto) for one, size, upto in every]
        else:
            costs = [self._costs_of(*one) for one in every]
        return least_split(costs)

    def _costs_of(self, candidate: CheckedInstance, size: int, most: int) -> Floats:
        """What each share costs, T taken between points of a grid: good enough to choose a split."""
        if (candidate.kind, size) not in self._costs:
            if candidate.kind not in self._means:
                rates = np.linspace(1e-6, max(2e-6, candidate.capacity / MILLION), POINTS)
                self._means[candidate.kind] = rates, self._curves.of(candidate.instance).mean_ms(rates)
            costs = np.full(THOUSANDTHS + 1, np.inf)
            part = np.arange(1, most + 1, dtype=np.float64)
            rates, means = self._means[candidate.kind]
            mean = np.interp(part * (float(self._demand) / (THOUSANDTHS * size)), rates, means)
            costs[1 : most + 1] = part * mean / THOUSANDTHS
            self._costs[candidate.kind, size] = costs
        return self._costs[candidate.kind, size]

    def _place(
        self, chosen: Sequence[tuple[CheckedInstance, int]]
    ) -> tuple[list[PlacedInstance], list[CheckedInstance]] | None:
        """A place for every instance that keeps the survival rules; None when there is none."""
        off, needed = self._inventory.search.disabled_rules, needed_after_losses(self._inventory)
        wanted = [losses for losses in self._inventory.survive if f"survive_{losses.level}" not in off]
        groups = {number: self._groups_of[number] for candidate, _ in chosen for number in candidate.groups}
        for instances, candidates in placements(self._site, chosen, groups, MOST_PLACINGS):
            capacities = [Fraction(candidate.capacity, MILLION) for candidate in candidates]
            restart = [self._restarts(candidate) for candidate in candidates] if wanted else []
            worst = (worst_loss(self._site, loss, instances, capacities, restart) for loss in wanted)
            if all(one.capacity_left >= needed for one in worst):
                return instances, candidates
        return None

    def _restarts(self, candidate: CheckedInstance) -> bool:
        """Whether an instance is back in time after the loss of a GPU."""
        if candidate.kind not in self._back:
            self._back[candidate.kind] = restarts_in_time(self._inventory, candidate.instance)
        return self._back[candidate.kind]

    def _spend(self, work: int) -> None:
        self._work += work
        if self._work > self._most_work:
            raise TooMany
        if self._budget is not None:
            self._budget.spend()
