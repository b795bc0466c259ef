"""Which models fit, and GPU types side by side: each row is what solving for it alone gives."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from optimizer import problem_from_dict, solve
from optimizer.cli.program import app_of
from optimizer.facts.errors import ProblemError
from optimizer.reading.prices import dated, load_prices
from optimizer.reading.question import load_question, question_from_dict
from optimizer.render.compare_plot import comparison_plot
from optimizer.sweeps.compare import HOURS_OF_A_MONTH, LOADS, cheapest, compare, over_loads
from optimizer.sweeps.fit import fit
from optimizer.verify import verify_answer
from tests.conftest import changed

ROOT = Path(__file__).resolve().parents[2]
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
        (one.model, one.weight_format): one
        for one in fit(question_from_dict(HOME).stated, ["deepseek-v3", "llama3-70b", "gpt-oss-120b"])
    }
    small, dense, four_bit = (
        found[one] for one in (("gpt-oss-120b", "mxfp4"), ("llama3-70b", "fp8"), ("llama3-70b", "int4"))
    )
    large = found["deepseek-v3", "fp8"]
    # A 4-bit 70B over four cards is among the answers, beside the wider format.
    assert not four_bit.published and four_bit.point.label == "TP4·PP1·DP1" and len(found) == 4
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


def test_prices_and_power_are_in_the_metrics_and_false_ones_are_found() -> None:
    stated = changed(SERVICE, hardware={"gpu": "h100-sxm-80gb", "nodes": 1, "price_per_gpu_hour": 2.5})
    problem = problem_from_dict(stated)
    answer = solve(problem)
    metrics, strategy = answer.metrics, answer.strategy
    assert answer.verification.passed and metrics is not None and strategy is not None
    # By hand: 4 requests/s of 250 tokens are 3.6 million tokens an hour; board power of an H100 SXM 700 W.
    served = 4 * 250 * 3600 * metrics.availability / 1e6
    assert metrics.price_per_hour == 2.5 * strategy.gpus and metrics.kilowatts_at_most == 0.7 * strategy.gpus
    assert metrics.price_per_million_output_tokens == pytest.approx(2.5 * strategy.gpus / served, rel=1e-12)
    assert metrics.kwh_per_million_output_tokens_at_most == pytest.approx(0.7 * strategy.gpus / served, rel=1e-12)
    for name in ("price_per_hour", "price_per_million_output_tokens", "kwh_per_million_output_tokens_at_most"):
        false = replace(answer, metrics=replace(metrics, **{name: getattr(metrics, name) * 1.001}))
        assert not verify_answer(problem, false, exhaustive=False).passed, name


def test_a_price_file_has_a_date_and_prices_of_nodes(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text("date: 2026-11-01\nh100: 2.5\nb200-sxm-180gb: {price_per_node_hour: 44}\n")
    assert load_prices(file) == {"h100-sxm-80gb": 2.5, "b200-sxm-180gb": 5.5} and dated(file) == "2026-11-01"
    for wrong in ("{price_per_node_hour: 4, price_per_gpu_hour: 1}", "{}", "{price: 3}", "{price_per_node_hour: -1}"):
        file.write_text(f"h100: {wrong}\n")
        with pytest.raises(ProblemError, match="h100"):
            load_prices(file)


def test_the_planner_compares_types_for_so_many_people(tmp_path: Path) -> None:
    """One command of the README: what users at once cost, on which type; what a user costs follows from the row."""
    data = json.loads(
        CliRunner().invoke(
            app_of(),
            ["compare", "--types", "h100-sxm-80gb,l40s-48gb", "--gpus", "1,2", "--model", "llama3.1-8b", "--prompt", "1000",
             "--output", "250", "--users", "40", "--think", "5", "--tpot-p99", "50", "--prices", str(_prices(tmp_path)), "--json"],
        ).output
    )  # fmt: skip
    first = data["types"][0]
    assert first["verified"] and first["price_per_user_and_month"] == pytest.approx(first["price_per_month"] / 40)
    rates = [one["point"]["metrics"]["requests_per_s"] for one in data["types"] if one["enough"]]
    assert len(set(rates)) == len(rates) and all(0 < rate < 40 / 5 for rate in rates)


def _prices(folder: Path) -> Path:
    file = folder / "prices.yaml"
    file.write_text("date: 2026-11-01\nh100-sxm-80gb: 3.0\nl40s-48gb: 1.0\n")
    return file


def test_the_home_researcher_s_six_cards() -> None:
    found = load_question(ROOT / "problems" / "six-rtx-4090.yaml").stated
    (best,) = [one for one in fit(found, ["gpt-oss-120b"]) if one.point.objective]
    assert best.published and best.point.strategy is not None and best.point.strategy.gpus <= 6
    assert best.point.metrics is not None and best.point.verification is not None and best.point.verification.passed


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


def test_price_against_load_is_the_same_question_at_each_load(tmp_path: Path) -> None:
    stated = question_from_dict(SERVICE).stated
    over = over_loads(stated, ["h100-sxm-80gb"], "1..8", prices=PRICES)["h100-sxm-80gb"]
    assert [point.part for point in over] == list(LOADS)
    rows = compare(stated, ["h100-sxm-80gb"], "1..8", prices=PRICES)
    assert rows[0].point is not None and rows[0].headroom is not None and rows[0].headroom >= 0
    there = next(point for point in over if point.part == 1)
    assert (there.gpus, there.price_per_hour) == (rows[0].point.gpus_used, rows[0].point.price_per_hour)
    used = [point.gpus for point in over if point.gpus is not None]
    assert used == sorted(used), "more load never takes fewer GPUs"
    low, high = rows[0].intervals["tpot_p99_ms"]
    assert rows[0].point.metrics is not None and low < (rows[0].point.metrics.tpot_p99_ms or 0.0) < high
    pytest.importorskip("matplotlib", reason="needs the extra [plot]")
    drawn = comparison_plot(
        rows, {"h100-sxm-80gb": over}, (4.0, "requests/s"), "small", "p.svg", {"tpot_p99_ms": 50.0}
    ).decode()
    for words in (
        "which GPU type costs least",
        "stated: 4 requests/s",
        "limit 50",
        "price per hour of the least hardware",
    ):
        assert words in drawn, words


def test_a_type_that_is_not_enough_says_what_keeps_it_out() -> None:
    (row,) = compare(question_from_dict(changed(SERVICE, model="llama3-70b")).stated, ["l4-24gb"], "1..4")
    assert row.point is None and row.found.below and row.found.below[-1].said
    assert cheapest((row,)) is None


def test_the_commands(tmp_path: Path) -> None:
    run = CliRunner()
    ask = ["--gpu", "rtx-4090-24gb", "--gpus", "2"]
    told = run.invoke(app_of(), ["fit", *ask, "--models", "llama3.1-8b,deepseek-v3", "--all"])
    assert told.exit_code == 0 and "1 model of 2 fits 2 GPUs" in told.output and "deepseek-v3: " in told.output
    assert run.invoke(app_of(), ["fit", *ask, "--models", "deepseek-v3"]).exit_code == 1
    data = json.loads(run.invoke(app_of(), ["fit", *ask, "--models", "llama3.1-8b", "--json"]).output)
    assert data["kind"] == "fit" and data["models"][0]["fits"]
    prices = tmp_path / "prices.yaml"
    prices.write_text("h100-sxm-80gb: 3.0\n")
    said = ["--model", "llama3.1-8b", "--prompt", "1000", "--output", "250", "--rate", "1"]
    found = run.invoke(
        app_of(), ["compare", "--types", "h100-sxm-80gb,l4-24gb", "--gpus", "1..2", "--prices", str(prices), *said]
    )
    assert found.exit_code == 0 and "No price is known of l4-24gb" in found.output and "with a price" in found.output
    data = json.loads(
        run.invoke(app_of(), ["compare", "--types", "h100-sxm-80gb", "--gpus", "1", *said, "--json"]).output
    )
    assert data["kind"] == "comparison" and data["types"][0]["enough"]
