"""What is said of infeasible pools on an inventory where time ends: nothing that is not known."""

from __future__ import annotations

from typing import Any

import pytest

from optimizer.explain.pools import cluster_conflict, cluster_repair
from optimizer.questions.cluster_pools import solve_cluster_pools
from optimizer.search.common.clock import Clock
from optimizer.search.pools.cluster_solve import columns_on, keeps
from tests.pools.clusters import cluster_with

TOO_LATE: dict[str, Any] = {"requirements": {"ttft_p99_ms": 60, "tpot_p99_ms": 30}}
"""No pools answer the first token of 1,500 tokens in 60 ms."""


def test_a_conflict_that_was_not_settled_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_conflict, "_kept", lambda *_: None)
    problem = cluster_with(**TOO_LATE)
    columns = columns_on(problem)
    found = cluster_conflict.cluster_conflict(problem, columns, Clock())
    assert not found.minimal and "ttft_p99" in found.rules
    assert found.sentence.endswith("Fewer of them may be enough for that: it was not settled in 5 s.")
    assert keeps(columns, found.rules) is False


def test_one_rule_that_leaves_nothing_is_named_where_the_others_were_not_settled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Leaving out one of many takes longer to refute than one by itself."""
    asked = cluster_conflict._kept
    monkeypatch.setattr(
        cluster_conflict,
        "_kept",
        lambda columns, rules, *rest: asked(columns, rules, *rest) if len(rules) < 2 else None,
    )
    problem = cluster_with(**TOO_LATE)
    found = cluster_conflict.cluster_conflict(problem, columns_on(problem), Clock())
    assert (found.rules, found.minimal) == (("ttft_p99",), True)


def test_a_limit_is_no_later_than_the_nearest_pools_need_and_a_step_less_is_not_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cluster_repair, "REPAIRS_S", 600.0)
    monkeypatch.setattr(cluster_conflict, "NEAREST_S", 600.0)
    problem = cluster_with(**TOO_LATE)
    answer = solve_cluster_pools(problem)
    assert answer.status == "infeasible" and answer.verification.passed
    change = next(one for one in answer.repairs if one.changes[0].field == "requirements.ttft_p99_ms").changes[0]
    nearest = cluster_conflict.nearest_pools(columns_on(problem), Clock()).enough
    assert nearest is not None and nearest[0] == "ttft_p99" and 60 < change.new <= nearest[1] + 0.6
    assert solve_cluster_pools(cluster_with(requirements={"ttft_p99_ms": change.new, "tpot_p99_ms": 30})).strategy
    less = cluster_with(requirements={"ttft_p99_ms": change.new - 0.6, "tpot_p99_ms": 30})
    assert solve_cluster_pools(less, repairs=False).status == "infeasible"
    assert not any("looked for" in sentence for sentence in answer.explanation)


def test_repairs_that_time_did_not_settle_are_not_said_to_be_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_repair, "REPAIRS_S", 0.0)
    answer = solve_cluster_pools(cluster_with(**TOO_LATE))
    assert answer.status == "infeasible" and cluster_repair.SOME_LEFT in answer.explanation
