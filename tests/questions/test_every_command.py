"""Every command on every kind of problem runs, with JSON that the printed schema takes, or says what answers instead."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from optimizer.cli.program import main
from optimizer.reading.question import load_question
from optimizer.render.schemas import command_schema
from tests.questions.problems import SMALL, inventory

ROOT = Path(__file__).resolve().parents[2]
KINDS = {"hardware": "uniform", "cluster": "inventory", "chain": "chain"}
ANSWERED = {0, 1, 3}


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = command_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def ran(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    with pytest.raises(SystemExit) as left:
        main(list(arguments))
    said = capsys.readouterr()
    assert isinstance(left.value.code, int)
    return left.value.code, said.out, said.err


def questions(file: str, kind: str, out: Path, limit: str) -> list[tuple[str, ...]]:
    """Every command with options that mean something for the kind."""
    within = () if kind == "uniform" else ("--time-limit", limit)
    counts = {"inventory": (), "uniform": ("--gpus", "1,2"), "chain": ()}[kind]
    return [
        ("solve", file, "--time-limit", limit, "--json"),
        ("solve", file, "--time-limit", limit, "--full"),
        ("check", file, "--tp", "1", "--time-limit", limit, "--json"),
        ("check", file, "--tp", "1", "--time-limit", limit),
        ("why-not", file, "--tp", "1", *within, "--json"),
        ("why-not", file, "--tp", "1", *within),
        ("why-this", file, *within, "--json"),
        ("how-sure", file, *within, "--json"),
        ("sweep", file, *(counts or ("--nodes", f"{_group(file)}=1..2")), *within, "--json"),
        ("recommend", file, *counts, *within, "--json"),
        ("pareto", file, "--axes", "latency,gpus", "--points", "2", "--time-limit", limit, "--json"),
        ("report", file, "--time-limit", limit, "--no-html", "--out", str(out)),
        ("deploy", file, "--time-limit", limit),
        ("graph", file, "--format", "mermaid"),
    ]


def _group(file: str) -> str:
    question = load_question(file)
    return str(getattr(question.problem, "groups", [None])[0].name) if question.kind == "inventory" else "a"


def answers(
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    kind: str,
    validator: jsonschema.Draft202012Validator,
) -> None:
    code, out, err = ran(capsys, *arguments)
    what = " ".join(arguments)
    if code == 2:
        answered = {"chain": {"solve", "report"}, "pools": {"solve"}}
        assert kind in answered and arguments[0] not in answered[kind], f"{what}: {err}"
        assert "optimizer solve" in err or "--node" in err or "--placement" in err or "solve again" in err, (
            f"{what}: {err}"
        )
        return
    assert code in ANSWERED, f"{what}: {code} {err}"
    if "--json" not in arguments:
        assert out.strip() or arguments[0] in {"graph", "deploy"} or err, what
        return
    for data in [json.loads(line) for line in out.splitlines()] if arguments[0] == "sweep" else [json.loads(out)]:
        errors = sorted(validator.iter_errors(data), key=str)
        if errors:
            raise AssertionError(f"{what}: {jsonschema.exceptions.best_match(errors).message}")


SLOW = {("cluster", number) for number in (1, 3, 5, 6, 7)}
"""Searches of an inventory that are verified each; the same commands with other options are in the normal run."""


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        pytest.param(kind, number, marks=pytest.mark.long if (kind, number) in SLOW else ())
        for kind in sorted(KINDS)
        for number in range(14)
    ],
)
def test_each_command_on_each_kind(
    kind: str,
    number: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    validator: jsonschema.Draft202012Validator,
) -> None:
    file = tmp_path / "p.json"
    file.write_text(json.dumps(SMALL[kind]()))
    asked = questions(str(file), KINDS[kind], tmp_path / "report", "10")
    answers(capsys, asked[number], KINDS[kind], validator)


@pytest.mark.long
@pytest.mark.parametrize("file", sorted(path.name for path in (ROOT / "problems").glob("*.yaml")))
def test_each_command_on_each_problem(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], validator: jsonschema.Draft202012Validator
) -> None:
    path = str(ROOT / "problems" / file)
    question = load_question(path)
    pools = getattr(question.problem, "serving", "joint") != "joint"
    for arguments in questions(path, question.kind, tmp_path / "report", "3"):
        answers(capsys, arguments, "pools" if pools else question.kind, validator)


def test_infeasible_answers_fit_the_schema_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], validator: jsonschema.Draft202012Validator
) -> None:
    values: dict[str, Any] = inventory()
    values["workload"]["requests_per_s"] = 500
    file = tmp_path / "p.json"
    file.write_text(json.dumps(values))
    for arguments in (
        ("solve", str(file), "--json"),
        ("check", str(file), "--tp", "1", "--json"),
        ("why-not", str(file), "--tp", "1", "--json"),
        ("recommend", str(file), "--json"),
    ):
        code, out, _ = ran(capsys, *arguments)
        assert code == 1
        validator.validate(json.loads(out))


def test_the_schema_takes_nothing_else(validator: jsonschema.Draft202012Validator) -> None:
    for data in ({}, {"kind": "uniform"}, {"schema_version": "2.0", "kind": "chain", "problem": "x"}, [], 3):
        assert not validator.is_valid(data)
