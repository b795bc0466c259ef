"""The pair that docs/disaggregated.md works by hand: its figures are those of the answer and on the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from optimizer.facts.problem import Problem
from optimizer.questions.pools import solve_pools
from optimizer.reading.question import load_problem
from optimizer.results.pools import PoolsAnswer

ROOT = Path(__file__).resolve().parents[2]
FIGURES = {
    "prefill_p50_ms": (35.21, "35.21"),
    "transfer_ms": (0.438, "0.438"),
    "ttft_p50_ms": (112.5, "112.5"),
    "ttft_p99_ms": (300.4, "300.4"),
    "tpot_p50_ms": (8.36, "8.36"),
    "tpot_p99_ms": (9.51, "9.51"),
    "request_mean_ms": (1777.3, "1,777.3"),
}


@pytest.fixture(scope="module")
def answer() -> PoolsAnswer:
    problem = load_problem(ROOT / "problems" / "disaggregated-2xh100.yaml")
    assert isinstance(problem, Problem)
    return solve_pools(problem)


@pytest.mark.parametrize("name", FIGURES)
def test_figures_of_the_page_are_the_answers(answer: PoolsAnswer, name: str) -> None:
    value, written = FIGURES[name]
    page = (ROOT / "docs" / "disaggregated.md").read_text()
    assert written in page
    assert abs(getattr(answer.metrics, name) - value) <= 0.5 * 10 ** -len(written.partition(".")[2])


def test_what_the_example_is_worth(answer: PoolsAnswer) -> None:
    assert answer.status == "optimal" and answer.objective is not None and answer.metrics is not None
    assert answer.label == "prefill 1 × TP1 + decode 1 × TP1"
    assert abs(answer.objective.value - 1782.65) < 0.005
    assert answer.metrics.decode.concurrency_p50 == 18 and answer.metrics.decode.concurrency_p99 == 30
    assert answer.metrics.prefill.busy is not None and abs(answer.metrics.prefill.busy - 0.298) < 5e-4
