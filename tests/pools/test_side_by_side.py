"""Joint instances beside pools: against every split solved by itself, bounds below every split, claims that are refused."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from optimizer.facts.errors import ProblemError
from optimizer.facts.side_by_side import BesideSplit, joint_part, not_split, pools_part, splits_of
from optimizer.questions import side_by_side
from optimizer.questions.any_repairs import changed, repairs_of_any
from optimizer.questions.both_parts import weighted
from optimizer.questions.check import check
from optimizer.questions.deploy import deploy
from optimizer.questions.joint import joint_of
from optimizer.questions.pools import solve_pools
from optimizer.questions.solve import solve
from optimizer.questions.uniform import solve as uniform
from optimizer.render.schemas import command_schema
from optimizer.results.answer import Answer, Fixed
from optimizer.results.pools import PoolsAnswer
from optimizer.results.side_by_side import SideBySideAnswer
from optimizer.search.common.clock import Clock
from optimizer.search.pools.side_by_side import SplitBounds
from optimizer.verify.common.arithmetic import sixty_digits
from optimizer.verify.common.ledger import CheckLedger
from optimizer.verify.pools.side_by_side import OwnSplitBounds, open_splits, verify_side_by_side
from optimizer.verify.side_by_side.judged import SplitsClaimed, count_splits
from tests.command import run
from tests.pools.clusters import cluster_with
from tests.pools.mixes import NEAR_SATURATION, ONE_BESIDE_TWO, ONLY_TOGETHER, POOLS_BEST, TWO_NODES
from tests.pools.problems import problem_with, values_with
from tests.pools.splits import generated_split_question, value_of

JOINT_BEST: dict[str, Any] = NEAR_SATURATION | {
    "hardware": {"gpus_per_node": 3},
    "workload": {"prompt_tokens": 300, "requests_per_s": 4},
}


@pytest.mark.parametrize(
    ("changes", "kind"),
    [(NEAR_SATURATION, SideBySideAnswer), (POOLS_BEST, PoolsAnswer), (JOINT_BEST, Answer), (TWO_NODES, None)],
)
def test_the_best_of_all_three_kinds_is_found_by_brute_force_too(changes: dict[str, Any], kind: type | None) -> None:
    """Every split solved: none is left out by a bound that it falls below, and the least of them and of either kind is the answer."""
    problem = problem_with(**changes)
    answer = solve(problem)
    alone = solve(problem, side_by_side=False)
    values = {split: value_of(problem, split) for split in splits_of(problem)}
    assert len(values) == 9 * (len({split.units for split in values}))
    assert answer.objective is not None and alone.objective is not None and answer.status == "optimal"
    least = min(*values.values(), alone.objective.value)
    assert answer.objective.value == pytest.approx(least, abs=2e-5) and answer.objective.bound == answer.objective.value
    assert answer.verification.passed
    assert kind is None or type(answer) is kind
    bounds = SplitBounds(problem)
    with sixty_digits():
        own = OwnSplitBounds(problem)
        for split, value in values.items():
            units = bounds.units - split.units
            first, second = bounds.joint(split.tenths, split.units), bounds.pools(10 - split.tenths, units)
            assert weighted(split, first, second) <= value, split
            assert own.least(split) <= value, split
            assert value == math.inf or split in set(own.below(value * (1 + 1e-6), set())), split


@pytest.mark.parametrize("seed", range(12))
def test_no_bound_leaves_out_what_a_split_comes_to(seed: int, met: Callable[[str], None]) -> None:
    """Of random questions near what their GPUs carry: on one node and on several, with losses, slow links and mixed lengths."""
    problem = problem_with(**generated_split_question(seed))
    splits = sorted(splits_of(problem))
    bounds = SplitBounds(problem)
    known = {split: least for least, split in bounds.left(math.inf)}
    with sixty_digits():
        own = OwnSplitBounds(problem)
        left = set(own.below(1e30, set()))
        for split in random.Random(seed).sample(splits, min(6, len(splits))):
            value = value_of(problem, split)
            if value == math.inf:
                met("none" if split in known else "left out")
                continue
            met("feasible")
            assert split in known and known[split] <= value, split
            assert split in left and own.least(split) <= value, split


def test_what_each_part_is_asked() -> None:
    problem = problem_with(**TWO_NODES)
    joint, pools = joint_part(problem, BesideSplit(3, 1)), pools_part(problem, BesideSplit(3, 1))
    assert (joint.hardware.nodes, pools.hardware.nodes) == (1, 2)
    assert (joint.serving, pools.serving) == ("joint", "disaggregated")
    assert joint.workload.requests_per_s == pytest.approx(6.6) and pools.workload.requests_per_s == pytest.approx(15.4)
    # A GPU counts 3 ms for each of all requests, so more for each of the few that a part is sent.
    assert (joint.objective.gpu_ms, pools.objective.gpu_ms) == (pytest.approx(10.0), pytest.approx(30 / 7))


def test_a_claim_that_leaves_out_a_better_split_is_refused() -> None:
    problem = problem_with(**NEAR_SATURATION)
    answer = solve(problem)
    assert isinstance(answer, SideBySideAnswer)
    split = BesideSplit(2, 1)
    assert open_splits(problem, answer.objective.value, {split: answer.objective.value}).open == ()
    alone = solve(problem, side_by_side=False)
    assert alone.objective is not None
    assert open_splits(problem, alone.objective.value, {}).open == (split,)
    wrong = replace(answer, objective=replace(answer.objective, value=answer.objective.value - 1))
    seen = open_splits(problem, answer.objective.value, {split: answer.objective.value})
    assert not verify_side_by_side(problem, wrong, seen).passed
    assert not verify_side_by_side(problem, replace(answer, share=0.3), seen).passed
    assert not verify_side_by_side(problem, replace(answer, joint_gpus=5), seen).passed
    assert verify_side_by_side(problem, answer, seen).passed


def test_splits_that_were_not_settled_leave_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "MOST_SOLVED", 0)
    answer = solve(problem_with(**NEAR_SATURATION))
    assert isinstance(answer, PoolsAnswer) and answer.status == "feasible" and answer.objective is not None
    assert answer.objective.bound < 2386.66 < answer.objective.value and 0 < answer.objective.gap < 0.02
    assert "may be better, by" in answer.explanation[-1]


def test_both_side_by_side_may_keep_what_either_kind_alone_breaks() -> None:
    problem = problem_with(**ONLY_TOGETHER)
    alone = solve(problem, repairs=False, side_by_side=False)
    assert alone.status == "infeasible" and alone.objective is None
    values = {split: value_of(problem, split) for split in splits_of(problem)}
    answer = solve(problem, repairs=False)
    assert isinstance(answer, SideBySideAnswer) and answer.status == "optimal" and answer.verification.passed
    assert answer.objective.value == pytest.approx(min(values.values()), abs=2e-5) == pytest.approx(2878.48, abs=0.01)
    assert values[BesideSplit(2, 1)] == min(values.values()) and answer.share == 0.2
    assert answer.objective.bound == answer.objective.value and answer.verification.optimality == "exhaustive"
    told = " ".join(answer.explanation)
    assert "Either kind alone breaks a rule." in told and "No pair of pools on 3 GPUs" in told


@pytest.mark.parametrize(
    "changes",
    [
        {"workload": {"prompt_tokens": 2000, "requests_per_s": 32}},
        {"requirements": {"ttft_p99_ms": 4000, "tpot_p99_ms": 1}},
        {"workload": {"prompt_tokens": 2000, "requests_per_s": 900}},
    ],
)
def test_what_no_kind_keeps_is_infeasible_by_brute_force_too(changes: dict[str, Any]) -> None:
    problem = problem_with(**ONLY_TOGETHER | changes)
    assert {value_of(problem, split) for split in splits_of(problem)} == {math.inf}
    answer = solve(problem, repairs=False)
    assert answer.status == "infeasible" and answer.objective is None and answer.conflicts
    assert answer.explanation[-1].startswith("Joint instances beside pools are not feasible either: 18 splits")


def test_what_would_help_is_the_least_of_all_three_kinds() -> None:
    """32 requests/s: pools carry 24.3 of them at most, joint instances 22.5, both side by side 30.1."""
    problem = problem_with(**ONLY_TOGETHER | {"workload": {"prompt_tokens": 2000, "requests_per_s": 32}})
    pools = solve_pools(problem)
    rate = next(one for one in pools.repairs if one.changes[0].field == "workload.requests_per_s")
    assert rate.changes[0].new == pytest.approx(24.3, abs=0.1)
    joint = replace(uniform(joint_of(problem), repairs=False), repairs=())
    found = repairs_of_any(problem, joint, replace(pools, repairs=(rate,)), partial(solve, repairs=False), Clock())
    assert [one.changes[0].field for one in found] == ["workload.requests_per_s"]
    assert found[0].changes[0].new == pytest.approx(30.1, abs=0.05)
    assert found[0].result == "20% to TP1·PP1·DP1, 80% to prefill 1 × TP1 + decode 1 × TP1"
    more = changed(problem, "workload.requests_per_s", found[0].changes[0].new + 0.05)
    assert {value_of(more, split) for split in splits_of(more)} == {math.inf}


def test_a_kind_that_needs_less_of_a_change_is_the_repair() -> None:
    """Joint instances answer the first token sooner than pools whose cache crosses a network."""
    problem = problem_with(
        serving="any",
        hardware={"nodes": 2, "gpus_per_node": 1, "internode_gbit_per_s": 10},
        workload={"requests_per_s": 1},
        requirements={"ttft_p99_ms": 20, "tpot_p99_ms": 60},
    )
    answer = solve(problem)
    assert answer.status == "infeasible" and isinstance(answer, PoolsAnswer)
    least = {one.changes[0].field: one for one in answer.repairs if len(one.changes) == 1}["requirements.ttft_p99_ms"]
    alone = {one.changes[0].field: one for one in solve_pools(problem).repairs}["requirements.ttft_p99_ms"]
    assert least.changes[0].new < alone.changes[0].new and least.result.startswith("joint")
    fixed = solve(changed(problem, "requirements.ttft_p99_ms", least.changes[0].new), repairs=False)
    assert fixed.objective is not None


def test_splits_that_were_not_settled_leave_it_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of either kind alone it is proved; of both side by side not."""
    monkeypatch.setattr(side_by_side, "MOST_REFUTED_GPUS", 0)
    monkeypatch.setattr(side_by_side, "FEWEST_SOLVED", 0)
    answer = solve(problem_with(**ONLY_TOGETHER), repairs=False)
    assert answer.status == "unknown" and answer.objective is None
    assert answer.explanation[-1] == (
        "Joint instances beside pools may be feasible: not all of 18 splits were settled (0 solved)."
    )


def test_both_parts_make_up_the_whole() -> None:
    """docs/disaggregated.md, section 14."""
    answer = solve(problem_with(**NEAR_SATURATION))
    assert isinstance(answer, SideBySideAnswer)
    assert answer.label == "20% to TP1·PP1·DP1, 80% to prefill 2 × TP1 + decode 1 × TP2"
    assert (answer.joint_gpus, answer.gpus) == (1, 5)
    assert answer.joint.objective is not None and answer.pools.objective is not None
    assert answer.joint.objective.value == pytest.approx(3604.50, abs=0.01)
    assert answer.pools.objective.value == pytest.approx(2082.19, abs=0.01)
    assert answer.objective.value == pytest.approx(2386.65, abs=0.01)
    assert sum(answer.objective.terms.values()) == pytest.approx(answer.objective.value, abs=1e-5)
    first, second, both = answer.joint.metrics, answer.pools.metrics, answer.metrics
    assert first is not None and second is not None
    assert both.max_request_rate == pytest.approx(min(first.max_request_rate / 0.2, second.max_request_rate / 0.8))
    assert both.availability == pytest.approx(0.2 * first.availability + 0.8 * second.availability)
    assert both.tokens_per_s == pytest.approx(24 * 200)


def test_both_parts_are_launched_behind_one_router() -> None:
    """The router's shares are the tenths of the requests; each instance of either part is there once, on a GPU of its own."""
    problem = problem_with(**NEAR_SATURATION)
    answer = solve(problem)
    manifests = deploy(problem, answer, "kubernetes")
    assert {path.split("/")[0] for path in manifests} == {"joint", "pools", "router.yaml", "README.md"}
    config = next(one for one in yaml.safe_load_all(manifests["router.yaml"]) if one["kind"] == "ConfigMap")
    assert "dealt='joint 20 pools 80'\n" in config["data"]["start-router.sh"]
    files = deploy(problem, answer, "shell")
    assert "dealt='joint 20 pools 80'\n" in files["start-router.sh"]
    gpus = re.findall(r"export CUDA_VISIBLE_DEVICES=(\S+)", files["start-node-0.sh"])
    assert gpus == ["0", "1", "2", "3,4"]
    table = dict(re.findall(r"^\| (\S+) \| TP\S+ \| (\S+)% \|", files["README.md"], re.MULTILINE))
    assert table == {"replica-0": "20.00", "prefill-0": "40.00", "prefill-1": "40.00", "decode-0": "80.00"}
    with pytest.raises(ProblemError, match="--target llm-d or kubernetes"):
        deploy(problem, answer, "dynamo")


def test_the_commands_speak_of_both_parts(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps(values_with(**NEAR_SATURATION)))
    shown = run("solve", str(path))
    assert shown.returncode == 0 and "20% to TP1·PP1·DP1, 80% to prefill 2 × TP1 + decode 1 × TP2" in shown.stdout
    data = json.loads(run("solve", str(path), "--json").stdout)
    assert data["kind"] == "side_by_side" and data["joint"]["kind"] == "uniform" and data["pools"]["kind"] == "pools"
    jsonschema.validate(data, command_schema())
    written = run("deploy", str(path), "--target", "kubernetes", "--out", str(tmp_path / "out"))
    assert written.returncode == 0 and (tmp_path / "out" / "pools" / "router.yaml").exists()
    shown = run("deploy", str(path), "--dry-run", "--hosts", "gpu-1.example")
    assert shown.returncode == 0 and shown.stdout.startswith("small: would start with vLLM")
    assert "gpu-1.example:" in shown.stdout and "  replica-0: GPUs 0, serves port 8001" in shown.stdout
    assert "  pool-router: port 7999, before 3 instances" in shown.stdout
    assert (
        "  router: port 8000, before 4 instances; of the requests 20% to joint ones and 80% to pool-router"
        in shown.stdout
    )
    shown = run("deploy", str(path), "--dry-run", "--target", "kubernetes")
    assert (
        shown.stdout.count("files: ") == 1 and "files: README.md, joint/README.md, joint/engines.yaml" in shown.stdout
    )
    assert "no router of its own" in shown.stdout and "routers before both: 2, port 8000" in shown.stdout
    other = run("deploy", str(path), "--target", "dynamo", "--out", str(tmp_path / "no"))
    assert other.returncode == 2 and "--target llm-d or kubernetes" in other.stderr


@pytest.mark.parametrize("preset", ["throughput", "capacity", "fewest-gpus", "cheapest"])
def test_where_it_is_not_tried_the_answer_says_so(preset: str) -> None:
    problem = problem_with(serving="any", hardware={"gpus_per_node": 2}, objective=preset)
    assert not_split(problem) == f"with objective {preset}"
    answer = solve(
        problem_with(serving="any", hardware={"gpus_per_node": 3}, objective=preset, workload={"requests_per_s": 8})
    )
    assert answer.explanation[-1].startswith(f"Joint instances beside pools are not tried with objective {preset}")


def test_a_check_of_both_judges_every_rule_of_each_part() -> None:
    """The one mix that keeps every rule, found among the tenths; its parts are those of the best."""
    problem = problem_with(**ONLY_TOGETHER)
    answer = check(problem, Fixed(tensor_parallel=1, data_parallel=1), pools=ONE_BESIDE_TWO)
    assert isinstance(answer, SideBySideAnswer) and answer.feasible and answer.status == "optimal"
    assert answer.verification.passed and answer.share == 0.2 and answer.joint_gpus == 1
    assert answer.objective.value == pytest.approx(2878.48, abs=0.01)
    assert isinstance(answer.optimum, SideBySideAnswer) and answer.optimum.status == "optimal"
    assert "Of 9 splits in tenths of the requests 1 keeps every rule; the best is shown." in answer.explanation
    assert not verify_side_by_side(problem, replace(answer, feasible=False), None).passed


def test_how_many_splits_keep_every_rule_is_recomputed() -> None:
    """The verifier goes through the splits by itself: a wrong value, a split too many or too few, another one shown are all refused."""
    problem = problem_with(**ONLY_TOGETHER)
    fixed, splits = Fixed(tensor_parallel=1, data_parallel=1), [BesideSplit(tenths, 1) for tenths in range(1, 10)]
    kept = BesideSplit(2, 1)
    values = dict.fromkeys(splits, math.inf) | {kept: 2878.478921}

    def mismatches(claimed: dict[BesideSplit, float], shown: BesideSplit = kept) -> list[str]:
        ledger = CheckLedger()
        count_splits(problem, fixed, ONE_BESIDE_TWO, SplitsClaimed(tuple(splits), claimed, shown), ledger)
        return [one.what for one in ledger.mismatches]

    assert mismatches(values) == []
    assert mismatches(values | {BesideSplit(3, 1): 3000.0}) == ["split with 0.3 of the requests on 1"]
    assert mismatches(values | {kept: math.inf}) == mismatches(values | {kept: 2878.4}) != []
    assert mismatches({kept: values[kept]}) == ["splits"]
    assert mismatches(values, BesideSplit(3, 1)) == ["split shown"]


def test_a_check_of_both_names_what_a_part_breaks() -> None:
    problem = problem_with(**ONLY_TOGETHER)
    answer = check(problem, Fixed(tensor_parallel=1, data_parallel=1), pools=ONE_BESIDE_TWO, share=0.5)
    assert isinstance(answer, SideBySideAnswer) and answer.feasible is False and answer.status == "infeasible"
    assert answer.verification.passed and answer.pools.feasible and answer.joint.strategy is not None
    assert {rule.id for rule in answer.joint.rules if not rule.holds} == {"kv_cache", "tpot_p99", "tpot_full_batch"}
    assert answer.objective.bound == pytest.approx(2878.48, abs=0.01)
    assert not verify_side_by_side(problem, replace(answer, feasible=True), None).passed


def test_the_command_checks_both(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps(values_with(**ONLY_TOGETHER)))
    asked = ("check", str(path), "--tp", "1", "--dp", "1", "--prefill", "tp=1,count=1", "--decode", "tp=1,count=1")
    shown = run(*asked, "--json")
    data = json.loads(shown.stdout)
    assert shown.returncode == 0 and data["feasible"] and data["optimum"]["kind"] == data["kind"] == "side_by_side"
    jsonschema.validate(data, command_schema())
    broken = run(*asked, "--share", "0.5")
    assert broken.returncode == 1 and "not feasible" in broken.stdout and "BROKEN" in broken.stdout
    drawn = run("graph", *asked[1:])
    assert drawn.returncode == 0 and json.loads(drawn.stdout)["graph"]["kind"] == "side-by-side-graph"


def test_a_check_of_both_on_an_inventory_is_refused() -> None:
    problem = cluster_with()
    with pytest.raises(ProblemError, match="hardware: alone"):
        check(problem, Fixed(tensor_parallel=1), pools=ONE_BESIDE_TWO)
