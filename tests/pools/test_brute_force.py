"""The search against brute force: every pair there is, judged one by one by the verifier's exact formulas."""

from __future__ import annotations

import random
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from optimizer.facts.problem import Problem
from optimizer.questions.pools import solve_pools
from optimizer.questions.solve import solve
from optimizer.results.answer import Answer
from optimizer.results.pools import FixedPools, PoolsAnswer
from optimizer.verify.common.arithmetic import sixty_digits
from optimizer.verify.pools.pair import PoolsPair, Shapes
from optimizer.verify.pools.survey import offered, placements, slots_of
from tests.pools.problems import problem_with


@sixty_digits()
def best_by_hand(problem: Problem) -> tuple[Decimal, int] | None:
    """(least objective, pairs that keep every rule): one pair after the other, nothing left out."""
    from optimizer.results.pools import PoolStrategy
    from optimizer.verify.pools.pair import joined

    shapes, fixed = Shapes(problem), FixedPools()
    off = problem.search.disabled_rules

    def pools(side: str) -> list[PoolStrategy]:
        found = []
        for shape in offered(problem, shapes, getattr(fixed, side)):
            slots = slots_of(problem, shape, fixed.decode)
            group = shape.group
            for count, nodes in placements(problem, shape, getattr(fixed, side)):
                found.append(
                    PoolStrategy(count, group.tensor, group.expert, slots, group.weight_format, group.kv_format, nodes)
                )
        return found

    values = []
    for first in pools("prefill"):
        for second in pools("decode"):
            pair = PoolsPair(shapes, first, second)
            if not joined(problem, pair.prefill.shape.group, pair.decode.shape.group):
                continue
            if all(ruling.holds or ruling.id in off for ruling in pair.rulings()):
                values.append(sum(pair.terms().values(), Decimal(0)))
    return (min(values), len(values)) if values else None


def generated(seed: int) -> dict[str, Any]:
    """A random small question."""
    chance = random.Random(seed)
    nodes = chance.choice([1, 2])
    hardware = {
        "gpu": chance.choice(["h100-sxm-80gb", "l40s-48gb", "a100-sxm-80gb"]),
        "nodes": nodes,
        "gpus_per_node": 4 // nodes,
        "internode_gbit_per_s": chance.choice([10, 100, 800]),
    }
    workload = {
        "prompt_tokens": chance.choice([400, 1500, 6000, {"mean": 1500, "cv": 1.0}]),
        "output_tokens": chance.choice([60, 300]),
        "requests_per_s": chance.choice([0.5, 1, 2, 4, 9]),
    }
    requirements: dict[str, Any] = {"ttft_p99_ms": chance.choice([2500, 9000]), "tpot_p99_ms": chance.choice([25, 60])}
    if chance.random() < 0.4:
        requirements["survive"] = {chance.choice(["gpu", "node"]): 1, "demand_share": 0.5}
    return {
        "hardware": hardware,
        "workload": workload,
        "requirements": requirements,
        "engine": chance.choice(["vllm", "sglang"]),
        "objective": chance.choice(["balanced", "latency", "fault-tolerance"]),
    }


@pytest.mark.parametrize("seed", range(30))
def test_the_search_finds_what_brute_force_finds(seed: int, met: Callable[[str], None]) -> None:
    problem = problem_with(**generated(seed))
    answer, by_hand = solve_pools(problem, repairs=False), best_by_hand(problem)
    assert answer.verification.passed, answer.verification.mismatches
    assert answer.verification.optimality == "exhaustive"
    if by_hand is None:
        assert answer.status == "infeasible"
        met("infeasible")
        return
    assert answer.status == "optimal" and answer.objective is not None
    assert abs(Decimal(repr(answer.objective.value)) - by_hand[0]) < Decimal("0.00003")
    met("optimal")


@pytest.mark.parametrize("preset", ["fewest-gpus", "capacity", "throughput"])
def test_presets_put_their_own_goal_first(preset: str) -> None:
    problem = problem_with(objective=preset, hardware={"gpus_per_node": 4}, workload={"requests_per_s": 10})
    answer = solve_pools(problem)
    assert answer.status == "optimal", answer.explanation
    assert answer.verification.passed and answer.verification.optimality == "exhaustive"
    assert answer.strategy is not None and answer.metrics is not None
    other = solve_pools(problem_with(hardware={"gpus_per_node": 4}, workload={"requests_per_s": 10}))
    assert other.strategy is not None and other.metrics is not None
    if preset == "fewest-gpus":
        assert answer.strategy.gpus == 2
    if preset == "capacity":
        assert answer.metrics.max_request_rate >= other.metrics.max_request_rate
    if preset == "throughput":
        assert answer.metrics.peak_tokens_per_s >= other.metrics.peak_tokens_per_s


def test_a_cluster_where_joint_instances_are_best() -> None:
    """Two GPUs and a slow network between them: the cache of every prompt would have to cross it."""
    problem = problem_with(
        serving="any",
        hardware={"nodes": 2, "gpus_per_node": 1, "internode_gbit_per_s": 1},
        workload={"requests_per_s": 2},
        requirements={"ttft_p99_ms": 2000, "tpot_p99_ms": 40},
    )
    answer = solve(problem)
    assert isinstance(answer, Answer) and answer.status == "optimal" and answer.objective is not None
    by_hand = best_by_hand(problem)
    assert by_hand is None or float(by_hand[0]) > answer.objective.value
    assert any("Prefill and decode pools instead" in sentence for sentence in answer.explanation)


def test_a_cluster_where_pools_are_best() -> None:
    """Long prompts beside a tight limit on tokens: joint instances keep no limit, whatever their shape."""
    problem = problem_with(
        serving="any",
        hardware={"gpus_per_node": 4},
        workload={"prompt_tokens": 6000, "requests_per_s": 7},
        requirements={"ttft_p99_ms": 3000, "tpot_p99_ms": 16},
    )
    answer = solve(problem)
    assert isinstance(answer, PoolsAnswer) and answer.status == "optimal" and answer.objective is not None
    joint = solve(problem.model_copy(update={"serving": "joint"}))
    assert isinstance(joint, Answer)
    assert joint.objective is None or joint.objective.value > answer.objective.value
    assert joint.verification.optimality == "exhaustive"
    by_hand = best_by_hand(problem)
    assert by_hand is not None and abs(float(by_hand[0]) - answer.objective.value) < 3e-5
    assert any("Joint instances instead" in sentence for sentence in answer.explanation)


def test_a_false_claim_is_refuted() -> None:
    from dataclasses import replace

    from optimizer.verify.pools.check import verify_pools

    problem = problem_with()
    answer = solve_pools(problem)
    assert answer.metrics is not None and answer.strategy is not None
    wrong = replace(answer, metrics=replace(answer.metrics, ttft_p99_ms=1.0))
    assert not verify_pools(problem, wrong, exhaustive=False).passed
    fewer = solve_pools(problem_with(objective="fewest-gpus"))
    found = verify_pools(problem, fewer)
    assert found.optimality == "refuted"
    said = replace(answer, strategy=None, metrics=None, objective=None, rules=(), status="infeasible")
    assert verify_pools(problem, said).optimality == "refuted"


def test_rates_are_per_rank() -> None:
    """Half the rate on half the ranks is the same load."""
    with sixty_digits():
        problem = problem_with()
        shapes = Shapes(problem)
        shape = next(iter(offered(problem, shapes, FixedPools().decode)))
        assert shape.decoding(Fraction(2)) is shape.decoding(Fraction(4, 2))


@pytest.mark.parametrize("nodes", [1, 3, 8, 9, 24])
def test_search_and_verifier_spread_pools_over_the_same_nodes(nodes: int) -> None:
    from optimizer.results.pools import FixedPool
    from optimizer.search.pools.tables import PoolTables

    problem = problem_with(hardware={"nodes": nodes, "gpus_per_node": 2}, search={"tensor_parallel": [1]})
    rows = PoolTables(problem).prefill
    with sixty_digits():
        shapes = Shapes(problem)
        shape = next(iter(offered(problem, shapes, FixedPool())))
        expected = set(placements(problem, shape, FixedPool()))
    assert set(zip(rows.count.tolist(), rows.nodes.tolist(), strict=True)) == expected


@pytest.mark.parametrize(("nodes", "gpus"), [(1, 1), (1, 2), (2, 1), (2, 4)])
def test_with_every_rule_off_some_pair_is_left(nodes: int, gpus: int) -> None:
    from optimizer.search.pools.solve import columns_of, feasible

    problem = problem_with(hardware={"nodes": nodes, "gpus_per_node": gpus}, workload={"requests_per_s": 1000})
    assert feasible(columns_of(problem), [])


def test_one_gpu_is_too_few_and_the_conflict_says_so() -> None:
    answer = solve_pools(problem_with(hardware={"gpus_per_node": 1}, workload={"requests_per_s": 2}))
    assert answer.status == "infeasible" and answer.verification.passed
    assert set(answer.conflicts[0].rules) <= {"gpu_count", "placement"} and answer.conflicts[0].rules
    assert answer.repairs and answer.repairs[0].changes[0].field == "hardware.nodes"
