"""Spot nodes: their own rate of failures in objective, outages and simulation, and a price that the objective weighs against it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from optimizer import problem_from_dict
from optimizer.facts.errors import ProblemError
from optimizer.facts.problem import Problem
from optimizer.questions.inventory import solve_inventory
from optimizer.reading.inventory_file import inventory_from_dict
from optimizer.reading.prices import load_prices
from optimizer.reading.stated_inventory import inventory_stated_of
from tests.conftest import changed
from tests.inventory.naive import naive_optimum
from tests.inventory.test_power import FAST, one_feed
from tests.search.test_rules import SMALL
from tests.verify.builders import GPU

ROOT = Path(__file__).resolve().parents[2]


def market(interruptions: float, objective: Any, rate: float = 20.0) -> dict[str, Any]:
    """One node of two GPUs on demand, one of spot at less than half the price."""
    node = {"gpu": GPU, "gpus_per_node": 2}
    steady = {**node, "name": "steady", "price_per_gpu_hour": 2.5}
    spot = {
        **node,
        "name": "spot",
        "price_per_gpu_hour": 1.0,
        "pricing": "spot",
        "interruptions_per_hour": interruptions,
    }
    values = one_feed(cluster=[steady, spot], objective=objective)
    return changed(values, workload__requests_per_s=rate, search__tensor_parallel=[1, 2])


def used(answer: Any) -> set[str]:
    return {part.group for pool in answer.pools for part in pool.parts}


def test_the_objective_decides_between_them() -> None:
    cheap = solve_inventory(inventory_from_dict(market(0.05, "cheapest", 5.0)), ranges=False)
    assert used(cheap) == {"spot"} and cheap.verification.passed and cheap.status == "optimal"
    # Of one GPU: a request that is lost costs an hour, and a node that is gone a tenth of the time loses many.
    wanted = {"preset": "fault-tolerance", "gpu_ms": 20_000.0}
    safe = solve_inventory(inventory_from_dict(market(0.05, wanted, 5.0)), ranges=False)
    assert used(safe) == {"steady"} and safe.verification.passed
    assert cheap.price_per_hour == 1.0 and safe.price_per_hour == 2.5


def test_how_often_an_instance_is_there() -> None:
    answer = solve_inventory(inventory_from_dict(market(0.05, "cheapest", 5.0)), ranges=False)
    (pool,) = answer.pools
    # 2.2 h until a part is back (Delta, arXiv 2503.11901); 79,230 h between failures of a GPU, 126,391 h of a host (Llama 3, table 5).
    parts = [79_230 / (79_230 + 2.2)] * pool.strategy.gpus + [126_391 / (126_391 + 2.2), 20 / (20 + 2.2)]
    expected = 1.0
    for one in parts:
        expected *= one
    assert pool.availability == pytest.approx(expected, rel=1e-5)
    assert answer.reliability is not None and answer.reliability.hours_between_outages is not None
    # From the end of one outage to the start of the next it is the mean time between losses, whatever these are.
    assert answer.reliability.hours_between_outages == pytest.approx(20, rel=0.01)
    assert any("spot is spot" in sentence and "every 20 hours" in sentence for sentence in answer.explanation)


def test_equal_nodes() -> None:
    problem = problem_from_dict(changed(SMALL, hardware__pricing="spot", hardware__interruptions_per_hour=0.1))
    assert isinstance(problem, Problem)
    assert problem.hardware.failures.node_mtbf_hours == pytest.approx(1 / (0.1 + 1 / 126_391), rel=1e-4)


@pytest.mark.parametrize(
    "stated",
    [{"pricing": "spot"}, {"interruptions_per_hour": 0.1}, {"pricing": "reserved", "interruptions_per_hour": 0.1}],
)
def test_a_rate_is_stated_of_spot_nodes_and_of_no_others(stated: dict[str, Any]) -> None:
    with pytest.raises(ProblemError, match="interruptions_per_hour"):
        problem_from_dict(changed(SMALL, **{f"hardware__{key}": value for key, value in stated.items()}))


def test_forms_of_a_price(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(
        "h100-sxm-80gb: {on-demand: 2.99, spot: {price_per_node_hour: 8, source: list}, date: 2026-11-01}\nl4: 0.7\n"
    )
    assert load_prices(file) == {"h100-sxm-80gb": 2.99, "h100-sxm-80gb spot": 1.0, "l4-24gb": 0.7}
    file.write_text("l4: {spot: 0.2, price_per_gpu_hour: 0.7}\n")
    with pytest.raises(ProblemError, match="state it in each"):
        load_prices(file)


def test_a_problem_names_its_prices(tmp_path: Path) -> None:
    (tmp_path / "prices.yaml").write_text("h100-sxm-80gb: {on-demand: 3, spot: 1.2}\n")
    spot = changed(SMALL, hardware__pricing="spot", hardware__interruptions_per_hour=0.1, prices="prices.yaml")
    alone = problem_from_dict(spot, folder=tmp_path)
    assert isinstance(alone, Problem) and alone.hardware.price_per_gpu_hour == 1.2
    two = [{"gpu": "h100-sxm-80gb", "name": "a"}, {"gpu": "h100-sxm-80gb", "name": "b", "price_per_gpu_hour": 9}]
    values = {**one_feed(cluster=two), "prices": "prices.yaml"}
    assert [group.price_per_gpu_hour for group in inventory_from_dict(values, folder=tmp_path).groups] == [3, 9]


@pytest.mark.parametrize("interruptions", [0.02, 0.5])
def test_equal_to_every_gpu_by_name(interruptions: float) -> None:
    problem = inventory_from_dict(market(interruptions, {"preset": "balanced", "tolerance": 0}))
    answer, naive = solve_inventory(problem, ranges=False), naive_optimum(problem)
    assert answer.verification.passed and answer.objective is not None and naive is not None
    assert math.ceil(naive - 0.05) <= answer.objective.value <= math.ceil(naive + 0.05)


def test_an_inventory_is_stated_as_it_is() -> None:
    values = market(0.05, "balanced")
    values["cluster"][0] |= {"gpu": FAST, "gpus_per_node": 4, "node_power_limit_watts": 1700, "host_watts": 100}
    values["cluster"][1] |= {"gpu": FAST, "zone": "west"}
    problem = inventory_from_dict({**values, "power_limits_watts": {"total": 3000, "zone": {"west": 1500}}})
    assert problem.groups[0].idle_gpus == 2 and len(problem.power_limits) == 2
    stated = inventory_stated_of(problem)
    assert inventory_from_dict(stated.values, default_name=stated.default_name, model=stated.model) == problem


def test_the_example_by_hand() -> None:
    """A feed that the cheapest choice would overload: what spot nodes save is given up for watts. docs/inventories.md, section 5."""
    values = yaml.safe_load((ROOT / "problems" / "spot-nodes-under-a-power-limit.yaml").read_text())
    held = {}
    for limited in (True, False):
        stated = values if limited else {name: value for name, value in values.items() if name != "power_limits_watts"}
        answer = solve_inventory(inventory_from_dict(stated), ranges=False)
        assert answer.status == "optimal" and answer.verification.passed
        gpus = {"h100": 0, "l40s-spot": 0}
        for pool in answer.pools:
            gpus[pool.where] += pool.instances * pool.strategy.tensor_parallel
        assert answer.price_per_hour == pytest.approx(2.5 * gpus["h100"] + 0.4 * gpus["l40s-spot"])
        held[limited] = gpus
        if limited:
            (drawn,) = [rule.actual for rule in answer.rules if rule.id == "power_zone"]
            assert drawn == 2 * 700 + 2 * 70 + 2 * 350 + 6 * 35 == 2450
    assert held == {True: {"h100": 2, "l40s-spot": 2}, False: {"h100": 1, "l40s-spot": 7}}
