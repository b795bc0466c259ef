"""The commands about why, and --all-conflicts, --apply-repair and --out, as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.command import run
from tests.test_cli import EXAMPLE, write


@pytest.fixture
def broken(example: dict[str, Any], tmp_path: Path) -> str:
    """The example of the README with a first token due in 100 ms, which no strategy keeps."""
    example["requirements"]["ttft_p99_ms"] = 100
    return write(tmp_path, example)


def test_solve_names_conflict_and_repairs(broken: str) -> None:
    result = run("solve", broken)
    assert result.returncode == 1
    assert "Because " in result.stdout and "no strategy exists." in result.stdout
    assert "1. Set " in result.stdout and "then keeps every rule." in result.stdout


def test_json_of_conflicts_and_repairs(broken: str) -> None:
    answer = json.loads(run("solve", broken, "--json", "--all-conflicts").stdout)
    assert all(set(c) == {"rules", "sentence", "minimal"} for c in answer["conflicts"])
    assert answer["repairs"]
    for repair in answer["repairs"]:
        assert set(repair) == {"changes", "sentence", "result"}
        assert all(set(change) == {"field", "from", "to"} for change in repair["changes"])
        assert repair["result"]["tensor_parallel"] and repair["result"]["gpus"]


def test_apply_repair_writes_a_feasible_problem(broken: str, tmp_path: Path) -> None:
    out = str(tmp_path / "repaired.yaml")
    result = run("solve", broken, "--apply-repair", "1", "--out", out)
    assert result.returncode == 1 and "comments" in result.stderr and "Wrote" in result.stderr
    assert run("solve", out).returncode == 0
    assert yaml.safe_load(Path(out).read_text())["model"] == "llama3-70b"
    again = run("solve", broken, "--apply-repair", "1", "--out", out)
    assert again.returncode == 2 and "exists already" in again.stderr
    assert run("solve", broken, "--apply-repair", "1", "--out", out, "--force").returncode == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--apply-repair", "1"], "--out"),
        (["--out", "x.yaml"], "--apply-repair"),
        (["--apply-repair", "0", "--out", "x.yaml"], "counted from 1"),
        (["--apply-repair", "99", "--out", "x.yaml"], "99 is not allowed"),
        (["--apply-repair", "1", "--out", "/no/such/folder/x.yaml"], "is no directory"),
    ],
)
def test_bad_repair_options_exit_two(broken: str, options: list[str], said: str) -> None:
    result = run("solve", broken, *options)
    assert result.returncode == 2 and said in result.stderr and not Path("x.yaml").exists()


def test_check_of_an_infeasible_strategy_has_repairs() -> None:
    answer = json.loads(run("check", EXAMPLE, "--tp", "2", "--pp", "4", "--dp", "1", "--json").stdout)
    assert answer["feasible"] is False and answer["conflicts"] and answer["repairs"]
    assert "TP2·PP4·DP1 cannot keep every rule" in answer["conflicts"][0]["sentence"]


def test_why_not_why_this_how_sure() -> None:
    refused = run("why-not", EXAMPLE, "--tp", "8", "--pp", "1")
    assert refused.returncode == 1 and "Not allowed. Because" in refused.stdout
    assert run("why-not", EXAMPLE, "--tp", "4").returncode == 0
    data = json.loads(run("why-not", EXAMPLE, "--tp", "3", "--json").stdout)
    assert data["verdict"] == "not allowed" and data["conflicts"][0]["rules"] == ["attention_heads"]
    assert "one more node of 8 GPUs" in run("why-this", EXAMPLE).stdout
    assert json.loads(run("why-this", EXAMPLE, "--json").stdout)["worths"]
    sure = json.loads(run("how-sure", EXAMPLE, "--json").stdout)
    assert {r["field"] for r in sure["ranges"]} >= {"workload.requests_per_s", "workload.prompt_tokens"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["why-not", EXAMPLE], "at least one decision"),
        (["why-not", EXAMPLE, "--tp", "0"], "--tp"),
        (["why-not", EXAMPLE, "--layers", "40,39"], "79 layers"),
        (["why-this", "missing.yaml"], "no such file"),
        (["how-sure", "missing.yaml"], "no such file"),
    ],
)
def test_bad_input_of_the_why_commands(arguments: list[str], said: str) -> None:
    result = run(*arguments)
    assert result.returncode == 2 and said in result.stderr and "Traceback" not in result.stderr


@pytest.mark.parametrize("options", [["--kv", "fp8", "--tp", "4"], ["--weights", "fp8", "--tp", "2", "--dp", "4"]])
def test_check_of_what_was_not_offered_and_is_better(options: list[str]) -> None:
    result = run("check", EXAMPLE, *options)
    assert result.returncode == 0 and "MISMATCH" not in result.stdout
    assert "is better than the best that may be considered" in result.stdout
