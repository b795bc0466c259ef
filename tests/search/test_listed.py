"""What a check reads from tables is what CP-SAT proves: the best candidate, and the one that breaks the fewest rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import pytest

from optimizer.explain.uniform import nearest
from optimizer.facts.demand import Preset
from optimizer.reading.load import problem_from_dict
from optimizer.results.answer import Fixed
from optimizer.search.uniform.build import Model
from optimizer.search.uniform.quantities import Quantities
from optimizer.search.uniform.replica_counts import considered
from optimizer.search.uniform.rule import Choice
from optimizer.search.uniform.solve import Solver
from optimizer.search.uniform.violations import posted_rules
from tests.generate import random_problem

PRESETS = get_args(Preset)
SEEDS = range(60)
FIXED = (None, Fixed(max_num_seqs=2), Fixed(tensor_parallel=2), Fixed(pipeline_parallel=1, max_num_seqs=8))


def _asked(seed: int) -> tuple[Quantities, Fixed | None]:
    values = random_problem(seed)
    values["objective"] = PRESETS[seed % len(PRESETS)]
    if values["objective"] == "cheapest":
        values["hardware"]["price_per_gpu_hour"] = 2.0
    fixed = FIXED[seed // 7 % len(FIXED)]
    return considered(problem_from_dict(values), fixed), fixed


def by_the_solver(quantities: Quantities, fixed: Fixed | None) -> Choice | None:
    """The candidate that breaks the fewest rules, as CP-SAT finds it with a switch for each rule."""
    posted = posted_rules(quantities, quantities.problem)
    wanted = fixed.max_num_seqs if fixed is not None else None
    low, high = (wanted, wanted) if wanted else (1, quantities.space.slots)
    rows = nearest._nearest_rows(quantities, posted, low, high)
    built = Model(quantities, fixed, rows=rows, free=True)
    weights = {rule: nearest.HARD if rule in nearest.HARD_RULES else nearest.SOFT for rule in built.switch}
    broken = sum(weights[rule] * (1 - switch) for rule, switch in built.switch.items())
    built.model.minimize(broken)
    solver = Solver()
    run, outcome = solver.run(built.model)
    assert outcome == "optimal"
    built.model.add(broken <= int(run.value(broken)))
    found = solver.lexicographic(built)
    return nearest._no_fuller(quantities, fixed, found.choice) if found.choice is not None else None


@pytest.mark.parametrize("seed", SEEDS)
def test_tables_find_what_the_solver_proves(seed: int, met: Callable[[str], None]) -> None:
    quantities, fixed = _asked(seed)
    if not quantities.space.rows:
        met("no candidate")
        return
    listed, proved = Solver().listed(quantities, fixed), Solver().best(quantities, fixed)
    met(proved.outcome)
    assert (listed.outcome, listed.choice, listed.value, listed.bound) == (
        proved.outcome,
        proved.choice,
        proved.value,
        proved.bound,
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_tables_find_the_same_that_breaks_the_fewest_rules(seed: int, met: Callable[[str], None]) -> None:
    quantities, fixed = _asked(seed)
    if not quantities.space.rows:
        assert nearest.least_broken(quantities, fixed) is None
        met("no candidate")
        return
    found = nearest.least_broken(quantities, fixed)
    met(Solver().listed(quantities, fixed).outcome)
    assert found == by_the_solver(quantities, fixed)


def test_a_check_needs_no_solver(example: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from optimizer.questions.uniform import check

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a check asked CP-SAT")

    monkeypatch.setattr(Solver, "run", never)
    problem = problem_from_dict(example)
    assert check(problem, Fixed(4, 1, 2), repairs=False).status == "optimal"
    assert check(problem, Fixed(2, 4, 1), repairs=False).feasible is False
