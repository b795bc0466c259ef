"""The range of every prediction: of runs that are like it, else of physics; how many runs are held, by stratum."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from tests.scripts.test_accuracy import GOOD, KIND_COLUMNS, run, written

R1 = GOOD | {"model": "deepseek-ai/DeepSeek-R1", "backend": "sglang", "system": "h200_sxm", "ep": 8}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, str]], dict[str, Any]]:
    """Rows of an H200, an MI300X, a queued and an open loop, with their ranges, and the report."""
    folder = tmp_path_factory.mktemp("ranges")
    rows = [
        R1,
        R1 | {"system": "mi300x"},
        GOOD | {"kind": "offline_max", "concurrency": 512, "output_tok_s": 5000},
        R1 | {"system": "mi300x", "kind": "open_loop", "request_rate": 2, "concurrency": 20, "osl": 32},
    ]
    path = written(folder / "m.csv", *rows, columns=KIND_COLUMNS)
    with pytest.MonkeyPatch.context() as patch:
        said: list[str] = []
        patch.setattr("builtins.print", lambda *words, **_: said.append(str(words[0])))
        import accuracy

        assert accuracy.main(["--measurements", str(path), "--out", str(folder / "out.csv"), "--json"]) == 0
    return list(csv.DictReader((folder / "out.csv").open())), json.loads(said[0])


def width(row: dict[str, str], metric: str) -> float:
    return float(row[f"{metric}_p95"]) / float(row[f"{metric}_p5"])


def test_no_run_tells_anything_of_another_makers_gpus(told: tuple[list[dict[str, str]], dict[str, Any]]) -> None:
    measured, other, _, played = told[0]
    assert not measured["note"] and other["note"].startswith("nothing like this was measured")
    assert width(other, "tpot_ms") > 1.5 * width(measured, "tpot_ms")
    assert played["note"].startswith("nothing like this was measured")
    assert float(played["tpot_ms_p5"]) < float(played["predicted_tpot_ms"]) < float(played["tpot_ms_p95"])


def test_queued_runs_have_a_range_of_tokens_per_second(told: tuple[list[dict[str, str]], dict[str, Any]]) -> None:
    queued = told[0][2]
    ends = float(queued["output_tok_s_p5"]), float(queued["output_tok_s_p95"])
    assert ends[0] < float(queued["predicted_output_tok_s"]) < ends[1]
    assert not told[0][0]["output_tok_s_p5"]


def test_how_many_are_held_is_told_by_what_they_are_like(told: tuple[list[dict[str, str]], dict[str, Any]]) -> None:
    found = {one["like"]: one for one in told[1]["inside_interval_percent_by_stratum"]}
    assert found["all"]["runs"] == 4 and found["nothing like this was measured"]["runs"] == 2
    assert found["MoE, MLA, NVLink"]["ttft"] in (0, 100)


def test_runs_labelled_as_ranks_that_were_none_tell_nothing_of_ranks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from calibration.residual_strata import mislabelled
    from optimizer.costs.measured_runs import resolve
    from optimizer.reading.measured_names import Models
    from optimizer.reading.measurements import parse

    row = {name: str(value) for name, value in GOOD.items()}
    ranks = row | {"model": "MiniMaxAI/MiniMax-M2.5", "tp": "1", "attention_dp": "4", "ep": "4", "gpus": "4"}
    models = Models()
    assert mislabelled(resolve(parse(ranks), models))
    assert not mislabelled(resolve(parse(ranks | {"backend": "sglang"}), models))
    assert not mislabelled(resolve(parse(ranks | {"tp": "4", "attention_dp": "1"}), models))
    status, _, _ = run(capsys, "--measurements", written(tmp_path / "m.csv", ranks))
    assert status == 0
