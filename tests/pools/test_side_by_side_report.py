"""The report of joint instances beside pools: figures of both from those of either part, verdicts, files, and where all stand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from optimizer.facts.problem import Problem
from optimizer.facts.side_by_side import BesideSplit, not_split
from optimizer.questions.check import check
from optimizer.questions.deploy import beside_chosen
from optimizer.questions.simulate import simulate
from optimizer.questions.solve import solve
from optimizer.reporting.ask import report
from optimizer.reporting.build import Built
from optimizer.reporting.document import Report, Table
from optimizer.reporting.written.files import without_extras, write_report
from optimizer.reporting.written.schema import every_schema
from optimizer.results.answer import Fixed
from optimizer.results.place_beside import joint_place, place_joint_part, place_pools_part, pools_place
from optimizer.results.placement import GpuPlace
from optimizer.results.pools import FixedPool, FixedPools
from optimizer.results.side_by_side import SideBySideAnswer
from tests.command import run
from tests.pools.mixes import NEAR_SATURATION, ONE_BESIDE_TWO, ONLY_TOGETHER, TWO_NODES
from tests.pools.problems import problem_with, values_with

PROBLEM = problem_with(**NEAR_SATURATION | {"hardware": {"gpus_per_node": 5, "price_per_gpu_hour": 2.5}})


@pytest.fixture(scope="module")
def answer() -> SideBySideAnswer:
    found = solve(PROBLEM)
    assert isinstance(found, SideBySideAnswer)
    return found


@pytest.fixture(scope="module")
def built(answer: SideBySideAnswer) -> Built:
    return report(PROBLEM, answer)


def table(found: Report, id: str) -> list[dict[str, Any]]:
    """Rows of a table by the ids of its columns."""
    [one] = [block for part in found.sections for block in part.blocks if isinstance(block, Table) and block.id == id]
    return [dict(zip([column.id for column in one.columns], row, strict=True)) for row in one.rows]


def test_figures_of_both_are_made_of_those_of_the_parts(answer: SideBySideAnswer, built: Built) -> None:
    """docs/disaggregated.md, section 14: 0.2 · 3,604.50 + 0.8 · 2,082.19 = 2,386.65 ms; min(5.93 / 0.2, 22.66 / 0.8) = 28.32."""
    assert built.report.verdict == "pass" and "proved best of all three kinds" in built.report.headline
    assert not built.report.disagreeing
    found = {one.id: one for one in built.report.derivations}
    assert len(found) == len(built.report.derivations)
    value = {id: one.figure.value for id, one in found.items()}
    assert value["joint-objective"] == pytest.approx(3604.50, abs=0.01)
    assert value["pools-objective"] == pytest.approx(2082.19, abs=0.01)
    assert value["objective"] == answer.objective.value == pytest.approx(2386.65, abs=0.01)
    assert value["max_request_rate"] == pytest.approx(28.32, abs=0.01)
    assert (value["sent-joint"], value["sent-pools"]) == pytest.approx((4.8, 19.2))
    assert value["gpus-used"] == 5 and value["price_per_hour"] == 12.5 and value["tokens_per_s"] == 24 * 200
    assert value["ttft_p99_ms"] == value["pools-ttft_p99_ms"] and value["tpot_p99_ms"] == value["joint-tpot_p99_ms"]
    for id in ("objective", "max_request_rate", "availability", "ttft_p99_ms", "joint-objective", "pools-objective"):
        assert found[id].agrees, id
    for one in built.report.derivations:
        assert all(name in found for name in one.inputs), one.id


def test_every_instance_stands_on_gpus_of_its_own(built: Built) -> None:
    rows = table(built.report, "placement")
    assert [(row["instance"], row["share"], row["gpus"]) for row in rows] == [
        ("replica-0", "20.0%", "node-0: 0"),
        ("prefill-0", "40.0%", "node-0: 1"),
        ("prefill-1", "40.0%", "node-0: 2"),
        ("decode-0", "80.0%", "node-0: 3,4"),
    ]


def test_the_files_hold_both_parts(answer: SideBySideAnswer, built: Built, tmp_path: Path) -> None:
    html = without_extras() is None
    list(write_report(built, answer, str(tmp_path), html=html))
    data = json.loads((tmp_path / "report.json").read_text())
    jsonschema.validate(data, every_schema())
    assert data["answer"]["kind"] == "side_by_side"
    text = (tmp_path / "report.md").read_text()
    assert "Joint instances: strategy validation" in text and "## Pools: what a request takes" in text
    assert "Of the pools by themselves. Verified: " in text and "20% of the requests" in text
    if html:
        page = (tmp_path / "report.html").read_text()
        assert page.count("<svg") >= 4 and page.count('id="joint-strategy"') == page.count('id="pools-pools"') == 1


def test_the_joint_part_is_simulated_with_its_share_of_the_requests(answer: SideBySideAnswer) -> None:
    played = simulate(PROBLEM, answer)
    assert played.joint.simulation is not None and played.joint.simulation.limits_hold
    assert played.pools == answer.pools and played.objective == answer.objective
    with pytest.raises(ValueError, match="played on joint instances"):
        simulate(PROBLEM, answer, trace=Path("requests.csv"))


def test_a_part_that_breaks_a_rule_fails_the_report() -> None:
    problem = problem_with(**ONLY_TOGETHER)
    broken = check(problem, Fixed(tensor_parallel=1, data_parallel=1), pools=ONE_BESIDE_TWO, share=0.5)
    found = report(problem, broken).report
    assert found.verdict == "fail" and "kv_cache (joint instances)" in found.headline and not found.disagreeing


def test_the_command_reports_both(tmp_path: Path) -> None:
    """Neither kind alone keeps every rule here: a report of one of them would say so."""
    path = tmp_path / "p.json"
    path.write_text(json.dumps(values_with(**ONLY_TOGETHER)))
    out = ("--no-html", "--out", str(tmp_path / "r"))
    found = run("report", str(path), *out)
    assert found.returncode == 0 and "PASS: 20% to TP1·PP1·DP1, 80% to prefill 1 × TP1 + decode 1 × TP1" in found.stdout
    own = ("--tp", "1", "--dp", "1", "--prefill", "tp=1,count=1", "--decode", "tp=1,count=1", "--share", "0.5")
    found = run("report", str(path), *out, *own)
    assert found.returncode == 1 and "FAIL: 50% to TP1·PP1·DP1" in found.stdout
    found = run("report", str(path), *out, "--share", "0.5")
    assert found.returncode == 2 and "--share" in found.stderr


def pairs(count: int) -> Problem:
    """A node whose GPUs are joined in twos."""
    return problem_with(serving="any", hardware={"gpus_per_node": count, "nvlink_domain_gpus": 2})


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6])
def test_gpus_of_a_domain_stay_in_one_domain(count: int) -> None:
    """Every split of a node of pairs: what is a pair in a part's own problem is one of the node's."""
    problem = pairs(count)
    for gpus in range(1, count):
        split, seen = BesideSplit(5, gpus), []
        for moved, own in (
            (joint_place(problem.hardware, split), gpus),
            (pools_place(problem.hardware, split), count - gpus),
        ):
            places = [moved(GpuPlace("node-0", index)).index for index in range(own)]
            seen += places
            assert all(places[first] // 2 == places[first + 1] // 2 for first in range(0, own - 1, 2)), (split, places)
        assert sorted(seen) == list(range(count))


def test_domains_that_do_not_fill_a_node_are_not_divided() -> None:
    problem = problem_with(serving="any", hardware={"gpus_per_node": 6, "nvlink_domain_gpus": 4})
    assert not_split(problem) == "where NVLink domains do not fill a node"
    assert not_split(pairs(5)) is None


def test_nodes_of_either_part_are_their_own() -> None:
    problem = problem_with(**TWO_NODES)
    found = solve(problem)
    assert isinstance(found, SideBySideAnswer) and found.joint.strategy and found.pools.strategy
    split = found.split_of(problem)
    joint = place_joint_part(problem, split, found.joint.strategy)
    pools = place_pools_part(problem, split, found.pools.strategy)
    assert joint.nodes == ("node-0",) and pools.nodes == ("node-1", "node-2")
    assert sum(one.share for one in joint.instances) == pytest.approx(0.3)
    assert sum(one.share for one in pools.instances if one.pool == 0) == pytest.approx(0.7)


def test_what_is_launched_stands_where_the_report_says() -> None:
    """A node of two pairs, one GPU for a joint instance: pools with TP2 keep a pair, the joint instance has half of the other."""
    problem = pairs(4)
    fixed = FixedPools(FixedPool(tensor_parallel=1, count=1), FixedPool(tensor_parallel=2, count=1))
    found = check(problem, Fixed(tensor_parallel=1, data_parallel=1), pools=fixed, share=0.2)
    assert isinstance(found, SideBySideAnswer) and found.joint.strategy and found.pools.strategy
    launched = beside_chosen(problem, found)
    split = found.split_of(problem)
    joint = place_joint_part(problem, split, found.joint.strategy)
    pools = place_pools_part(problem, split, found.pools.strategy)
    assert [one.gpus for one in launched.joint.placement.instances] == [one.gpus for one in joint.instances]
    assert [one.gpus for one in launched.pools.placement.instances] == [one.gpus for one in pools.instances]
    decode = {gpu.index for one in pools.instances if one.pool == 1 for gpu in one.gpus}
    assert decode in ({0, 1}, {2, 3}), (joint, pools)
