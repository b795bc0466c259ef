"""Costs from a person's own measurements: interpolation, fading, and the facts that come of a file."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from optimizer import ProblemError, solve, with_costs
from optimizer.cli.costs import with_table_option
from optimizer.costs.corrected import CorrectedCosts
from optimizer.costs.residuals import FADE_LENGTHS, FADE_LOAD, Residuals, Sample, leave_one_out
from optimizer.costs.shapes import Shape
from optimizer.costs.table import table_costs
from optimizer.facts.problem import Problem
from optimizer.reading.load import problem_from_dict

HEADER = "model,system,backend,backend_version,precision,isl,osl,concurrency,tp,attention_dp,ep,gpus,ttft_ms,tpot_ms\n"
MINE = "meta-llama/Llama-3.1-8B,h100_sxm,vllm,{version},bf16,1024,256,{load},{tp},1,1,{tp},{ttft},{tpot}\n"


def sample(load: float, tpot: float, prompt: int = 1000, output: int = 100) -> Sample:
    return Sample(load, prompt, output, tpot, tpot)


def at(samples: list[Sample], load: float, prompt: float = 1000, output: float = 100) -> float:
    return float(Residuals(samples, "tpot", prompt, output).at(np.array([load]))[0])


@pytest.fixture
def stated() -> Problem:
    return problem_from_dict(
        {
            "hardware": {"gpu": "h100", "nodes": 1, "gpus_per_node": 4},
            "model": "llama3.1-8b",
            "workload": {"prompt_tokens": 1024, "output_tokens": 256, "requests_per_s": 8},
            "requirements": {"max_batch": 32, "max_sequence_tokens": 4096},
            "search": {"pipeline_parallel": [1, 2]},
        }
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.csv"
    rows = [
        MINE.format(version="0.9.0", load=load, tp=2, ttft=60 + load, tpot=9 + load / 20) for load in (4, 8, 16, 32)
    ]
    rows.append(MINE.format(version="0.10.0", load=8, tp=1, ttft=80, tpot=14))
    rows.append(MINE.format(version="0.9.0", load=8, tp=1, ttft=80, tpot=99))
    rows.append(MINE.format(version="0.9.0", load=0, tp=1, ttft=80, tpot=99))
    rows.append(MINE.format(version="0.9.0", load=8, tp=1, ttft=80, tpot=99).replace("vllm", "sglang"))
    path.write_text(HEADER + "".join(rows))
    return path


def test_residuals_are_linear_in_log_load_and_exact_at_runs() -> None:
    known = [sample(4, 0.1), sample(4, 0.3), sample(16, -0.2)]
    assert at(known, 4) == pytest.approx(0.2)
    assert at(known, 16) == pytest.approx(-0.2)
    assert at(known, 8) == pytest.approx(0.0, abs=1e-12)


def test_residuals_fade_to_nothing_outside() -> None:
    known = [sample(4, 0.2), sample(16, 0.2)]
    assert at(known, 16 * math.sqrt(FADE_LOAD)) == pytest.approx(0.1)
    assert at(known, 16 * FADE_LOAD * 1.01) == 0
    assert at(known, 4 / FADE_LOAD / 1.01) == 0
    assert at(known, 8, prompt=1000 * math.sqrt(FADE_LENGTHS)) == pytest.approx(0.1)
    assert at(known, 8, output=100 * FADE_LENGTHS * 1.01) == 0
    assert at([], 8) == 0


def test_nearer_lengths_weigh_more() -> None:
    known = [sample(8, 0.4), sample(8, 0.0, prompt=4000)]
    assert at(known, 8) == pytest.approx(0.4, abs=1e-6)
    assert 0.2 < at(known, 8, prompt=1500) < 0.4


def test_leave_one_out_needs_neighbours_on_both_sides() -> None:
    known = [sample(4, 0.1), sample(8, 0.5), sample(16, 0.3)]
    ((left_out, error),) = leave_one_out(known, "tpot")
    assert left_out.sequences == 8
    assert error == pytest.approx(0.3)


def test_a_file_becomes_corrections_of_the_newest_version(stated: Problem, file: Path) -> None:
    facts = table_costs(stated, file)
    assert [one.key for one in facts.corrections] == [(1, 1, 1, "bf16", None), (2, 1, 1, "bf16", None)]
    first, second = facts.corrections
    assert (first.samples, second.samples, second.least, second.most) == (1, 4, 4, 32)
    assert max(factor for _, factor in first.token) < 5, "the run of version 0.9.0 counts no more"
    assert "6 of 8 runs" in facts.origin
    assert any("concurrency" in note for note in facts.notes)


def test_corrected_times_hit_the_measured_ratio_and_never_fall(stated: Problem, file: Path) -> None:
    facts = table_costs(stated, file)
    layers = (stated.model.layers,)
    shapes = [Shape(tp, 1, 1, "bf16", "bf16", layers) for tp in (2, 4)]
    costs = CorrectedCosts(stated, shapes, facts)
    plain, corrected = costs.analytic.service(64), costs.service(64)
    curve = dict(facts.corrections[1].token)
    assert corrected.tpot_ms[0, 31] == pytest.approx(plain.tpot_ms[0, 31] * curve[32])
    for name in ("round_ms", "tpot_ms", "prefill_ms", "residence_ms"):
        assert (np.diff(getattr(corrected, name)[0]) >= 0).all()
        assert (getattr(corrected, name)[1] == getattr(plain, name)[1]).all(), "TP 4 was not measured"


def test_answers_name_their_source(stated: Problem, file: Path) -> None:
    answer = solve(with_costs(stated, "table", file))
    assert answer.status == "optimal"
    assert answer.verification.passed
    assert answer.cost_source == "table: mine.csv, 6 of 8 runs"
    assert any("measured runs" in text for text in answer.explanation + answer.search_limits)
    assert solve(stated).cost_source == "analytic"


def test_analytic_answers_have_intervals(stated: Problem) -> None:
    answer = solve(stated)
    assert answer.metrics is not None and answer.intervals is not None
    low, high = answer.intervals.ranges["tpot_p99_ms"]
    assert low < (answer.metrics.tpot_p99_ms or 0) < high
    assert "measured runs like this (dense" in answer.intervals.basis


@pytest.mark.parametrize(
    ("source", "file_name", "says"),
    [("tabl", None, "did you mean table"), ("table", None, "needs a FILE"), ("analytic", "x.csv", "needs a FILE")],
)
def test_wrong_sources_are_refused(stated: Problem, source: str, file_name: str | None, says: str) -> None:
    with pytest.raises(ProblemError, match=says):
        with_costs(stated, source, file_name)


def test_a_file_about_something_else_is_refused(stated: Problem, tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text(HEADER + MINE.format(version="1", load=8, tp=1, ttft=80, tpot=14).replace("h100", "h200"))
    with pytest.raises(ProblemError, match=r"no usable run of llama3\.1-8b on h100-sxm-80gb with vllm"):
        with_costs(stated, "table", path)


def test_two_token_form_of_the_option() -> None:
    assert with_table_option(["solve", "p", "--costs", "table", "f"]) == [
        "solve",
        "p",
        "--costs",
        "table",
        "--table",
        "f",
    ]
    assert with_table_option(["solve", "--costs=table", "f", "p"]) == ["solve", "--costs=table", "--table", "f", "p"]
    for unchanged in (
        ["solve", "p", "--costs", "table"],
        ["--costs", "table", "--table", "f"],
        ["--costs", "measured", "f"],
    ):
        assert with_table_option(unchanged) == unchanged
