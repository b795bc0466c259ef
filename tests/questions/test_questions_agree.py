"""solve, check, why-not, sweep and recommend never contradict each other, on any axis, over random problems of every kind."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

import optimizer
from optimizer import Fixed
from optimizer.explain.inventory.answer import behind
from optimizer.explain.inventory.cuts import beyond
from optimizer.reading.proposal import chain_proposal_from_dict, proposal_from_dict
from optimizer.render.envelope import envelope
from tests.chain.cases import tiny
from tests.generate import random_problem
from tests.inventory.generate import random_inventory
from tests.inventory.test_naive import small_inventory

NOTHING = "No strategy keeps every rule of this problem"
FOUND = ("optimal", "feasible")


def seeds(quick: tuple[int, ...], many: int) -> list[Any]:
    return [seed if seed in quick else pytest.param(seed, marks=pytest.mark.long) for seed in range(many)]


def proposals(rng: random.Random, many: int) -> list[Fixed]:
    """Single decisions of every axis, in range and beyond what is searched, and a few together."""
    axes: list[tuple[str, tuple[Any, ...]]] = [
        ("tensor_parallel", (1, 2, 3, 4, 8)),
        ("pipeline_parallel", (1, 2, 3, 5)),
        ("data_parallel", (1, 2, 3)),
        ("expert_parallel", (1, 2, 4, 8)),
        ("max_num_seqs", (1, 3, 16)),
        ("weight_precision", ("bf16", "fp8", "int4")),
        ("kv_precision", ("bf16", "fp8")),
        ("expert_slice_ranks", (1, 2, 4)),
        ("decode_context_parallel", (1, 2, 4)),
    ]
    found = [Fixed(**{name: rng.choice(values)}) for name, values in axes]
    for _ in range(many):
        some = rng.sample(axes, rng.choice([2, 3]))
        found.append(Fixed(**{name: rng.choice(values) for name, values in some}))
    return found


def no_better(value: float, best: float) -> bool:
    return value >= best - max(2e-5, abs(best) * 1e-12)


def test_one_problem_of_equal_nodes() -> None:
    """A slice of the next test."""
    agree_on_equal_nodes(3, 3)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(40))
def test_equal_nodes(seed: int) -> None:
    agree_on_equal_nodes(seed, None)


def agree_on_equal_nodes(seed: int, most: int | None) -> None:
    """Every question about a problem and so many proposals."""
    problem = optimizer.problem_from_dict(random_problem(seed))
    answer = optimizer.solve(problem, repairs=False)
    tiered = problem.objective.preset in ("throughput", "capacity", "fewest-gpus")
    for fixed in random.Random(seed).sample(proposals(random.Random(seed), 2), most or 9):
        try:
            checked = optimizer.check(problem, fixed, repairs=False)
        except optimizer.ProblemError:
            continue
        if checked.feasible:
            assert not any(NOTHING in sentence for sentence in checked.explanation), fixed
            # What keeps every rule was in the space of solve, or solve speaks of a space that does not hold it.
            assert answer.status in FOUND or answer.within == "searched space", fixed
            outside = checked.optimum is not None and checked.optimum.within == "searched space"
            if answer.objective is not None and checked.objective is not None and not tiered and not outside:
                assert no_better(checked.objective.value, answer.objective.value) or any(
                    "search" in sentence for sentence in checked.explanation
                ), fixed
        if fixed.max_num_seqs is None:
            told = optimizer.why_not(problem, fixed)
            # What is better but not searched is named so.
            refused = told.verdict == "not allowed" and told.decided_by != "search limit"
            assert refused is (checked.feasible is False), (fixed, told.verdict)
    (point,) = list(optimizer.sweep(problem, [problem.hardware.gpus], workers=1))
    assert point.status == answer.status
    assert (point.objective is None) is (answer.objective is None)
    if point.objective is not None and answer.objective is not None:
        assert abs(point.objective.value - answer.objective.value) <= max(2e-5, answer.objective.value * 1e-12)
    least = optimizer.recommend(problem, [problem.hardware.gpus])
    assert (least.point is not None) is (answer.status in FOUND)


INVENTORIES = [
    pytest.param(kind, seed, marks=() if (kind, seed) in {("small", 3), ("mixed", 1)} else pytest.mark.long)
    for kind, many in (("small", 12), ("mixed", 24))
    for seed in range(many)
]


def stated_inventory(kind: str, seed: int) -> dict[str, Any]:
    """A dense model on two kinds of GPUs; or any model, experts too, with formats to choose, on small groups."""
    return small_inventory(seed) if kind == "small" else random_inventory(seed)


@pytest.mark.parametrize(("kind", "number"), INVENTORIES)
def test_inventories(kind: str, number: int) -> None:
    """Single decisions of every axis, and pairs of them, in the space and beyond it."""
    quick = number in (1, 3)
    problem = optimizer.problem_from_dict(stated_inventory(kind, number))
    answer = optimizer.solve(problem, repairs=False, time_limit_s=20)
    rng = random.Random(number)
    asked = [fixed for fixed in proposals(rng, 3) if fixed.max_num_seqs is None]
    for fixed in rng.sample(asked, 3 if quick else 6):
        agree_on_inventory(problem, answer, fixed, why_not=not quick)
    if kind == "small":
        agree_on_nodes(problem, answer)
    if answer.pools and answer.status == "optimal":
        placed = proposal_from_dict(json.loads(json.dumps(envelope(answer))))
        again = optimizer.check(problem, placement=placed)
        assert again.feasible and again.status == "optimal" and again.objective.value == answer.objective.value


def agree_on_inventory(problem: Any, answer: Any, fixed: Fixed, *, why_not: bool) -> None:
    """What a check calls feasible was in the space of solve, or the answers name what leaves it out."""
    try:
        checked = optimizer.check(problem, fixed, repairs=False, time_limit_s=20)
    except optimizer.ProblemError:
        return
    assert checked.verification.passed, (fixed, checked.verification.mismatches)
    outside = beyond(problem, fixed)
    if checked.feasible:
        assert checked.objective is not None
        if answer.status == "infeasible":
            assert outside and answer.within == "searched space", (fixed, answer.within)
            if checked.optimum.status == "infeasible":
                assert checked.optimum.within == "searched space" and checked.optimum.cut_by == outside
                assert any("outside what optimizer solve searches" in said for said in checked.explanation)
        elif answer.status == "optimal" and not outside:
            assert behind(problem, checked, answer) > 0 or checked.objective.value >= answer.objective.value, fixed
        if checked.status == "optimal":
            assert not outside and checked.objective.value == answer.objective.value
    if checked.feasible is not None and why_not:
        told = optimizer.why_not(problem, fixed, time_limit_s=20)
        if told.verdict != "no optimum":
            assert (told.verdict == "not allowed") is (checked.feasible is False), (fixed, told.verdict)


def agree_on_nodes(problem: Any, answer: Any) -> None:
    """A sweep and a recommendation at the nodes there are."""
    group = problem.groups[0]
    (point,) = list(optimizer.sweep(problem, nodes={group.name: [group.nodes]}))
    assert point.status == answer.status and point.objective == answer.objective
    least = optimizer.recommend(problem, nodes={one.name: [one.nodes] for one in problem.groups})
    assert (least.point is not None) is (answer.status == "optimal")


@pytest.mark.parametrize("seed", seeds((0, 1, 2), 20))
def test_chains(seed: int, met: Callable[[str], None]) -> None:
    problem = optimizer.problem_from_dict(tiny(seed))
    answer = optimizer.solve(problem)
    if not answer.placement:
        assert answer.status == "infeasible"
        met("nothing to compare")
        return
    there = chain_proposal_from_dict(json.loads(json.dumps(envelope(answer))))
    checked = optimizer.check(problem, placement=there)
    assert checked.feasible and checked.value == answer.value and checked.status == answer.status
    assert optimizer.why_not(problem, layers=there).verdict == "best"
    rng = random.Random(seed)
    for _ in range(3):
        nodes = {}
        for node in problem.cluster.nodes:
            most = min(problem.max_layers(node.type), problem.model.layers)
            count = rng.randint(1, most)
            nodes[node.name] = [rng.randint(0, problem.model.layers - count), count]
        proposal = chain_proposal_from_dict({"nodes": nodes})
        judged = optimizer.check(problem, placement=proposal)
        assert judged.value <= answer.bound and judged.verification.passed
        foil = optimizer.why_not(problem, layers=proposal)
        if foil.verdict == "not allowed":  # the nodes together hold too few layers
            assert foil.foil_tokens_per_s is None and judged.value == 0
            continue
        assert foil.foil_tokens_per_s is not None and foil.foil_tokens_per_s >= judged.value
        assert foil.verdict in {"worse", "tie", "best"} if answer.status == "optimal" else True
    met("compared")
