"""Which hit rate the memory left can carry, by hand, on one L4 with an 8B model: 131,072 B of cache a token (docs/model.md)."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from optimizer import Answer, problem_from_dict, solve
from optimizer.verify.uniform.check import verify_answer

TOKEN_BYTES = 131_072


def answered(prefix: dict[str, Any], rate: float = 0.2) -> Answer:
    return solve(
        problem_from_dict(
            {
                "hardware": {"gpu": "l4-24gb", "nodes": 1, "gpus_per_node": 1},
                "model": "llama3.1-8b",
                "workload": {"prompt_tokens": 1000, "output_tokens": 200, "requests_per_s": rate, "prefix": prefix},
            }
        ),
        repairs=False,
    )


def cache(answer: Answer) -> tuple[float, float]:
    """(bytes of room, bytes that the requests in progress want)."""
    (rule,) = [rule for rule in answer.rules if rule.id == "kv_cache"]
    assert rule.limit is not None and rule.actual is not None
    return rule.limit, rule.actual


def test_what_hits_hold_is_what_the_load_leaves() -> None:
    """Of 1,000 tokens 400 are found; 600 and 200 new ones push out what is not in use: 160 tokens/s at 0.2 requests/s."""
    answer = answered({"hit_rate": 0.4, "reuse_s": 600})
    room, wanted = cache(answer)
    assert room == pytest.approx(3_526_982_041, abs=1) and wanted < 1_187_247_951  # less than without prefixes
    assert answer.metrics is not None and answer.metrics.prefix_kept_s is not None
    kept = (room - wanted) / TOKEN_BYTES / (0.2 * (600 + 200))
    assert answer.metrics.prefix_kept_s == pytest.approx(kept, rel=1e-6) and 105 < kept < 120
    carried = 0.4 * (1 - math.exp(-kept / 600))
    (said,) = [one for one in answer.explanation if "found in the cache" in one]
    assert said.startswith("40% of a mean prompt's tokens are found in the cache.")
    assert f"about {kept:,.0f} s" in said and f"carries {carried:.0%} where a prefix comes again after 600 s" in said


def test_shared_tokens_are_held_once_and_leave_the_rest_to_hits() -> None:
    """512 of 1,000 tokens are the same in all: 16 · floor(0.25 · 488 / 16) = 112 more are found, 376 and 200 are new."""
    answer, other = answered({"shared_tokens": 512, "hit_rate": 0.25}), answered({"hit_rate": 0.25})
    room, wanted = cache(answer)
    assert answer.metrics is not None and answer.metrics.prefix_kept_s is not None
    kept = (room - wanted) / TOKEN_BYTES / (0.2 * (376 + 200))
    assert answer.metrics.prefix_kept_s == pytest.approx(kept, rel=1e-6)
    assert 512 * TOKEN_BYTES < wanted < cache(other)[1]  # once, where else every request holds them
    (said,) = [one for one in answer.explanation if "found in the cache" in one]
    assert "62% of a mean prompt's tokens" in said and "512 of them held once" in said
    assert all(f"{0.25 * (1 - math.exp(-kept / s)):.0%} after" in said for s in (60, 600, 3600))


def test_less_is_left_at_more_load_and_a_false_claim_is_refuted() -> None:
    light, heavy = (answered({"hit_rate": 0.4}, rate).metrics for rate in (0.1, 0.5))
    assert (
        light is not None and heavy is not None and light.prefix_kept_s is not None and heavy.prefix_kept_s is not None
    )
    assert light.prefix_kept_s > 5 * heavy.prefix_kept_s
    problem_stated = {
        "hardware": {"gpu": "l4-24gb", "nodes": 1, "gpus_per_node": 1},
        "model": "llama3.1-8b",
        "workload": {"prompt_tokens": 1000, "output_tokens": 200, "requests_per_s": 0.5, "prefix": {"hit_rate": 0.4}},
    }
    answer = answered({"hit_rate": 0.4}, 0.5)
    assert answer.metrics is not None and answer.metrics.prefix_kept_s is not None
    wrong = replace(answer, metrics=replace(answer.metrics, prefix_kept_s=answer.metrics.prefix_kept_s * 1.01))
    found = verify_answer(problem_from_dict(problem_stated), wrong)
    assert not found.passed and any("prefix_kept_s" in str(one) for one in found.mismatches)
