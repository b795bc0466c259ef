"""Pools on inventories: the search against every choice judged one by one in exact arithmetic, and against equal nodes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from optimizer.facts.inventory import InventoryProblem
from optimizer.questions.cluster_pools import check_cluster_pools, solve_cluster_pools
from optimizer.questions.pools import solve_pools
from optimizer.questions.solve import solve
from optimizer.reading.question import load_problem
from optimizer.results.cluster_pools import ClusterPoolsAnswer, ClusterPoolsStrategy, GroupPool
from optimizer.results.inventory import InventoryAnswer
from optimizer.results.pools import FixedPool, FixedPools, PoolStrategy
from optimizer.verify.common.arithmetic import sixty_digits
from optimizer.verify.pools.cluster_check import verify_cluster_pools
from optimizer.verify.pools.cluster_pair import ClusterPair
from optimizer.verify.pools.pair import joined
from optimizer.verify.pools.site import PoolsSite
from optimizer.verify.pools.survey import offered, placements, slots_of
from tests.pools.clusters import cluster_with
from tests.pools.problems import problem_with

ROOT = Path(__file__).resolve().parents[2]


def single_groups(site: PoolsSite, side: str) -> Iterator[GroupPool]:
    """Every pool on one group."""
    for group, problem in enumerate(site.problems):
        for shape in offered(problem, site.shapes[group], FixedPool()):
            slots = slots_of(problem, shape, FixedPool())
            if side == "prefill":
                slots = shape.together(problem.workload.prompt_tokens)
            one = shape.group
            for count, nodes in placements(problem, shape, FixedPool()):
                pool = PoolStrategy(count, one.tensor, one.expert, slots, one.weight_format, one.kv_format, nodes)
                yield GroupPool(site.names[group], 1.0, pool)


@sixty_digits()
def least_by_hand(problem: InventoryProblem) -> Decimal | None:
    """The least objective of pools on one group each: every pair, nothing left out."""
    site, off = PoolsSite(problem), problem.search.disabled_rules
    values = []
    for first, second in product(single_groups(site, "prefill"), single_groups(site, "decode")):
        pair = ClusterPair(site, ClusterPoolsStrategy((first,), (second,)))
        if not joined(site.problems[0], pair.parts[0][0].pool.shape.group, pair.parts[1][0].pool.shape.group):
            continue
        if all(ruling.holds or ruling.id in off for ruling in pair.rulings()):
            values.append(sum(pair.terms().values(), Decimal(0)))
    return min(values) if values else None


def generated(seed: int) -> dict[str, Any]:
    """A random question about two or three small groups."""
    chance = random.Random(seed)
    groups: list[dict[str, Any]] = []
    for name in "abc"[: chance.choice([2, 2, 3])]:
        nodes = chance.choice([1, 2, 4])
        group: dict[str, Any] = {
            "name": name,
            "gpu": chance.choice(["h100-sxm-80gb", "l40s-48gb", "a100-sxm-80gb", "h200-sxm-141gb"]),
            "nodes": nodes,
            "gpus_per_node": max(1, 4 // nodes),
            "internode_gbit_per_s": chance.choice([25, 100, 400]),
            "price_per_gpu_hour": chance.choice([0.8, 2.0, 3.0]),
        }
        if nodes == 4 and chance.random() < 0.6:
            group["racks"] = 2
        if chance.random() < 0.5:
            group["zone"] = chance.choice(["z1", "z2"])
        groups.append(group)
    requirements: dict[str, Any] = {"ttft_p99_ms": chance.choice([900, 2500]), "tpot_p99_ms": chance.choice([15, 40])}
    levels = ["gpu", "node", *(["rack"] if any("racks" in one for one in groups) else [])]
    if chance.random() < 0.6:
        requirements["survive"] = {chance.choice(levels): 1, "demand_share": 0.5}
    return {
        "cluster": groups,
        "workload": {
            "prompt_tokens": chance.choice([400, 1500, 6000, {"mean": 1500, "cv": 1.0}]),
            "output_tokens": chance.choice([60, 300]),
            "requests_per_s": chance.choice([1, 4, 9]),
        },
        "requirements": requirements,
        "failures": {"zone_mtbf_hours": 100000},
        "engine": chance.choice(["vllm", "sglang"]),
        "objective": chance.choice(["balanced", "latency", "fault-tolerance", {"gpu_ms": 30.0}]),
        "search": {"tensor_parallel": [1, 2]},
    }


@pytest.mark.parametrize("seed", [pytest.param(n, marks=() if n < 4 else pytest.mark.long) for n in range(24)])
def test_the_search_finds_what_brute_force_finds(seed: int) -> None:
    problem = cluster_with(**generated(seed))
    answer, by_hand = solve_cluster_pools(problem, repairs=False), least_by_hand(problem)
    assert answer.verification.passed, answer.verification.mismatches
    assert answer.verification.optimality == "exhaustive"
    if by_hand is None:
        assert answer.strategy is None or len(answer.strategy.prefill) + len(answer.strategy.decode) > 2
        return
    assert answer.status == "optimal" and answer.objective is not None and answer.strategy is not None
    assert Decimal(repr(answer.objective.value)) < by_hand + Decimal("0.00003")
    if len(answer.strategy.prefill) + len(answer.strategy.decode) == 2:
        assert abs(Decimal(repr(answer.objective.value)) - by_hand) < Decimal("0.00003")


@sixty_digits()
def least_of_all(problem: InventoryProblem) -> tuple[Decimal | None, int]:
    """(the least objective, pairs that keep every rule) of pools over two groups in tenths of the requests, each judged whole."""
    site = PoolsSite(problem)

    def pools(side: str) -> list[tuple[GroupPool, ...]]:
        alone = list(single_groups(site, side))
        first, second = ([one for one in alone if one.group == name] for name in site.names)
        both = [
            (replace(a, share=tenths / 10), replace(b, share=1 - tenths / 10))
            for a, b in product(first, second)
            for tenths in range(1, 10)
        ]
        return [*((one,) for one in alone), *both]

    values = []
    for prefill, decode in product(pools("prefill"), pools("decode")):
        pair = ClusterPair(site, ClusterPoolsStrategy(prefill, decode))
        if len({part.pool.tensor_parallel for part in decode}) == 1 and all(one.holds for one in pair.rulings()):
            values.append(sum(pair.terms().values(), Decimal(0)))
    return (min(values) if values else None), len(values)


OVER_TWO: list[dict[str, Any]] = [
    {"requirements": {"ttft_p99_ms": 4000, "tpot_p99_ms": 60, "survive": {"zone": 1, "demand_share": 0.5}}},
    {"workload": {"requests_per_s": 30}},
    {"requirements": {"ttft_p99_ms": 4000, "tpot_p99_ms": 60, "survive": {"gpu": 1, "demand_share": 0.6}}},
]


@pytest.mark.parametrize("case", [0, 1, pytest.param(2, marks=pytest.mark.long)])
def test_pools_over_two_groups_against_every_share(case: int) -> None:
    groups = [
        {
            "name": "a",
            "gpu": "h100-sxm-80gb",
            "nodes": 1,
            "gpus_per_node": 2,
            "internode_gbit_per_s": 400,
            "zone": "z1",
        },
        {"name": "b", "gpu": "l40s-48gb", "nodes": 1, "gpus_per_node": 2, "internode_gbit_per_s": 100, "zone": "z2"},
    ]
    problem = cluster_with(cluster=groups, search={"tensor_parallel": [1]}, **OVER_TWO[case])
    answer, (least, pairs) = solve_cluster_pools(problem, repairs=False), least_of_all(problem)
    assert answer.verification.passed and answer.verification.optimality == "exhaustive"
    assert least is not None and pairs > 1 and answer.objective is not None
    assert abs(Decimal(repr(answer.objective.value)) - least) < Decimal("0.00003")


def test_a_zone_that_both_pools_survive() -> None:
    problem = load_problem(ROOT / "problems" / "pools-in-two-zones.yaml")
    assert isinstance(problem, InventoryProblem)
    answer = solve_cluster_pools(problem)
    assert answer.status == "optimal" and answer.strategy is not None
    assert answer.verification.passed and answer.verification.optimality == "exhaustive"
    for side in (answer.strategy.prefill, answer.strategy.decode):
        assert {part.group for part in side} == {"h100-east", "h100-west"} and sum(part.share for part in side) == 1


CASES: list[dict[str, Any]] = [
    {"hardware": {"gpus_per_node": 4}, "workload": {"requests_per_s": 10}},
    {
        "hardware": {"nodes": 3, "gpus_per_node": 2, "internode_gbit_per_s": 100},
        "workload": {"requests_per_s": 9},
        "requirements": {"ttft_p99_ms": 3000, "survive": {"node": 1, "demand_share": 0.5}},
    },
    {"hardware": {"gpus_per_node": 1}, "workload": {"requests_per_s": 2}},
    {"hardware": {"nodes": 2, "gpus_per_node": 4}, "objective": "fewest-gpus"},
]


@pytest.mark.parametrize("case", range(len(CASES)))
def test_one_group_is_equal_nodes(case: int) -> None:
    """The same question as ``hardware:`` and as a group of ``cluster:`` has the same pools, value and metrics."""
    changes = CASES[case]
    equal = solve_pools(problem_with(**changes), repairs=False)
    group = {"name": "all", "nodes": 1, "gpu": "h100-sxm-80gb"} | changes["hardware"]
    others = {name: value for name, value in changes.items() if name != "hardware"}
    others["workload"] = {"requests_per_s": 40} | others.get("workload", {})
    grouped = solve_cluster_pools(cluster_with(cluster=[group], **others), repairs=False)
    assert grouped.status == equal.status and grouped.verification.passed
    if equal.strategy is None or equal.objective is None or equal.metrics is None:
        assert grouped.strategy is None
        return
    assert grouped.strategy is not None and grouped.objective is not None and grouped.metrics is not None
    assert (grouped.strategy.prefill[0].pool, grouped.strategy.decode[0].pool) == (
        equal.strategy.prefill,
        equal.strategy.decode,
    )
    assert grouped.objective.terms == equal.objective.terms and grouped.link == equal.link
    assert grouped.metrics.prefill == (equal.metrics.prefill,) and grouped.metrics.decode == (equal.metrics.decode,)
    for name in ("ttft_p99_ms", "tpot_p99_ms", "transfer_ms", "max_request_rate", "availability", "peak_tokens_per_s"):
        assert abs(getattr(grouped.metrics, name) - getattr(equal.metrics, name)) < 1e-9, name


def test_order_and_names_of_groups_change_nothing() -> None:
    problem = cluster_with(requirements={"survive": {"node": 1, "demand_share": 0.5}})
    first = solve_cluster_pools(problem, repairs=False)
    names = {"a": "x", "b": "y"}
    groups = tuple(group.model_copy(update={"name": names[group.name]}) for group in reversed(problem.groups))
    second = solve_cluster_pools(problem.model_copy(update={"groups": groups}), repairs=False)
    assert first.objective is not None and second.objective is not None
    assert first.objective.value == second.objective.value
    assert first.strategy is not None and second.strategy is not None
    assert [names[part.group] for part in first.strategy.prefill] == [part.group for part in second.strategy.prefill]


@pytest.fixture(scope="module")
def by_price() -> ClusterPoolsAnswer:
    problem = load_problem(ROOT / "problems" / "prefill-h100-decode-by-price.yaml")
    assert isinstance(problem, InventoryProblem)
    return solve_cluster_pools(problem)


def test_prefill_on_one_type_and_decode_on_another_by_price(by_price: ClusterPoolsAnswer) -> None:
    assert by_price.status == "optimal" and by_price.strategy is not None and by_price.metrics is not None
    assert by_price.verification.passed and by_price.verification.optimality == "exhaustive"
    assert by_price.link == "network" and by_price.metrics.price_per_hour is not None
    assert {part.group for part in by_price.strategy.prefill} != {part.group for part in by_price.strategy.decode}
    assert any("cost" in said for said in by_price.explanation)


def test_figures_of_the_page_are_the_answers(by_price: ClusterPoolsAnswer) -> None:
    page = (ROOT / "docs" / "disaggregated.md").read_text()
    assert by_price.metrics is not None and by_price.objective is not None
    for value, written in (
        (by_price.metrics.ttft_p50_ms, "961.2"),
        (by_price.metrics.ttft_p99_ms, "3,790.1"),
        (by_price.metrics.tpot_p99_ms, "20.57"),
        (by_price.metrics.transfer_ms, "15.78"),
        (by_price.objective.value, "6,040.43"),
    ):
        assert written in page and value is not None
        assert abs(value - float(written.replace(",", ""))) <= 0.51 * 10 ** -len(written.partition(".")[2])


def test_false_claims_are_refuted(by_price: ClusterPoolsAnswer) -> None:
    problem = load_problem(ROOT / "problems" / "prefill-h100-decode-by-price.yaml")
    assert isinstance(problem, InventoryProblem) and by_price.metrics is not None and by_price.strategy is not None
    for changes in ({"ttft_p99_ms": 1.0}, {"price_per_hour": 1.0}, {"availability": 1.0}):
        wrong = replace(by_price, metrics=replace(by_price.metrics, **changes))
        assert not verify_cluster_pools(problem, wrong, exhaustive=False).passed, changes
    part = by_price.strategy.decode[0]
    one_more = replace(part, pool=replace(part.pool, instances=part.pool.instances + 1))
    moved = replace(by_price, strategy=replace(by_price.strategy, decode=(one_more,)))
    assert not verify_cluster_pools(problem, moved, exhaustive=False).passed
    small = cluster_with()
    none = replace(
        solve_cluster_pools(small, repairs=False),
        strategy=None,
        metrics=None,
        objective=None,
        rules=(),
        status="infeasible",
    )
    assert verify_cluster_pools(small, none).optimality == "refuted"
    dear = solve_cluster_pools(cluster_with(objective="fewest-gpus"), repairs=False)
    assert verify_cluster_pools(small, dear).optimality == "refuted"


def test_check_judges_pools_on_named_groups() -> None:
    problem = cluster_with()
    fixed = FixedPools(
        FixedPool(tensor_parallel=1, count=2, group="a"), FixedPool(tensor_parallel=2, count=1, group="b")
    )
    answer = check_cluster_pools(problem, fixed)
    assert answer.feasible is True and answer.verification.passed, answer.verification.mismatches
    assert (
        answer.strategy is not None
        and answer.strategy.prefill[0].group == "a"
        and answer.strategy.decode[0].group == "b"
    )
    assert answer.optimum is not None and answer.optimum.status == "optimal"
    tight = FixedPools(FixedPool(count=1, group="b"), FixedPool(tensor_parallel=1, count=1, max_num_seqs=1, group="b"))
    poor = check_cluster_pools(problem, tight)
    assert poor.feasible is False and poor.verification.passed, poor.verification.mismatches
    assert "decode_concurrency" in [rule.id for rule in poor.rules if not rule.holds]


def test_decode_shapes_that_no_decided_prefill_feeds_are_left_out() -> None:
    """SGLang sends between equal TP only: prefill of TP1 leaves decode of TP1, as if that were decided too."""
    problem = cluster_with(engine="sglang")
    one = FixedPool(tensor_parallel=1)
    half, both = (check_cluster_pools(problem, FixedPools(one, decode)) for decode in (FixedPool(), one))
    assert half.feasible and half.verification.passed and half.strategy == both.strategy
    assert half.strategy is not None and {part.pool.tensor_parallel for part in half.strategy.decode} == {1}


def test_conflicts_and_repairs_name_the_pool_and_the_group() -> None:
    problem = cluster_with(workload={"requests_per_s": 150})
    answer = solve_cluster_pools(problem)
    assert answer.status == "infeasible" and answer.verification.passed
    assert answer.verification.optimality == "exhaustive"
    assert any(
        rule.startswith(("prefill_", "decode_", "gpu_count", "placement", "ttft")) for rule in answer.conflicts[0].rules
    )
    fields = [repair.changes[0].field for repair in answer.repairs]
    assert "workload.requests_per_s" in fields and any(field.startswith("cluster.") for field in fields)


def test_any_takes_the_better_kind() -> None:
    """A slow network between single GPUs: joint. Long prompts beside a tight limit on tokens: pools."""
    single = {"nodes": 1, "gpus_per_node": 1, "internode_gbit_per_s": 1}
    alone = [{"name": "a", "gpu": "h100-sxm-80gb"} | single, {"name": "b", "gpu": "h100-sxm-80gb"} | single]
    joint = solve(cluster_with(serving="any", cluster=alone, workload={"requests_per_s": 2}))
    assert isinstance(joint, InventoryAnswer) and joint.status == "optimal"
    assert any("Prefill and decode pools instead" in said for said in joint.explanation)
    group = {"name": "a", "gpu": "h100-sxm-80gb", "nodes": 1, "gpus_per_node": 4}
    other = {"name": "b", "gpu": "l40s-48gb", "nodes": 1, "gpus_per_node": 2}
    pools = solve(
        cluster_with(
            serving="any",
            cluster=[group, other],
            workload={"prompt_tokens": 6000, "requests_per_s": 7},
            requirements={"ttft_p99_ms": 3000, "tpot_p99_ms": 16},
        )
    )
    assert isinstance(pools, ClusterPoolsAnswer) and pools.status == "optimal"
    assert any("Joint instances instead" in said for said in pools.explanation)
