"""Packing programs ``max gain . y, use y <= stock, y >= 0`` with duals, solved by GLOP (deterministic, in doubles)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ortools.linear_solver import pywraplp


class Packing:
    """A packing program that grows by columns."""

    def __init__(self, stock: Sequence[float]) -> None:
        self._solver: Any = pywraplp.Solver.CreateSolver("GLOP")
        self._rows = [self._solver.Constraint(-self._solver.infinity(), float(most)) for most in stock]
        self._objective = self._solver.Objective()
        self._objective.SetMaximization()
        self._columns = 0

    def add(self, gain: float, use: Sequence[float]) -> None:
        """One more column."""
        column = self._solver.NumVar(0.0, self._solver.infinity(), f"y{self._columns}")
        self._columns += 1
        self._objective.SetCoefficient(column, gain)
        for row, amount in zip(self._rows, use, strict=True):
            if amount:
                row.SetCoefficient(column, amount)

    def solve(self) -> tuple[float, list[float]]:
        """The optimum and the price of each row, never negative; infinity with no prices when it is unbounded."""
        status = self._solver.Solve()
        if status != pywraplp.Solver.OPTIMAL:
            return float("inf"), [0.0] * len(self._rows)
        return self._objective.Value(), [max(0.0, row.dual_value()) for row in self._rows]
