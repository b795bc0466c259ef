"""Every path of the command line, run as a user runs it: answers, JSON, exit codes, and bad input without tracebacks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.command import run
from tests.conftest import ROOT, changed

EXAMPLE = str(ROOT / "problems" / "llama3-70b-8xh100.yaml")


def write(folder: Path, values: dict[str, Any], name: str = "p.yaml") -> str:
    path = folder / name
    path.write_text(yaml.safe_dump(values))
    return str(path)


def test_solve_prints_the_answer_and_its_proof() -> None:
    result = run("solve", EXAMPLE)
    assert result.returncode == 0, result.stderr
    assert "proved best" in result.stdout
    assert "Verified" in result.stdout and "candidates" in result.stdout
    assert "\x1b[" not in result.stdout


def test_solve_json_has_the_promised_fields() -> None:
    result = run("solve", EXAMPLE, "--json")
    answer = json.loads(result.stdout)
    assert answer["status"] == "optimal" and answer["schema_version"]
    assert set(answer["strategy"]) >= {
        "tensor_parallel", "pipeline_parallel", "data_parallel", "expert_parallel", "gpus", "max_num_seqs",
        "layers_per_stage", "weight_precision", "kv_precision",
    }  # fmt: skip
    assert set(answer["metrics"]) >= {
        "weights_bytes_per_gpu", "kv_cache_bytes_per_gpu", "memory_bytes_per_gpu", "memory_utilization", "ttft_p50_ms",
        "ttft_p99_ms", "tpot_p50_ms", "tpot_p99_ms", "prefill_p50_ms", "prefill_p99_ms", "tokens_per_s", "max_request_rate",
    }  # fmt: skip
    assert set(answer["objective"]) >= {"value", "bound", "gap", "terms"}
    assert answer["objective"]["value"] == answer["objective"]["bound"]
    assert sum(answer["objective"]["terms"].values()) == pytest.approx(answer["objective"]["value"])
    assert all(set(rule) >= {"id", "sentence", "limit", "actual", "holds"} for rule in answer["rules"])
    assert answer["verification"]["passed"] and answer["verification"]["optimality"] == "exhaustive"
    assert answer["explanation"]


def test_check_of_the_proposed_strategy() -> None:
    result = run("check", EXAMPLE, "--tp", "2", "--pp", "4", "--dp", "1", "--json")
    answer = json.loads(result.stdout)
    assert answer["feasible"] in (True, False)
    assert result.returncode == (0 if answer["feasible"] else 1)
    assert answer["metrics"]["weights_bytes_per_gpu"] == pytest.approx(18.16e9, rel=1e-3)
    assert answer["optimum"]["status"] == "optimal"
    assert answer["verification"]["passed"]


def test_check_text_shows_broken_rules_first() -> None:
    result = run("check", EXAMPLE, "--tp", "3", "--pp", "1", "--dp", "1", "--full")
    assert result.returncode == 1
    assert result.stdout.index("BROKEN") < result.stdout.index("\nok ")
    assert "64 attention heads" in result.stdout


def test_infeasible_problem_exits_one_with_a_conflict(example: dict[str, Any], tmp_path: Path) -> None:
    result = run(
        "solve",
        write(tmp_path, changed(example, model="llama3.1-405b", requirements__max_sequence_tokens=8192)),
        "--json",
    )
    answer = json.loads(result.stdout)
    assert result.returncode == 1
    assert answer["status"] == "infeasible" and answer["strategy"] is None
    assert "memory" in answer["conflicts"][0]["rules"] and answer["conflicts"][0]["minimal"]
    assert answer["verification"]["passed"]


def test_a_time_limit_that_is_reached_exits_three() -> None:
    result = run("solve", EXAMPLE, "--time-limit", "0.000001", "--json")
    assert result.returncode == 3
    assert json.loads(result.stdout)["status"] == "unknown"


def test_schema_is_json_schema() -> None:
    schema = json.loads(run("schema").stdout)
    assert {"hardware", "model", "workload", "requirements"} <= set(schema["properties"])


@pytest.mark.parametrize("kind", ["gpus", "models"])
def test_catalog(kind: str) -> None:
    assert "h100-sxm-80gb" in run("catalog", kind).stdout or kind == "models"
    entries = json.loads(run("catalog", kind, "--json").stdout)
    assert len(entries) >= 10


def test_help_of_every_command() -> None:
    for command in ([], ["solve"], ["check"], ["schema"], ["catalog"], ["catalog", "gpus"]):
        assert run(*command, "--help").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["solve", "missing.yaml"], "no such file"),
        (["solve", str(ROOT)], "is a directory"),
        (["solve", EXAMPLE, "--time-limit", "nan"], "--time-limit"),
        (["solve", EXAMPLE, "--time-limit", "-1"], "--time-limit"),
        (["solve", EXAMPLE, "--gap", "some"], "--gap"),
        (["solve", EXAMPLE, "--gap", "120%"], "--gap"),
        (["check", EXAMPLE, "--tp", "0"], "--tp"),
        (["check", EXAMPLE, "--tp", "-8"], "--tp"),
        (["check", EXAMPLE, "--dp", "1000000000"], "--dp"),
        (["check", EXAMPLE, "--layers", "20,x"], "--layers"),
        (["check", EXAMPLE, "--layers", "40,39"], "79 layers"),
        (["check", EXAMPLE, "--pp", "4", "--layers", "40,40"], "--layers"),
        (["check", EXAMPLE, "--weights", "fp32"], "--weights"),
        (["check", EXAMPLE, "--kv", "int4"], "--kv"),
        (["check", EXAMPLE, "--tp", "two"], "--tp"),
        (["solve", EXAMPLE, "--nonsense"], "nonsense"),
        (["sovle", EXAMPLE], "sovle"),
    ],
)
def test_bad_input_exits_two_without_traceback(arguments: list[str], said: str) -> None:
    result = run(*arguments)
    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr + result.stdout


@pytest.mark.parametrize(
    "change",
    [
        {"search__disabled_rules": ["memmory"]},
        {"hardware__nodes": -3},
        {"hardware__nodes": 125_000_001},
        {"model": {"num_hidden_layers": -80}},
        {"workload__requests_per_s": float("inf")},
        {"requirements__max_sequence_tokens": 16_384},
    ],
)
def test_bad_problems_exit_two(example: dict[str, Any], tmp_path: Path, change: dict[str, Any]) -> None:
    result = run("solve", write(tmp_path, changed(example, **change)))
    assert result.returncode == 2
    assert result.stderr.startswith("error: ") and "Traceback" not in result.stderr


def test_a_billion_gpus_is_refused_and_many_are_answered(example: dict[str, Any], tmp_path: Path) -> None:
    refused = run("solve", write(tmp_path, changed(example, hardware__gpus_per_node=10**9)))
    assert refused.returncode == 2 and "1,000,000" in refused.stderr
    answered = run("solve", write(tmp_path, changed(example, hardware__nodes=64)), "--json")
    assert json.loads(answered.stdout)["status"] == "optimal"


def test_the_package_is_usable_from_python(example: dict[str, Any]) -> None:
    from optimizer import Fixed, check, problem_from_dict, solve

    problem = problem_from_dict(example)
    answer = solve(problem)
    assert answer.strategy is not None and answer.status == "optimal"
    again = check(
        problem,
        Fixed(answer.strategy.tensor_parallel, answer.strategy.pipeline_parallel, answer.strategy.data_parallel),
    )
    assert again.feasible and again.status == "optimal"


def test_warnings_of_numpy_reach_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """An overflow in a table is no message to a person; who asks for warnings (-W) has them."""
    import warnings

    from optimizer.cli import program

    def warned(*_: object, **__: object) -> int:
        warnings.warn("overflow encountered in multiply", RuntimeWarning, stacklevel=1)
        return 0

    monkeypatch.setattr(program, "app_of", lambda name: warned)
    monkeypatch.setattr("sys.warnoptions", [])
    assert run("solve").stderr == ""
    monkeypatch.setattr("sys.warnoptions", ["error"])
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        run("solve")
    assert [str(one.message) for one in seen] == ["overflow encountered in multiply"]
