"""Paths that a problem or an option states: any text is one, and looking for what it names fails with a message only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from optimizer.cli.program import main
from optimizer.facts.errors import ProblemError
from optimizer.facts.text import visible
from optimizer.reading.question import load_problem, problem_from_dict
from optimizer.writing.yaml_text import yaml_text
from tests.safety import hostile

NOBODY, LONG, NUL = "~nosuchuser/x", "a" * 5_000, "a\0b"


def _with(field: str, path: str) -> dict[str, Any]:
    values = hostile.inventory() if field == "cluster prices" else hostile.uniform()
    if field.endswith("prices"):
        return {**values, "prices": path}
    if field == "trace":
        return {**values, "workload": {"trace": path}}
    if field == "profile":
        return {**values, "workload": {"prompt_tokens": 500, "output_tokens": 100, "profile": {"trace": path}}}
    if field == "draft":
        values["workload"]["speculation"] = {"method": "draft", "acceptance": 0.5, "draft_model": path}
        return values
    return {**values, "model": {"config": path} if field == "config" else path}


@pytest.mark.parametrize("path", [NOBODY, LONG, NUL, "loop", "dangling", ".", "/dev/zero"])
@pytest.mark.parametrize("field", ["prices", "cluster prices", "trace", "profile", "config", "model", "draft"])
def test_no_path_of_a_problem_is_a_defect(field: str, path: str, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ProblemError) as refused:
        problem_from_dict(_with(field, path), folder=tmp_path)
    named = {"cluster prices": "prices", "config": "model.config"}.get(field, field)
    assert named in f"{refused.value.field} {refused.value.message}" or field in ("config", "draft")
    assert len(str(refused.value)) < 1_200 and LONG[:200] not in str(refused.value)


def test_prices_are_read_where_a_price_is_stated_too(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match=r"prices: none\.yaml: no such file"):
        problem_from_dict(hostile.uniform() | {"prices": "none.yaml"}, folder=tmp_path)
    (tmp_path / "some.yaml").write_text("h100: 3\n")
    assert problem_from_dict(hostile.uniform() | {"prices": "some.yaml"}, folder=tmp_path)


PROBLEM = yaml_text(hostile.uniform())
OPTIONS = (
    "solve p.yaml --trace {}",
    "solve p.yaml --apply-repair 1 --out {}",
    "solve {}",
    "init --out {}",
    "graph p.yaml --out {}",
    "report p.yaml --out {}",
    "deploy p.yaml --out {}",
    "sweep p.yaml --gpus 1..2 --out {}",
    "sweep p.yaml --gpus 1..2 --csv {}",
    "recommend p.yaml --gpus 1..2 --prices {}",
    "audit {} --problem p.yaml",
    "audit p.yaml --problem {}",
    "calibrate {}",
    "import log {}",
    "import helix {} --out x",
    "model {}",
    "detect --smi {}",
)


@pytest.mark.parametrize("words", OPTIONS)
def test_no_path_of_an_option_is_a_defect(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.yaml").write_text(PROBLEM)
    for path in (LONG, f"{'b/' * 40}x", "nowhere/\udc80/x"):
        with pytest.raises(SystemExit) as left:
            main([path if word == "{}" else word for word in words.split()])
        said = capsys.readouterr().err
        assert left.value.code == 2 or (words.startswith("report") and path != LONG), (path[:10], said)
        if left.value.code == 2:
            assert said.startswith("error: ") and said.count("\n") == 1 and visible(said[:-1]) == said[:-1]
            assert LONG[:200] not in said and "defect" not in said
    assert sorted(one.name for one in tmp_path.iterdir() if one.name not in ("b", "nowhere")) == ["p.yaml"]


def test_a_file_s_name_is_text_where_answers_repeat_it(tmp_path: Path) -> None:
    rows = "\n".join(f"2026-01-01 00:{n // 60:02}:{n % 60:02},500,100" for n in range(120))
    (tmp_path / "a\x1b[31m\n\u202e.csv").write_text(f"TIMESTAMP,ContextTokens,GeneratedTokens\n{rows}\n")
    values = hostile.uniform() | {"workload": {"trace": "a\x1b[31m\n\u202e.csv"}}
    (tmp_path / "p.yaml").write_text(yaml_text(values))
    note = load_problem(tmp_path / "p.yaml").workload.note  # type: ignore[union-attr]
    assert note is not None and "120 requests" in note and visible(note) == note


@pytest.mark.parametrize(
    ("kind", "field", "value", "said"),
    [
        ("uniform", "model.intermediate_size", 6_144_000, "model.ffn_widths: 6144000"),
        ("uniform", "model.vocab_size", 3_200_000, "model.vocabulary: 3200000"),
        ("inventory", "model.hidden_size", 100_000_000, "model.hidden_size: 100000000"),
        ("uniform", "hardware.gpu.network_gbit_per_s", 1e15, "hardware.internode_gbit_per_s: 2000000000000000"),
        ("inventory", "cluster.1.gpu.network_gbit_per_s", 1e15, "cluster.1.internode_gbit_per_s: 2000000000000000"),
    ],
)
def test_a_figure_that_follows_and_is_out_of_range_is_input(kind: str, field: str, value: Any, said: str) -> None:
    """From the fuzzer: each figure is within its own range, and what the facts make of it is not."""
    build = hostile.uniform if kind == "uniform" else hostile.inventory
    *parents, last = field.split(".")
    values = inner = build()
    for parent in parents:
        inner = inner[int(parent)] if isinstance(inner, list) else inner[parent]
    inner[last] = value
    with pytest.raises(
        ProblemError, match="which follows from what is stated, is not allowed; it must be at most"
    ) as refused:
        problem_from_dict(values)
    assert str(refused.value).startswith(said)
