"""``sweep`` and ``recommend`` as a user runs them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from optimizer.render.sweep_plot import plot
from optimizer.sweeps.points import point_from_data
from tests.command import run
from tests.sweep.problems import scenarios, written


def test_sweep_says_what_the_curve_says(tmp_path: Path) -> None:
    result = run("sweep", written(tmp_path), "--gpus", "1..12")
    assert result.returncode == 0, result.stderr
    for words in (
        "Fewest GPUs that meet everything",
        "bends most",
        "Cheapest:",
        "never worse",
        "12 of 12 points proved",
    ):
        assert words in result.stdout
    assert "\x1b[" not in result.stdout and not result.stderr


def test_sweep_json_is_one_object_a_line_in_order(tmp_path: Path) -> None:
    asked = scenarios(tmp_path, {"cross": {"workload.requests_per_s": [4, -4]}})
    result = run("sweep", written(tmp_path), "--gpus", "1..6", "--scenarios", asked, "--json", "--workers", "2")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["index"] for row in rows] == list(range(12))
    assert [row["gpus"] for row in rows] == [1, 2, 3, 4, 5, 6] * 2
    for row in rows[:6]:
        assert row["status"] == "optimal" and row["strategy"]["gpus"] <= row["gpus"]
        assert row["metrics"]["ttft_p99_ms"] <= 900 and row["verification"]["passed"]
    assert all(row["status"] == "error" and "requests_per_s" in row["error"] for row in rows[6:])


def test_files(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra [plot]")
    out = {kind: tmp_path / f"curve.{kind}" for kind in ("jsonl", "csv", "svg")}
    command = ["sweep", written(tmp_path), "--gpus", "1..6", "--out", str(out["jsonl"]), "--csv", str(out["csv"])]
    result = run(*command, "--plot", str(out["svg"]))
    assert result.returncode == 0, result.stderr
    rows = [json.loads(line) for line in out["jsonl"].read_text().splitlines()]
    assert rows[0]["kind"] == "optimizer sweep" and [row["gpus"] for row in rows[1:]] == [1, 2, 3, 4, 5, 6]
    table = list(csv.DictReader(out["csv"].open()))
    assert [row["strategy"] for row in table] == [row["strategy"]["label"] for row in rows[1:]]
    assert float(table[0]["ttft_p99_ms"]) == rows[1]["metrics"]["ttft_p99_ms"]
    picture = out["svg"].read_bytes()
    assert picture.startswith(b"<?xml") and b"GPUs there are" in picture
    points = [point_from_data(row) for row in rows[1:]]
    limits = {"ttft_p99_ms": 900.0, "tpot_p99_ms": 60.0}
    assert plot(points, "small", "again.svg", limits) == picture
    assert plot(points, "small", "curve.png").startswith(b"\x89PNG")


def test_parquet_is_the_same_table(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra [parquet]")
    asked = scenarios(tmp_path, {"cross": {"search.weight_precision": [["bf16"], ["fp8", "bf16"]]}})
    out, table = tmp_path / "p.parquet", tmp_path / "p.csv"
    result = run(
        "sweep", written(tmp_path), "--gpus", "1,4", "--scenarios", asked, "--parquet", str(out), "--csv", str(table)
    )
    assert result.returncode == 0, result.stderr
    rows = parquet.read_table(out).to_pylist()
    assert [row["search.weight_precision"] for row in rows] == ["bf16", "bf16", "fp8+bf16", "fp8+bf16"]
    assert [row["strategy"] for row in rows] == [row["strategy"] for row in csv.DictReader(table.open())]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--gpus", "many"], "--gpus: 'many' names no counts of GPUs"),
        ([], "for one point use optimizer solve"),
        (["--gpus", "1..4", "--by", "rack"], "--by: 'rack' is not known"),
        (["--gpus", "1..4", "--plot", "curve.pdf"], "neither .png nor .svg"),
        (["--gpus", "1..4", "--csv", "/nowhere/at/all.csv"], "--csv: /nowhere/at/all.csv cannot be written"),
        (["--gpus", "1..4", "--address", "auto"], "belongs to --executor ray"),
        (["--gpus", "1..4", "--scenarios", "nowhere.yaml"], "no such file"),
        (["--gpus", "1..4", "--prices", "nowhere.yaml"], "no such file"),
        (["--gpus", "1..4", "--out", "/nowhere/at/all.jsonl"], "--out: /nowhere/at/all.jsonl cannot be written"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    result = run("sweep", written(tmp_path), *arguments)
    assert result.returncode == 2 and said in result.stderr
    assert "Traceback" not in result.stderr and result.stderr.count("\n") == 1


def test_nothing_feasible_has_an_exit_code_of_its_own(tmp_path: Path) -> None:
    asked = {"prompt_tokens": 200, "output_tokens": 20, "requests_per_s": 5000}
    problem = written(tmp_path, workload=asked)
    result = run("sweep", problem, "--gpus", "1..3")
    assert result.returncode == 1 and "No count that was asked meets everything" in result.stdout
    result = run("recommend", problem, "--gpus", "1..3")
    assert result.returncode == 1 and "Nothing that is allowed meets everything" in result.stdout


def test_recommend(tmp_path: Path) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_text("l4: 0.7\nh100: 3\n")
    problem = written(tmp_path, workload={"prompt_tokens": 200, "output_tokens": 20, "requests_per_s": 30})
    result = run("recommend", problem, "--types", "l4,h100", "--least", "price", "--prices", str(prices), "--json")
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    assert found["verified"] and found["point"]["status"] == "optimal"
    price = {"l4": 0.7, "h100": 3}[found["point"]["values"]["hardware.gpu"]]
    assert found["cost"] == pytest.approx(price * found["point"]["gpus"])
    said = run("recommend", problem).stdout
    assert "proved least" in said and "verified by independent enumeration" in said
