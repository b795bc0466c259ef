"""Pools on thousands of GPUs: proved or with a gap, never refused for their number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from optimizer.costs.failures import down_states
from optimizer.search.common.clock import Clock
from optimizer.search.pools import cluster_solve
from optimizer.search.pools.cluster_solve import best_of, columns_on, keeps, measured, own_masks, rules_on
from tests.pools.clusters import cluster_with
from tests.pools.problems import problem_with


def large(nodes: int, **changes: Any) -> dict[str, Any]:
    """A question about two groups of so many nodes of 8 GPUs."""
    group = {"nodes": nodes, "gpus_per_node": 8, "internode_gbit_per_s": 3200}
    groups = [{"name": "a", "gpu": "h100-sxm-80gb"} | group, {"name": "b", "gpu": "h200-sxm-141gb"} | group]
    return {
        "cluster": groups,
        "model": "qwen3-32b",
        "workload": {"prompt_tokens": 3000, "output_tokens": 300, "requests_per_s": 6 * nodes},
        "requirements": {"ttft_p99_ms": 4000, "tpot_p99_ms": 60},
        "search": {"weight_precision": ["fp8"], "tensor_parallel": [4, 8]},
    } | changes


def test_more_than_a_thousand_gpus_are_proved() -> None:
    columns = columns_on(cluster_with(**large(64)))
    found = best_of(columns, Clock())
    assert found.outcome == "optimal" and found.picked is not None


def test_too_much_load_is_proved_without_a_model_of_every_option(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prices of GPUs alone show that no pools have room."""
    problem = cluster_with(**large(64, workload={"prompt_tokens": 3000, "output_tokens": 300, "requests_per_s": 3000}))
    columns, rules = columns_on(problem), rules_on(problem)
    assert columns is not None and all(mask.any() for mask in own_masks(columns, rules))
    monkeypatch.setattr(cluster_solve, "run", None)  # no model may be solved
    assert best_of(columns, Clock()).outcome == "infeasible" and keeps(columns, rules) is False


@pytest.mark.parametrize("preset", ["balanced", "throughput", "fewest-gpus"])
def test_few_options_at_a_time_find_what_all_at_once_find(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = cluster_with(objective=preset, workload={"requests_per_s": 20})
    columns = columns_on(problem)
    whole = best_of(columns, Clock())
    monkeypatch.setattr(cluster_solve, "CORE", 12)
    monkeypatch.setattr(cluster_solve, "SMALL", 24)
    parts = best_of(columns, Clock())
    assert columns is not None and whole.picked is not None and parts.picked is not None
    tier = {"throughput": "peak", "fewest-gpus": "gpus"}.get(preset, "value")
    assert measured(columns, whole.picked, tier) == measured(columns, parts.picked, tier)
    assert measured(columns, whole.picked, "value") == measured(columns, parts.picked, "value")


def test_states_of_pools_on_their_own_nodes_are_those_of_so_many_nodes() -> None:
    hardware = problem_with(hardware={"nodes": 4, "gpus_per_node": 4, "internode_gbit_per_s": 100}).hardware
    sizes, counts, nodes = (np.array(one) for one in ([1, 2, 1, 4, 1], [3, 4, 8, 2, 3], [1, 2, 4, 2, 3]))
    found = down_states(hardware, sizes, counts, nodes)
    for at in range(len(sizes)):
        alone = hardware.model_copy(update={"nodes": int(nodes[at])})
        one = down_states(alone, sizes[at : at + 1], counts[at : at + 1])
        for name in type(one).__dataclass_fields__:
            assert (getattr(one, name)[0] == getattr(found, name)[at]).all(), name
