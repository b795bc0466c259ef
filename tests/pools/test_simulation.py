"""Both queues and the link between, played request by request: the stated percentiles hold, and are not far off."""

from __future__ import annotations

from typing import Any

import pytest

from optimizer.questions.cluster_pools import solve_cluster_pools
from optimizer.questions.pools import solve_pools
from optimizer.results.pools import FixedPool, FixedPools
from optimizer.verify.pools.simulate import play, play_cluster
from tests.pools.clusters import cluster_with
from tests.pools.problems import problem_with

CASES: dict[str, dict[str, Any]] = {
    "alike, one node": {},
    "busy prefill": {
        "hardware": {"gpus_per_node": 4},
        "workload": {"requests_per_s": 22},
        "requirements": {"ttft_p99_ms": 4000},
    },
    "mixed lengths": {
        "workload": {"prompt_tokens": {"mean": 1500, "cv": 0.8}, "output_tokens": {"mean": 200, "cv": 0.6}},
    },
    "short prompts share steps": {"workload": {"prompt_tokens": 300, "requests_per_s": 100}},
    "a slow network": {
        "hardware": {"nodes": 2, "gpus_per_node": 2, "internode_gbit_per_s": 25},
        "workload": {"requests_per_s": 9},
        "requirements": {"ttft_p99_ms": 3000},
    },
    "chunks": {"workload": {"prompt_tokens": 6000, "requests_per_s": 6}, "search": {"max_num_batched_tokens": 2048}},
}


GROUPS: dict[str, dict[str, Any]] = {
    "prefill and decode on unlike groups": {"workload": {"requests_per_s": 6}, "objective": "cheapest"},
    "both pools over both groups": {
        "cluster": [
            {"name": "a", "gpu": "h100-sxm-80gb", "nodes": 1, "gpus_per_node": 2, "internode_gbit_per_s": 100, "zone": "east"},
            {"name": "b", "gpu": "h100-sxm-80gb", "nodes": 1, "gpus_per_node": 2, "internode_gbit_per_s": 100, "zone": "west"},
        ],
        "failures": {"zone_mtbf_hours": 8760},
        "workload": {"requests_per_s": 16, "prompt_tokens": {"mean": 1500, "cv": 0.6}},
        "requirements": {"ttft_p99_ms": 6000, "survive": {"zone": 1, "demand_share": 0.5}},
    },
}  # fmt: skip


@pytest.mark.parametrize("case", sorted(GROUPS))
def test_stated_percentiles_hold_over_several_groups(case: str) -> None:
    """Each part by its share: percentiles are stated of the slowest parts, so that what is seen lies at or below them."""
    problem = cluster_with(**GROUPS[case])
    alone = FixedPools(FixedPool(group="a"), FixedPool(group="b")) if "unlike" in case else FixedPools()
    answer = solve_cluster_pools(problem, alone, repairs=False)
    assert answer.strategy is not None and answer.metrics is not None, answer.explanation
    groups = {part.group for side in (answer.strategy.prefill, answer.strategy.decode) for part in side}
    assert len(groups) == 2
    seen, stated = play_cluster(problem, answer.strategy, requests=4000), answer.metrics
    assert stated.ttft_p99_ms is not None and stated.tpot_p99_ms is not None and stated.request_mean_ms is not None
    assert seen.share_above("ttft", stated.ttft_p99_ms) <= 0.0133
    assert seen.share_above("tpot", stated.tpot_p99_ms) <= 0.0133
    assert stated.ttft_p50_ms is not None and seen.quantile(seen.ttft, 0.5) <= 1.08 * stated.ttft_p50_ms
    assert 0.9 <= sum(seen.whole) / len(seen.whole) / stated.request_mean_ms <= 1.05


@pytest.mark.parametrize("case", sorted(CASES))
def test_stated_percentiles_hold(case: str) -> None:
    problem = problem_with(**CASES[case])
    answer = solve_pools(problem, repairs=False)
    assert answer.status == "optimal" and answer.strategy is not None and answer.metrics is not None, answer.explanation
    seen, stated = play(problem, answer.strategy, requests=4000), answer.metrics
    assert stated.ttft_p99_ms is not None and stated.tpot_p99_ms is not None and stated.ttft_p50_ms is not None
    # 3,600 requests: 1 % of them is 36, and twice its standard deviation 12.
    assert seen.share_above("ttft", stated.ttft_p99_ms) <= 0.0133
    assert seen.share_above("tpot", stated.tpot_p99_ms) <= 0.0133
    assert 0.6 <= seen.quantile(seen.ttft, 0.5) / stated.ttft_p50_ms <= 1.08
    assert stated.tpot_p50_ms is not None and 0.9 <= seen.quantile(seen.tpot, 0.5) / stated.tpot_p50_ms <= 1.03
    assert stated.request_mean_ms is not None
    assert 0.9 <= sum(seen.whole) / len(seen.whole) / stated.request_mean_ms <= 1.05
