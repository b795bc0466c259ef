"""One door: every kind of problem through the same functions and commands, one JSON envelope, one schema."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import wrap
from typing import Any

import jsonschema
import pytest

import optimizer
from optimizer.reading.templates import FOLDER, template
from optimizer.render.envelope import CORE, answer_schema, envelope
from tests.command import run
from tests.questions.problems import SMALL

ROOT = Path(__file__).resolve().parents[2]
KINDS = {
    "hardware": "uniform",
    "cluster": "inventory",
    "chain": "chain",
    "models": "models",
    "cluster-models": "cluster_models",
    "day": "day",
}


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    found = answer_schema()
    jsonschema.Draft202012Validator.check_schema(found)
    return found


def small(kind: str) -> dict[str, Any]:
    """A problem of each kind that is solved at once."""
    return SMALL[kind]()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_solve_takes_every_kind_and_the_envelope_is_one(kind: str, schema: dict[str, Any]) -> None:
    problem = optimizer.problem_from_dict(small(kind))
    data = json.loads(json.dumps(envelope(optimizer.solve(problem))))
    assert list(data)[: len(CORE)] == list(CORE)
    assert data["kind"] == KINDS[kind] and data["schema_version"] == "2.0"
    assert data["status"] == "optimal" and data["verification"]["passed"]
    if kind == "day":
        assert data["cost"]["gpu_hours"] == pytest.approx(data["bound"]) and len(data["hours"]) == 24
        jsonschema.validate(data, schema)
        return
    assert data["objective"]["gap"] <= 1e-9 and data["metrics"]["tokens_per_s"] > 0
    jsonschema.validate(data, schema)


@pytest.mark.parametrize("kind", ["hardware", "cluster"])
@pytest.mark.parametrize("tensor", [1, 2, 16])
def test_check_answers_fit_the_schema_feasible_or_not(kind: str, tensor: int, schema: dict[str, Any]) -> None:
    problem = optimizer.problem_from_dict(small(kind))
    answer = optimizer.check(problem, optimizer.Fixed(tensor_parallel=tensor))
    data = json.loads(json.dumps(envelope(answer)))
    jsonschema.validate(data, schema)
    assert data["feasible"] is (tensor <= 2) and data["optimum"]["status"] == "optimal"
    if tensor > 2:
        assert data["conflicts"]


def test_the_schema_refuses_what_is_no_answer(schema: dict[str, Any]) -> None:
    data = json.loads(json.dumps(envelope(optimizer.solve(optimizer.problem_from_dict(small("chain"))))))
    for broken in ({**data, "kind": "uniform"}, {**data, "more": 1}, {k: v for k, v in data.items() if k != "status"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, schema)


@pytest.mark.parametrize("kind", ["hardware", "cluster"])
def test_why_questions_take_both_kinds(kind: str) -> None:
    problem = optimizer.problem_from_dict(small(kind))
    found = optimizer.why_not(problem, optimizer.Fixed(tensor_parallel=2))
    assert found.verdict in {"best", "worse", "tie"} and found.sentences
    impossible = optimizer.why_not(problem, optimizer.Fixed(tensor_parallel=16))
    assert impossible.verdict == "not allowed" and impossible.conflicts
    assert optimizer.why_this(problem).worths


def test_one_node_more_is_worth_what_solving_with_it_says() -> None:
    alone = {"preset": "balanced", "tolerance": 0}  # worth is a difference of objectives, whatever is spent
    problem = optimizer.problem_from_dict(small("cluster") | {"objective": alone})
    worth = optimizer.why_this(problem).worths[0]
    values = small("cluster") | {"objective": alone}
    values["cluster"][0]["nodes"] = 3
    bigger = optimizer.solve(optimizer.problem_from_dict(values))
    before = optimizer.solve(problem)
    assert worth.changes == {"cluster.0.nodes": 3}
    assert worth.gain_ms == before.objective.value - bigger.objective.value


@pytest.mark.parametrize("question", ["why_not", "why_this", "how_sure", "check", "sweep", "recommend", "pareto"])
def test_a_chain_says_what_answers_instead(question: str) -> None:
    problem = optimizer.problem_from_dict(small("chain"))
    more: tuple[Any, ...] = (optimizer.Fixed(tensor_parallel=1),) if question in {"why_not", "check"} else ()
    with pytest.raises(optimizer.ProblemError, match="chain") as refused:
        found = getattr(optimizer, question)(problem, *more)
        list(found)
    assert "optimizer solve" in str(refused.value) or "solve again" in str(refused.value)


def test_something_else_is_no_problem() -> None:
    with pytest.raises(TypeError, match="load_problem"):
        optimizer.solve({"hardware": {}})


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_templates_are_answered_as_they_are(kind: str, tmp_path: Path) -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(KINDS)
    file = tmp_path / "new.yaml"
    assert run("init", "--kind", kind, "--out", str(file)).returncode == 0
    assert file.read_text() == template(kind)
    assert run("init", "--kind", kind, "--out", str(file)).returncode == 2
    solved = run("solve", str(file), "--json")
    assert solved.returncode == 0 and json.loads(solved.stdout)["kind"] == KINDS[kind]


ASKED = ("--gpu", "h100-sxm-80gb", "--gpus", "2", "--model", "llama3.1-8b", "--prompt", "500", "--output", "100")


def test_a_question_on_one_line_and_its_file_have_one_answer(tmp_path: Path) -> None:
    file = tmp_path / "asked.yaml"
    limits = ("--rate", "2", "--tpot-p99", "50", "--max-sequence", "2048")
    asked = run("solve", *ASKED, *limits, "--save", str(file), "--json")
    again = run("solve", str(file), "--json")
    assert asked.returncode == again.returncode == 0, asked.stderr
    assert json.loads(asked.stdout) == json.loads(again.stdout)
    assert "#" in file.read_text()
    checked = run("check", *ASKED, *limits, "--tp", "2", "--json")
    assert json.loads(checked.stdout)["strategy"]["tensor_parallel"] == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "PROBLEM: needs a problem file, or --gpu"),
        (ASKED, "--rate"),
        ((*ASKED, "--rate", "1", "--gpus", "12"), "--gpus: 12 GPUs are not whole nodes of 8"),
        (("problems/l40s-pcie.yaml", "--gpu", "l4-24gb"), "--gpu: asks without a file"),
        (("problems/l40s-pcie.yaml", "--save", "x.yaml"), "--save: asks without a file"),
    ],
)
def test_half_a_question_is_one_sentence(arguments: tuple[str, ...], said: str) -> None:
    done = run("solve", *arguments)
    assert done.returncode == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1


def test_one_screen_by_default_and_every_table_on_request() -> None:
    short, full = (run("solve", "problems/llama3-70b-8xh100.yaml", *more).stdout for more in ((), ("--full",)))
    assert len(short.splitlines()) <= 42 < len(full.splitlines())
    # Lines as a terminal of 120 columns breaks them.
    assert sum(max(1, len(wrap(line, 120))) for line in short.splitlines()) <= 45
    assert "vllm serve" in short and "Verified" in short and "proved best" in short
    assert "Sequences per replica considered" in full and "Sequences per replica considered" not in short


def test_the_version_is_said() -> None:
    assert run("--version").stdout.strip() == f"optimizer {optimizer.__version__}"
