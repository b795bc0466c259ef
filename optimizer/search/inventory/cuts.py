"""Cuts of the model over counts: which multipliers γ, and what each candidate earns at most: ``docs/inventories.md``, section 6."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping

import numpy as np

from optimizer.search.inventory.candidates import Candidates
from optimizer.search.inventory.counts import Terms
from optimizer.search.inventory.found import Placed
from optimizer.search.inventory.master import Master
from optimizer.search.inventory.plan import Plan
from optimizer.search.uniform.quantities import ObjectiveWeights

FINE = 1e-5
ROUGH = 1e-2
"""For bounds that only show the way, or decide what is far off."""
FIRST_CUTS = 8
_FIRST_LOOK, _NEAR = 1e-3, 0.9
"""Tolerance of bounds that are far from the best, for each GPU, and how near the best is not far."""
_LIGHT_TO_BUSY = np.array([0.05, 0.4, 0.9])
"""Parts of what a candidate carries."""
_NOISE = 1e-9
"""Relative: what beats a candidate may be slower by rounding."""


class Cuts:
    """Adds cuts to models of one problem; ``gammas`` are the multipliers so far, ms per further request/s, the latest last."""

    def __init__(self, candidates: Candidates, weights: ObjectiveWeights) -> None:
        self._candidates, self._weights = candidates, weights
        self._tolerances: dict[float, float] = {}
        self._opened: set[tuple[int, int]] = set()
        """Dominated candidates, by kind and position, whose own mean times are looked at."""
        self._used: set[tuple[int, int]] = set()
        """Candidates of plans that were valued: their bounds are as fine as asked for."""

    @property
    def gammas(self) -> tuple[float, ...]:
        """The multipliers so far."""
        return tuple(self._tolerances)

    @property
    def told(self) -> tuple[float, ...]:
        """Those of plans, as fine as the curves go."""
        return tuple(gamma for gamma, tolerance in self._tolerances.items() if tolerance <= FINE)

    def open(self, plan: Plan) -> None:
        """Look at the own mean times of a plan's candidates from here on, whatever beats them."""
        mine = {(self._candidates.places[e.place].kind, e.candidate) for e in plan.entries}
        self._opened |= mine
        self._used |= mine

    def open_all(self, master: Master) -> None:
        """Look at the own mean times of every candidate of a model: those that a proof goes through are few, and their times known."""
        self._opened |= {(self._candidates.places[item.place].kind, item.position) for item in master.items}

    def gamma(self, placed: Placed) -> float:
        """What a further request/s costs at the plan's split: the mean of its families' own figures."""
        families = placed.plan.families(self._candidates)
        shares = placed.split.thousandths
        total = 0.0
        for family, share, rate in zip(families, shares, placed.split.rates, strict=True):
            total += share * float(self._candidates.curves(family[0]).marginals(family[1:], np.array([[rate]]))[0, 0])
        return total / sum(shares)

    def _while_down(self, gamma: float) -> float:
        """What the multiplier may be in states that may shed: no more than a request that is not served costs."""
        w = self._weights
        if w.unserved == 0 or w.latency == 0:
            return gamma
        return min(gamma, w.unserved * w.penalty_ms / w.latency)

    def first(self, master: Master) -> None:
        """Multipliers from next to nothing up to what the busiest candidate costs at its most."""
        ends: list[float] = []
        for number, kind in enumerate(self._candidates.group_types):
            carried = np.array([kind.candidates[position].capacity for position in kind.kept]) / 1e6
            ends += (
                self._candidates.curves(number).marginals(kind.kept, carried[:, None] * _LIGHT_TO_BUSY).ravel().tolist()
            )
        if not ends:
            return
        low, high = self._while_down(min(ends)), self._while_down(max(ends))
        for step in range(FIRST_CUTS):
            self.add(master, low * (high / low) ** (step / max(1, FIRST_CUTS - 1)), ROUGH)
        if max(ends) > high:
            self.add(master, max(ends), ROUGH)

    def add(self, master: Master, gamma: float, tolerance: float) -> None:
        """The bound of a multiplier, as fine as the tolerance (relative).

        What beats a candidate bounds what it earns, until the candidate is part of a plan.
        """
        master.cut(self._terms(master, gamma, tolerance, self._opened))
        self._tolerances[gamma] = min(tolerance, self._tolerances.pop(gamma, tolerance))

    def again(self, master: Master, gammas: Iterable[float]) -> None:
        """The bounds of multipliers so far, as fine as they were."""
        for gamma in gammas:
            self.add(master, gamma, self._tolerances[gamma])

    def own(self, master: Master, gamma: float, tolerance: float = ROUGH) -> Terms:
        """The bound of a multiplier with what every candidate earns itself."""
        group_types = [self._candidates.places[item.place].kind for item in master.items]
        return self._terms(
            master, gamma, tolerance, {(k, item.position) for k, item in zip(group_types, master.items, strict=True)}
        )

    def _terms(self, master: Master, gamma: float, tolerance: float, opened: Container[tuple[int, int]]) -> Terms:
        group_types = [self._candidates.places[item.place].kind for item in master.items]
        stands_for: dict[tuple[int, int], tuple[int, int]] = {}
        for kind, item in zip(group_types, master.items, strict=True):
            known = (item.position, 1)
            if (kind, item.position) not in opened:
                known = self._candidates.group_types[kind].dominated.get(item.position, known)
            stands_for[kind, item.position] = known
        rest = self._while_down(gamma)
        gains = self._gains(stands_for, gamma, tolerance)
        gains_down = gains if rest == gamma else self._gains(stands_for, rest, tolerance)
        earned, earned_down, fastest = [], [], []
        for kind, item in zip(group_types, master.items, strict=True):
            sampled, many = stands_for[kind, item.position]
            noise = 0.0 if sampled == item.position else _NOISE * gamma * item.candidate.slots_capacity / 1e6
            earned.append(many * gains[kind, sampled] + noise)
            earned_down.append(many * gains_down[kind, sampled] + noise)
            fastest.append(self._candidates.curves(kind).fastest_ms(sampled))
        return master.terms((gamma, rest), (earned, earned_down), fastest)

    def _gains(
        self, stands_for: Mapping[tuple[int, int], tuple[int, int]], gamma: float, tolerance: float
    ) -> dict[tuple[int, int], float]:
        """Γ of what stands for the items, by kind and position."""
        gains: dict[tuple[int, int], float] = {}
        for kind in sorted({kind for kind, _ in stands_for}):
            positions = sorted({sampled for (k, _), (sampled, _) in stands_for.items() if k == kind})
            curves = self._candidates.curves(kind)
            bounds = curves.bounds(gamma, max(tolerance, _FIRST_LOOK), positions)
            if tolerance < _FIRST_LOOK:
                # What earns far less for each GPU than another is in few plans: its bound need not be fine until it is in one.
                each = bounds / np.array([curves.candidates[position].gpus for position in positions])
                near = each >= _NEAR * each.max(initial=0.0)
                for number, position in enumerate(positions):
                    near[number] |= (kind, position) in self._used
                fine = [position for position, wanted in zip(positions, near.tolist(), strict=True) if wanted]
                bounds[near] = curves.bounds(gamma, tolerance, fine)
            gains.update({(kind, position): float(gain) for position, gain in zip(positions, bounds, strict=True)})
        return gains
