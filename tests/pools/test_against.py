"""Pools against joint instances of several kinds: nothing is said of all requests that is true of the slowest kind only."""

from __future__ import annotations

import re
from typing import Any

import pytest

from optimizer.explain.pools.against import inventory_figures
from optimizer.questions.pools_against import between_answers
from optimizer.questions.solve import solve
from tests.pools.clusters import cluster_with
from tests.pools.test_cluster_side_by_side import JOINT_BEST


def test_what_an_answer_takes_longer_is_of_all_joint_instances_and_not_of_the_slowest() -> None:
    """A TP1 instance gets a thousandth of the requests beside TP2: its tokens are 348 ms an answer slower than those of the pools."""
    problem = cluster_with(**JOINT_BEST | {"search": {"tensor_parallel": [1, 2]}})
    joint: Any = solve(problem.model_copy(update={"serving": "joint"}))
    pools: Any = solve(problem.model_copy(update={"serving": "disaggregated"}))
    sent = [pool for pool in joint.pools if pool.share > 0]
    assert len(sent) == 2 and min(pool.share for pool in sent) < 0.01
    tokens = problem.workload.output_tokens
    mean = sum(pool.share * pool.metrics.tpot_p50_ms for pool in sent)
    slowest = max(pool.metrics.tpot_p50_ms for pool in sent)
    said = between_answers(problem, pools, joint)[1]
    found = re.search(r"; over 200 tokens ([\d.]+) ms less with pools than in the mean of all joint instances\.$", said)
    assert found is not None and "with the slowest of the joint instances" in said
    assert float(found[1]) == pytest.approx(tokens * (mean - pools.metrics.tpot_p50_ms), abs=0.01)
    assert float(found[1]) < 0.1 * tokens * (slowest - pools.metrics.tpot_p50_ms)
    assert inventory_figures(joint).kinds == 2


def test_one_kind_of_joint_instances_is_not_called_the_slowest() -> None:
    problem = cluster_with(**JOINT_BEST | {"cluster": [JOINT_BEST["cluster"][0] | {"gpus_per_node": 2}]})
    joint: Any = solve(problem, side_by_side=False)
    pools: Any = solve(problem.model_copy(update={"serving": "disaggregated"}))
    assert len([pool for pool in joint.pools if pool.share > 0]) == 1
    said = between_answers(problem, pools, joint)
    assert not any("slowest" in one or "mean of all" in one for one in said)
