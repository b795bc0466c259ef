"""Γ(γ) = max over r ≤ k of r · (γ − T(r)), bounded from above for every candidate. ``docs/inventories.md``, section 6.

T grows with r. Between two sampled rates a < b it is at least T(a), so r · (γ − T(r)) is at most b · (γ − T(a)): an upper
bound for the cell, whatever T does inside. Cells that could hold the maximum are sampled more finely.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from optimizer.costs.shapes import Floats
from optimizer.search.inventory.candidate import MICRO, InstanceCandidate
from optimizer.search.inventory.group_types import GroupType

_FIRST_CELLS = 24
_SPLIT, _INNER = 6, np.arange(1, 8) / 8
_ROUNDS = 8


class Curves:
    """Samples of the mean time of every candidate of one kind, taken when first asked for and refined where a bound needs it."""

    def __init__(self, kind: GroupType) -> None:
        self.kind = kind
        self._rates: dict[int, Floats] = {}
        self._means: dict[int, Floats] = {}
        self._known: dict[tuple[float, int], tuple[float, float]] = {}
        """(multiplier, candidate) → (tolerance that was asked for, bound of Γ)."""

    @property
    def candidates(self) -> tuple[InstanceCandidate, ...]:
        """Those the kind has by now."""
        return self.kind.candidates

    def _begin(self, positions: Sequence[int]) -> None:
        """First samples of candidates that have none."""
        new = [position for position in positions if position not in self._rates]
        if not new:
            return
        top = np.array([self.candidates[position].slots_capacity / MICRO for position in new])
        # Near nothing T is smallest: that value stands for every rate below the first sample.
        grid = np.linspace(0, 1, _FIRST_CELLS + 1)
        grid[0] = 1e-6
        rates = top[:, None] * grid
        means = self.kind.means([self.candidates[position] for position in new], rates)
        rates[:, 0] = 0.0
        for row, position in enumerate(new):
            self._rates[position], self._means[position] = rates[row], means[row]

    def bounds(self, gamma: float, tolerance: float, positions: Sequence[int]) -> Floats:
        """Upper bounds of Γ for some of the candidates, requests/s · ms, (positions,).

        Args:
            gamma: ms per further request/s.
            tolerance: relative distance to what is attained at which refining ends.
        """
        self._begin(positions)
        known = [self._known.get((gamma, position)) for position in positions]
        upper = np.array([one[1] if one is not None else 0.0 for one in known])
        open_positions = [
            (number, position)
            for number, (position, one) in enumerate(zip(positions, known, strict=True))
            if one is None or one[0] > tolerance
        ]
        asked = open_positions
        for rounds in range(_ROUNDS + 1):
            todo: list[tuple[int, Floats]] = []
            still: list[tuple[int, int]] = []
            for number, position in open_positions:
                rates, means = self._rates[position], self._means[position]
                spare = gamma - means
                cells = rates[1:] * spare[:-1]
                attained = max(0.0, float((rates * spare).max()))
                upper[number] = max(0.0, float(cells.max()))
                target = attained + tolerance * max(attained, 1e-9 * gamma)
                if upper[number] > target and rounds < _ROUNDS:
                    # The best few cells are split; the rest follow in later rounds if they still matter.
                    worst = np.flatnonzero(cells > target)
                    worst = worst[np.argsort(-cells[worst])[:_SPLIT]]
                    inner = rates[worst, None] + (rates[worst + 1] - rates[worst])[:, None] * _INNER
                    todo.append((position, inner.ravel()))
                    still.append((number, position))
            if not todo:
                break
            self._sample(todo)
            open_positions = still
        for number, position in asked:
            self._known[gamma, position] = tolerance, float(upper[number])
        return upper

    def _sample(self, todo: list[tuple[int, Floats]]) -> None:
        width = max(len(inner) for _, inner in todo)
        rates = np.array([np.pad(inner, (0, width - len(inner)), mode="edge") for _, inner in todo])
        means = self.kind.means([self.candidates[position] for position, _ in todo], rates)
        for (position, inner), found in zip(todo, means, strict=True):
            merged = np.concatenate([self._rates[position], inner])
            order = np.argsort(merged, kind="stable")
            values = np.concatenate([self._means[position], found[: len(inner)]])[order]
            self._rates[position] = merged[order]
            # Rounding noise must not make T shrink: the smaller value to the left keeps the bound an upper one.
            self._means[position] = np.minimum.accumulate(values[::-1])[::-1]

    def fastest_ms(self, candidate: int) -> float:
        """T next to no load, below which it never is."""
        self._begin([candidate])
        return float(self._means[candidate][0])

    def marginals(self, positions: Sequence[int], rates: Floats) -> Floats:
        """G'(r) = d(r · T(r))/dr of candidates at their own rates, (positions, Q) requests/s each, ms, by differences."""
        most = np.array([self.candidates[position].slots_capacity / MICRO for position in positions])[:, None]
        step = np.maximum(rates * 1e-4, 1e-9)
        low, high = np.maximum(rates - step, rates * 0.5), np.minimum(rates + step, most)
        means = self.kind.means([self.candidates[position] for position in positions], np.hstack([low, high]))
        t_low, t_high = np.hsplit(means, 2)
        apart = high > low
        slopes: Floats = np.where(apart, (high * t_high - low * t_low) / np.where(apart, high - low, 1.0), t_high)
        return slopes
