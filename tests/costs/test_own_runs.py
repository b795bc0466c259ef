"""A person's own runs: benchmark results become rows, rows become constants, and an answer says which it used."""

from __future__ import annotations

import csv
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from optimizer.catalog.constants import _stated, constants, stated_basis
from optimizer.cli.calibrate import _use as use_file
from optimizer.cli.program import app_of
from optimizer.deployment.bench import bench_commands
from optimizer.facts.errors import ProblemError
from optimizer.questions.bench_plan import bench_plan, checked_layouts
from optimizer.questions.calibrate import SPREAD, calibrate
from optimizer.questions.uniform import solve
from optimizer.reading.benchmarks import benchmark_rows
from optimizer.reading.load import problem_from_dict
from optimizer.reading.measurements import parse
from tests.conftest import ROOT, SHARED

VLLM = {
    "model_id": "meta-llama/Llama-3.3-70B-Instruct", "num_prompts": 320, "completed": 320, "max_concurrency": 32,
    "request_rate": "inf", "total_input_tokens": 320 * 1000, "total_output_tokens": 320 * 400, "output_throughput": 1500.5,
    "mean_ttft_ms": 300.0, "median_ttft_ms": 250.0, "p99_ttft_ms": 900.0, "mean_tpot_ms": 20.0, "median_tpot_ms": 19.5,
    "p99_tpot_ms": 25.0,
}  # fmt: skip
SGLANG = {k: v for k, v in VLLM.items() if k != "model_id"} | {
    "server_info": {"model_path": "Qwen/Qwen3-32B", "tp_size": 4, "version": "0.5.9"}
}
INFERENCEMAX = {
    "hw": "h200-nb_0", "tp": 8, "ep": 1, "dp_attention": "false", "conc": 16, "model": "openai/gpt-oss-120b", "framework": "vllm",
    "precision": "fp4", "isl": 1024, "osl": 1024, "mean_ttft": 0.05, "mean_tpot": 0.008, "output_tput_per_gpu": 200.0,
}  # fmt: skip
PERF = {
    "time_to_first_token": {"unit": "ms", "avg": 300.0, "p50": 250.0, "p99": 900.0},
    "inter_token_latency": {"unit": "ms", "avg": 20.0, "p50": 19.5, "p99": 25.0},
    "input_sequence_length": {"avg": 1000.0}, "output_sequence_length": {"avg": 400.0},
    "output_token_throughput": {"avg": 1500.5},
    "input_config": {"endpoint": {"model_names": ["llama3.3-70b"]}, "loadgen": {"concurrency": 32}},
}  # fmt: skip
GUIDELLM = {
    "benchmarks": [
        {
            "config": {"strategy": {"type_": "concurrent", "streams": 32}, "backend": {"model": "llama3.3-70b"}},
            "metrics": {
                "prompt_token_count": {"successful": {"mean": 1000.0}},
                "output_token_count": {"successful": {"mean": 400.0}},
                "time_to_first_token_ms": {"successful": {"mean": 300.0, "percentiles": {"p50": 250.0, "p99": 900.0}}},
                "inter_token_latency_ms": {"successful": {"mean": 20.0, "percentiles": {"p50": 19.5, "p99": 25.0}}},
            },
        }
    ]
}
STATED = {"system": "h100", "tp": 4, "backend": "vllm", "precision": "fp8"}


@pytest.mark.parametrize("result", [VLLM, SGLANG, PERF, GUIDELLM], ids=["vllm", "sglang", "aiperf", "guidellm"])
def test_results_become_rows(result: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    file.write_text(json.dumps(result))
    [row] = benchmark_rows(file, STATED)
    read = parse({name: str(value) for name, value in row.items()})
    assert (read.prompt_tokens, read.output_tokens, read.concurrency, read.tp) == (1000, 400, 32, 4)
    assert (read.ttft_ms, read.tpot_ms) == (300.0, 20.0) and read.percentiles == (250.0, 900.0, 19.5, 25.0)


def test_inferencemax_counts_in_seconds_and_says_its_protocol(tmp_path: Path) -> None:
    file = tmp_path / "agg.json"
    file.write_text(json.dumps([INFERENCEMAX]))
    [row] = benchmark_rows(file, {})
    read = parse({name: str(value) for name, value in row.items()})
    assert (read.ttft_ms, read.tpot_ms, read.system, read.gpus) == (50.0, 8.0, "h200", 8) and read.waves == 10


def test_what_a_result_leaves_open_has_to_be_stated(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    file.write_text(json.dumps(VLLM))
    with pytest.raises(ProblemError, match="does not say system, tp"):
        benchmark_rows(file, {})
    file.write_text("{}")
    with pytest.raises(ProblemError, match="is no result of"):
        benchmark_rows(file, {})
    file.write_text("not json")
    with pytest.raises(ProblemError, match="neither JSON"):
        benchmark_rows(file, {})


def rows_of(factor: float) -> list[Any]:
    from dataclasses import replace

    from optimizer.catalog.constants import closed_loop_constants
    from optimizer.costs.corpus import Corpus
    from optimizer.costs.measured_runs import MeasuredRun, resolve
    from optimizer.reading.measured_names import Models

    models = Models()
    found: list[MeasuredRun] = []
    for tp in (2, 8):
        for load in (1, 16, 64):
            row = {
                "model": "llama3.3-70b",
                "system": "h200",
                "backend": "vllm",
                "precision": "fp8",
                "isl": "900",
                "osl": "300",
            }
            row |= {"concurrency": str(load), "tp": str(tp), "ttft_ms": "1", "tpot_ms": "1"}
            found.append(resolve(parse(row), models))
    corpus = Corpus(found)
    truth = constants().model_copy(update={"t_layer": constants().t_layer * factor})
    times = corpus.predict(corpus.step_times(truth), closed_loop_constants())
    return [
        MeasuredRun(replace(run.row, ttft_ms=float(first), tpot_ms=float(each)), run.model, run.gpu, run.shape)
        for run, first, each in zip(found, times["ttft"], times["tpot"], strict=True)
    ]


def test_runs_move_the_constants_that_they_tell_of() -> None:
    found = calibrate(rows_of(1.8))
    assert found.values["t_layer"] > 1.3 * found.shipped["t_layer"]
    assert found.left_out_error["tpot"] < found.shipped_error["tpot"] / 2


def test_runs_that_agree_change_nothing() -> None:
    found = calibrate(rows_of(1.0))
    assert all(found.values[name] == pytest.approx(found.shipped[name], rel=0.01) for name in SPREAD)


def test_from_results_to_an_answer(tmp_path: Path) -> None:
    results = []
    for number, load in enumerate((1, 8, 32)):
        file = tmp_path / f"{number}.json"
        tokens = {"mean_tpot_ms": 14.0 + load / 4, "max_concurrency": load}
        file.write_text(json.dumps(VLLM | tokens))
        results.append(str(file))
    runs, own = tmp_path / "runs.csv", tmp_path / "own.yaml"
    command = ["import", "runs", *results, "--out", str(runs), "--system", "h100", "--precision", "fp8", "--tp", "4"]
    said = CliRunner().invoke(app_of(), command)
    assert said.exit_code == 0, said.output
    assert len(list(csv.DictReader(runs.open()))) == 3
    said = CliRunner().invoke(app_of(), ["calibrate", str(runs), "--out", str(own)])
    assert said.exit_code == 0 and "left out" in said.output
    problem = tmp_path / "problem.yaml"
    problem.write_text(
        "hardware: {gpu: h100, nodes: 1}\nmodel: llama3.1-8b\n"
        "workload: {prompt_tokens: 500, output_tokens: 100, requests_per_s: 1}\nsearch: {tensor_parallel: [1]}\n"
    )
    try:
        said = CliRunner().invoke(app_of(), ["solve", str(problem), "--no-simulate", "--json", "--constants", str(own)])
        assert said.exit_code == 0, said.output
        assert "fitted to 3 runs of runs.csv" in said.output
    finally:
        forget()
    assert stated_basis() is None


def forget() -> None:
    from optimizer.verify.common.arithmetic import constant

    _stated.clear()
    constants.cache_clear()
    constant.cache_clear()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("values: {t_nothing: 1}", "no constant"),
        ("values: {t_layer: -1}", "above zero"),
        ("[]", "holds a list"),
        ("a: 1", "holds no values"),
        ("a: {", "YAML|valid"),
    ],
)
def test_files_of_constants_are_checked(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(text)
    with pytest.raises(ProblemError, match=said):
        use_file(str(file))
    assert stated_basis() is None


def test_the_most_telling_runs_are_chosen_without_their_results() -> None:
    from optimizer.questions.bench_plan import most_telling

    runs = rows_of(1.8)
    taken = most_telling(runs, runs[3:4], 3)
    assert len(set(taken)) == 3 and taken == most_telling(rows_of(1.0), runs[3:4], 3)
    assert runs[taken[0]].row.tp == runs[3].row.tp  # the target's own layout tells most of it


def test_a_plan_of_runs_ends_in_commands(tmp_path: Path) -> None:
    problem = tmp_path / "problem.yaml"
    problem.write_text(
        "hardware: {gpu: h100, nodes: 1}\nmodel: llama3.1-8b\n"
        "workload: {prompt_tokens: 500, output_tokens: 100, requests_per_s: 4}\nsearch: {tensor_parallel: [1, 2], pipeline_parallel: [1]}\n"
    )
    said = CliRunner().invoke(app_of(), ["bench-plan", str(problem), "--runs", "5", "--json"])
    assert said.exit_code == 0, said.output
    plan = json.loads(said.output)
    left = [plan["open_percent"], *(run["tpot_percent"] for run in plan["runs"])]
    assert len(plan["runs"]) == 5 and left == sorted(left, reverse=True) and left[-1] < left[0] * 0.8
    started = [line for line in plan["commands"] if line.startswith("vllm serve")]
    degrees = {run["tensor_parallel"] for run in plan["runs"]}
    assert len(started) == len(degrees) and all(f"--tensor-parallel-size {tp} " in " ".join(started) for tp in degrees)
    assert sum(line.startswith("vllm bench serve") for line in plan["commands"]) == 5
    assert plan["commands"][-1] == f"optimizer solve {problem} --constants my-constants.yaml"
    assert CliRunner().invoke(app_of(), ["bench-plan", str(problem), "--runs", "50"]).exit_code != 0


def test_a_plan_asks_for_what_starts_and_writes_the_settings_that_a_command_reads(tmp_path: Path) -> None:
    # Llama-3-70B in 16 bit leaves no cache at TP2 on cards of 80 GB: such runs are not asked for.
    problem = problem_from_dict(
        {
            "hardware": {"gpu": "h100", "nodes": 1},
            "model": "llama3-70b",
            "engine": "trtllm",
            "workload": {"prompt_tokens": 1155, "output_tokens": 211, "requests_per_s": 8},
            "requirements": {"gpu_memory_utilization": 0.85},
            "search": {"tensor_parallel": [4], "pipeline_parallel": [1]},
        }
    )
    answer = solve(problem, repairs=False)
    plan = bench_plan(problem, answer)
    assert 2 not in {run.tensor_parallel for run in plan.runs}
    lines = bench_commands(problem, plan, checked_layouts(problem, answer, plan), "problem.yaml")
    served = next(number for number, line in enumerate(lines) if line.startswith("trtllm-serve"))
    command = shlex.split(lines[served])
    written = command[command.index("--extra_llm_api_options") + 1]
    subprocess.run(["sh", "-c", lines[served - 1]], cwd=tmp_path, check=True)
    assert "kv_cache_config" in yaml.safe_load((tmp_path / written).read_text())
    assert f"http://localhost:{command[command.index('--port') + 1]}" in lines[served + 1]


@pytest.mark.long
@pytest.mark.parametrize("gpu", ["h100-sxm-80gb", "h200-sxm-141gb"])
def test_five_runs_halve_the_error_on_a_gpu_left_out(gpu: str) -> None:
    files = [SHARED / "data" / f"{name}_train.csv" for name in ("serving_measurements", "throughput_offline")]
    if not all(file.exists() for file in files):
        pytest.skip("the measured runs of ../shared/data are not here")
    sys.path.insert(0, str(ROOT / "scripts"))
    from calibrate import read_runs
    from own_runs import worth

    *_, whole = worth(read_runs(files), gpu, 5)
    assert whole.group == "all" and whole.after <= whole.before / 2


def test_accuracy_lists_where_it_was_measured() -> None:
    said = CliRunner().invoke(app_of(), ["accuracy"])
    assert said.exit_code == 0 and "NVLink" in said.output and "throughput only" in said.output
    data = json.loads(CliRunner().invoke(app_of(), ["accuracy", "--json"]).output)
    assert data
