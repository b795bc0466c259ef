"""Ctrl-C at every phase of a large problem: never a traceback, never a lie, and the incumbent where there is one."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from optimizer.questions.uniform import solve
from optimizer.reading.load import load_problem
from optimizer.results.answer import Answer
from optimizer.search.uniform.solve import Progress, Solver

ROOT = Path(__file__).resolve().parents[2]
LARGE: dict[str, Any] = {
    "name": "large",
    "hardware": {"gpu": "h100-sxm-80gb", "nodes": 200, "gpus_per_node": 8},
    "model": "llama3-70b",
    "workload": {"prompt_tokens": 1155, "output_tokens": 211, "requests_per_s": 900},
    "requirements": {"ttft_p99_ms": 1500, "tpot_p99_ms": 100, "max_batch": 64, "max_sequence_tokens": 8192},
    "objective": {"preset": "balanced", "gpu_ms": 1},
    "search": {"tensor_parallel": [2, 4, 8], "pipeline_parallel": [1, 2, 4]},
}


@functools.cache
def _truth(path: Path) -> Answer:
    return solve(load_problem(path))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "large.yaml"
    path.write_text(yaml.safe_dump(LARGE))
    return path


def _run(phase: str, *arguments: str, delay: float = 0, times: int = 1) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.interrupt.driver", phase, str(delay), str(times), *arguments]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert "Traceback" not in found.stderr and "Traceback" not in found.stdout, found.stderr
    assert "defect" not in found.stderr, found.stderr
    assert found.returncode in (0, 1, 3), (found.returncode, found.stderr)
    return found


def _honest(data: dict[str, Any], truth: Answer) -> None:
    """No claim that the uninterrupted answer does not bear out."""
    assert truth.objective is not None
    best = truth.objective.value
    objective = data["objective"]
    if data["strategy"] is None:
        assert data["status"] == "unknown" and objective is None
        return
    assert objective["value"] >= best - 1e-5
    assert objective["bound"] <= best + 1e-5
    if data["status"] == "optimal":
        assert objective["value"] == pytest.approx(best) and data["verification"]["passed"]
    else:
        assert data["status"] == "feasible"
        assert objective["gap"] == pytest.approx(
            (objective["value"] - objective["bound"]) / objective["value"], abs=1e-6
        )
    said = " ".join(data["explanation"])
    assert "No other combination" not in said or data["status"] == "optimal"


def test_before_there_is_an_incumbent(large: Path) -> None:
    found = _run("building tables", "solve", str(large), "--json", delay=0.02)
    assert found.returncode == 3
    assert found.stdout == ""
    assert found.stderr == "interrupted before an answer was found\n"


def test_while_the_solver_runs(large: Path) -> None:
    found = _run("incumbent", "solve", str(large), "--json", "--no-simulate")
    data = json.loads(found.stdout)
    _honest(data, _truth(large))
    assert data["strategy"] is not None and found.returncode == 0
    assert data["verification"]["passed"]


def test_while_alternatives_are_looked_for(large: Path) -> None:
    data = json.loads(_run("looking for alternatives", "solve", str(large), "--json", "--no-simulate").stdout)
    _honest(data, _truth(large))
    assert data["status"] == "optimal"
    said = " ".join(data["explanation"])
    assert "Interrupted before" in said and "No other combination" not in said


def test_while_the_verifier_runs(large: Path) -> None:
    found = _run("verifying", "solve", str(large), "--json", "--no-simulate")
    data = json.loads(found.stdout)
    _honest(data, _truth(large))
    assert found.returncode == 3
    assert data["status"] == "feasible" and not data["verification"]["passed"]
    assert "nothing has been recomputed independently" in " ".join(data["explanation"])
    assert "not rely on it" in found.stderr


def test_twice_ends_at_once(large: Path) -> None:
    found = _run("verifying", "solve", str(large), times=2)
    assert found.returncode == 3


@pytest.mark.parametrize("delay", [0.05, 0.4])
def test_at_any_time(large: Path, delay: float) -> None:
    found = _run("searching", "solve", str(large), "--json", "--no-simulate", delay=delay)
    if found.stdout:
        _honest(json.loads(found.stdout), _truth(large))
    else:
        assert found.returncode == 3 and "interrupted" in found.stderr


def test_check_keeps_its_verdict(large: Path) -> None:
    """The optimum beside it is what is missing: tables hold it as soon as they are built, and there is no incumbent before."""
    found = _run("searching", "check", str(large), "--tp", "4", "--pp", "1", "--dp", "300", "--json")
    data = json.loads(found.stdout)
    assert data["feasible"] is True and found.returncode == 0
    assert data["status"] == "feasible"
    assert data["optimum"]["status"] == "unknown"


def test_infeasible_without_its_reasons(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    small = LARGE["hardware"] | {"nodes": 1}
    path.write_text(yaml.safe_dump(LARGE | {"hardware": small, "requirements": {"tpot_p99_ms": 1}}))
    found = _run("explaining", "solve", str(path), "--json", delay=0.02)
    data = json.loads(found.stdout)
    assert data["status"] == "infeasible" and found.returncode == 1
    assert data["conflicts"] == [] and "Interrupted before the conflicting rules" in data["explanation"][-1]


def test_a_time_limit_tells_the_same_truth(large: Path) -> None:
    from dataclasses import asdict

    problem = load_problem(large)
    seen: list[Progress] = []
    # Without a limit the search goes on to alternatives, whose bounds are not those of the answer.
    for limit in (0.001, 0.3, None):
        answer = solve(problem, time_limit_s=limit, progress=seen.append)
        _honest(asdict(answer), _truth(large))
    phases = [said.phase for said in seen]
    assert phases[0] == "building tables" and "searching" in phases
    truth = _truth(large).objective
    assert truth is not None
    for said in seen:
        if said.incumbent is not None and said.bound is not None:
            assert said.bound / 1e6 <= truth.value + 1e-5 <= said.incumbent / 1e6 + 2e-5


def test_a_search_that_was_stopped_stays_stopped() -> None:
    solver = Solver(keep_incumbent=True)
    assert solver.deadline is None
    solver.interrupt()
    assert solver.interrupted and solver.deadline == solver.started
