"""scripts/accuracy.py and scripts/calibrate.py: names they understand, rows they refuse, and how accurate they are."""

from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

COLUMNS = (
    "id,model,system,backend,backend_version,precision,isl,osl,concurrency,tp,attention_dp,ep,gpus,ttft_ms,tpot_ms"
)
GOOD = {
    "model": "meta-llama/Llama-3.3-70B-Instruct", "system": "h100_sxm", "backend": "vllm", "precision": "fp8",
    "isl": 1024, "osl": 1024, "concurrency": 64, "tp": 8, "attention_dp": 1, "ep": 1, "gpus": 8,
    "ttft_ms": 500, "tpot_ms": 14,
}  # fmt: skip


def written(path: Path, *rows: dict[str, Any], columns: str = COLUMNS) -> Path:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, columns.split(","), extrasaction="ignore", restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    import accuracy

    status = accuracy.main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return status, said.out, said.err


def test_predictions_repeat_the_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [GOOD | {"id": "a"}, GOOD | {"id": "b", "model": "nobody/nothing"}, GOOD | {"id": "c", "tpot_ms": ""}]
    out = tmp_path / "out.csv"
    status, said, _ = run(capsys, "--measurements", written(tmp_path / "m.csv", *rows), "--out", out)
    assert status == 0 and "3 rows, 2 predicted, 1 scored" in said
    found = list(csv.DictReader(out.open()))
    assert [row["id"] for row in found] == ["a", "b", "c"]
    assert list(found[0])[:15] == COLUMNS.split(",")
    assert float(found[0]["tpot_ms_p5"]) < float(found[0]["predicted_tpot_ms"]) < float(found[0]["tpot_ms_p95"])
    assert 0 < float(found[0]["predicted_ttft_ms"]) < 5000 and not found[0]["note"]
    assert found[1]["predicted_tpot_ms"] == found[1]["predicted_ttft_ms"] == "" and "nobody/nothing" in found[1]["note"]
    assert found[2]["predicted_tpot_ms"] and "not scored" in found[2]["note"]


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"system": "tpu_v9"}, "tpu_v9"),
        ({"precision": "fp3"}, "fp3"),
        ({"isl": -1}, "isl = -1"),
        ({"osl": 0}, "osl = 0"),
        ({"tp": "two"}, "tp = 'two'"),
        ({"concurrency": 1.5}, "concurrency = 1.5"),
        ({"concurrency": "nan"}, "concurrency"),
        ({"isl": "1e300"}, "isl"),
        ({"system": ""}, "system is empty"),
        ({"tp": "", "gpus": ""}, "tp is empty"),
        ({"tp": 1, "gpus": 1, "precision": "bf16", "model": "llama3.1-405b"}, "do not fit 1 x h100-sxm-80gb"),
    ],
)
def test_unusable_rows_say_why(
    change: dict[str, Any], note: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.csv"
    path = written(tmp_path / "m.csv", GOOD, GOOD | change)
    assert run(capsys, "--measurements", path, "--out", out)[0] == 0
    found = list(csv.DictReader(out.open()))
    assert found[0]["predicted_tpot_ms"] and not found[1]["predicted_tpot_ms"]
    assert note in found[1]["note"]


def test_files_that_cannot_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    short = written(tmp_path / "short.csv", GOOD, columns="model,system,backend,osl,tp,ttft_ms")
    empty = written(tmp_path / "empty.csv")
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\xff\xfe\x00")
    for path, said in (
        (short, "lacks the columns isl, concurrency"),
        (empty, "no rows"),
        (binary, "not a UTF-8 text file"),
        (tmp_path / "none.csv", "no such file"),
        (tmp_path, "directory"),
    ):
        status, _, error = run(capsys, "--measurements", path)
        assert status == 2 and said in error and error.count("\n") == 1
    nothing = written(tmp_path / "nothing.csv", GOOD | {"model": "nobody/nothing"})
    assert run(capsys, "--measurements", nothing)[0] == 3
    assert run(capsys, "--measurements", written(tmp_path / "m.csv", GOOD), "--models-dir", tmp_path / "none")[0] == 2
    one_model = run(capsys, "--measurements", written(tmp_path / "m.csv", GOOD), "--leave-one-out")
    assert one_model[0] == 2 and "two" in one_model[2]


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [GOOD | {"tp": tp, "gpus": tp, "tpot_ms": 60 / tp} for tp in (2, 4, 8)]
    status, said, _ = run(capsys, "--measurements", written(tmp_path / "m.csv", *rows), "--json")
    report = json.loads(said)
    assert status == 0 and report["scored"] == 3
    assert {score["by"] for score in report["errors_percent"]} == {"all", "kind", "model", "system", "engine"}
    assert report["choosing"][0]["cases"] > 0


def test_missing_optional_columns_have_defaults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    columns = "model,system,backend,precision,isl,osl,concurrency,tp,ttft_ms,tpot_ms"
    assert run(capsys, "--measurements", written(tmp_path / "m.csv", GOOD, columns=columns))[0] == 0


def test_rows_with_gaps_are_predicted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gaps: list[dict[str, Any]] = [{"backend": ""}, {"tp": ""}, {"precision": "FP8_e4m3"}, {"precision": "w4a8_awq"}]
    rows = [GOOD, *(GOOD | gap for gap in gaps)]
    out = tmp_path / "out.csv"
    assert run(capsys, "--measurements", written(tmp_path / "m.csv", *rows), "--out", out)[0] == 0
    found = list(csv.DictReader(out.open()))
    assert all(row["predicted_tpot_ms"] and not row["note"] for row in found)
    assert found[2]["predicted_tpot_ms"] == found[3]["predicted_tpot_ms"] == found[0]["predicted_tpot_ms"]
    # Without times, engine and precision there is nothing to score, and still a prediction.
    bare = written(tmp_path / "bare.csv", *rows[:1], columns="model,system,isl,osl,concurrency,gpus")
    assert run(capsys, "--measurements", bare, "--out", out)[0] == 0
    assert float(next(csv.DictReader(out.open()))["predicted_tpot_ms"]) > float(found[0]["predicted_tpot_ms"])


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        ("h100_sxm", "h100-sxm-80gb"),
        ("H100_NVL", "h100-nvl-94gb"),
        ("gb300_nvl72", "gb300-nvl72"),
        ("l40s_pcie", "l40s-48gb"),
        ("a100_pcie_80gb", "a100-pcie-80gb"),
        ("mi355x", "mi355x-288gb"),
    ],
)
def test_systems_are_understood(system: str, expected: str) -> None:
    from optimizer.reading.measured_names import find_gpu

    assert find_gpu(system).name == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nvidia/DeepSeek-V4-Flash-NVFP4", "deepseek-v4-flash"),
        ("deepseek-ai/DeepSeek-V4-Pro-0813", "deepseek-v4-pro"),
        ("nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-FP8", "nemotron-3-super-120b-a12b"),
        ("nvidia/Llama-3_3-Nemotron-Super-49B-v1_5", "nemotron-super-49b"),
        ("Qwen/Qwen3-32B-FP8-Static-PerTensor", "qwen3-32b"),
        ("MiniMaxAI/MiniMax-M3-MXFP8", "minimax-m3"),
        ("zai-org/GLM-5.2-FP8", "glm-5.2"),
        ("nvidia/Llama-3.3-70B-Instruct-FP8", "llama3.3-70b"),
        ("meta-llama/Meta-Llama-3.1-8B-Instruct", "llama3.1-8b"),
        ("deepseek-ai/DeepSeek-V3-0324", "deepseek-v3"),
        ("nvidia/DeepSeek-R1-0528-NVFP4-v2", "deepseek-r1"),
        ("deepseek-ai/DeepSeek-V3.2-Exp", "deepseek-v3.2"),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", "mixtral-8x7b"),
        ("Qwen/Qwen3-30B-A3B-Instruct-2507-FP8", "qwen3-30b-a3b"),
        ("RedHatAI/Qwen3-8B-FP8-dynamic", "qwen3-8b"),
        ("Qwen/Qwen2.5-72B-Instruct-AWQ", "qwen2.5-72b"),
        ("moonshotai/Kimi-K2-Thinking", "kimi-k2"),
        ("openai/gpt-oss-20b", "gpt-oss-20b"),
        ("zai-org/GLM-4.7-FP8", "glm-4.6"),
        ("meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8", "llama4-maverick"),
        ("qwen3_235b_a22b", "qwen3-235b-a22b"),
    ],
)
def test_checkpoint_names_are_understood(name: str, expected: str) -> None:
    from optimizer.reading.measured_names import Models

    assert Models().find(name).name == expected


def test_distilled_and_unknown_models_are_not_mistaken_for_others() -> None:
    from optimizer.reading.measured_names import Models
    from optimizer.reading.measurements import UnusableRow

    assert Models().find("deepseek-ai/DeepSeek-R1-Distill-Llama-70B").name == "llama3.3-70b"
    assert Models().find("zai-org/GLM-4.7-Flash").name == "glm-4.7-flash"
    for name in ("deepseek-ai/DeepSeek-V4", "deepseek-ai/deepseek", "meta-llama/Llama-3.1", "zai-org/GLM-4.7-Mini"):
        with pytest.raises(UnusableRow, match="not in the catalog"):
            Models().find(name)


@pytest.mark.parametrize("system", ["h100_sxm", "h200_sxm", "b200_sxm", "b300_sxm", "gb200", "gb200_sxm", "gb300"])
@pytest.mark.parametrize("precision", ["bf16", "fp8", "fp4", "int4"])
def test_systems_and_precisions_are_understood(system: str, precision: str) -> None:
    from optimizer.reading.measured_names import Models, find_gpu, weight_format

    assert find_gpu(system).memory_mib > 0
    assert weight_format(precision, Models().find("qwen3-8b")) in {"bf16", "fp8", "nvfp4", "int4"}
    if precision != "int4":
        assert weight_format(precision, Models().find("gpt-oss-20b")) == "mxfp4"


def test_models_outside_the_catalog(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = {"model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 30, "num_attention_heads": 32,
              "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256}  # fmt: skip
    (tmp_path / "acme--Anvil-7B_config.json").write_text(json.dumps(config))
    (tmp_path / "acme--Broken-7B_config.json").write_text("{")
    rows = [GOOD | {"model": "acme/Anvil-7B-Instruct-FP8"}, GOOD | {"model": "acme/Broken-7B"}]
    out = tmp_path / "out.csv"
    path = written(tmp_path / "m.csv", *rows)
    assert run(capsys, "--measurements", path, "--models-dir", tmp_path, "--out", out)[0] == 0
    found = list(csv.DictReader(out.open()))
    assert found[0]["predicted_tpot_ms"] and "cannot be used" in found[1]["note"]


def test_the_script_runs_from_anywhere(tmp_path: Path) -> None:
    path = written(tmp_path / "m.csv", GOOD)
    command = [sys.executable, str(ROOT / "scripts" / "accuracy.py"), "--measurements", str(path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "1 scored" in done.stdout


@pytest.fixture(scope="module")
def training_file() -> Path:
    path = ROOT.parent / "shared" / "data" / "serving_measurements_train.csv"
    if not path.is_file():
        pytest.skip("needs ../shared, which exists in development and CI only")
    return path


def test_errors_on_the_training_file(training_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # In sample; about a tenth above what was found when the constants were fitted. Shares of bandwidth and FLOP are those of
    # kernel tables, not fitted to these runs: dense TPOT is 0.4 points worse here than before, highest throughput half as far off.
    report = json.loads(run(capsys, "--measurements", training_file, "--json")[1])
    assert report["predicted"] == report["scored"] == report["rows"] == 1707
    assert "in-sample" in report["constants"]
    scores = {score["name"]: score for score in report["errors_percent"]}
    for name, metric, bounds in (
        ("dense", "tpot", (5.6, 7.9, 17.0)),
        ("dense", "e2e", (4.9, 7.3, 15.0)),
        ("dense", "ttft", (24.0, 30.5, 66.0)),
        ("MoE", "tpot", (11.0, 13.8, 30.5)),
        ("MoE", "e2e", (11.0, 13.8, 30.5)),
    ):
        assert all(value <= bound for value, bound in zip(scores[name][metric].values(), bounds, strict=True))
    # Of runs that made them; of a model that did not, 85 to 95 (catalog/data/accuracy.yaml).
    assert all(84 <= share <= 99 for share in report["inside_interval_percent"].values())
    fixed = report["choosing"][0]
    assert fixed["exact"] >= 88 and fixed["violated"] <= 4 and fixed["regret"] <= 3


def test_leaving_one_model_out_keeps_the_targets(training_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("scipy", reason="needs scipy: pip install -e .[calibrate]")
    report = json.loads(run(capsys, "--measurements", training_file, "--leave-one-out", "--json")[1])
    scores = {score["name"]: score for score in report["errors_percent"]}
    for name, metric, bounds in (
        ("dense", "tpot", (7, 9, 18)),
        ("dense", "e2e", (7, 9, 18)),
        ("dense", "ttft", (30, math.inf, math.inf)),
        ("MoE", "tpot", (14, 18, 38)),
    ):
        assert all(value <= bound for value, bound in zip(scores[name][metric].values(), bounds, strict=True))
    fixed = report["choosing"][0]
    assert fixed["exact"] >= 85 and fixed["violated"] <= 4 and fixed["regret"] <= 4


KIND_COLUMNS = COLUMNS + ",kind,request_rate,pp,nodes,network,output_tok_s,note"
BY_KIND = {
    "closed_loop": {"tpot", "ttft", "output"},
    "open_loop": {"tpot", "ttft", "ttft_p99", "tpot_p99", "output"},
    "all_at_once": {"tpot", "ttft", "ttft_p99", "tpot_p99", "output"},
    "offline_max": {"tpot", "output"},
    "static_batch": {"tpot", "ttft", "output"},
}


@pytest.mark.parametrize("kind", sorted(BY_KIND))
def test_every_kind_of_run_is_predicted(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = GOOD | {"kind": kind, "request_rate": 2, "isl": 256, "osl": 64, "output_tok_s": 1000}
    out = tmp_path / "out.csv"
    path = written(tmp_path / "m.csv", row, columns=KIND_COLUMNS)
    assert run(capsys, "--measurements", path, "--out", out)[0] == 0
    (found,) = csv.DictReader(out.open())
    for metric in BY_KIND[kind]:
        name = "predicted_output_tok_s" if metric == "output" else f"predicted_{metric}_ms"
        assert float(found[name]) > 0, name
    if "tpot_p99" in BY_KIND[kind]:
        assert float(found["predicted_tpot_p99_ms"]) >= float(found["predicted_tpot_p50_ms"])


@pytest.mark.parametrize("engine", ["", "trtllm", "an engine that nobody knows"])
def test_open_loops_of_any_engine_are_played(engine: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = GOOD | {
        "backend": engine,
        "kind": "open_loop",
        "request_rate": 2,
        "osl": 8,
        "concurrency": 20,
        "model": "gpt-oss-120b",
    }
    out = tmp_path / "out.csv"
    path = written(tmp_path / "m.csv", row | {"precision": "fp4"}, columns=KIND_COLUMNS)
    assert run(capsys, "--measurements", path, "--out", out)[0] == 0
    assert float(next(csv.DictReader(out.open()))["predicted_ttft_p99_ms"]) > 0


def test_more_load_means_later_first_tokens_in_an_open_loop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [GOOD | {"kind": "open_loop", "request_rate": rate, "osl": 64} for rate in (1, 20)]
    out = tmp_path / "out.csv"
    path = written(tmp_path / "m.csv", *rows, columns=KIND_COLUMNS)
    assert run(capsys, "--measurements", path, "--out", out)[0] == 0
    few, many = csv.DictReader(out.open())
    assert float(few["predicted_ttft_p99_ms"]) < float(many["predicted_ttft_p99_ms"])


def test_kinds_that_cannot_be_read_say_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        GOOD,
        GOOD | {"kind": "sideways"},
        GOOD | {"kind": "open_loop"},
        GOOD | {"kind": "open_loop", "request_rate": 1, "isl": 1_000_000},
        GOOD | {"kind": "burst", "concurrency": 50_000},
    ]
    out = tmp_path / "out.csv"
    path = written(tmp_path / "m.csv", *rows, columns=KIND_COLUMNS)
    assert run(capsys, "--measurements", path, "--out", out)[0] == 0
    notes = [row["note"] for row in csv.DictReader(out.open())]
    assert not notes[0] and "kind = 'sideways'" in notes[1] and "request_rate" in notes[2]
    assert "isl + osl = 1,001,024" in notes[3] and "50,000" in notes[4]


def test_percentiles_out_of_order_are_not_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = GOOD | {"kind": "open_loop", "request_rate": 2, "ttft_p50_ms": 900, "ttft_p99_ms": 100}
    path = written(tmp_path / "m.csv", row, columns=KIND_COLUMNS + ",ttft_p50_ms,ttft_p99_ms")
    status, said, _ = run(capsys, "--measurements", path)
    assert status == 0 and "1 predicted, 0 scored" in said and "P99 is below its P50" in said


SHIFTED = {
    "model": "qwen2.5-7b", "system": "a10", "backend": "vllm", "precision": "int4", "isl": 1010, "osl": 6, "concurrency": 200, "tp": 4,
    "attention_dp": 2, "ep": 1, "gpus": 8, "kind": "disagg_open", "request_rate": 2, "ttft_ms": 2057.44, "ttft_p50_ms": 198.1,
    "ttft_p99_ms": 160.03, "tpot_ms": 461.61, "tpot_p50_ms": 23.52, "tpot_p99_ms": 18.93, "output_tok_s": 2.03,
}  # fmt: skip


def test_figures_one_column_behind_their_own_are_read_in_place() -> None:
    from optimizer.reading.measurements import SHIFTED as SAID
    from optimizer.reading.measurements import parse

    # Total tokens/s (2.03 requests/s of 1,016 tokens), then mean, P50 and P99 of TTFT, then mean and P50 of TPOT.
    read = parse({name: str(value) for name, value in SHIFTED.items()})
    assert (read.ttft_ms, read.tpot_ms, read.output_tok_s, read.reading) == (198.1, 23.52, 12.18, SAID)
    assert read.percentiles[:3] == (160.03, 461.61, 18.93) and math.isnan(read.percentiles[3])
    assert read.prefill and read.decode and (read.prefill.gpus, read.decode.gpus) == (4, 4)
    own = SHIFTED | {"ttft_ms": 198.1, "output_tok_s": 12.18}
    assert not parse({name: str(value) for name, value in own.items()}).reading


@pytest.mark.parametrize(
    ("said", "workers"),
    [
        ({}, (1, 1)),
        ({"note": "1 prefill + 3 decode instances on four nodes"}, (1, 3)),
        ({"note": "2 prefill and 2 decode workers"}, (2, 2)),
        ({"id": "a10_3p1d_qps4"}, (3, 1)),
        ({"prefill_num_workers": 3, "prefill_tp_size": 4, "decode_num_workers": 1, "decode_tp_size": 4}, (3, 1)),
    ],
)
def test_how_many_instances_an_open_loop_has(said: dict[str, Any], workers: tuple[int, int]) -> None:
    from optimizer.reading.measurements import parse

    read = parse({name: str(value) for name, value in (SHIFTED | said).items()})
    assert read.kind == "disagg_open" and read.prefill and read.decode
    assert (read.prefill.workers, read.decode.workers) == workers and (read.prefill.tp, read.decode.tp) == (4, 4)


def test_pools_are_ranked_by_what_carries_the_load(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Long prompts and short answers: prompts decide, so that three prefill instances carry what one does not.
    ratios = {"1 prefill + 3 decode": 80.0, "2 prefill + 2 decode": 150.0, "3 prefill + 1 decode": 190.0}
    rows = [
        SHIFTED | {"request_rate": 40, "ttft_ms": 500, "tpot_ms": 20, "output_tok_s": rate, "note": note}
        for note, rate in ratios.items()
    ]
    out = tmp_path / "out.csv"
    path = written(tmp_path / "m.csv", *rows, columns=KIND_COLUMNS)
    status, said, _ = run(capsys, "--measurements", path, "--out", out, "--json")
    found = [float(row["predicted_output_tok_s"]) for row in csv.DictReader(out.open())]
    assert status == 0 and found == sorted(found) and found[2] > 1.5 * found[0]
    (ranked,) = [score for score in json.loads(said)["ranking_pools"] if score["case"] == "at one load, tokens/s"]
    assert (ranked["cases"], ranked["exact"], ranked["near"]) == (1, 100.0, 100.0)


def test_a_choice_that_loses_is_no_choice_within_five_percent() -> None:
    import numpy as np

    from calibration.pool_ratios import _Group, _score

    # Equal predictions: the shorter request is chosen, which measures 10 % less than the best.
    figures = ([4, 4], [100, 90], [10, 10], [95, 95.5], [9, 9], [50, 40])
    group = _Group(*(np.array(v, dtype=float) for v in figures), np.array([0, 1]))
    found = _score("", [group], (math.inf,), lambda one: one.gpus)
    assert found and (found.exact, found.near) == (0.0, 0.0) and found.worst_loss == pytest.approx(10)


def test_pools_are_scored_apart_from_how_many_requests_they_are_sent() -> None:
    import numpy as np

    from calibration.pool_ratios import _Group, _score, _score_of_pools

    # The first pools with more requests at once are chosen; measured they miss the limit of 10 ms, with fewer requests they are the best.
    figures = ([4, 4, 4], [120, 100, 90], [11, 8, 9], [110, 90, 80], [9, 7, 9], [50, 40, 40])
    arrays = [np.array(v, dtype=float) for v in figures]
    group = _Group(*arrays, np.array([0, 0, 1]))
    both, pools = _score("", [group], (10.0,), lambda one: one.gpus), _score_of_pools("", [group], (10.0,))
    assert both and pools and (both.near, both.worst_loss, pools.near, pools.worst_loss) == (0.0, 100.0, 100.0, 0.0)
    # The other pools chosen: 10 % less than the best; chosen pools none of which keeps the limit: all lost.
    other = _Group(*arrays[:3], np.array([80.0, 80, 110]), *arrays[4:], np.array([0, 0, 1]))
    wrong = _score_of_pools("", [other], (10.0,))
    assert wrong and wrong.near == 0.0 and wrong.worst_loss == pytest.approx(10)
    assert _score_of_pools("", [group], (8.5,)) is None  # one pair of pools keeps the limit: nothing is chosen


def test_lengths_between_two_ends_have_their_mean() -> None:
    import numpy as np

    from calibration.open_loop import between, poisson_ms

    share = (np.arange(100_000) + 0.5) / 100_000
    for mean in (50.0, 213.0, 390.5, 700.0):
        drawn = between(1, 780, mean, share)
        assert drawn.mean() == pytest.approx(mean, rel=1e-3) and drawn.min() >= 1 and drawn.max() <= 780
    at = poisson_ms(200, 4.0, np.random.default_rng(1))
    assert at[0] == 0 and at[-1] == pytest.approx(199 * 250)


POOLS = ",".join(
    f"{side}_{name}"
    for side in ("prefill", "decode")
    for name in ("num_workers", "tp_size", "pp_size", "attention_dp_size", "moe_ep_size")
)


def test_disaggregated_runs_have_two_sides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = dict.fromkeys(POOLS.split(","), 1) | {"prefill_tp_size": 4, "decode_tp_size": 4}
    rows = [GOOD | one, GOOD | one | {"prefill_num_workers": 4}, GOOD | one | {"decode_num_workers": 4}]
    out = tmp_path / "out.csv"
    path = written(tmp_path / "m.csv", *rows, columns=f"{COLUMNS},{POOLS}")
    assert run(capsys, "--measurements", path, "--out", out)[0] == 0
    found = list(csv.DictReader(out.open()))
    plain, first, second = ({m: float(row[f"predicted_{m}_ms"]) for m in ("ttft", "tpot")} for row in found)
    assert first["ttft"] <= plain["ttft"] and second["tpot"] < plain["tpot"]


@pytest.mark.parametrize(
    ("said", "tokens"),
    [
        ({"note": "multi-token prediction on (3 tokens)"}, 3), ({"note": "MTP=1"}, 1), ({"note": "MTP"}, 2), ({"mtp": "yes"}, 2),
        ({"spec_decoding": "mtp"}, 2), ({"speculative": "1.0"}, 1), ({"id": "dsr1_b200_mtp_c4"}, 2), ({"note": "no MTP"}, 0),
        ({"note": "MTP off"}, 0), ({"note": "multi-token prediction: off"}, 0), ({"spec_decoding": "none"}, 0), ({"mtp": "0"}, 0),
        ({"note": "total output tokens/s"}, 0), ({}, 0),
    ],
)  # fmt: skip
def test_multi_token_prediction_is_read_where_it_is_stated(said: dict[str, str], tokens: int) -> None:
    from optimizer.reading.measurements import parse

    assert parse({name: str(value) for name, value in (GOOD | said).items()}).guessed == tokens


def test_guessed_tokens_shorten_the_time_of_each_and_help_less_under_load(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = GOOD | {"model": "deepseek-ai/DeepSeek-R1-0528", "system": "b200_sxm"}
    rows = [base | {"concurrency": load, "mtp": guessed} for load in (4, 256) for guessed in (0, 2)]
    out = tmp_path / "out.csv"
    path = written(tmp_path / "m.csv", *rows, columns=COLUMNS + ",mtp")
    assert run(capsys, "--measurements", path, "--out", out)[0] == 0
    light, light_mtp, heavy, heavy_mtp = (float(row["predicted_tpot_ms"]) for row in csv.DictReader(out.open()))
    assert light_mtp / light < 0.75 and light_mtp / light < heavy_mtp / heavy


def test_kinds_have_other_names_and_loads_that_may_be_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.csv"
    path = written(
        tmp_path / "m.csv",
        GOOD | {"kind": "Closed Loop"},
        GOOD | {"kind": "offline", "concurrency": ""},
        GOOD | {"kind": "disaggregated"},
        columns="kind," + COLUMNS,
    )
    assert run(capsys, "--measurements", path, "--out", out)[0] == 0
    closed, offline, split = csv.DictReader(out.open())
    assert closed["predicted_tpot_ms"] and offline["predicted_output_tok_s"]
    assert not split["predicted_tpot_ms"] and "prefill_num_workers" in split["note"]
