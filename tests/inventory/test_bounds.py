"""Bounds of the inventory's search, one by one: at a plan's own multiplier each is next to the plan's value, and never above it."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from optimizer.facts.inventory import InventoryProblem
from optimizer.reading.inventory_file import inventory_from_dict
from optimizer.search.common.scale import NS_PER_MS
from optimizer.search.common.solver import cp_model, new_solver
from optimizer.search.inventory.candidate import MICRO
from optimizer.search.inventory.candidates import Candidates
from optimizer.search.inventory.cuts import Cuts
from optimizer.search.inventory.found import Placed
from optimizer.search.inventory.master import Master
from optimizer.search.inventory.placer import Placer
from optimizer.search.inventory.plan import Entry, Plan
from optimizer.search.inventory.prices import Prices
from optimizer.search.inventory.row_earnings import may_earn_more
from optimizer.search.inventory.solve import InventorySolver
from optimizer.search.inventory.valuation import Valuation
from optimizer.search.uniform.quantities import ObjectiveWeights
from tests.inventory.every_plan import every_plan
from tests.inventory.test_naive import small_inventory
from tests.verify.builders import GPU

PLANS = 5
NEAR = 1e-5


def inventory(seed: int, *, often: bool, cheap: bool = False) -> InventoryProblem:
    """A small inventory whose parts fail rarely, or so often that failures weigh more than latency.

    Args:
        cheap: a request that is not served counts less than any that is.
    """
    values: dict[str, Any] = small_inventory(seed)
    values["workload"]["requests_per_s"] = 2.0
    if often:
        values["failures"] = {
            "gpu_mtbf_hours": 60,
            "node_mtbf_hours": 90,
            "rack_mtbf_hours": 120,
            "zone_mtbf_hours": 150,
        }
    if cheap:
        values["objective"] = {"unserved_penalty_ms": 5.0}
    return inventory_from_dict(values)


def placed_plans(problem: InventoryProblem, candidates: Candidates, seed: int) -> list[Placed]:
    """Some plans that keep every rule, the fewest instances first."""
    plans = every_plan(candidates) or []
    rng = random.Random(seed)
    chosen = sorted(rng.sample(plans, min(len(plans), 60)), key=lambda plan: sum(e.count for e in plan.entries))
    placer = Placer(problem, candidates, Valuation(problem, candidates))
    found = (placer.place(plan) for plan in chosen)
    return [placed for placed in found if placed is not None][:PLANS]


def bound_at(problem: InventoryProblem, candidates: Candidates, cuts: Cuts, placed: Placed) -> float | None:
    """The least objective that the model allows the plan, ms, with the one cut of its own multiplier; None: it allows no such plan."""
    master = Master(problem, candidates, problem.search.disabled_rules, None, everything=True)
    cuts.open(placed.plan)
    cuts.add(master, cuts.gamma(placed), NEAR)
    counts = {(entry.place, entry.candidate): entry.count for entry in placed.plan.entries}
    for item in master.items:
        master.model.add(item.count == counts.get((item.place, item.position), 0))
    goal = master.theta + master.gpus_ns()
    master.model.minimize(goal)
    solver = new_solver(seed=1)
    status = solver.solve(master.model)
    if status == cp_model.INFEASIBLE:
        return None
    assert status == cp_model.OPTIMAL
    return float(solver.value(goal)) / NS_PER_MS


LONG = [pytest.param(seed, marks=pytest.mark.long) for seed in (0, 6, 7, 9, 11)]


@pytest.mark.parametrize("cheap", [False, True])
@pytest.mark.parametrize("often", [False, True])
@pytest.mark.parametrize("number", [3, 5, *LONG])
def test_no_bound_is_above_the_value_of_a_plan(number: int, often: bool, cheap: bool) -> None:
    problem = inventory(number, often=often, cheap=cheap)
    candidates = Candidates(problem)
    candidates.admit()
    cuts = Cuts(candidates, ObjectiveWeights.of(problem.objective))
    shares = []
    for placed in placed_plans(problem, candidates, number):
        found = bound_at(problem, candidates, cuts, placed)
        assert found is not None, f"{placed.plan} keeps every rule, and the model allows no such plan"
        assert found <= placed.value.exact_ms + 1e-5
        shares.append(found / placed.value.exact_ms)
    # It says something: some bound is next to its value.
    assert max(shares) > (0.3 if often else 0.98)


@pytest.mark.parametrize("count", [1, 2])
def test_what_a_loss_leaves_exactly_is_enough(count: int) -> None:
    """Equal instances on nodes of one GPU: after the loss of some of them the others carry just the demand."""
    values = small_inventory(0)
    values["cluster"] = [{"name": "a", "gpu": GPU, "gpus_per_node": 1, "nodes": 4}]
    values["requirements"] = {"max_batch": 4, "survive": {"node": count}}
    problem = inventory_from_dict(values)
    candidates = Candidates(problem)
    place = max(range(len(candidates.of_place(0))), key=lambda position: candidates.of_place(0)[position].capacity)
    plan = Plan((Entry(0, place, 4),))
    left = (4 - count) * candidates.of_place(0)[place].capacity / MICRO
    for rate, allowed in ((left, True), (left * 1.001, False)):
        load = problem.workload.model_copy(update={"requests_per_s": rate})
        asked = problem.model_copy(update={"workload": load})
        again = candidates.again(asked)
        master = Master(asked, again, (), None, everything=False)
        for item in master.items:
            master.model.add(item.count == (4 if item.position == place else 0))
        assert (Placer(asked, again, Valuation(asked, again)).place(plan) is not None) is allowed
        assert (new_solver(seed=1).solve(master.model) == cp_model.OPTIMAL) is allowed


@pytest.mark.parametrize("cheap", [False, True])
@pytest.mark.parametrize("seed", [9, pytest.param(11, marks=pytest.mark.long)])
def test_what_nodes_are_worth_bounds_the_best_plan(seed: int, cheap: bool) -> None:
    problem = inventory(seed, often=False, cheap=cheap)
    candidates = Candidates(problem)
    candidates.admit()
    best = InventorySolver(problem, candidates).run().best
    assert best is not None
    cuts = Cuts(candidates, ObjectiveWeights.of(problem.objective))
    few = Master(problem, candidates, problem.search.disabled_rules, None, everything=False)
    multiplier = cuts.gamma(best)
    shares = []
    for factor in (0.8, 0.9, 1.0, 1.1):
        terms = cuts.own(few, factor * multiplier, NEAR)
        shares.append(Prices(problem, candidates, few, terms).least_ns / NS_PER_MS / best.value.exact_ms)
    assert 0.97 < max(shares) <= 1 + 1e-9


@pytest.mark.parametrize("times", [0.5, 1.0, 4.0])
def test_a_row_is_not_left_out_that_earns_more_than_the_limit(times: float) -> None:
    """At a limit just below what a row's own bound attains the row stays; far above what it can earn it is known to go."""
    problem = inventory(3, often=False)
    candidates = Candidates(problem)
    for number, kind in enumerate(candidates.group_types):
        for position, candidate in enumerate(kind.candidates[:4]):
            table, rows = kind.table(candidate), np.array([candidate.row])
            gamma = times * 1.5 * candidates.curves(number).fastest_ms(position)
            rates = np.linspace(0, candidate.slots_capacity / MICRO, 200)[1:]
            means = kind.means([candidate], rates[None, :])[0]
            attained = max(0.0, float((rates * (gamma - means)).max()))
            assert may_earn_more(table, rows, gamma, np.array([attained * (1 - 1e-6) - 1e-9])).all()
            assert not may_earn_more(table, rows, gamma, gamma * table.most_per_s(rows)).any()
