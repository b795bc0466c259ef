"""Claims that a better candidate refutes: the verifier finds it in the first tier and in the objective, in any size of space."""

from __future__ import annotations

from dataclasses import replace

import pytest

from optimizer import problem_from_dict, solve
from optimizer.facts.problem import Problem
from optimizer.results.answer import with_verification
from optimizer.verify import verify_answer

PRESETS = ("balanced", "throughput", "fewest-gpus", "capacity")


def asked(nodes: int, preset: str, **search: object) -> Problem:
    return problem_from_dict(
        {
            "hardware": {"gpu": "h100-sxm-80gb", "nodes": nodes},
            "model": "llama3.1-8b",
            "workload": {"prompt_tokens": 900, "output_tokens": 128, "requests_per_s": 2.0 * nodes},
            "requirements": {"max_batch": 32, "max_sequence_tokens": 2048, "tpot_p99_ms": 60},
            "objective": preset,
            "search": search,
        }
    )


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("nodes", [1, 40])
def test_the_best_of_too_few_is_refuted(nodes: int, preset: str) -> None:
    """One node is gone through row by row, forty by ranges of counts."""
    problem = asked(nodes, preset)
    too_few = {"pipeline_parallel": [2]} if preset != "fewest-gpus" else {"data_parallel": [nodes * 2]}
    worse = solve(asked(nodes, preset, **too_few), repairs=False)
    assert worse.status == "optimal" and worse.verification.passed
    found = verify_answer(problem, replace(worse, search_limits=()))
    assert not found.passed and found.optimality == "refuted"
    told = with_verification(worse, found)
    assert told.status == "feasible" and "Do not rely on it" in told.explanation[0]


def test_an_infeasibility_that_is_refuted_is_not_claimed() -> None:
    problem = asked(40, "balanced")
    nothing = solve(asked(40, "balanced", tensor_parallel=[3]), repairs=False)
    assert nothing.status == "infeasible"
    told = with_verification(nothing, verify_answer(problem, nothing))
    assert told.verification.optimality == "refuted" and told.status == "unknown"


@pytest.mark.parametrize("preset", PRESETS)
def test_the_best_of_a_large_space_is_confirmed_and_what_was_compared_is_counted(preset: str) -> None:
    answer = solve(asked(400, preset), repairs=False)
    found = answer.verification
    assert answer.status == "optimal" and found.passed and found.optimality == "exhaustive"
    assert found.candidates == found.compared + sum(found.ruled_out.values()) and found.compared < found.candidates / 10
