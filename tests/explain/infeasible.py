"""Infeasible problems from the generator, and a plain oracle that looks at every candidate of a changed problem."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from optimizer.explain.common.relaxations import Relaxation
from optimizer.facts.errors import ProblemError
from optimizer.reading.load import problem_from_dict
from optimizer.reading.stated import Stated
from optimizer.results.answer import Fixed
from optimizer.search.uniform.quantities import Quantities
from optimizer.search.uniform.screen import Screen
from optimizer.search.uniform.space import build_space
from tests.generate import random_problem

# About 28 % of the generated problems are infeasible. OPTIMIZER_LONG_TESTS=1 compares 270 of them instead of 50.
BLOCK = 20
SEEDS = 960 if os.environ.get("OPTIMIZER_LONG_TESTS") else 180


def feasible(stated: Stated, *changes: Mapping[str, Any], fixed: Fixed | None = None) -> bool:
    """Whether some candidate of the changed problem keeps every rule: no pruning, no shared tables."""
    merged: dict[str, Any] = {}
    for change in changes:
        merged.update(change)
    try:
        problem = stated.changed(merged).problem()
    except ProblemError:
        return False
    space = build_space(problem, fixed)
    return bool(space.rows) and bool(Screen(Quantities(problem, space), fixed).viable.any())


def stated_problem(seed: int) -> Stated:
    """The generated problem as it would stand in a file."""
    values = random_problem(seed)
    return Stated(values, default_name=f"generated-{seed}", model=problem_from_dict(values).model)


def infeasible(seeds: Iterable[int]) -> Iterator[tuple[int, Stated]]:
    """Those of the generated problems that no strategy solves."""
    for seed in seeds:
        stated = stated_problem(seed)
        if not feasible(stated):
            yield seed, stated


def settings(relaxation: Relaxation, most: int = 8) -> list[int]:
    """Some settings of a relaxation, the nearest and the furthest among them."""
    wanted = {
        1,
        2,
        3,
        relaxation.steps,
        relaxation.steps // 2,
        relaxation.steps // 10,
        relaxation.steps // 100,
        relaxation.steps // 1000,
    }
    return sorted(k for k in wanted if 1 <= k <= relaxation.steps)[:most]
