"""What a choice of instances would be worth: split, stood and valued as the contract says, by the verifier's own means."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from fractions import Fraction

import numpy as np

from optimizer.results.placement import PlacedInstance
from optimizer.verify.common.arithmetic import exact
from optimizer.verify.common.twin_times import Floats
from optimizer.verify.inventory.budget import Budget
from optimizer.verify.inventory.choices import TooMany
from optimizer.verify.inventory.claims import needed_after_losses, noise_of
from optimizer.verify.inventory.float_times import Curves
from optimizer.verify.inventory.losses import worst_loss
from optimizer.verify.inventory.offers import Offer
from optimizer.verify.inventory.rates import MILLION
from optimizer.verify.inventory.restarts import restarts_in_time
from optimizer.verify.inventory.shares import THOUSANDTHS, largest_share, least_split
from optimizer.verify.inventory.site import Site
from optimizer.verify.inventory.spread import placements
from optimizer.verify.inventory.states import members_of, rates_of, states_of
from optimizer.verify.inventory.value import Family, Weights, totals

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
        site: Site,
        curves: Curves,
        groups_of: Mapping[int, Sequence[int]],
        most_work: float = MOST_WORK,
        budget: Budget | None = None,
    ) -> None:
        self._site, self._curves, self._groups_of = site, curves, groups_of
        fleet = site.fleet
        self._fleet, self._weights = fleet, Weights.of(fleet.objective)
        self._demand = exact(fleet.workload.requests_per_s)
        self._levels = rates_of(fleet.failures, fleet.levels())
        self._costs: dict[tuple[Hashable, int], Floats] = {}
        self._means: dict[Hashable, tuple[Floats, Floats]] = {}
        self._back: dict[Hashable, bool] = {}
        self._work, self._most_work, self._budget = 0, most_work, budget

    def value(self, chosen: Sequence[tuple[Offer, int]], goal: float) -> float | None:
        """The objective of a choice where it may stand, ms; None when it is surely above the goal, or no place keeps the rules.

        Raises:
            TooMany: the work is used up.
            Unfinished, TooManyStates: this choice is too much work.
        """
        kinds = list(dict.fromkeys(offer.kind for offer, _ in chosen))
        first = {offer.kind: offer for offer, _ in reversed(chosen)}
        sizes = [sum(n for offer, n in chosen if offer.kind == kind) for kind in kinds]
        split = self._split([first[kind] for kind in kinds], sizes)
        if split is None:
            return None
        mean, thousandths = split
        # Every instance is up at least so often, and then a request takes the mean time.
        certain = (
            max(0.0, 1 - sum((1 - offer.availability) * n for offer, n in chosen)) if self._weights.unserved else 1
        )
        if self._weights.latency * mean * certain * (1 - BETWEEN_POINTS) > goal:
            return None
        self._spend(_STATES_WORK)
        placed = self._place(chosen)
        if placed is None:
            return None
        demand = float(self._demand)
        families = [
            Family(
                self._curves.of(first[kind].instance),
                size,
                share * demand / (1000 * size),
                first[kind].slots_capacity / MILLION,
            )
            for kind, size, share in zip(kinds, sizes, thousandths, strict=True)
        ]
        instances, offers = placed
        members = members_of(self._site, instances, [kinds.index(offer.kind) for offer in offers], self._levels)
        found = totals(families, demand, self._weights, states_of(self._fleet, members, sizes))
        value = found.served_ms + found.unserved_ms
        value += self._weights.gpu_ms * sum(offer.gpus * n for offer, n in chosen)
        return value + noise_of(self._weights, found, value)

    def _split(self, offers: Sequence[Offer], sizes: Sequence[int]) -> tuple[float, tuple[int, ...]] | None:
        """(least mean time in ms, thousandths of each family); None when no split is within capacity."""
        most = [
            largest_share(self._demand, size, Fraction(offer.capacity, MILLION))
            for offer, size in zip(offers, sizes, strict=True)
        ]
        if sum(most) < 1000 or min(most) < 1:
            return None
        self._spend(1 + _SPLIT_WORK * max(0, len(most) - 2))
        costs = [self._costs_of(*one) for one in zip(offers, sizes, most, strict=True)]
        return least_split(costs)

    def _costs_of(self, offer: Offer, size: int, most: int) -> Floats:
        """What each share costs, T taken between points of a grid: good enough to choose a split."""
        if (offer.kind, size) not in self._costs:
            if offer.kind not in self._means:
                rates = np.linspace(1e-6, max(2e-6, offer.capacity / MILLION), POINTS)
                self._means[offer.kind] = rates, self._curves.of(offer.instance).mean_ms(rates)
            costs = np.full(THOUSANDTHS + 1, np.inf)
            part = np.arange(1, most + 1, dtype=np.float64)
            rates, means = self._means[offer.kind]
            mean = np.interp(part * (float(self._demand) / (THOUSANDTHS * size)), rates, means)
            costs[1 : most + 1] = part * mean / THOUSANDTHS
            self._costs[offer.kind, size] = costs
        return self._costs[offer.kind, size]

    def _place(self, chosen: Sequence[tuple[Offer, int]]) -> tuple[list[PlacedInstance], list[Offer]] | None:
        """A place for every instance that keeps the survival rules; None when there is none."""
        off, needed = self._fleet.search.disabled_rules, needed_after_losses(self._fleet)
        wanted = [losses for losses in self._fleet.survive if f"survive_{losses.level}" not in off]
        groups = {number: self._groups_of[number] for offer, _ in chosen for number in offer.groups}
        for instances, offers in placements(self._site, chosen, groups, MOST_PLACINGS):
            capacities = [Fraction(offer.capacity, MILLION) for offer in offers]
            restart = [self._restarts(offer) for offer in offers] if wanted else []
            worst = (worst_loss(self._site, loss, instances, capacities, restart) for loss in wanted)
            if all(one.capacity_left >= needed for one in worst):
                return instances, offers
        return None

    def _restarts(self, offer: Offer) -> bool:
        """Whether an instance is back in time after the loss of a GPU."""
        if offer.kind not in self._back:
            self._back[offer.kind] = restarts_in_time(self._fleet, offer.instance)
        return self._back[offer.kind]

    def _spend(self, work: int) -> None:
        self._work += work
        if self._work > self._most_work:
            raise TooMany
        if self._budget is not None:
            self._budget.spend()
