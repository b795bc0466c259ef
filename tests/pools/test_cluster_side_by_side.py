"""Joint instances beside pools on inventories: against every split solved by itself, bounds below every split, claims that are refused."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from optimizer.facts.cluster_side_by_side import (
    ClusterSplit,
    cluster_splits_of,
    joint_part_on,
    not_split_on,
    pools_part_on,
    units_of_groups,
)
from optimizer.facts.inventory import InventoryProblem
from optimizer.questions import cluster_side_by_side
from optimizer.questions.both_parts import weighted
from optimizer.questions.cluster_pools import found_cluster_pools
from optimizer.questions.cluster_side_by_side import beside_on, least_to_beat
from optimizer.questions.serving import NOT_BESIDE
from optimizer.questions.solve import solve
from optimizer.render.schemas import command_schema
from optimizer.results.cluster_pools import ClusterPoolsAnswer
from optimizer.results.cluster_side_by_side import ClusterSideBySideAnswer
from optimizer.results.inventory import InventoryAnswer
from optimizer.results.pools import FixedPools
from optimizer.results.side_by_side import SideBySideAnswer
from optimizer.search.common.clock import Clock
from optimizer.search.inventory.candidates import Candidates
from optimizer.search.inventory.solve import InventorySolver
from optimizer.search.side_by_side.cluster_bounds import ClusterSplitBounds
from optimizer.verify.common.arithmetic import sixty_digits
from optimizer.verify.side_by_side.cluster import PartsKnown, open_splits_on, verify_cluster_side_by_side
from optimizer.verify.side_by_side.cluster_bounds import OwnClusterBounds
from tests.command import run
from tests.pools.clusters import cluster_values, cluster_with
from tests.pools.mixes import ONLY_TOGETHER
from tests.pools.problems import problem_with

H100 = {
    "name": "h",
    "gpu": "h100-sxm-80gb",
    "nodes": 1,
    "gpus_per_node": 3,
    "internode_gbit_per_s": 400,
    "price_per_gpu_hour": 2.5,
}
L40S = {
    "name": "l",
    "gpu": "l40s-48gb",
    "nodes": 1,
    "gpus_per_node": 2,
    "internode_gbit_per_s": 400,
    "price_per_gpu_hour": 0.9,
}
ONE_NODE_EACH: dict[str, Any] = {
    "serving": "any",
    "cluster": [H100, L40S],
    "workload": {"prompt_tokens": 300, "requests_per_s": 57.14},
    "requirements": {"ttft_p99_ms": 1500, "tpot_p99_ms": 20},
}
"""Both side by side are best: the L40S work on prompts for two H100, the third takes whole requests."""
NODES: dict[str, Any] = {
    "serving": "any",
    "cluster": [
        L40S | {"nodes": 3, "gpus_per_node": 1},
        H100 | {"gpu": "h200-sxm-141gb", "nodes": 2, "gpus_per_node": 1},
    ],
    "workload": {"requests_per_s": 32.79},
    "requirements": {"ttft_p99_ms": 8000, "tpot_p99_ms": 60},
}
SMALL: dict[str, Any] = {
    "serving": "any",
    "cluster": [H100 | {"gpu": "h200-sxm-141gb", "nodes": 2, "gpus_per_node": 1}, L40S | {"gpus_per_node": 1}],
    "workload": {"prompt_tokens": 300, "requests_per_s": 40.24},
    "requirements": {"ttft_p99_ms": 4000, "tpot_p99_ms": 20},
}
"""Two tenths more than one decode instance on an H200 carries well go to the other H200 whole."""
POOLS_BEST: dict[str, Any] = ONE_NODE_EACH | {"workload": {"prompt_tokens": 4000, "requests_per_s": 5}}
JOINT_BEST: dict[str, Any] = ONE_NODE_EACH | {"workload": {"prompt_tokens": 300, "requests_per_s": 4}}


def value_of(problem: InventoryProblem, split: ClusterSplit) -> float:
    """ms of one split, each part the best that its own search finds; infinite where a part cannot be."""
    pools = found_cluster_pools(pools_part_on(problem, split), FixedPools(), Clock())
    if pools is None or pools.objective is None:
        return math.inf
    part = joint_part_on(problem, split)
    found = InventorySolver(part, Candidates(part)).run()
    if found.best is None:
        return math.inf
    assert found.status == "optimal" and pools.status == "optimal"
    return weighted(split, found.best.whole_ms, pools.objective.value)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        (SMALL, ClusterSideBySideAnswer),
        (ONE_NODE_EACH, ClusterSideBySideAnswer),
        (NODES, ClusterSideBySideAnswer),
        (POOLS_BEST, ClusterPoolsAnswer),
        (JOINT_BEST, InventoryAnswer),
    ],
)
def test_the_best_of_all_three_kinds_is_found_by_brute_force_too(changes: dict[str, Any], kind: type) -> None:
    """Every split solved: none is left out by a bound that it falls below, and the least of them and of either kind is the answer."""
    problem = cluster_with(**changes)
    answer: Any = solve(problem)
    alone: Any = solve(problem, side_by_side=False)
    values = {split: value_of(problem, split) for split in cluster_splits_of(problem)}
    assert len(values) == 9 * (math.prod(unit.count + 1 for unit in units_of_groups(problem.groups)) - 2)
    assert type(answer) is kind and answer.status == "optimal" and answer.verification.passed
    least = min(values.values())
    if least < least_to_beat(alone):
        assert answer.objective.value == pytest.approx(least, abs=2e-5)
    else:
        assert answer.objective.value == alone.objective.value
    assert answer.objective.bound == answer.objective.value
    bounds = ClusterSplitBounds(problem)
    with sixty_digits():
        own = OwnClusterBounds(problem)
        joint = own.joint(list(values), [1e12] * len(values))
        for (split, value), first in zip(values.items(), joint, strict=True):
            assert bounds.of(split) <= value, split
            assert first + own.pools(split) <= value, split
    left = {split for _, split in bounds.left(least * 1.02)}
    assert {split for split, value in values.items() if value < least * 1.02} <= left


def test_the_answer_says_what_both_parts_do() -> None:
    problem = cluster_with(**SMALL)
    answer = solve(problem)
    assert isinstance(answer, ClusterSideBySideAnswer) and answer.status == "optimal" and answer.verification.passed
    assert answer.label == "40% to 1 × TP1·PP1 on h, 60% to prefill 1 × TP1 on l + decode 1 × TP1 on h"
    assert [(one.group, one.joint_nodes, one.joint_gpus, one.pools_nodes, one.pools_gpus) for one in answer.groups] == [
        ("h", 1, 1, 1, 1), ("l", 0, 0, 1, 1),
    ]  # fmt: skip
    assert answer.gpus == 3 and answer.price_per_hour == pytest.approx(2 * 2.5 + 0.9)
    assert answer.joint.objective is not None and answer.pools.objective is not None
    value = 0.4 * answer.joint.objective.value + 0.6 * answer.pools.objective.value
    assert answer.objective.value == pytest.approx(value) == pytest.approx(1365.53, abs=0.01)
    assert answer.objective.bound == answer.objective.value and answer.verification.optimality == "exhaustive"
    assert sum(answer.objective.terms.values()) == pytest.approx(answer.objective.value, abs=1e-5)
    first = sum(pool.capacity * pool.instances for pool in answer.joint.pools)
    second = answer.pools.metrics
    assert second is not None and answer.metrics.max_request_rate == pytest.approx(
        min(first / 0.4, second.max_request_rate / 0.6)
    )
    told = " ".join(answer.explanation)
    assert "the first 1 node of h, pools 60% and the last 1 node of h and all of l (1 GPU)" in told
    assert "36 splits of tenths of the requests and whole nodes of h, GPUs of l bounds leave" in told
    assert "side by side takes 1.2% less" in told


def test_a_claim_that_leaves_out_a_better_split_is_refused() -> None:
    problem = cluster_with(**SMALL)
    answer, alone = solve(problem), solve(problem, side_by_side=False)
    assert isinstance(answer, ClusterSideBySideAnswer) and alone.objective is not None
    # Where both side by side are left out, what is called best is said to be so of either kind alone.
    assert alone.explanation[-1].startswith("Joint instances beside pools were not looked at here")
    assert NOT_BESIDE not in answer.explanation
    assert answer.joint.objective is not None and answer.pools.objective is not None
    split = ClusterSplit(4, (1, 0))
    known = {split: PartsKnown(answer.joint.objective.value, answer.pools.objective.value)}
    seen = open_splits_on(problem, answer.objective.value, known)
    assert seen.open == () and seen.splits == 36
    assert split in open_splits_on(problem, least_to_beat(alone), {}).open  # type: ignore[arg-type]
    assert verify_cluster_side_by_side(problem, answer, seen).passed
    for wrong in (
        replace(answer, objective=replace(answer.objective, value=answer.objective.value - 1)),
        replace(answer, share=0.3),
        replace(answer, groups=tuple(replace(one, joint_gpus=one.pools_gpus, pools_gpus=one.joint_gpus) for one in answer.groups)),
        replace(answer, groups=answer.groups[:1]),
        replace(answer, metrics=replace(answer.metrics, tpot_p99_ms=1.0)),
        replace(answer, metrics=replace(answer.metrics, max_request_rate=answer.metrics.max_request_rate * 1.01)),
        replace(answer, price_per_hour=1.0),
        replace(answer, joint=replace(answer.joint, verification=replace(answer.joint.verification, passed=False))),
    ):  # fmt: skip
        assert not verify_cluster_side_by_side(problem, wrong, seen).passed
    refuted = verify_cluster_side_by_side(problem, answer, replace(seen, open=(split,)))
    assert not refuted.passed and refuted.optimality == "refuted"


def test_splits_that_were_not_settled_leave_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_side_by_side, "MOST_SOLVED", 0)
    answer = solve(cluster_with(**SMALL))
    assert isinstance(answer, ClusterPoolsAnswer) and answer.status == "feasible" and answer.objective is not None
    assert answer.objective.bound < 1365.53 < answer.objective.value and 0 < answer.objective.gap < 0.05
    assert "may be better, by" in answer.explanation[-1]


def test_what_there_was_no_time_for_is_not_called_best() -> None:
    problem = cluster_with(**POOLS_BEST)
    alone = solve(problem, side_by_side=False)
    assert isinstance(alone, ClusterPoolsAnswer) and alone.status == "optimal"
    answer = beside_on(problem, alone, Clock(0.0))
    assert isinstance(answer, ClusterPoolsAnswer) and answer.status == "feasible"
    assert "not all of" in answer.explanation[-1]


def test_an_interrupt_keeps_what_either_kind_alone_is(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = cluster_with(**POOLS_BEST)
    alone = solve(problem, side_by_side=False)

    def interrupted(self: ClusterSplitBounds, known: float) -> list[tuple[float, ClusterSplit]]:
        raise KeyboardInterrupt

    monkeypatch.setattr(ClusterSplitBounds, "left", interrupted)
    answer = solve(problem)
    assert isinstance(answer, ClusterPoolsAnswer) and answer.status == "feasible" and answer.objective is not None
    assert isinstance(alone, ClusterPoolsAnswer) and answer.strategy == alone.strategy and answer.objective.bound == 0


def test_a_group_alone_is_what_equal_nodes_are() -> None:
    """Neither kind alone is feasible, both together are; joint instances are counted in whole milliseconds here."""
    equal = solve(problem_with(**ONLY_TOGETHER), repairs=False)
    stated = {name: value for name, value in ONLY_TOGETHER.items() if name != "hardware"}
    problem = cluster_with(**stated, cluster=[{"name": "only", "gpu": "h100-sxm-80gb", "nodes": 1, "gpus_per_node": 3}])
    answer = solve(problem, repairs=False)
    assert isinstance(answer, ClusterSideBySideAnswer) and isinstance(equal, SideBySideAnswer)
    assert answer.status == equal.status == "optimal" and answer.share == equal.share == 0.2
    assert answer.joint.objective is not None and equal.joint.objective is not None
    assert answer.joint.objective.value == math.ceil(equal.joint.objective.value)
    assert answer.pools.objective is not None and equal.pools.objective is not None
    assert answer.pools.objective.value == pytest.approx(equal.pools.objective.value, abs=1e-5)
    assert "Either kind alone breaks a rule." in answer.explanation


def test_what_the_verifiers_own_bound_leaves_open_is_not_called_best(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mutation of the search: a bound above what a split costs leaves the best split out, and the verifier says so."""
    monkeypatch.setattr(ClusterSplitBounds, "left", lambda self, known: [])
    answer = solve(cluster_with(**SMALL))
    assert isinstance(answer, ClusterPoolsAnswer) and answer.status == "feasible"
    assert "may be better: the verifier's own bounds leave" in answer.explanation[-1]


@pytest.mark.parametrize("rate", [130, 900])
def test_what_no_kind_carries_is_infeasible(rate: float) -> None:
    problem = cluster_with(**SMALL | {"workload": {"prompt_tokens": 300, "requests_per_s": rate}})
    answer = solve(problem, repairs=False)
    assert answer.status == "infeasible" and answer.objective is None and answer.conflicts
    assert answer.explanation[0] == "Neither joint instances nor pools are feasible, nor are both side by side."
    assert answer.explanation[-1].startswith("Joint instances beside pools are not feasible either: 36 splits")


def test_what_each_part_is_asked() -> None:
    racks = H100 | {"name": "r", "nodes": 4, "gpus_per_node": 2, "racks": 2}
    problem = cluster_with(
        cluster=[racks, H100 | {"zone": "east"}, L40S | {"nodes": 2}],
        domains={"switch": {"s1": ["h", "l"], "s2": ["l"]}},
        requirements={"survive": {"node": 1, "rack": 1, "zone": 1}},
        objective={"preset": "balanced", "gpu_ms": 3.0},
        workload={"requests_per_s": 20},
    )
    assert [(unit.nodes, unit.gpus, unit.count) for unit in units_of_groups(problem.groups)] == [
        (2, 4, 2),
        (0, 1, 3),
        (1, 2, 2),
    ]
    split = ClusterSplit(3, (1, 2, 0))
    joint, pools = joint_part_on(problem, split), pools_part_on(problem, split)
    assert [(group.name, group.nodes, group.racks, group.gpus) for group in joint.groups] == [
        ("r", 2, 1, 4),
        ("h", 1, 0, 2),
    ]
    assert [(group.name, group.nodes, group.racks, group.gpus) for group in pools.groups] == [
        ("r", 2, 1, 4), ("h", 1, 0, 1), ("l", 2, 0, 4),
    ]  # fmt: skip
    # The network of the node that both use is shared by its GPUs.
    assert [group.internode_gbit_per_s for group in (joint.groups[1], pools.groups[1])] == [
        pytest.approx(400 * 2 / 3), pytest.approx(400 / 3),
    ]  # fmt: skip
    assert joint.workload.requests_per_s == pytest.approx(6) and pools.workload.requests_per_s == pytest.approx(14)
    assert (joint.objective.gpu_ms, pools.objective.gpu_ms) == (pytest.approx(10.0), pytest.approx(30 / 7))
    assert (joint.serving, pools.serving) == ("joint", "disaggregated")
    assert [domain.groups for domain in joint.domains] == [("h",)]
    # Each part survives what must be survived by itself; what has no rack or zone has none to lose.
    assert [one.level for one in joint.survive] == ["node", "rack", "zone"]
    alone = pools_part_on(problem, ClusterSplit(3, (2, 3, 0)))
    assert [one.level for one in alone.survive] == ["node"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"objective": "throughput"}, "with objective throughput"),
        ({"objective": "cheapest"}, "with objective cheapest"),
        ({"search": {"disabled_rules": ["link"]}}, "with rules switched off"),
    ],
)
def test_where_it_is_not_tried_the_answer_says_so(changes: dict[str, Any], why: str) -> None:
    problem = cluster_with(**SMALL | changes)
    assert not_split_on(problem) == why
    if changes.get("objective") == "cheapest":
        answer = solve(problem, repairs=False)
        assert answer.explanation[-1].startswith(f"Joint instances beside pools are not tried {why}")


def test_too_many_ways_are_not_tried() -> None:
    groups = [H100 | {"name": f"g{n}", "nodes": 4, "gpus_per_node": 2} for n in range(6)]
    problem = cluster_with(cluster=groups)
    assert not_split_on(problem) == "where there are 15,623 ways to share the nodes out, more than 4,000"
    # Single nodes are divided by GPU only where that leaves few ways.
    many = cluster_with(cluster=[H100 | {"name": f"g{n}", "gpus_per_node": 8} for n in range(4)])
    assert {unit.nodes for unit in units_of_groups(many.groups)} == {1} and not_split_on(many) is None


def test_losses_leave_out_parts_that_cannot_survive_them() -> None:
    """A part on one node does not survive its loss: both rooms know without solving it."""
    problem = cluster_with(
        serving="any",
        cluster=[H100 | {"nodes": 3, "gpus_per_node": 2}, L40S | {"nodes": 2}],
        requirements={"survive": {"node": 1, "demand_share": 0.5}},
    )
    bounds = ClusterSplitBounds(problem)
    with sixty_digits():
        own = OwnClusterBounds(problem)
        for split in cluster_splits_of(problem):
            joint, rest = sum(split.units), 5 - sum(split.units)
            if joint == 1:
                assert bounds.joint_of(split) == math.inf and own.joint([split], [1e12]) == [math.inf], split
            if rest == 1:
                assert bounds.of(split) == math.inf == own.pools(split), split
            if joint == 2 and split.tenths == 1:
                assert bounds.joint_of(split) < math.inf and own.joint([split], [1e12])[0] < math.inf, split


def test_the_command_speaks_of_both_parts(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps(cluster_values(**SMALL)))
    shown = run("solve", str(path))
    assert shown.returncode == 0 and "40% to 1 × TP1·PP1 on h, 60% to prefill 1 × TP1 on l" in shown.stdout
    data = json.loads(run("solve", str(path), "--json").stdout)
    assert data["kind"] == "cluster_side_by_side"
    assert data["joint"]["kind"] == "inventory" and data["pools"]["kind"] == "cluster_pools"
    jsonschema.validate(data, command_schema())


def test_what_losses_leave_need_not_survive_another_loss() -> None:
    """Racks lost one at a time: bounds of both rooms lie below what the parts of some splits come to."""
    racks = H100 | {"gpu": "a100-sxm-80gb", "nodes": 2, "gpus_per_node": 1, "racks": 2, "name": "r"}
    problem = cluster_with(
        serving="any",
        cluster=[H100 | {"nodes": 2, "gpus_per_node": 1}, racks, L40S | {"gpus_per_node": 1, "rack": "one"}],
        workload={"prompt_tokens": 4000, "requests_per_s": 2.33},
        requirements={"ttft_p99_ms": 4000, "tpot_p99_ms": 20, "survive": {"rack": 1, "demand_share": 0.7}},
    )
    bounds = ClusterSplitBounds(problem)
    with sixty_digits():
        own = OwnClusterBounds(problem)
        for split in (ClusterSplit(2, (1, 0, 1)), ClusterSplit(5, (1, 1, 0)), ClusterSplit(5, (0, 1, 0))):
            value = value_of(problem, split)
            assert (value == math.inf) == (split.units == (0, 1, 0)), split
            assert bounds.of(split) <= value and own.pools(split) + own.joint([split], [1e12])[0] <= value, split
            assert (
                value == math.inf
                or min(bounds.of(split), own.pools(split) + own.joint([split], [1e12])[0]) > 0.8 * value
            )
