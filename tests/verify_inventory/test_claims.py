"""Every false claim about an inventory is caught."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from optimizer.results.answer import Metrics
from optimizer.results.inventory import InventoryAnswer, LossScenario, Pool
from optimizer.results.placement import GpuPlace, Placement
from optimizer.verify.inventory import verify_inventory
from tests.verify_inventory.builders import SLOW_GPU, answer_for, no_answer, problem, shape

MIXED = problem(
    cluster=[
        {
            "name": "a",
            "gpu": problem().groups[0].gpu.model_dump(),
            "nodes": 4,
            "gpus_per_node": 4,
            "free_gpus": 3,
            "racks": 2,
            "price_per_gpu_hour": 2.5,
            "zone": "east",
        },
        {"name": "b", "gpu": SLOW_GPU, "nodes": 2, "gpus_per_node": 4, "rack": "r9", "price_per_gpu_hour": 1.25},
    ],
    domains={"switch": {"s1": ["a"], "s2": ["b"]}},
    failures={"zone_mtbf_hours": 9000, "domain_mtbf_hours": 20_000},
    requirements={"max_batch": 32, "tpot_p99_ms": 40, "survive": {"gpu": 1, "node": 1, "rack": 1, "demand_share": 0.5}},
)
TRUE = answer_for(MIXED, [(0, shape(2), 2), (0, shape(1), 3), (1, shape(2), 3)], status="feasible")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims only; the simulation and the best split have tests of their own."""
    monkeypatch.setattr("optimizer.verify.inventory.check._Check._check_split", lambda *_: None)
    monkeypatch.setattr("optimizer.verify.inventory.check._Check._simulate", lambda *_: None)


def refused(answer: InventoryAnswer, what: str) -> None:
    found = verify_inventory(MIXED, answer, exhaustive=False)
    assert not found.passed
    assert any(what in mismatch.what for mismatch in found.mismatches), found.mismatches


def test_the_true_answer_passes() -> None:
    found = verify_inventory(MIXED, TRUE)
    assert found.mismatches == ()
    assert found.optimality == "not claimed" and found.checks > 100
    assert "choices of losses covered" in found.resolution


def wrong(value: Any) -> Any:
    """The value with a small error that is larger than rounding; a figure where there is none."""
    if value is None:
        return 0.5
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, tuple):
        return (*value[:-1], value[-1] + 1)
    return value + max(1e-5, abs(value) * 1e-8)


@pytest.mark.parametrize(
    "name", [field.name for field in fields(Pool) if field.name not in ("strategy", "metrics", "parts")]
)
def test_a_wrong_number_of_a_pool(name: str) -> None:
    for position, pool in enumerate(TRUE.pools):
        value = getattr(pool, name)
        false = round(value + 1e-6, 6) if name.endswith("capacity") else wrong(value)
        pools = (*TRUE.pools[:position], replace(pool, **{name: false}), *TRUE.pools[position + 1 :])
        refused(replace(TRUE, pools=pools), f"pools.{position}")


@pytest.mark.parametrize("name", ["capacity", "slots_capacity"])
def test_a_rate_one_step_low(name: str) -> None:
    pool = TRUE.pools[0]
    low = replace(pool, **{name: round(getattr(pool, name) - 1e-6, 6)})
    refused(replace(TRUE, pools=(low, *TRUE.pools[1:])), name)


@pytest.mark.parametrize("name", [field.name for field in fields(Metrics)])
def test_a_wrong_metric(name: str) -> None:
    pool = TRUE.pools[2]
    value = getattr(pool.metrics, name)
    false = value + 0.002 if name.endswith("_per_s") or name == "max_request_rate" else wrong(value)
    pools = (*TRUE.pools[:2], replace(pool, metrics=replace(pool.metrics, **{name: false})))
    refused(replace(TRUE, pools=pools), f"metrics.{name}")


@pytest.mark.parametrize(
    "name", ["tensor_parallel", "pipeline_parallel", "data_parallel", "expert_parallel", "max_num_seqs"]
)
def test_another_strategy(name: str) -> None:
    pool = TRUE.pools[0]
    false = replace(pool, strategy=replace(pool.strategy, **{name: getattr(pool.strategy, name) + 1}))
    assert not verify_inventory(MIXED, replace(TRUE, pools=(false, *TRUE.pools[1:])), exhaustive=False).passed


GPUS = [("fast", problem().groups[0].gpu.model_dump()), ("slow", SLOW_GPU)]


@pytest.mark.parametrize("name", [field.name for field in fields(LossScenario) if field.name != "level"])
def test_a_wrong_loss(name: str) -> None:
    for position, loss in enumerate(TRUE.losses):
        false = ("nowhere",) if name == "lost" else wrong(getattr(loss, name))
        losses = (*TRUE.losses[:position], replace(loss, **{name: false}), *TRUE.losses[position + 1 :])
        refused(replace(TRUE, losses=losses), f"losses.{loss.level}")


def test_a_milder_loss_is_not_the_worst() -> None:
    loss = next(loss for loss in TRUE.losses if loss.level == "rack")
    other = "a-rack-0" if loss.lost != ("a-rack-0",) else "a-rack-1"
    refused(
        replace(TRUE, losses=tuple(replace(one, lost=(other,)) if one is loss else one for one in TRUE.losses)),
        "losses.rack",
    )
    refused(replace(TRUE, losses=TRUE.losses[1:]), "losses.gpu")


@pytest.mark.parametrize("position", range(len(TRUE.rules)))
def test_a_wrong_rule(position: int) -> None:
    rule = TRUE.rules[position]
    others = (*TRUE.rules[:position], *TRUE.rules[position + 1 :])
    refused(replace(TRUE, rules=others), f"rules.{rule.id}")
    refused(replace(TRUE, rules=(*others, replace(rule, holds=False))), f"rules.{rule.id}")
    refused(replace(TRUE, rules=(*others, replace(rule, enabled=False))), f"rules.{rule.id}")
    refused(replace(TRUE, rules=(*others, replace(rule, id="made_up"))), "made_up")
    for name in ("limit", "actual", "slack"):
        value = getattr(rule, name)
        if not isinstance(value, str | None):
            refused(replace(TRUE, rules=(*others, replace(rule, **{name: value + 0.1}))), f"rules.{rule.id}")


@pytest.mark.parametrize("name", ["availability", "carried", "unserved_requests_per_month", "hours_between_outages"])
def test_a_wrong_figure_of_the_steady_state(name: str) -> None:
    assert TRUE.reliability is not None
    value = getattr(TRUE.reliability, name)
    off = 0.01 if name.startswith("hours") else 1e-5
    for false in (value * (1 + off), value * (1 - off), None, float("nan")):
        refused(replace(TRUE, reliability=replace(TRUE.reliability, **{name: false})), name)


def test_a_wrong_distribution_of_capacity() -> None:
    assert TRUE.reliability is not None
    (most, p), *rest = TRUE.reliability.capacity
    for false in (((most, p - 1e-7), *rest), tuple(rest), ((most + 1e-6, p), *rest), (*rest, (most, p))):
        refused(replace(TRUE, reliability=replace(TRUE.reliability, capacity=tuple(false))), "reliability.capacity")


@pytest.mark.parametrize(
    "name",
    [
        "objective_exact_ms",
        "gpus_used",
        "gpus_free",
        "request_mean_ms",
        "tokens_per_s",
        "peak_tokens_per_s",
        "price_per_hour",
    ],
)
def test_a_wrong_total(name: str) -> None:
    value = getattr(TRUE, name)
    for false in (value + (1 if isinstance(value, int) else 0.01), None):
        refused(replace(TRUE, **{name: false}), name)


def test_a_wrong_objective() -> None:
    stated = TRUE.objective
    assert stated is not None
    for change in (
        {"value": stated.value + 1},
        {"value": stated.value - 1},
        {"unit": "s"},
        {"bound": stated.value + 1},
    ):
        refused(replace(TRUE, objective=replace(stated, **change)), "objective")
    for name in stated.terms:
        terms = {**stated.terms, name: stated.terms[name] + 1e-3}
        refused(replace(TRUE, objective=replace(stated, terms=terms)), f"objective.terms.{name}")
    refused(replace(TRUE, objective=None), "objective")
    refused(replace(TRUE, reliability=None), "reliability")
    optimal = replace(TRUE, status="optimal", objective=replace(stated, bound=stated.value - 1))
    refused(optimal, "objective.bound")


def moved(changes: dict[tuple[int, int], GpuPlace]) -> InventoryAnswer:
    """The answer with some GPUs (instance, rank) elsewhere."""
    assert TRUE.placement is not None
    instances = []
    for number, instance in enumerate(TRUE.placement.instances):
        gpus = list(instance.gpus)
        for (whose, rank), place in changes.items():
            if whose == number:
                gpus[rank] = place
        instances.append(replace(instance, gpus=tuple(gpus)))
    return replace(TRUE, placement=Placement(tuple(instances)))


def test_wrong_places() -> None:
    assert TRUE.placement is not None
    instances = TRUE.placement.instances
    pairs = [number for number, instance in enumerate(instances) if len(instance.gpus) == 2]
    one, two = pairs[0], pairs[1]
    node = instances[one].gpus[0].node
    refused(moved({(one, 0): GpuPlace(node, 3)}), "gpus")  # the fourth GPU of a node is busy
    refused(moved({(one, 0): GpuPlace("a-4", 0)}), "gpus")
    refused(moved({(one, 0): GpuPlace("a-00", 0)}), "gpus")
    refused(moved({(one, 0): GpuPlace(node, -1)}), "gpus")
    refused(moved({(one, 0): instances[two].gpus[0]}), "")
    refused(moved({(one, 0): instances[one].gpus[1]}), "gpus")
    others = [instance.gpus[0] for instance in instances if instance.gpus[0].node.startswith("b")]
    refused(moved({(one, 0): others[0], (one, 1): others[1]}), "")
    refused(replace(TRUE, placement=Placement(instances[1:])), "instances as placed")
    for change in ({"pool": 7}, {"replicas": 2}, {"share": 0.5}, {"name": instances[1].name}):
        first = replace(instances[0], **change)
        refused(replace(TRUE, placement=Placement((first, *instances[1:]))), "placement")
    refused(replace(TRUE, placement=None), "placement")


def test_a_survival_rule_that_does_not_hold() -> None:
    """Everything on one node: true figures, but the promise is broken."""
    stated = problem(
        requirements={"max_batch": 32, "survive": {"node": 1}},
        cluster=[{"name": "a", "gpu": GPUS[0][1], "nodes": 1, "gpus_per_node": 4}],
    )
    found = verify_inventory(stated, answer_for(stated, [(0, shape(1), 4)], status="feasible"))
    assert [mismatch.what for mismatch in found.mismatches] == ["rules.survive_node: kept"]


def test_states_without_pools() -> None:
    assert verify_inventory(MIXED, no_answer(MIXED, "unknown")).passed
    assert not verify_inventory(MIXED, no_answer(MIXED, "optimal")).passed
    assert not verify_inventory(MIXED, replace(TRUE, status="infeasible"), exhaustive=False).passed
    found = verify_inventory(MIXED, no_answer(MIXED))
    assert found.optimality == "refuted" and found.mismatches[0].what == "status"
