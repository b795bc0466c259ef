"""``simulate`` as a whole: determinism, the example of the README, the trace in time, measured runs, disagreements."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optimizer.reading.load import problem_from_dict
from optimizer.verify.simulation import compare, limits_of, simulate
from optimizer.verify.simulation.engine import SimulatedEngine
from optimizer.verify.simulation.steps import step_times
from optimizer.verify.uniform.recompute import candidate_of, metrics_of
from tests.verify.simulation_cases import problem, strategy
from tests.verify.sources import ClosedLoopSource, SpreadLengths


def test_same_seed_same_answer() -> None:
    of = problem()
    first, again, other = (simulate(of, strategy(of), seed=seed, requests=300) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_example_case_is_consistent(example: dict[str, Any]) -> None:
    """TP4·DP2 with 50 sequences: the mean number in the system is lambda W within the confidence interval."""
    of = problem_from_dict(example)
    chosen = replace(strategy(of, 4, 1, 2, 50, "fp16"), kv_precision="fp16")
    seen = simulate(of, chosen)
    assert seen.requests == 2000
    assert seen.most_running <= 50
    assert seen.preemptions == seen.refused == 0
    assert seen.littles_law_residual < 1e-9
    assert seen.mean_in_system == pytest.approx(4 / 1000 * seen.request_mean.ms, rel=0.1)
    assert seen.prefill_p50.ms <= seen.ttft_p50.ms < seen.ttft_p99.ms
    assert seen.tpot_p50 is not None
    assert 0 < seen.tpot_p50.half_width_ms < 0.2 * seen.tpot_p50.ms


def test_more_load_is_never_faster() -> None:
    means = [simulate(of, strategy(of)).request_mean.ms for of in (problem(rate=rate) for rate in (1.0, 5.0, 10.0))]
    assert means == sorted(means)


def test_longer_prompts_at_the_99th_percentile_lengthen_ttft() -> None:
    same, longer = problem(), problem(prompt_tokens_p99=4000)
    assert simulate(longer, strategy(longer)).ttft_p99.ms > simulate(same, strategy(same)).ttft_p99.ms


def test_what_does_not_fit_is_refused_in_words() -> None:
    of = problem("llama3-70b")
    with pytest.raises(ValueError, match="no room for one sequence"):
        simulate(of, strategy(of))


@pytest.mark.parametrize(("model", "tensor"), [("llama3.1-8b", 1), ("llama3-70b", 8)])
def test_an_hour_of_the_trace_is_played_whole(shared: Path, model: str, tensor: int) -> None:
    of = problem(model, gpus=tensor)
    seen = simulate(of, strategy(of, tensor, slots=256), trace=shared / "data" / "azure_conversation_trace.csv")
    assert seen.requests + seen.refused == 19_366
    assert seen.duration_s >= 3500


MEASURED: dict[tuple[str, str], tuple[dict[str, str], float]] = {
    # model of the catalog, GPU: (rows with, median TPOT error at most)
    ("qwen3-32b", "h100-sxm-80gb"): ({"model": "Qwen/Qwen3-32B", "backend": "vllm", "system": "h100_sxm"}, 0.08),
    ("llama3.1-8b", "h200-sxm-141gb"): (
        {"model": "meta-llama/Llama-3.1-8B-Instruct", "backend": "sglang", "system": "h200_sxm"},
        0.12,
    ),
}


@pytest.mark.parametrize(("model", "gpu"), list(MEASURED))
def test_measured_closed_loop_runs(shared: Path, model: str, gpu: str) -> None:
    """Fixed numbers of users, lengths within 10 % of the stated: median TPOT error (vLLM also TTFT, below 30 %)."""
    wanted, most = MEASURED[model, gpu]
    with (shared / "data" / "serving_measurements_train.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if wanted.items() <= row.items() and row["attention_dp"] == "1"]
    tpot_errors, ttft_errors = [], []
    for row in rows[::2]:
        prompt, output, users, tensor = (int(row[name]) for name in ("isl", "osl", "concurrency", "tp"))
        longest = (prompt + output) * 5 // 4
        of = problem(model, gpus=8, prompt=prompt, output=output, longest=longest, gpu=gpu, engine=wanted["backend"])
        chosen = strategy(of, tensor, slots=users, f=row["precision"])
        source = ClosedLoopSource(users, SpreadLengths(prompt, output, 0.1), np.random.default_rng(1))
        run = SimulatedEngine(step_times(of, chosen), limits_of(of, chosen), source).run(8 * users)
        done = run.requests[: 8 * users]
        tpot = np.mean([(r.finished - r.first) / (r.output - 1) for r in done])
        tpot_errors.append(abs(tpot / float(row["tpot_ms"]) - 1))
        ttft_errors.append(abs(np.mean([r.first - r.arrived for r in done]) / float(row["ttft_ms"]) - 1))
    assert len(tpot_errors) > 20
    assert np.median(tpot_errors) < most
    if wanted["backend"] == "vllm":
        assert np.median(ttft_errors) < 0.3


def test_disagreements_name_limit_and_difference() -> None:
    """One limit that fails, one percentile that is far off, and nothing else."""
    of = problem()
    chosen = strategy(of)
    seen = simulate(of, chosen, requests=300)
    exact: dict[str, Any] = {
        f"{metric}_p{percentile}_ms": seen.latency(metric, percentile).ms  # type: ignore[union-attr]
        for metric in ("prefill", "ttft", "tpot")
        for percentile in (50, 99)
    }
    metrics = replace(metrics_of(candidate_of(of, chosen)), **exact)
    assert compare(metrics, seen, of.requirements) == ()
    limit = exact["ttft_p99_ms"] * 0.9
    strict = of.requirements.model_copy(update={"ttft_p99_ms": limit})
    far = replace(metrics, tpot_p99_ms=exact["tpot_p99_ms"] * 0.8, prefill_p50_ms=exact["prefill_p50_ms"] * 1.1)
    found = compare(far, seen, strict)
    assert [(d.kind, d.metric, d.percentile) for d in found] == [("limit", "ttft", 99), ("difference", "tpot", 99)]
    assert found[0].limit_ms == limit
    assert "above the limit" in found[0].sentence
    assert "20% below, optimistic" in found[1].sentence
    overloaded = replace(metrics, tpot_p50_ms=None)
    assert compare(overloaded, seen, of.requirements) == ()
