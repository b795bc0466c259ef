"""A decode instance has a block for the recurrent state of each sequence that it may run at once, also where that number is decided.

A public log: Qwen3.8-27B-FP8 in vLLM 0.26.0 on one L40S has 8.82 GiB of cache, 184 blocks, and refuses 256 sequences, its default.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from optimizer.questions.cluster_pools import check_cluster_pools
from optimizer.questions.pools import check_pools
from optimizer.reading.inventory_file import inventory_from_dict
from optimizer.reading.load import problem_from_dict
from optimizer.results.pools import FixedPool, FixedPools
from optimizer.verify.pools.check import verify_pools

VALUES: dict[str, Any] = {
    "hardware": {"gpu": "l40s-48gb", "nodes": 1, "gpus_per_node": 4, "internode_gbit_per_s": 400},
    "model": "qwen3.5-27b-fp8",
    "engine": "vllm",
    "engine_version": "0.26.0",
    "serving": "disaggregated",
    "workload": {"prompt_tokens": 1000, "output_tokens": 200, "requests_per_s": 0.5},
}


def fixed(slots: int | None) -> FixedPools:
    one = FixedPool(tensor_parallel=1, count=2)
    return FixedPools(one, replace(one, max_num_seqs=slots))


@pytest.mark.parametrize(("slots", "holds"), [(None, True), (64, True), (256, False)])
def test_sequences_that_are_decided_need_their_blocks(slots: int | None, holds: bool) -> None:
    problem = problem_from_dict(VALUES)
    answer = check_pools(problem, fixed(slots))
    assert answer.feasible is holds and answer.verification.passed, answer.verification.mismatches
    (rule,) = [rule for rule in answer.rules if rule.id == "state_blocks"]
    assert rule.holds is holds and rule.limit == pytest.approx(184, rel=0.05)
    assert answer.strategy is not None
    if slots is None:
        assert answer.strategy.decode.max_num_seqs == rule.limit
        assert any(one.startswith("Decode: May not start") and "is safe" in one for one in answer.explanation)
    else:
        assert answer.strategy.decode.max_num_seqs == slots
        assert not any("is safe" in one for one in answer.explanation)
    rate = [rule for rule in answer.rules if not rule.holds]
    assert [rule.id for rule in rate] == ([] if holds else ["state_blocks"])


def test_the_verifier_refuses_them_too() -> None:
    problem = problem_from_dict(VALUES)
    answer = check_pools(problem, fixed(64))
    assert answer.strategy is not None
    decode = replace(answer.strategy.decode, max_num_seqs=256)
    said = verify_pools(problem, replace(answer, strategy=replace(answer.strategy, decode=decode)), fixed(256))
    assert not said.passed and any("state_blocks" in one.what for one in said.mismatches)


def test_an_inventory_is_judged_alike() -> None:
    hardware = {"name": "a", "gpu": "l40s-48gb", "nodes": 1, "gpus_per_node": 4}
    values = {key: value for key, value in VALUES.items() if key != "hardware"}
    problem = inventory_from_dict({**values, "cluster": [{**hardware, "internode_gbit_per_s": 400}]})
    few, many = (check_cluster_pools(problem, fixed(slots)) for slots in (64, 256))
    assert few.feasible is True and few.verification.passed, few.verification.mismatches
    assert many.feasible is False and many.verification.passed, many.verification.mismatches
    assert [rule.id for rule in many.rules if not rule.holds] == ["state_blocks"]
