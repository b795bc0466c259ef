"""Files that are no problem files: prices, constants, logs, results, reports. Each is a regular file of a bounded size, read as written."""

from __future__ import annotations

import csv
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from optimizer.catalog.constants import stated_basis
from optimizer.checkpoints.headers import stored
from optimizer.cli.audit import _read as read_report
from optimizer.cli.calibrate import _use as use_constants
from optimizer.cli.program import main
from optimizer.facts.errors import ProblemError
from optimizer.facts.text import visible
from optimizer.reading.benchmarks import benchmark_rows
from optimizer.reading.documents import Refused, yaml_values
from optimizer.reading.measurements import read_table
from optimizer.reading.prices import dated, load_prices
from optimizer.reading.start_log import read_start_log, start_log

READERS: dict[str, Callable[[str], Any]] = {
    "prices": load_prices,
    "date of prices": dated,
    "constants": use_constants,
    "start log": lambda path: read_start_log(Path(path)),
    "results": lambda path: benchmark_rows(Path(path), {}),
    "runs": lambda path: read_table(Path(path)),
    "report": read_report,
}


@pytest.mark.parametrize("reader", READERS)
def test_only_regular_files_of_a_bounded_size_are_read(reader: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "large").open("wb") as stream:
        stream.truncate(1 << 32)
    for path in (
        tmp_path / "pipe",
        Path("/dev/zero"),
        tmp_path,
        tmp_path / "none",
        tmp_path / "large",
        tmp_path / "\udc80",
    ):
        with pytest.raises(ProblemError) as refused:
            READERS[reader](str(path))
        assert len(str(refused.value)) < 400 and visible(str(refused.value)) == str(refused.value)


def test_a_pipe_among_the_tensors_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.safetensors")
    assert stored(tmp_path, 2) is None
    (tmp_path / "model.safetensors.index.json").write_text("[" * 100_000)
    with pytest.raises(ProblemError, match="cannot be read"):
        stored(tmp_path, 2)


@pytest.mark.parametrize("text", ["[" * 100_000, "- " * 100_000, "{a: " * 60_000, "? " * 60_000])
def test_yaml_is_nested_no_deeper_than_files_need(text: str) -> None:
    """Older versions of libyaml end the process, which no exception tells."""
    with pytest.raises(Refused, match=r"nesting depth"):
        yaml_values(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("date: 5", "is no day"),
        ('date: "a\\u202eb"', "is no day"),
        ("date: [1]", "is no day"),
        ("h100: 2\nh100-sxm-80gb: 3", "a price already"),
        ("h100: 2\nh100: 3", "twice"),
        ("h100: 010", "is no price"),
        ("h100: yes", "is no price"),
        ('h100: "2"', "is no price"),
        ("h100: .inf", "is no price"),
        ("h100: 1e308", "is no price"),
        ("h100: {price_per_node_hour: 3, gpus_per_node: 100000000000000000000}", "from 1 to"),
        ("h100: {price_per_gpu_hour: 2, source: {a: b}}", "is no text"),
        ("h100: {price_per_gpu_hour: 2, date: tomorrow}", "is no day"),
    ],
)
def test_prices_are_read_as_written(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(text + "\n")
    with pytest.raises(ProblemError, match=said):
        load_prices(file)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("values: {}\nvalues: {}", "twice"),
        ("valuess: {}\nvalues: {}", "did you mean values"),
        ("basis: [a]\nvalues: {}", "has to be a text"),
        ('basis: "a\\u202eb"\nvalues: {}', "cannot be seen"),
        ("values: {t_layer: yes}", "above zero"),
        ("values: {t_layer: " + "9" * 5000 + "}", "digits|above zero"),
    ],
)
def test_constants_are_read_as_written(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(text + "\n")
    with pytest.raises(ProblemError, match=said):
        use_constants(str(file))
    assert stated_basis() is None


LOG = "Model loading took 15.0 GiB\nGPU KV cache size: 100,000 tokens\n"


@pytest.mark.parametrize(
    "more",
    [
        "9" * 300_000,
        "vllm " + " " * 300_000,
        "non_torch_memory takes" + " " * 300_000,
        "Graph capturing finished in " * 4_000,
        "1." * 99_999,
    ],
    ids=["digits", "blanks", "blanks in front", "beginnings", "dots"],
)  # fmt: skip
def test_a_line_of_any_length_is_read_in_time(more: str) -> None:
    start = time.monotonic()
    assert start_log(f"{LOG}{more}\n", "log").weights_gib == 15
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    "more", ["1,2.3.4 GiB for peak activation", "tensor_parallel_size=0", f"tensor_parallel_size={'9' * 9000}"]
)
def test_figures_of_a_log_are_numbers_or_refused(more: str) -> None:
    try:
        found = start_log(f"{LOG}{more}\n", "log")
    except ProblemError as refused:
        assert len(str(refused)) < 300
    else:
        assert found.tp is not None and found.tp < 10**12


RESULT = {
    "mean_ttft_ms": 10, "model_id": "llama3-8b", "completed": 10, "max_concurrency": 4, "total_input_tokens": 1000,
    "total_output_tokens": 1000, "mean_tpot_ms": 10, "tensor_parallel_size": 1,
}  # fmt: skip


def test_a_figure_in_results_may_have_any_size(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    file.write_text(json.dumps({**RESULT, "total_input_tokens": 10**4000}))
    with pytest.raises(ProblemError, match="isl"):
        benchmark_rows(file, {"system": "h100"})


@pytest.mark.parametrize("model", [{"a": 1}, ["x"], "a\nb", "a\u202eb", "a" * 10_000])
def test_a_name_in_results_is_a_name(model: Any, tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    file.write_text(json.dumps({**RESULT, "model_id": model}))
    with pytest.raises(ProblemError, match="model"):
        benchmark_rows(file, {"system": "h100"})
    file.write_text('{"mean_ttft_ms": 1, "mean_ttft_ms": 2, "model_id": "x"}')
    with pytest.raises(ProblemError, match="once"):
        benchmark_rows(file, {"system": "h100"})


def test_names_are_no_formulas_and_no_yaml(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names of files and models, in the CSV of ``import runs`` and in the constants of ``calibrate``."""
    result, runs = tmp_path / "=cmd.json", tmp_path / "a: [b # c.csv"
    result.write_text(json.dumps({**RESULT, "model_id": "=cmd()"}))
    with pytest.raises(SystemExit):
        main(["import", "runs", str(result), "--out", str(runs), "--system", "h100"])
    row = next(csv.DictReader(runs.open()))
    assert row["model"] == "'=cmd()" and row["source"].startswith("'=")
    from types import SimpleNamespace

    from optimizer.render.calibrate import calibrated_yaml

    found: Any = SimpleNamespace(runs=3, values={}, engines={})
    for name in (runs.name, "a\nvalues: {t_layer: 1}", "\u202e"):
        assert yaml_values(calibrated_yaml(found, name).replace("closed_loop:", ""))["basis"].startswith("3 runs of ")
