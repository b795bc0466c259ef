"""Which models fit, and GPU types side by side: each row is what solving for it alone gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from optimizer import problem_from_dict, solve
from optimizer.cli.program import app
from optimizer.facts.errors import ProblemError
from optimizer.reading.question import question_from_dict
from optimizer.sweeps.compare import HOURS_OF_A_MONTH, cheapest, compare
from optimizer.sweeps.fit import fit
from tests.conftest import changed

HOME: dict[str, Any] = {
    "name": "home",
    "hardware": {"gpu": "rtx-4090-24gb", "nodes": 1, "gpus_per_node": 4},
    "model": "llama3.1-8b",
    "workload": {"prompt_tokens": 1000, "output_tokens": 250, "requests_per_s": 0.1},
}
SERVICE = changed(
    HOME, hardware={"gpu": "h100-sxm-80gb", "nodes": 1}, workload__requests_per_s=4, requirements={"tpot_p99_ms": 50}
)
PRICES = {"h100-sxm-80gb": 3.0, "l40s-48gb": 1.0}


def test_each_model_is_solved_for_in_the_first_format_that_fits() -> None:
    found = {
        one.model: one for one in fit(question_from_dict(HOME).stated, ["deepseek-v3", "llama3-70b", "gpt-oss-120b"])
    }
    small, dense, large = found["gpt-oss-120b"], found["llama3-70b"], found["deepseek-v3"]
    assert small.published and small.weight_format == "mxfp4"
    # 141 GB of 16-bit weights are more than four cards have; in 8 bit they fit.
    assert not dense.published and dense.weight_format == "fp8"
    for one, formats in ((small, None), (dense, ["fp8"])):
        alone = solve(
            problem_from_dict(changed(HOME, model=one.model, search={"weight_precision": formats} if formats else {}))
        )
        assert one.point.strategy == alone.strategy and one.point.metrics == alone.metrics
        assert one.point.verification is not None and one.point.verification.passed
    assert large.point.status == "infeasible" and "671B parameters" in large.point.said and large.left_bytes is None


def test_those_that_fit_come_first_best_objective_first() -> None:
    found = fit(question_from_dict(HOME).stated, ["deepseek-v3", "qwen3-32b", "llama3.1-8b"])
    assert [one.model for one in found] == ["llama3.1-8b", "qwen3-32b", "deepseek-v3"]


def test_a_model_that_is_not_known_is_refused() -> None:
    with pytest.raises(ProblemError, match="no-such-model"):
        fit(question_from_dict(HOME).stated, ["no-such-model"])


def test_each_type_has_its_least_hardware_and_one_gpu_less_is_not_enough() -> None:
    rows = compare(question_from_dict(SERVICE).stated, list(PRICES), "1..8", prices=PRICES)
    assert {row.gpu for row in rows} == set(PRICES)
    for row in rows:
        assert row.point is not None and row.found.verified and row.point.gpus_used is not None
        hardware = {"gpu": row.gpu, "nodes": 1, "gpus_per_node": row.point.gpus}
        alone = solve(problem_from_dict(changed(SERVICE, hardware=hardware)))
        assert alone.status == "optimal" and alone.strategy == row.point.strategy
        if row.point.gpus and row.point.gpus > 1:
            less = changed(SERVICE, hardware=hardware | {"gpus_per_node": row.point.gpus - 1})
            assert solve(problem_from_dict(less), repairs=False).status == "infeasible"
        assert row.point.price_per_hour == PRICES[row.gpu] * row.point.gpus_used
        assert row.price_per_month == row.point.price_per_hour * HOURS_OF_A_MONTH
    best = cheapest(rows)
    assert best is rows[0] and best.point is not None
    assert best.point.price_per_hour == min(
        row.point.price_per_hour for row in rows if row.point and row.point.price_per_hour
    )


def test_a_type_that_is_not_enough_says_what_keeps_it_out() -> None:
    (row,) = compare(question_from_dict(changed(SERVICE, model="llama3-70b")).stated, ["l4-24gb"], "1..4")
    assert row.point is None and row.found.below and row.found.below[-1].said
    assert cheapest((row,)) is None


def test_the_commands(tmp_path: Path) -> None:
    run = CliRunner()
    ask = ["--gpu", "rtx-4090-24gb", "--gpus", "2"]
    told = run.invoke(app, ["fit", *ask, "--models", "llama3.1-8b,deepseek-v3", "--all"])
    assert told.exit_code == 0 and "1 model of 2 fits 2 GPUs" in told.output and "deepseek-v3: " in told.output
    assert run.invoke(app, ["fit", *ask, "--models", "deepseek-v3"]).exit_code == 1
    data = json.loads(run.invoke(app, ["fit", *ask, "--models", "llama3.1-8b", "--json"]).output)
    assert data["kind"] == "fit" and data["models"][0]["fits"]
    prices = tmp_path / "prices.yaml"
    prices.write_text("h100-sxm-80gb: 3.0\n")
    said = ["--model", "llama3.1-8b", "--prompt", "1000", "--output", "250", "--rate", "1"]
    found = run.invoke(
        app, ["compare", "--types", "h100-sxm-80gb,l4-24gb", "--gpus", "1..2", "--prices", str(prices), *said]
    )
    assert found.exit_code == 0 and "No price is known of l4-24gb" in found.output and "with a price" in found.output
    data = json.loads(run.invoke(app, ["compare", "--types", "h100-sxm-80gb", "--gpus", "1", *said, "--json"]).output)
    assert data["kind"] == "comparison" and data["types"][0]["enough"]
