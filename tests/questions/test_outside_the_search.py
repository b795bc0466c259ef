"""What is feasible and lies outside what was searched is said to, for every kind and question; and other words of one answer agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import optimizer
from optimizer import Fixed
from optimizer.questions.model import describe
from optimizer.render.schemas import command_schema
from tests.command import run

L4S: dict[str, Any] = {
    "model": "qwen2.5-14b",
    "workload": {"prompt_tokens": 1000, "output_tokens": 200, "requests_per_s": 1},
    "requirements": {"ttft_p99_ms": 3000, "tpot_p50_ms": 60},
    "search": {"tensor_parallel": [1, 2], "pipeline_parallel": [1, 2]},
}
EQUAL = {**L4S, "hardware": {"gpu": "l4-24gb", "nodes": 1, "gpus_per_node": 8}}
INVENTORY = {**L4S, "cluster": [{"name": "l4", "gpu": "l4-24gb", "nodes": 1, "gpus_per_node": 8}]}
TP8 = Fixed(tensor_parallel=8, pipeline_parallel=1)


@pytest.mark.parametrize("stated", [EQUAL, INVENTORY], ids=["hardware", "cluster"])
def test_a_check_outside_the_search_names_the_limit(stated: dict[str, Any]) -> None:
    """It said "is feasible" and, seven lines below, "No strategy keeps every rule of this problem"."""
    found: Any = optimizer.check(optimizer.problem_from_dict(stated), TP8)
    said = " ".join(found.explanation)
    assert found.feasible and found.verification.passed
    assert "search.tensor_parallel" in said and "No strategy keeps every rule" not in said
    assert found.optimum.within == "searched space" and found.optimum.cut_by == ("search.tensor_parallel",)


@pytest.mark.parametrize("stated", [EQUAL, INVENTORY], ids=["hardware", "cluster"])
def test_why_not_of_what_lies_outside_the_search_says_so(stated: dict[str, Any]) -> None:
    """Of inventories it was undecided, as if time had run out."""
    found: Any = optimizer.why_not(optimizer.problem_from_dict(stated), TP8)
    assert found.verdict == "no optimum" and "search.tensor_parallel" in found.sentences[0]


def test_figures_of_a_limited_search_are_said_to_be_of_it() -> None:
    """Opening the search does not help, but its figures are those of what was searched."""
    stated = {**EQUAL, "requirements": {"ttft_p99_ms": 20}, "search": {"tensor_parallel": [1, 2]}}
    found: Any = optimizer.solve(optimizer.problem_from_dict(stated), repairs=False)
    assert found.status == "infeasible" and found.within is None
    assert "opening search.tensor_parallel leaves nothing that keeps every rule either" in " ".join(found.explanation)


def test_a_conflict_about_one_shape_names_the_shape() -> None:
    stated = {**INVENTORY, "search": {}, "workload": {**L4S["workload"], "requests_per_s": 8}}
    found: Any = optimizer.why_not(optimizer.problem_from_dict(stated), Fixed(tensor_parallel=1, pipeline_parallel=2))
    assert found.verdict == "not allowed" and "with TP1" in found.conflicts[0].sentence


@pytest.mark.parametrize("name", ["llama3-70b", "qwen3-30b-a3b", "deepseek-v3", "gpt-oss-120b", "qwen3.5-397b-a17b"])
def test_what_is_read_of_a_model_fits_the_schema(name: str) -> None:
    jsonschema.Draft202012Validator(command_schema()).validate(describe(name))


def test_the_command_says_it_too(tmp_path: Path) -> None:
    path = tmp_path / "l4.json"
    path.write_text(json.dumps(EQUAL))
    ran = run("check", str(path), "--tp", "8", "--pp", "1", "--dp", "1", cwd=tmp_path)
    assert ran.returncode == 0 and "No strategy keeps every rule" not in ran.stdout


def test_the_default_of_the_engine_is_no_limit_on_what_is_asked() -> None:
    """vLLM starts with 256 sequences on this GPU unless it is told otherwise, and telling it otherwise broke a "rule"."""
    stated = {**EQUAL, "search": {}, "requirements": {"ttft_p99_ms": 3000, "tpot_p50_ms": 200}}
    asked = Fixed(tensor_parallel=2, pipeline_parallel=1, data_parallel=4, max_num_seqs=600)
    found: Any = optimizer.check(optimizer.problem_from_dict(stated), asked)
    assert found.feasible and found.verification.passed, found.explanation
    assert found.strategy.max_num_seqs == 600 and found.optimum.strategy.max_num_seqs <= 256
    limited = {**stated, "requirements": {**stated["requirements"], "max_batch": 256}}
    assert not optimizer.check(optimizer.problem_from_dict(limited), asked, repairs=False).feasible
