"""Open loops played by the rules of the engine that answered them: prompts first, launches one by one, kernels compiled at first use."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from optimizer.catalog import lookup as catalog
from optimizer.costs.measured_runs import MeasuredRun, resolve
from optimizer.reading.measured_names import Models
from optimizer.reading.measurements import parse
from optimizer.verify.simulation.steps import SimulatedStepTimes, StageTimes
from optimizer.verify.simulation.trace import Arrival

ROW = {
    "model": "deepseek-v2.5", "system": "a100_sxm_40gb", "backend": "vllm", "backend_version": "0.8.3", "precision": "bf16",
    "kind": "open_loop", "isl": "236", "osl": "213", "concurrency": "40", "request_rate": "1", "tp": "8", "pp": "2",
    "gpus": "16", "nodes": "2", "note": "prompts 4-933, outputs 1-780; enforce-eager",
}  # fmt: skip


def measured(**changes: str) -> MeasuredRun:
    return resolve(parse(ROW | changes), Models())


def stages(count: int = 1, step_ms: float = 10.0, prompt_ms: float = 1.0) -> SimulatedStepTimes:
    """Steps of ``step_ms`` a stage whatever they carry, and so much more for each token of a prompt."""
    one = StageTimes((step_ms,) * 9, (2.0, 99.0), (0.0, 0.0), 0.0, prompt_ms, ((0.0, 0),))
    return SimulatedStepTimes(stages=(one,) * count)


def test_answers_stand_still_while_prompts_are_computed() -> None:
    from calibration.prefill_first import SEQUENCE_MS, play

    arrivals = [Arrival(0.0, 5, 3), Arrival(1.0, 7, 2)]
    (first, second), ended = play(stages(), arrivals, 8, [0.0])
    # 0: the first prompt, 10 + 5; then the second's, 10 + 7; then two tokens of both, the last of the first alone.
    own = SEQUENCE_MS
    assert first.first == pytest.approx(15 + own)
    assert second.first == pytest.approx(32 + 2 * own)
    assert second.finished == pytest.approx(42 + 4 * own)
    assert first.finished == ended == pytest.approx(52 + 5 * own)


def test_each_stage_has_a_scheduler_and_launches_bound_its_steps() -> None:
    from calibration.prefill_first import SEQUENCE_MS, play

    arrivals = [Arrival(0.0, 1, 2), Arrival(0.0, 1, 2)]
    (one, other), _ = play(stages(2), arrivals, 8, [30.0, 30.0], [100.0])
    # The two are in different schedulers: the second passes each stage after the first, which compiles for 100 in all.
    assert one.first == pytest.approx(160 + SEQUENCE_MS)
    assert other.first == pytest.approx(190 + SEQUENCE_MS, abs=SEQUENCE_MS)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {},
            True,
        ),  # 0.8.3 with stages and no executor named: the first engine, which does not chunk for latent attention
        ({"backend_version": "0.9.1"}, False),
        ({"pp": "1", "gpus": "8", "nodes": "1"}, False),
        ({"pp": "1", "gpus": "8", "nodes": "1", "backend_version": "0.7.3"}, True),
        ({"model": "llama3.3-70b"}, False),  # 131,072 tokens of context: chunked by default
        ({"model": "qwen2.5-7b", "backend_version": "2024-11"}, True),  # 32,768
        ({"note": "chunked prefill; 200 requests"}, False),
        ({"note": "no chunked prefill", "backend_version": "0.11.0"}, True),
        ({"note": "chunked prefill: off", "backend": "sglang"}, True),
        ({"backend": "sglang"}, False),
        ({"backend_version": ""}, False),
    ],
)
def test_which_runs_are_of_the_engine_that_takes_prompts_first(changes: dict[str, str], expected: bool) -> None:
    from calibration.prefill_first import prompts_first

    run = measured(**changes)
    assert prompts_first(run.row, run.model) is expected


def test_the_first_run_of_a_series_compiles_kernels() -> None:
    from calibration.open_loop import first_of_series, open_loop

    runs = [measured(request_rate=rate) for rate in ("4", "1", "16")]
    other = measured(request_rate="16", network="other")
    burst = measured(kind="all_at_once", request_rate="")
    assert first_of_series([*runs, other, burst]) == [False, True, False, True, False]
    cold, warm = open_loop(runs[1], True), open_loop(runs[1], False)
    assert cold.ttft_p99 > 3 * warm.ttft_p99 and cold.tpot_p50 == pytest.approx(warm.tpot_p50, rel=0.05)
    graphs = replace(runs[1], row=replace(runs[1].row, eager=False))
    assert open_loop(graphs, True).ttft_p99 == open_loop(graphs, False).ttft_p99
    assert open_loop(graphs, False).tpot_p50 < warm.tpot_p50 / 2


def test_lengths_hold_the_ends_that_are_stated_and_the_longest_comes_last() -> None:
    from calibration.open_loop import _arrivals

    found = _arrivals(measured(), np.random.default_rng(3))
    outputs = [one.output_tokens for one in found]
    assert (min(outputs), max(outputs), outputs[-1]) == (1, 780, 780)
    assert np.mean(outputs) == pytest.approx(213, rel=0.05)


def test_graphs_are_no_fact_of_a_card() -> None:
    assert catalog.gpu("a100-sxm-40gb").layer_time_factor == measured().gpu.layer_time_factor
