"""Prices as a person states them: of GPUs or nodes, and weights in money."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from optimizer import problem_from_dict, solve
from optimizer.facts.errors import ProblemError
from optimizer.questions.inventory import inventory_from_dict
from optimizer.reading import question
from tests.safety import hostile
from tests.sweep.problems import SMALL


def with_hardware(**more: Any) -> dict[str, Any]:
    """The small problem, two nodes of four GPUs, with hardware fields set."""
    hardware = {"gpu": "l4-24gb", "nodes": 2, "gpus_per_node": 4, **more}
    return SMALL | {"hardware": hardware}


def test_a_node_is_paid_for_by_its_gpus() -> None:
    assert problem_from_dict(with_hardware(price_per_node_hour=2.0)).hardware.price_per_gpu_hour == 0.5
    group = {"gpu": "l4-24gb", "nodes": 2, "gpus_per_node": 4, "free_gpus": 3, "price_per_node_hour": 2.0}
    values = {**SMALL, "cluster": [group]}
    del values["hardware"]
    assert inventory_from_dict(values).groups[0].price_per_gpu_hour == 0.5


@pytest.mark.parametrize("kind", ["hardware", "cluster"])
def test_two_prices_of_one_gpu_are_refused(kind: str) -> None:
    both = {"gpu": "l4-24gb", "nodes": 1, "gpus_per_node": 4, "price_per_node_hour": 2.0, "price_per_gpu_hour": 0.5}
    values = {**SMALL, "hardware": both}
    if kind == "cluster":
        del values["hardware"]
        values["cluster"] = [both]
    read = problem_from_dict if kind == "hardware" else inventory_from_dict
    with pytest.raises(
        ProblemError, match="price_per_node_hour: is stated beside price_per_gpu_hour; state one of them"
    ):
        read(values)


def test_weights_in_money_are_weights_in_ms() -> None:
    """0.72 an hour for 4 requests/s is 0.00005 a request: at 0.001 for a second 50 ms; a lost request at 0.02 counts 20 s."""
    money = {"price_of_a_second": 0.001, "price_of_an_unserved_request": 0.02}
    found = problem_from_dict(with_hardware(price_per_gpu_hour=0.72) | {"objective": money}).objective
    assert found.gpu_ms == pytest.approx(50.0) and found.unserved_penalty_ms == pytest.approx(20_000.0)
    group = {"gpu": "l4-24gb", "nodes": 2, "gpus_per_node": 4, "price_per_gpu_hour": 0.72}
    values = {**SMALL, "cluster": [group], "objective": money}
    del values["hardware"]
    assert inventory_from_dict(values).objective == found


@pytest.mark.parametrize(
    ("objective", "hardware", "said"),
    [
        (
            {"price_of_a_second": 0.001, "gpu_ms": 3.0},
            {"price_per_gpu_hour": 1.0},
            "objective.gpu_ms: is a weight in ms",
        ),
        ({"price_of_an_unserved_request": 1.0}, {"price_per_gpu_hour": 1.0}, "needs objective.price_of_a_second"),
        ({"price_of_a_second": 0.001}, {}, "needs the price of every GPU"),
    ],
)
def test_prices_that_say_too_little_are_refused(objective: dict[str, Any], hardware: dict[str, Any], said: str) -> None:
    with pytest.raises(ProblemError, match=said):
        problem_from_dict(with_hardware(**hardware) | {"objective": objective})


def test_a_dear_second_buys_gpus_and_a_cheap_one_none() -> None:
    """The same problem: where a second is worth much all GPUs are used, where it is worth next to nothing as few as do."""
    cheap, dear = (
        solve(problem_from_dict(with_hardware(price_per_gpu_hour=0.72) | {"objective": {"price_of_a_second": price}}))
        for price in (1e-6, 10.0)
    )
    fewest = solve(problem_from_dict(with_hardware(price_per_gpu_hour=0.72) | {"objective": "cheapest"}))
    assert cheap.verification.passed and dear.verification.passed and fewest.verification.passed
    assert cheap.strategy is not None and dear.strategy is not None and fewest.strategy is not None
    assert cheap.strategy.gpus == fewest.strategy.gpus < dear.strategy.gpus


@pytest.mark.parametrize(
    ("objective", "field"),
    [
        ({"latency_weight": 1e9}, "objective.latency_weight"),
        ({"unserved_weight": 1e9}, "objective.unserved_weight"),
        ({"unserved_penalty_ms": 1e12}, "objective.unserved_penalty_ms"),
        ({"unserved_penalty_ms": 1e7, "unserved_weight": 1e3}, "objective.unserved_penalty_ms"),
        ({"gpu_ms": 1e12}, "objective.gpu_ms"),
        ({"gpu_ms": 5e8}, "objective.gpu_ms"),
        ({"price_of_a_second": 1e-15}, "objective.gpu_ms"),
        ({"price_of_a_second": 1.0, "price_of_an_unserved_request": 1e10}, "objective.unserved_penalty_ms"),
    ],
)
@pytest.mark.parametrize("build", [hostile.uniform, hostile.inventory])
def test_weights_are_no_larger_than_an_objective_of_64_bits_holds(
    build: Callable[[], dict[str, Any]], objective: dict[str, Any], field: str
) -> None:
    """From the fuzzer: larger ones ended in an invalid model, or in a number that had gone round."""
    with pytest.raises(ProblemError) as refused:
        question.problem_from_dict(build() | {"objective": objective})
    assert refused.value.field == field and "at most" in str(refused.value)


@pytest.mark.parametrize(
    "objective",
    [
        {"latency_weight": 1e3, "unserved_weight": 1e3, "unserved_penalty_ms": 1e6},
        {"unserved_penalty_ms": 1e9},
        {"gpu_ms": 2.5e8},
    ],
)
@pytest.mark.parametrize("build", [hostile.uniform, hostile.inventory])
def test_the_largest_weights_are_compared_exactly(
    build: Callable[[], dict[str, Any]], objective: dict[str, Any]
) -> None:
    answer: Any = solve(question.problem_from_dict(build() | {"objective": objective}))
    assert answer.status == "optimal" and answer.verification.passed, answer.verification.mismatches
