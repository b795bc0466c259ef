"""``optimizer graph`` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from optimizer import Fixed, check, load_problem
from tests.command import run
from tests.test_cli import EXAMPLE, write


def test_the_best_strategy_with_its_own_step(tmp_path: Path) -> None:
    out = tmp_path / "graph.json"
    result = run("graph", EXAMPLE, "--out", str(out))
    assert result.returncode == 0 and result.stdout == "" and "all agree" in result.stderr
    data = json.loads(out.read_text())
    answer = check(load_problem(EXAMPLE), Fixed(4, 1, 2), repairs=False)
    assert data["graph"]["strategy"] == "TP4·PP1·DP2" and answer.breakdown is not None
    running = {instance["sequences_in_progress"] for instance in data["instances"]}
    assert running == {answer.breakdown["sequences_in_progress"]} == {25}
    steps = [instance["decode_step_ms"] for instance in data["instances"]]
    assert steps == pytest.approx([answer.breakdown["round_ms"]] * 2, abs=2e-6)
    assert len([node for node in data["nodes"] if node["kind"] == "attention"]) == 80 * 4 * 2


@pytest.mark.parametrize("format", ["graphml", "dot", "mermaid", "perfetto"])
def test_a_strategy_that_breaks_rules_is_drawn_and_said_to(format: str) -> None:
    result = run("graph", EXAMPLE, "--tp", "2", "--pp", "4", "--dp", "1", "--format", format, "--sequences", "9")
    assert result.returncode == 0 and result.stdout
    assert "with 9 sequences in progress" in result.stderr and "does not keep every rule" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([EXAMPLE, "--format", "svg"], "--format"),
        ([EXAMPLE, "--format", "jsn"], "did you mean json"),
        ([EXAMPLE, "--sequences", "0"], "--sequences"),
        ([EXAMPLE, "--modules"], "--format dot only"),
        ([EXAMPLE, "--tp", "0"], "--tp"),
        ([EXAMPLE, "--tp", "8", "--pp", "4", "--dp", "8"], "there are 8"),
        ([EXAMPLE, "--out", "/no/such/folder/graph.json"], "cannot be written"),
        ([EXAMPLE, "--out", "/"], "is a directory"),
        (["missing.yaml"], "no such file"),
    ],
)
def test_bad_input(arguments: list[str], said: str) -> None:
    result = run("graph", *arguments)
    assert result.returncode == 2 and said in result.stderr and "Traceback" not in result.stderr
    assert result.stdout == ""


def test_nothing_to_draw(example: dict[str, Any], tmp_path: Path) -> None:
    example["requirements"]["ttft_p99_ms"] = 1
    result = run("graph", write(tmp_path, example))
    assert result.returncode == 1 and "no strategy to draw" in result.stderr and result.stdout == ""
