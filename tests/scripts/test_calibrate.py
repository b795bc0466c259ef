"""The fit and what it writes: it finds constants it was given, and replaces only its own part of constants.yaml."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from optimizer.catalog.constants import CONSTANTS_FILE, ClosedLoopConstants, CostConstants, constants
from tests.conftest import ROOT


def test_only_the_fitted_parts_of_the_file_change() -> None:
    from calibration.constants_file import with_section, with_values

    text = CONSTANTS_FILE.read_text()
    changed = with_section(with_values(text, {"t_layer": 0.123456}), "closed_loop", {"other": {"bunching": 0.5}})
    before, after = yaml.safe_load(text), yaml.safe_load(changed)
    assert after["values"].pop("t_layer") == 0.1235 and after.pop("closed_loop") == {"other": {"bunching": 0.5}}
    before["values"].pop("t_layer"), before.pop("closed_loop")
    assert before == after
    with pytest.raises(KeyError):
        with_values(text, {"no_such_constant": 1.0})


def test_a_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    from calibration.constants_file import write

    path = tmp_path / "c.yaml"
    path.write_text("a: 1\n")
    write(path, "a: 2\n")
    assert path.read_text() == "a: 2\n" and list(tmp_path.iterdir()) == [path]
    with pytest.raises(yaml.YAMLError):
        write(path, "a: [")
    assert path.read_text() == "a: 2\n"


def test_every_fitted_constant_has_a_history() -> None:
    fitting = pytest.importorskip("calibration.fitting", reason="needs scipy: pip install -e .[calibrate]")
    history = yaml.safe_load(CONSTANTS_FILE.read_text())["fitted"]
    ranges = history["range_leaving_one_model_out"]
    assert set(fitting.STEP) <= set(ranges) and {"vllm.bunching", "trtllm.steps"} <= set(ranges)
    for name in fitting.STEP:
        low, high = ranges[name]
        assert 0.95 * low <= getattr(constants(), name) <= 1.05 * high
    assert set(history["fixed"]) | set(fitting.STEP) <= set(CostConstants.model_fields)
    assert history["data"] and history["date"] and history["models"]


def test_the_fit_finds_the_constants_behind_made_up_runs() -> None:
    fitting = pytest.importorskip("calibration.fitting", reason="needs scipy: pip install -e .[calibrate]")
    from optimizer.costs.corpus import Corpus
    from optimizer.costs.measured_runs import resolve
    from optimizer.reading.measured_names import Models
    from optimizer.reading.measurements import parse

    fields = ("model", "system", "backend", "precision", "isl", "osl", "concurrency", "tp", "ttft_ms", "tpot_ms")
    models, rows = Models(), []
    for model, precision in (
        ("llama3.1-8b", "bf16"),
        ("llama3.1-70b", "fp8"),
        ("gpt-oss-120b", "fp4"),
        ("qwen3-30b-a3b", "fp8"),
    ):
        for tp in (1, 2, 8):
            for concurrency in (1, 8, 64):
                for prompt in (256, 4096):
                    values = (model, "h200_sxm", "vllm", precision, prompt, 512, concurrency, tp, 1, 1)
                    rows.append(dict(zip(fields, map(str, values), strict=True)))
    truth = fitting.Fitted(
        constants().model_copy(update={"t_layer": 0.06, "t_tp": 0.03, "t_touched": 3e-4}),
        {
            "vllm": ClosedLoopConstants(bunching=0.2, start_ms=20, steps=5),
            "other": ClosedLoopConstants(bunching=0.1, start_ms=30, steps=5),
        },
    )
    corpus = Corpus([resolve(parse(row), models) for row in rows])
    corpus.measured = truth.predict(corpus)
    found = fitting.Fitting(corpus, None).solve(
        ["t_layer", "t_tp", "t_touched", "vllm.bunching", "vllm.start_ms", "vllm.steps"],
        {name: getattr(constants(), name) for name in fitting.STEP},
        (1.0, 0.7, 0.5, 0.0),
        0.05,
    )
    for name, value in truth.values().items():
        if name in found:
            assert np.isclose(found[name], value, rtol=0.02), name


def test_the_document_shows_what_the_command_prints() -> None:
    from calibration import document

    text = document.DOCUMENT.read_text(encoding="utf-8")
    assert document.filled(text) == text, "run python scripts/calibrate.py … --write"


@pytest.mark.long
def test_the_shipped_constants_are_what_the_fit_gives(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("scipy", reason="needs scipy: pip install -e .[calibrate]")
    import calibrate

    history = yaml.safe_load(CONSTANTS_FILE.read_text())["fitted"]
    paths = [ROOT.parent / "shared" / "data" / entry.split(",")[0] for entry in history["data"]]
    if not all(path.is_file() for path in paths):
        pytest.skip("needs ../shared, which exists in development and CI only")
    found = calibrate.studied(calibrate.read_runs(paths))
    assert calibrate.stale(found) == []


def test_intervals_hold_what_they_should_wherever_two_models_were_measured() -> None:
    from optimizer.catalog.accuracy import strata

    shares = [share for stratum in strata() for share in stratum.coverage if share is not None]
    assert len(shares) > 20 and min(shares) >= 85 and max(shares) <= 95
