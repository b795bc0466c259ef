"""Every command on every kind of problem runs, with JSON that the printed schema takes, or says what answers instead.

Each question is a call in this process with a short time limit. The ordinary run asks each of a small problem of each kind and some
of ``problems/``; ``-m long`` asks each of every file there (``-k FILE`` or ``-k COMMAND`` picks some).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from optimizer.cli.program import main
from optimizer.reading.question import load_question
from optimizer.reporting.written.schema import every_schema
from tests.questions.problems import SMALL, inventory

ROOT = Path(__file__).resolve().parents[2]
PROBLEMS = sorted(path.stem for path in (ROOT / "problems").glob("*.yaml"))
KINDS = {"hardware": "uniform", "cluster": "inventory", "chain": "chain", "models": "models", "day": "day"}
ANSWERED = {0, 1, 3}
LIMIT = ("--time-limit", "1")

Arguments = tuple[str, ...]
COMMANDS: dict[str, Callable[[str], Arguments]] = {
    "solve": lambda kind: LIMIT,
    "solve in full": lambda kind: (*LIMIT, "--full"),
    "check": lambda kind: ("--tp", "1", *LIMIT),
    "check in words": lambda kind: ("--tp", "1", *LIMIT),
    "why-not": lambda kind: ("--tp", "1", *_within(kind)),
    "why-not in words": lambda kind: ("--tp", "1", *_within(kind)),
    "why-this": lambda kind: _within(kind),
    "how-sure": lambda kind: _within(kind),
    "sweep": lambda kind: (*(("--gpus", "1,2") if kind == "uniform" else ("--nodes", "{group}=1..2")), *_within(kind)),
    "recommend": lambda kind: (*(("--gpus", "1,2") if kind == "uniform" else ()), *_within(kind)),
    "pareto": lambda kind: ("--axes", "latency,gpus", "--points", "2", *LIMIT),
    "fit": lambda kind: ("--models", "llama3.1-8b,mixtral-8x7b"),
    "compare": lambda kind: ("--types", "l40s-48gb,h100-sxm-80gb", "--gpus", "1,2,4"),
    "deploy": lambda kind: LIMIT,
    "graph": lambda kind: ("--format", "mermaid"),
    "graph in numbers": lambda kind: ("--format", "json"),
    "report": lambda kind: (*LIMIT, "--no-html", "--out", "{folder}"),
}
IN_WORDS = {"solve in full", "check in words", "why-not in words", "deploy", "graph", "graph in numbers", "report"}
WHOLE_GRAPHS = {"l40s-pcie", "llama3-70b-8xh100"}
"""Of other problems the graph in numbers is tens of megabytes; it is the same code."""
REFUSED = {
    "chain": set(COMMANDS) - {"solve", "solve in full", "report"},
    "models": set(COMMANDS) - {"solve", "solve in full"},
    "day": set(COMMANDS) - {"solve", "solve in full"},
    "inventory": {"fit", "compare"},
    "uniform": set(),
}
WITH_CHOICES = {"shared-prefix-8xh100", "speculative-8xh200"}
"""Problems that let the workload's settings be chosen: questions that compare strategies ask
for one choice, naming optimizer solve, which decides it."""
WITH_USERS = {"users-8xh200", "six-rtx-4090", "four-types-by-price"}
"""Problems of a closed loop, which a report refuses: it derives every figure from one rate."""
OF_ONE_CHOICE = {"why-not", "why-not in words", "why-this", "how-sure", "pareto"}


def _within(kind: str) -> Arguments:
    """Questions about equal nodes take no time limit: each of their searches is over in a second."""
    return () if kind == "uniform" else LIMIT


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = every_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


Asking = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Asking:
    """Exit code, standard output and standard error of a command."""

    def asked(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main(list(arguments))
        said = capsys.readouterr()
        assert isinstance(left.value.code, int)
        return left.value.code, said.out, said.err

    return asked


def fits(validator: jsonschema.Draft202012Validator, data: Any) -> None:
    errors = sorted(validator.iter_errors(data), key=str)
    assert not errors, jsonschema.exceptions.best_match(errors).message


def answers(
    ask: Asking, validator: jsonschema.Draft202012Validator, command: str, file: str, folder: Path, refused: bool
) -> None:
    """One command on one file: its exit code, and JSON as the schema says."""
    question = load_question(file)
    groups = getattr(question.problem, "groups", None)
    filled = {"{group}": f"{groups[0].name}" if groups else "a", "{folder}": str(folder)}
    options = []
    for option in COMMANDS[command](question.kind):
        for hole, value in filled.items():
            option = option.replace(hole, value)
        options.append(option)
    if command not in IN_WORDS:
        options.append("--json")
    code, out, err = ask(command.split()[0], file, *options)
    if code == 2:
        assert refused, err
        assert re.search(r"optimizer \w|--node|--placement|hardware:", err) and len(err.splitlines()) == 1, err
        return
    assert not refused, f"{command} was to be refused"
    assert code in ANSWERED, err
    if command == "report":
        fits(validator, json.loads((folder / "report.json").read_text()))
        _audited(ask, validator, file, folder, question.kind)
    elif command == "graph in numbers" and code == 0:
        fits(validator, json.loads(out))
    elif command in IN_WORDS:
        assert out.strip() or err
    else:
        for data in [json.loads(line) for line in out.splitlines()] if command == "sweep" else [json.loads(out)]:
            fits(validator, data)


def _audited(ask: Asking, validator: jsonschema.Draft202012Validator, file: str, folder: Path, kind: str) -> None:
    """The report that was just written, judged; or what else holds its figures against the problem."""
    code, out, err = ask("audit", str(folder / "report.md"), "--problem", file, "--json")
    if kind in ("uniform", "inventory"):
        assert code in (0, 1)
        fits(validator, json.loads(out))
    else:
        assert code == 2 and "optimizer check" in err and len(err.splitlines()) == 1


SLOW = {
    ("cluster", name)
    for name in ("check in words", "why-not", "why-not in words", "why-this", "how-sure", "solve in full", "graph")
}
"""Searches of an inventory that are verified each; the same commands with other options are in the ordinary run."""


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        pytest.param(kind, command, marks=pytest.mark.long if (kind, command) in SLOW else ())
        for kind in sorted(KINDS)
        for command in COMMANDS
    ],
)
def test_each_command_on_each_kind(
    kind: str, command: str, tmp_path: Path, ask: Asking, validator: jsonschema.Draft202012Validator
) -> None:
    file = tmp_path / "p.json"
    file.write_text(json.dumps(SMALL[kind]()))
    refused = command in REFUSED[KINDS[kind]]
    answers(ask, validator, command, str(file), tmp_path / "report", refused)


ORDINARY = {
    ("l40s-pcie", "report"),
    ("seven-h100", "why-not"),
    ("speculative-8xh200", "report"),
    ("trace-8xh100", "check"),
    ("paged-l4", "graph in numbers"),
    ("long-context-8xh100", "pareto"),
}


@pytest.mark.parametrize(
    ("file", "command"),
    [
        pytest.param(file, command, marks=() if (file, command) in ORDINARY else pytest.mark.long)
        for file in PROBLEMS
        for command in COMMANDS
        if command != "graph in numbers" or file in WHOLE_GRAPHS
    ],
)
def test_each_command_on_each_problem(
    file: str, command: str, tmp_path: Path, ask: Asking, validator: jsonschema.Draft202012Validator
) -> None:
    path = str(ROOT / "problems" / f"{file}.yaml")
    question = load_question(path)
    pools = getattr(question.problem, "serving", "joint") != "joint"
    refused = command in REFUSED[question.kind] or (command in OF_ONE_CHOICE and file in WITH_CHOICES)
    refused = refused or (command == "report" and file in WITH_USERS)
    refused = refused or (pools and not command.startswith(("solve", "check")))
    answers(ask, validator, command, path, tmp_path / "report", refused)


def test_infeasible_answers_fit_the_schema_too(
    tmp_path: Path, ask: Asking, validator: jsonschema.Draft202012Validator
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
        code, out, _ = ask(*arguments)
        assert code == 1
        fits(validator, json.loads(out))


def test_the_schema_takes_nothing_else(validator: jsonschema.Draft202012Validator) -> None:
    for data in ({}, {"kind": "uniform"}, {"schema_version": "2.0", "kind": "chain", "problem": "x"}, [], 3):
        assert not validator.is_valid(data)
