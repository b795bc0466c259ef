"""``optimizer report`` as a user runs it: files, exit codes, refusals; and what other commands must not import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from optimizer.cli.program import main
from optimizer.facts.errors import ProblemError
from optimizer.reporting.curves import load_pareto, load_sweep
from optimizer.reporting.written import files as report_files
from tests.command import run
from tests.questions.problems import SMALL
from tests.report.builders import EXAMPLE


def refused(capsys: pytest.CaptureFixture[str], said: str, *arguments: str) -> None:
    """Exit code 2, and one sentence that says why."""
    with pytest.raises(SystemExit) as left:
        main(list(arguments))
    errors = capsys.readouterr().err
    assert left.value.code == 2 and errors.startswith("error: ") and said in errors and errors.count("\n") == 1


def test_three_files_and_the_verdict(tmp_path: Path) -> None:
    out = tmp_path / "new" / "report"
    result = run("report", str(EXAMPLE), "--tp", "2", "--pp", "2", "--dp", "2", "--out", str(out))
    assert result.returncode == 1, result.stderr
    assert "FAIL: TP2·PP2·DP2 breaks 2 rules." in result.stdout
    assert sorted(path.name for path in out.iterdir()) == ["report.html", "report.json", "report.md"]
    found = json.loads((out / "report.json").read_text())
    assert found["verdict"] == "fail" and found["answer"]["feasible"] is False
    assert found["derivations"]["tpot_p50_ms"]["figure"]["value"] == found["answer"]["metrics"]["tpot_p50_ms"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--engine-start-s", "-1"), "--engine-start-s"),
        (("--storage-gb-per-s", "0"), "--storage-gb-per-s"),
        (("--storage-gb-per-s", "nan"), "--storage-gb-per-s"),
        (("--tp", "0"), "--tp"),
        (("--sweep", "nowhere.jsonl"), "no such file"),
        (("--pareto", str(EXAMPLE)), "not valid JSON"),
    ],
)
def test_bad_options_are_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], said: str
) -> None:
    refused(capsys, said, "report", str(EXAMPLE), "--out", str(tmp_path / "r"), *options)


def test_a_folder_is_needed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        refused(capsys, "--out", "report", str(EXAMPLE), "--out", str(out))


@pytest.mark.parametrize("kind", ["cluster", "chain"])
def test_other_kinds_have_a_report_with_their_picture_even_without_the_extra(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(yaml.safe_dump(SMALL[kind]()))
    picture = {"cluster": "placement", "chain": "chains"}[kind]
    for lacking, files in (((), ["report.html"]), (("jinja2",), [])):
        out = tmp_path / f"r{len(lacking)}"
        monkeypatch.setattr(
            report_files, "find_spec", lambda name, lacking=lacking: None if name in lacking else object()
        )
        with pytest.raises(SystemExit) as left:
            main(["report", str(file), "--out", str(out)])
        said = capsys.readouterr().out
        assert left.value.code == 0 and "PASS: " in said
        assert ("[report]" in said and "needs jinja2" in said) is bool(lacking)
        assert sorted(path.name for path in out.iterdir()) == sorted(
            [f"{picture}.svg", "report.json", "report.md", *files]
        )
        ElementTree.parse(out / f"{picture}.svg")
        text, data = (out / "report.md").read_text(), json.loads((out / "report.json").read_text())
        assert f"]({picture}.svg)" in text and data["answer"]["status"] == "optimal"
        assert data["derivations"] and all(one["agrees"] is not False for one in data["derivations"].values())
        if files:
            assert "<title>" in (out / "report.html").read_text() and "<svg" in (out / "report.html").read_text()


def test_curves_are_read_or_refused(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text(
        '{"points": [{"request_mean_ms": 5, "availability": 0.9, "gpus": 8, "strategy": {"tensor_parallel": 8}}]}'
    )
    assert load_pareto(str(file))[0].strategy == "TP8"
    for text in (
        "[]",
        '{"points": []}',
        '{"points": [{"gpus": 8}]}',
        '{"points": [{"request_mean_ms": true}]}',
        "{",
        '{"points": 3}',
    ):
        file.write_text(text)
        with pytest.raises(ProblemError, match="--pareto"):
            load_pareto(str(file))
    lines = ['{"kind": "optimizer sweep"}', '{"gpus": 4, "status": "infeasible", "strategy": null, "metrics": null}',
             '{"gpus": 2, "status": "optimal", "strategy": "TP2", "metrics": {"request_mean_ms": 7.5}}']  # fmt: skip
    file.write_text("\n".join(lines))
    assert [(point.gpus, point.request_mean_ms) for point in load_sweep(str(file))] == [(2, 7.5), (4, None)]
    for text in (
        "",
        "3",
        '{"gpus": "many"}',
        '{"gpus": 2, "metrics": [1]}',
        '{"gpus": 2, "metrics": {"request_mean_ms": "x"}}',
    ):
        file.write_text(text)
        with pytest.raises(ProblemError, match="--sweep"):
            load_sweep(str(file))


def test_solve_and_check_import_nothing_that_draws() -> None:
    code = (
        "import sys; from optimizer.cli.program import app_of; from typer.testing import CliRunner; "
        f"r = CliRunner().invoke(app_of(), ['check', {str(EXAMPLE)!r}, '--tp', '2', '--pp', '4', '--dp', '1']); assert r.output; "
        "print(sorted({'matplotlib', 'jinja2', 'PIL'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert result.stdout.strip() == "[]", result.stderr
