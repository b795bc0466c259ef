"""Solving inventories: against brute force, against the homogeneous model, and the shipped examples."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from optimizer import load_problem, solve
from optimizer.explain.common.patience import NOT_ALL_TRIED
from optimizer.facts.errors import ProblemError
from optimizer.questions.inventory import check_inventory, solve_inventory
from optimizer.reading.inventory_file import inventory_from_dict, load_inventory
from optimizer.results.answer import Fixed
from optimizer.search.inventory.candidates import Candidates
from optimizer.search.inventory.exact_placing import NotSettledError
from optimizer.search.inventory.solve import InventorySolver
from tests.conftest import ROOT, changed
from tests.inventory.every_plan import compare_with_every_plan
from tests.inventory.generate import random_inventory, tight_inventory

GB200_BEST_MS = 11_438
SEEDS = [seed for seed in range(60) if seed % 3 == 0 and seed != 51]  # 51 alone takes half a minute by brute force


@pytest.mark.heavy(3, 39)
@pytest.mark.parametrize("seed", SEEDS)
def test_no_plan_is_better(seed: int) -> None:
    """Each plan valued by itself: none comes below the optimum's whole millisecond, nor reaches it with fewer GPUs."""
    compare_with_every_plan(inventory_from_dict(random_inventory(seed)))


@pytest.mark.parametrize("seed", range(24))
def test_no_plan_with_pipelines_over_two_groups_is_better(seed: int) -> None:
    compare_with_every_plan(inventory_from_dict(tight_inventory(seed)))


def with_prices(values: dict[str, Any], seed: int) -> dict[str, Any]:
    """The same where the price comes first, each group with one of its own."""
    rng = random.Random(seed)
    priced = [{**group, "price_per_gpu_hour": rng.choice([0.35, 0.9, 1.79, 2.99])} for group in values["cluster"]]
    return {**values, "cluster": priced, "objective": "cheapest"}


@pytest.mark.parametrize("seed", [1, 2, 5, 7, 9, 12])
def test_no_plan_is_cheaper(seed: int) -> None:
    """Each plan by itself: none costs less an hour, nor as much with a lower objective; and the verifier agrees."""
    values = with_prices(random_inventory(seed), seed)
    compare_with_every_plan(inventory_from_dict(values))
    answer = solve_inventory(inventory_from_dict(values), ranges=False, explain="nothing")
    assert answer.verification.passed, answer.verification.mismatches


@pytest.mark.parametrize("seed", [2, 3, 8, 17])
def test_no_plan_with_pipelines_over_two_groups_is_cheaper(seed: int) -> None:
    compare_with_every_plan(inventory_from_dict(with_prices(tight_inventory(seed), seed)))


def test_a_dearer_plan_than_the_cheapest_is_refuted() -> None:
    """The verifier finds the cheaper one, whatever the claim."""
    values: dict[str, Any] = {
        "cluster": [
            {"gpu": "h100-sxm-80gb", "nodes": 1, "gpus_per_node": 1, "price_per_gpu_hour": 2.99},
            {"gpu": "a100-sxm-80gb", "nodes": 1, "gpus_per_node": 1, "price_per_node_hour": 1.79},
        ],
        "model": "llama3.1-8b",
        "workload": {"prompt_tokens": 900, "output_tokens": 100, "requests_per_s": 0.5},
        "requirements": {"max_batch": 4, "max_sequence_tokens": 2048},
        "objective": "cheapest",
    }
    fast = solve_inventory(
        inventory_from_dict(values | {"objective": {"preset": "balanced", "tolerance": 0}}), ranges=False
    )
    cheap = inventory_from_dict(values)
    best = solve_inventory(cheap, ranges=False)
    assert best.price_per_hour is not None and fast.price_per_hour is not None
    assert best.price_per_hour == pytest.approx(1.79) and best.price_per_hour < fast.price_per_hour
    from optimizer.verify.inventory import verify_inventory

    seen = verify_inventory(cheap, replace(fast, objective=replace(fast.objective, bound=fast.objective.value)))  # type: ignore[arg-type, type-var, union-attr]
    assert not seen.passed and any(one.what == "optimality" for one in seen.mismatches)


def test_the_cheapest_needs_every_price() -> None:
    values = with_prices(random_inventory(2), 2)
    del values["cluster"][0]["price_per_gpu_hour"]
    with pytest.raises(ProblemError, match=r"cluster.0.price_per_gpu_hour.*cheapest needs the price of every GPU"):
        solve_inventory(inventory_from_dict(values))


def test_most_shapes_are_struck_before_the_proof_looks_at_dominated_ones() -> None:
    """And never one of the best plan, nor of one within its millisecond."""
    problem = load_inventory(ROOT / "problems" / "h100-and-a100.yaml")
    candidates = Candidates(problem)
    solver = InventorySolver(problem, candidates)
    found = solver.run()
    assert found.best is not None and found.status == "optimal"
    struck = solver._pruned()
    rated = {(place, one) for place in range(len(candidates.places)) for one in range(len(candidates.of_place(place)))}
    assert candidates.considered > 200 and len(rated) < 0.3 * candidates.considered, (
        "rates are looked for where they may matter"
    )
    assert len(rated - struck) < 0.1 * candidates.considered
    assert not {(entry.place, entry.candidate) for entry in found.best.plan.entries} & struck


@pytest.mark.heavy(5, 8, 58)
@pytest.mark.parametrize("seed", [1, 2, 5, 7, 8, 40, 58])
def test_the_verifier_agrees(seed: int) -> None:
    answer = solve_inventory(inventory_from_dict(random_inventory(seed)), ranges=False)
    assert answer.verification.passed, answer.verification.mismatches
    assert answer.status in ("optimal", "infeasible")
    if answer.objective is not None:
        assert answer.objective.value == answer.objective.bound


ONE_GROUP: dict[str, Any] = {
    "name": "one group",
    "model": "llama3-70b",
    "workload": {"prompt_tokens": 1155, "output_tokens": 211, "requests_per_s": 8},
    "requirements": {"ttft_p99_ms": 1500, "tpot_p99_ms": 100, "max_batch": 64, "max_sequence_tokens": 8192},
}


@pytest.mark.parametrize("nodes", [1, 2])
def test_one_group_is_the_homogeneous_model(nodes: int) -> None:
    """With its strategy fixed an inventory of equal nodes has the objective, capacity and latencies of ``hardware:``."""
    hardware = {"gpu": "h100-sxm-80gb", "nodes": nodes}
    from optimizer.reading.load import problem_from_dict

    plain = solve(problem_from_dict(ONE_GROUP | {"hardware": hardware}))
    strategy, metrics = plain.strategy, plain.metrics
    assert strategy is not None and metrics is not None and plain.objective is not None
    inventory = inventory_from_dict(ONE_GROUP | {"cluster": [hardware]})
    same = check_inventory(
        inventory,
        Fixed(
            tensor_parallel=strategy.tensor_parallel,
            pipeline_parallel=strategy.pipeline_parallel,
            data_parallel=strategy.data_parallel,
        ),
    )
    (pool,) = same.pools
    assert same.objective_exact_ms == pytest.approx(plain.objective.value, abs=1.0)
    assert pool.strategy == strategy
    assert pool.metrics.ttft_p99_ms == pytest.approx(metrics.ttft_p99_ms)
    assert pool.metrics.tpot_p99_ms == pytest.approx(metrics.tpot_p99_ms)
    assert pool.capacity * strategy.data_parallel == pytest.approx(metrics.max_request_rate, abs=0.002)
    assert same.reliability is not None
    assert same.reliability.availability == pytest.approx(metrics.availability, abs=1e-9)
    free = solve_inventory(inventory, ranges=False)
    assert free.objective is not None and same.objective is not None
    assert free.objective.value <= same.objective.value, "more shapes to choose from are never worse"


def test_seven_gpus_keep_one_spare_for_a_restart() -> None:
    """Without restarts three equal instances; with a spare GPU to restart on, a larger and a smaller one side by side."""
    stated = load_inventory(ROOT / "problems" / "seven-h100.yaml")
    plain = solve_inventory(stated, ranges=False)
    assert plain.label == "3 × TP2·PP1 on h100" and plain.gpus_used == 6
    restarts = solve_inventory(stated.model_copy(update={"within_s": 600.0}), ranges=False)
    assert restarts.label == "1 × TP2·PP1 on h100 + 1 × TP4·PP1 on h100"
    assert restarts.gpus_free - restarts.gpus_used == 1
    assert plain.objective is not None and restarts.objective is not None
    assert restarts.objective.value < plain.objective.value
    too_slow = solve_inventory(stated.model_copy(update={"within_s": 60.0}), ranges=False)
    assert too_slow.label == plain.label, "a restart takes longer than a minute"


def test_two_racks_outlive_one() -> None:
    answer = solve_inventory(load_inventory(ROOT / "problems" / "two-racks.yaml"), ranges=False)
    assert answer.status == "optimal" and answer.verification.passed
    rack = next(loss for loss in answer.losses if loss.level == "rack")
    assert rack.capacity_left >= 20 and rack.instances_lost == sum(pool.instances for pool in answer.pools) // 2


@pytest.mark.long
def test_what_helps_where_a_rack_cannot_be_spared() -> None:
    too_much = changed(
        {"cluster": [{"name": "h100", "gpu": "h100-sxm-80gb", "nodes": 8, "racks": 2}], **ONE_GROUP},
        workload__requests_per_s=40,
        requirements__survive={"rack": 1},
    )
    refused = solve_inventory(inventory_from_dict(too_much))
    assert refused.status == "infeasible" and not refused.pools
    (conflict,) = refused.conflicts
    assert "survive_rack" in conflict.rules and conflict.minimal
    assert {repair.changes[0].field for repair in refused.repairs} >= {"workload.requests_per_s", "cluster.0.nodes"}


def test_mixed_gpus_share_the_load_by_what_it_costs() -> None:
    answer = solve_inventory(load_inventory(ROOT / "problems" / "h100-and-a100.yaml"), ranges=False)
    assert answer.status == "optimal" and answer.verification.passed
    shares = {pool.where: pool.share for pool in answer.pools}
    assert sum(shares.values()) == pytest.approx(1) and shares["h100"] > shares["a100"] > 0
    zone = next(loss for loss in answer.losses if loss.level == "zone")
    assert zone.capacity_left >= zone.needed == 6


def test_a_gap_that_is_enough_ends_the_search() -> None:
    """The bound stays proved: no plan is below it, the best one included."""
    problem = load_inventory(ROOT / "problems" / "gb200-nvl72.yaml")
    answer = solve_inventory(problem, ranges=False, gap=0.1)
    assert answer.objective is not None and answer.status == "feasible" and answer.verification.passed
    assert 0 < answer.objective.gap <= 0.1 and answer.objective.bound <= GB200_BEST_MS <= answer.objective.value


def test_405b_in_bf16_fits_two_nodes_as_tp8_pp2() -> None:
    """The strongest peer's own estimate is 52.6 GB a GPU; weights here are 811 GB over 16 GPUs."""
    answer = solve(load_problem(ROOT / "problems" / "llama3-405b-16xh100.yaml"))
    assert answer.status == "optimal" and answer.strategy is not None and answer.metrics is not None
    assert (answer.strategy.tensor_parallel, answer.strategy.pipeline_parallel) == (8, 2)
    assert 50e9 < answer.metrics.weights_bytes_per_gpu < 54e9


def test_pcie_only_keeps_tensor_parallel_inside_a_node() -> None:
    answer = solve(load_problem(ROOT / "problems" / "l40s-pcie.yaml"))
    assert answer.status == "optimal" and answer.strategy is not None
    assert answer.strategy.tensor_parallel <= 8 and answer.verification.passed


@pytest.mark.parametrize("replicas", [1, 3])
def test_a_fixed_number_of_replicas_is_kept(replicas: int) -> None:
    """Several small instances in place of a large one would change the number."""
    problem = load_inventory(ROOT / "problems" / "seven-h100.yaml").model_copy(update={"survive": ()})
    answer = check_inventory(problem, Fixed(data_parallel=replicas))
    assert answer.feasible and answer.verification.passed
    assert sum(pool.strategy.data_parallel for pool in answer.pools) == replicas
    assert answer.optimum is not None and answer.optimum.objective is not None and answer.objective is not None
    assert answer.objective.bound == answer.optimum.objective.bound <= answer.objective.value


def test_a_plan_that_cannot_be_settled_ends_the_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    """When placing gives up on a plan, nothing is called optimal or infeasible any more."""
    import optimizer.search.inventory.placer as module

    def gives_up(*_: object) -> None:
        raise NotSettledError

    monkeypatch.setattr(module, "place_exactly", gives_up)
    problem = load_inventory(ROOT / "problems" / "seven-h100.yaml")
    solver = InventorySolver(problem, Candidates(problem))
    refused = solver._placer.survives
    monkeypatch.setattr(
        solver._placer, "survives", lambda plan, stands: len(plan.entries) > 1 and refused(plan, stands)
    )
    found = solver.run()
    assert found.status in ("feasible", "unknown")
    if found.best is not None:
        assert found.bound_ms is not None and found.bound_ms <= found.best.whole_ms


def test_repairs_that_were_not_tried_for_time_are_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is offered depends on the machine's speed then, so a longer limit has to bring the rest."""
    stated = changed(
        {"cluster": [{"name": "h100", "gpu": "h100-sxm-80gb", "nodes": 1}], **ONE_GROUP}, workload__requests_per_s=400
    )
    whole = solve_inventory(inventory_from_dict(stated))
    assert whole.repairs and NOT_ALL_TRIED not in whole.explanation
    monkeypatch.setattr("optimizer.questions.inventory.EXPLAIN_WITHIN_S", 0.0)
    cut = solve_inventory(inventory_from_dict(stated))
    assert cut.status == "infeasible" and not cut.repairs and NOT_ALL_TRIED in cut.explanation


@pytest.mark.parametrize("rate", [1e12, 9.3e12, 1e13, 1e15])
def test_a_demand_beyond_64_bits_is_as_impossible_as_any_other(rate: float) -> None:
    """From the fuzzer: millionths of 10^13 requests/s are more than CP-SAT's integers hold."""
    values = random_inventory(0)
    values["workload"]["requests_per_s"] = rate
    answer = solve_inventory(inventory_from_dict(values), explain="conflict")
    assert answer.status == "infeasible" and answer.verification.passed
