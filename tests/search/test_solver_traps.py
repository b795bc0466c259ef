"""Behaviour of CP-SAT that the builder works around; if one of these starts to pass or fail differently, re-measure."""

from __future__ import annotations

from typing import Any

import pytest

from optimizer import problem_from_dict
from optimizer.search.build import Model
from optimizer.search.quantities import Quantities
from optimizer.search.solve import Solver
from optimizer.search.space import build_space
from tests.generate import random_problem

# Seeds on which presolve of ortools 9.15.6755 called a far worse row OPTIMAL while enforced constraints held wide sums.
LOST_OPTIMA = [15, 20, 32, 34, 35, 51, 52, 53]


def best_by_rows(q: Quantities) -> int:
    """The optimum by fixing each row in turn: no exactly-one literals left for presolve to mishandle."""
    values = []
    for row in range(q.space.rows):
        found = Solver().lexicographic(Model(q, rows=[row]))
        if found.value is not None:
            values.append(found.value)
    return min(values)


@pytest.mark.parametrize("seed", LOST_OPTIMA)
def test_presolve_loses_no_optimum(seed: int) -> None:
    stated: dict[str, Any] = random_problem(seed)
    stated["objective"] = "fault-tolerance"
    problem = problem_from_dict(stated)
    q = Quantities(problem, build_space(problem))
    assert Solver().lexicographic(Model(q)).value == best_by_rows(q)
