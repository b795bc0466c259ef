"""Inventories may hold engines whose replicas slice experts or share contexts, as equal nodes may."""

from __future__ import annotations

from typing import Any

import optimizer
from optimizer.reading.proposal import proposal_from_dict

MIXED: dict[str, Any] = {
    "name": "mixed",
    "cluster": [
        {"name": "a", "gpu": "a100-sxm-80gb", "nodes": 1, "gpus_per_node": 4},
        {"name": "l", "gpu": "l40s-48gb", "nodes": 1, "gpus_per_node": 4},
    ],
    "model": "qwen3-30b-a3b",
    "workload": {"prompt_tokens": 2000, "output_tokens": 400, "requests_per_s": 6},
    "requirements": {"tpot_p99_ms": 40},
}
SLICED = {"group": "a", "tp": 1, "expert_slice_ranks": 4}


def test_an_ordinary_inventory_of_experts_is_proved_and_confirmed() -> None:
    """The verifier looked at sliced experts and the search did not, so it refuted what the search had proved."""
    answer: Any = optimizer.solve(optimizer.problem_from_dict(MIXED))
    assert answer.status == "optimal" and answer.verification.passed, answer.verification.mismatches


def test_a_placement_names_slices_and_is_no_better_than_the_best() -> None:
    problem = optimizer.problem_from_dict(MIXED)
    placed: Any = optimizer.check(problem, placement=proposal_from_dict({"instances": [SLICED]}))  # type: ignore[call-overload]
    assert placed.verification.passed and placed.feasible
    strategy = placed.pools[0].strategy
    assert (strategy.expert_slice_ranks, strategy.data_parallel) == (4, 4) and "MoE-TP4" in placed.label
    assert placed.objective.value >= placed.optimum.objective.value
