"""Every derivation's arithmetic, evaluated as it is written in the documents, gives the figure beside it, units included."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from optimizer import Fixed, check, problem_from_dict, solve
from optimizer.reporting import build
from optimizer.reporting.build import Built
from optimizer.reporting.ledger import Ledger, gives
from optimizer.reporting.pictures.of_report import first_token_terms
from optimizer.reporting.recommend import Recommendations
from optimizer.reporting.written.markdown import report_markdown
from tests.generate import random_problem
from tests.report.builders import CASES, PROPOSED, case, example
from tests.report.written import figure_of, value_of

ENTRY = re.compile(r'<a id="d-([^"]+)"></a>\n\n\*\*(.*?)\*\*  \n(.*?)(?=\n\n)', re.S)


def entries(markdown: str) -> Iterator[tuple[str, str, str]]:
    """(anchor, numbers, figure) of every derivation that is written with numbers."""
    for anchor, _, body in ENTRY.findall(markdown):
        line = next((line for line in body.splitlines() if line.startswith("`= ")), None)
        if line is not None:
            numbers, figure = line.strip(" `").removeprefix("= ").rsplit(" = ", 1)
            yield anchor, numbers, figure


def rounding(figure: str) -> float:
    """Share of the last digit that rounding may take: half, or one where a share of requests is rounded down."""
    return 1.001 if re.fullmatch(r"\d+\.\d{5}%", figure) else 0.501


def wrong(built: Built, least: int = 31) -> list[str]:
    """Derivations whose written numbers do not give the printed figure."""
    found, seen = [], 0
    for anchor, numbers, figure in entries(report_markdown(built.report)):
        seen += 1
        got, (shown, last) = value_of(numbers), figure_of(figure)
        close = abs(float(got.value) - float(shown.value)) <= float(last) * rounding(figure) + 1e-9 * abs(
            float(shown.value)
        )
        same = got.dims == shown.dims or not got.value or not shown.value
        if not close or not same:
            found.append(f"{anchor}: {numbers} = {float(got.value)} {got.dims}, printed {figure}")
    assert seen >= least
    return found


@pytest.mark.parametrize("name", CASES)
def test_written_numbers_give_the_printed_figure(name: str) -> None:
    assert wrong(case(name)) == []
    assert case(name).report.disagreeing == ()


@pytest.mark.parametrize("seed", range(8))
def test_random_problems(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Feasible or not, of any model and cluster; what would gain something is not asked here."""
    monkeypatch.setattr(build, "advice_of", lambda *_: Recommendations(()))
    problem = problem_from_dict(random_problem(seed))
    answer = (
        check(problem, Fixed(data_parallel=1 + seed % 3), repairs=False) if seed % 2 else solve(problem, repairs=False)
    )
    built = build.build_report(problem, answer)
    assert built.report.disagreeing == ()
    assert wrong(built, least=8) == []


MIXED = {"prompt_tokens": {"mean": 1155, "p50": 1020, "p99": 4142}, "output_tokens": {"mean": 211, "cv": 0.8}}
LIKE = {"prompt_tokens": 1500, "output_tokens": 200}
GUESSES = {"method": "ngram", "acceptance": 0.6, "tokens": 2}
WORKLOADS: dict[str, tuple[str, dict[str, Any], Fixed]] = {
    "prefixes": ("llama3.1-70b", {**LIKE, "prefix": {"shared_tokens": 500, "hit_rate": 0.3}}, Fixed(4, 1, 2)),
    "prefixes of mixed lengths, guesses, stages": (
        "llama3.1-70b",
        {**MIXED, "prefix": {"shared_tokens": 100}, "speculation": GUESSES},
        Fixed(2, 4, 1),
    ),
    "a module of the model guesses": (
        "deepseek-v3",
        {**LIKE, "speculation": {"method": "mtp", "acceptance": 0.8, "tokens": 2}},
        Fixed(8, 1, 1, 8),
    ),
    "a draft guesses, stages": (
        "llama3.1-70b",
        {**LIKE, "speculation": {"method": "draft", "acceptance": 0.7, "tokens": 3, "draft_model": "llama3.2-1b"}},
        Fixed(4, 2, 1),
    ),
}


@pytest.mark.parametrize("name", WORKLOADS)
def test_what_changes_the_work_of_a_token(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefixes, guesses, laws of lengths and goodput; what would gain something is not asked here."""
    monkeypatch.setattr(build, "advice_of", lambda *_: Recommendations(()))
    model, work, fixed = WORKLOADS[name]
    gpu = "h200-sxm-141gb" if model == "deepseek-v3" else "h100-sxm-80gb"
    problem = problem_from_dict(
        {
            "hardware": {"gpu": gpu, "nodes": 1},
            "model": model,
            "workload": {"requests_per_s": 2, **work},
            "requirements": {
                "max_batch": 64,
                "max_sequence_tokens": 8192,
                "e2e_p99_ms": 60_000,
                "goodput": {"share": 0.95, "ttft_ms": 3000, "tpot_ms": 100},
            },
        }
    )
    answer = check(problem, fixed, repairs=False)
    assert answer.verification.passed and answer.feasible is not None
    built = build.build_report(problem, answer)
    assert built.report.disagreeing == ()
    assert wrong(built) == []
    assert built.subject is not None and answer.metrics is not None
    pictured = first_token_terms(built.subject)  # of mixed lengths it ended in a KeyError
    assert bool(pictured) is not problem.workload.mixed
    assert not pictured or sum(ms for _, ms in pictured) == pytest.approx(answer.metrics.ttft_p99_ms)


def test_the_case_the_project_was_created_from() -> None:
    for built in (example(), example(PROPOSED)):
        assert wrong(built) == []
        assert built.report.disagreeing == ()


def test_a_wrong_digit_is_seen() -> None:
    _, numbers, figure = next(e for e in entries(report_markdown(example().report)) if e[0] == "ttft_p99_ms")
    changed = numbers.replace("16 ms", "17 ms", 1)
    assert changed != numbers
    got, (shown, last) = value_of(changed), figure_of(figure)
    assert abs(float(got.value) - float(shown.value)) > float(last) / 2
    assert not gives(changed, example().subject.metrics.ttft_p99_ms, "ms")  # type: ignore[union-attr, arg-type]


@pytest.mark.parametrize(
    ("numbers", "value", "unit", "good"),
    [
        ("2 × 3 GiB", 6 * 1024**3, "B", True),
        ("2 × 3 GB", 6 * 1024**3, "B", False),
        ("6 B / (2 GB/s)", 3e-6, "ms", True),
        ("6 B / (2 GB/s)", 3e-6, "s", False),
        ("6 B + 2 ms", 8, "B", False),
        ("1 / 0", 1, "", False),
        ("1 +", 1, "", False),
        ("max(1, 1,000) − 0.5", 999.5, "", True),
        ("(1 − 0.5) ^ 2 × 8 requests/s", 2, "requests/s", True),
        ("ceil(7 / 2) × 1 %", 4, "%", True),
    ],
)
def test_values_and_units_are_both_held_against_the_figure(numbers: str, value: float, unit: str, good: bool) -> None:
    assert gives(numbers, value, unit) is good


def test_a_derivation_that_does_not_add_up_is_said_to_be_one() -> None:
    ledger = Ledger()
    ledger.derive("a", "A", "x + y", "1 ms + 1 ms", 3.0, "ms")
    assert [one.agrees for one in ledger.derivations] == [False]


def test_every_input_is_a_derivation() -> None:
    for name in CASES:
        ids = {one.id for one in case(name).report.derivations}
        for one in case(name).report.derivations:
            assert set(one.inputs) <= ids
