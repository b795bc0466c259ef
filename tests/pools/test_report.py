"""The report of prefill and decode pools: every figure with its derivation, verdicts, and the files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from optimizer.questions.pools import check_pools, solve_pools
from optimizer.reporting.ask import report
from optimizer.reporting.build import Built
from optimizer.reporting.written.files import NEEDED, without_extras, write_report
from optimizer.reporting.written.markdown import report_markdown
from optimizer.results.pools import FixedPool, FixedPools, PoolsAnswer
from tests.command import run
from tests.pools.problems import problem_with, values_with

PROBLEM = problem_with(hardware={"gpus_per_node": 4, "price_per_gpu_hour": 2.5}, workload={"requests_per_s": 10})


@pytest.fixture(scope="module")
def answer() -> PoolsAnswer:
    return solve_pools(PROBLEM)


@pytest.fixture(scope="module")
def built(answer: PoolsAnswer) -> Built:
    return report(PROBLEM, answer)


def test_every_figure_is_that_of_the_answer_and_agrees_with_its_derivation(answer: PoolsAnswer, built: Built) -> None:
    assert built.report.verdict == "pass" and "proved best" in built.report.headline and not built.report.disagreeing
    found = {one.id: one for one in built.report.derivations}
    metrics, strategy = answer.metrics, answer.strategy
    assert metrics is not None and strategy is not None and answer.objective is not None
    assert found["objective"].figure.value == answer.objective.value and found["objective"].agrees
    assert (
        found["gpus-used"].figure.value == strategy.gpus and found["price_per_hour"].figure.value == 2.5 * strategy.gpus
    )
    for name in ("ttft_p50_ms", "ttft_p99_ms", "tpot_p99_ms", "transfer_ms", "request_mean_ms"):
        assert found[name].figure.value == getattr(metrics, name)
    for role in ("prefill", "decode"):
        held = getattr(metrics, role)
        assert found[f"carries-{role}"].figure.value == held.capacity_per_s
        assert found[f"wanted-{role}"].figure.value == held.cache_wanted_bytes_per_gpu
    ids = [section.id for section in built.report.sections]
    assert ids == ["summary", "pools", "requests", "placement", "rules", "launch"]


def test_the_files_hold_what_was_built(answer: PoolsAnswer, built: Built, tmp_path: Path) -> None:
    html = without_extras() is None
    names = {path.name for path in write_report(built, answer, str(tmp_path), html=html)}
    assert names == {"report.md", "report.json", *({"report.html"} if html else set())} and NEEDED
    text = report_markdown(built.report)
    assert "prefill-0" in text and "vllm serve" in text and "vllm_router" in text
    data = json.loads((tmp_path / "report.json").read_text())
    assert data["answer"]["kind"] == "pools" and data["answer"]["label"] == answer.label


def test_what_is_broken_and_what_is_impossible_fail() -> None:
    poor = FixedPools(FixedPool(1, None, 1), FixedPool(1, None, 1, 2))
    checked = report(PROBLEM, check_pools(PROBLEM, poor)).report
    assert checked.verdict == "fail" and "decode_concurrency" in checked.headline and not checked.disagreeing
    assert checked.sections[-1].id == "recommendations"
    few = problem_with(hardware={"gpus_per_node": 2}, workload={"requests_per_s": 100})
    none = report(few, solve_pools(few)).report
    assert none.verdict == "fail" and none.headline == "No pair of pools keeps every rule"
    assert "Set hardware" in report_markdown(none)


def test_the_command_takes_pools_and_proposals(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps(values_with(hardware={"gpus_per_node": 2}, workload={"requests_per_s": 10})))
    out = ("--no-html", "--out", str(tmp_path / "r"))
    found = run("report", str(path), *out)
    assert found.returncode == 0 and found.stdout.splitlines()[-1].startswith("PASS: prefill 1"), found.stderr
    found = run("report", str(path), *out, "--prefill", "tp=1,count=1", "--decode", "tp=1,count=1,max_num_seqs=2")
    assert found.returncode == 1 and "FAIL" in found.stdout
