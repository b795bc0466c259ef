"""Costs from measured tables, with a stand-in for the package: what is asked, and what stays analytic with a note."""

from __future__ import annotations

import pytest

from optimizer.costs.analytic import AnalyticCosts
from optimizer.costs.corrected import CorrectedCosts
from optimizer.costs.measured import MeasuredTables, measured_costs
from optimizer.costs.shapes import Shape
from optimizer.facts.errors import ProblemError
from optimizer.facts.problem import Problem
from optimizer.reading.load import problem_from_dict
from optimizer.results.answer import Fixed
from optimizer.search.uniform.space import build_space


class Engine:
    def __init__(self, shape: Shape) -> None:
        self.shape = shape

    def decode_step_latency(self, n: int, prompt: int, output: int) -> float:
        return 5.0 / self.shape.tp + n / 10

    def predict_prefill_latency(self, count: int, prompt: int) -> float:
        return -1.0 if self.shape.tp == 4 else 40.0 / self.shape.tp


class Panic(BaseException):
    pass


@pytest.fixture
def stated() -> Problem:
    return problem_from_dict(
        {
            "hardware": {"gpu": "h100", "nodes": 1},
            "model": "llama3.1-8b",
            "workload": {"prompt_tokens": 1024, "output_tokens": 256, "requests_per_s": 8},
            "requirements": {"max_batch": 32, "max_sequence_tokens": 4096},
            "search": {"pipeline_parallel": [1, 2]},
        }
    )


def opened(shape: Shape) -> Engine:
    if shape.tp == 8:
        raise Panic("no such\n table")
    return Engine(shape)


def test_tables_replace_times_and_failures_stay_analytic_with_a_note(stated: Problem) -> None:
    facts = measured_costs(stated, build_space(stated).shapes, MeasuredTables(opened))
    assert [one.key[:3] for one in facts.corrections] == [(1, 1, 1), (2, 1, 1)]
    notes = "\n".join(facts.notes)
    assert "TP8·PP1 bf16/bf16: Panic: no such table" in notes
    assert "TP4·PP1 bf16/bf16: the tables gave no positive time" in notes
    assert "TP1·PP2" in notes
    shape = Shape(2, 1, 1, "bf16", "bf16", (stated.model.layers,))
    service = CorrectedCosts(stated, [shape], facts).service(8)
    assert service.round_ms[0, 7] == pytest.approx(5 / 2 + 0.8, rel=1e-3)
    assert service.prompt_sum_ms[0] == pytest.approx(20, rel=1e-3)
    assert service.tpot_ms[0, 7] == pytest.approx(5 / 2 + 0.8 + 7 / 256 * 20, rel=1e-3)


def test_nothing_is_asked_that_does_not_fit() -> None:
    big = problem_from_dict(
        {
            "hardware": {"gpu": "l4", "nodes": 1},
            "model": "llama3.1-70b",
            "workload": {"prompt_tokens": 1024, "output_tokens": 256, "requests_per_s": 1},
            "search": {"pipeline_parallel": [1]},
        }
    )
    asked: list[Shape] = []

    def note(shape: Shape) -> Engine:
        asked.append(shape)
        return Engine(shape)

    facts = measured_costs(big, build_space(big, Fixed(tensor_parallel=1)).shapes, MeasuredTables(note))
    assert not asked and not facts.corrections
    assert "does not fit into memory" in facts.notes[0]
    assert AnalyticCosts.source == "analytic"


def test_the_package_itself(stated: Problem) -> None:
    pytest.importorskip("aiconfigurator_core")
    facts = measured_costs(stated, build_space(stated).shapes)
    assert {one.tensor_parallel for one in facts.corrections} == {1, 2, 4, 8}
    assert all(0.3 < factor < 3 for one in facts.corrections for _, factor in one.round)


def test_a_missing_package_is_an_error(stated: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.metadata

    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(ProblemError, match="pip install"):
        measured_costs(stated, build_space(stated).shapes)
