"""The closed loop: its arithmetic by hand, its limits, and that it uses the product's own step model."""

from __future__ import annotations

import numpy as np
import pytest

from optimizer.catalog import lookup as catalog
from optimizer.catalog.constants import ClosedLoopConstants, closed_loop_constants, constants
from optimizer.costs.analytic import AnalyticCosts
from optimizer.costs.closed_loop import ClosedLoop, StepTimes, measured_kv_format
from optimizer.costs.shapes import Shape
from optimizer.reading.measurements import parse

LLAMA, H100, B200 = catalog.model("llama3.1-70b"), catalog.gpu("h100"), catalog.gpu("b200")


def shape(tp: int, ep: int = 1, weights: str = "fp8", layers: tuple[int, ...] = (80,)) -> Shape:
    return Shape(tp, len(layers), ep, weights, "bf16", layers)


def loop(
    *shapes: Shape, model: str = "llama3.1-70b", ranks: int = 1, prompt: int = 1024, output: int = 1024
) -> ClosedLoop:
    count = len(shapes)
    lengths = np.full(count, prompt), np.full(count, output)
    return ClosedLoop(catalog.model(model), H100, shapes, np.full(count, ranks), *lengths)


def test_the_loop_by_hand() -> None:
    # n = 11 of C = 22, D = 10 ms, p1 = p = 40 ms, 101 output tokens; b = 0.1: a newcomer meets one prompt, nine are spread.
    closed = loop(shape(8), output=101)
    times = StepTimes(*(np.array([[v]]) for v in (11.0, 10.0, 40.0, 40.0)))
    engine = ClosedLoopConstants(bunching=0.1, start_ms=5, steps=2)
    found = closed.predict(times, np.array([[22]]), [engine])
    tpot = 10 + 9 * 40 / 101
    first = 5 + 2 * 10 + 40 + 1 * 40
    assert found.tpot_ms[0, 0] == pytest.approx(tpot)
    assert found.ttft_ms[0, 0] == pytest.approx(first + (22 / 11 - 1) * (first + 100 * tpot))
    assert found.end_to_end_ms(np.array([101]))[0, 0] == pytest.approx(found.ttft_ms[0, 0] + 100 * tpot)


def test_of_requests_that_begin_together_half_are_before_ones_own() -> None:
    # A burst of 11 prompts of 40 ms: the mean newcomer meets 5 of the others, which its steps then do not: 5 · 40 + 11 prompts in all.
    lengths = np.array([1024]), np.array([101])
    closed = ClosedLoop(LLAMA, H100, [shape(8)], np.array([1]), *lengths, together=np.array([True]))
    times = StepTimes(*(np.array([[v]]) for v in (11.0, 10.0, 40.0, 40.0)))
    found = closed.predict(times, np.array([[11]]), [ClosedLoopConstants(bunching=0.1, start_ms=5, steps=2)])
    assert found.tpot_ms[0, 0] == pytest.approx(10 + 5 * 40 / 101)
    assert found.ttft_ms[0, 0] == pytest.approx(5 + 2 * 10 + 40 + 5 * 40)


@pytest.mark.parametrize(
    ("change", "together"),
    [
        ({}, True),
        ({"backend_version": "0.5.6.post2"}, False),
        ({"backend_version": "nightly"}, False),
        ({"backend": "vllm"}, False),
        ({"id": "mine"}, False),
        ({"id": "mine", "backend": "vllm", "protocol": "synchronised"}, True),
        ({"protocol": "fixed"}, False),
    ],
)
def test_which_runs_begin_together(change: dict[str, str], together: bool) -> None:
    row = {"id": "a_epnone_1", "model": "qwen3-32b", "system": "h100_sxm", "backend": "sglang", "backend_version": "0.5.1.post1",
           "isl": "1024", "osl": "128", "concurrency": "16", "tp": "2"}  # fmt: skip
    assert parse(row | change).together == together


def test_it_is_the_products_step_model() -> None:
    closed = loop(shape(8), shape(4))
    costs = AnalyticCosts(closed.problem, closed.table.shapes)
    service = costs.service(64)
    found = closed.step_times(constants(), np.array([[1, 64], [1, 64]]))
    assert found.decode_ms == pytest.approx(service.round_ms[:, [0, 63]])
    assert found.occupancy_ms[:, 0] == pytest.approx(service.prompt_max_ms)


def test_step_terms_of_one_context_and_of_many_agree() -> None:
    closed = loop(shape(8), shape(4))
    steps = AnalyticCosts(closed.problem, closed.table.shapes).steps
    batch = np.array([[1, 7], [3, 9]])
    usual, stated = steps.decode_terms(batch), steps.decode_terms(batch, np.full(2, float(steps.context)))
    assert all(np.array_equal(usual[name], stated[name]) for name in usual)
    one, many = steps.prefill_terms(1024), steps.prefill_terms(np.array([1024.0, 1024.0]))
    assert all(np.array_equal(one[name], many[name]) for name in one)


def test_sequences_beyond_the_memory_wait() -> None:
    # 70 GB of fp8 weights on 2 x 80 GB: a few dozen sequences of 8 k tokens fit at most.
    closed = loop(shape(2), prompt=8192)
    found = closed.step_times(constants(), np.array([[1, 1000]]))
    assert found.running[0, 0] == 1
    assert 1 <= found.running[0, 1] < 200
    engine = [closed_loop_constants()["vllm"]]
    ttft = closed.predict(found, np.array([[1, 1000]]), engine).ttft_ms[0]
    assert ttft[1] > 50 * ttft[0]


def test_a_model_too_large_still_gets_a_finite_time() -> None:
    found = loop(shape(1)).step_times(constants(), np.array([[8]]))
    assert np.isfinite(found.decode_ms).all() and found.running[0, 0] >= 1


def test_more_concurrency_never_makes_a_token_faster() -> None:
    closed = loop(shape(1), shape(2), shape(8))
    concurrency = np.broadcast_to(np.arange(1, 300), (3, 299))
    engines = [closed_loop_constants()["trtllm"]] * 3
    found = closed.predict(closed.step_times(constants(), concurrency), concurrency, engines)
    assert (np.diff(found.tpot_ms) >= -1e-9).all() and (np.diff(found.ttft_ms) >= -1e-9).all()


def test_replicas_share_the_sequences() -> None:
    one = loop(shape(4), ranks=1).step_times(constants(), np.array([[16]]))
    two = loop(shape(4), ranks=2).step_times(constants(), np.array([[32]]))
    assert two.decode_ms == pytest.approx(one.decode_ms)
    assert two.occupancy_ms == pytest.approx(one.occupancy_ms / 2)


def test_pipeline_stages_are_covered() -> None:
    # No measured run has stages; the formula is that of docs/model.md, section 3.
    flat, staged = loop(shape(4)), loop(shape(4, layers=(40, 40)))
    at = np.array([[8]])
    assert staged.step_times(constants(), at).occupancy_ms < flat.step_times(constants(), at).occupancy_ms
    assert (
        staged.step_times(constants(), np.array([[1]])).decode_ms
        > flat.step_times(constants(), np.array([[1]])).decode_ms
    )


@pytest.mark.parametrize(
    ("weights", "engine", "gpu", "expected"),
    [
        ("bf16", "trtllm", B200, "bf16"),
        ("fp8", "trtllm", H100, "fp8"),
        ("fp8", "vllm", H100, "bf16"),
        ("fp8", "vllm", B200, "fp8"),
        ("nvfp4", "sglang", B200, "fp8"),
        ("mxfp4", "sglang", H100, "bf16"),
    ],
)
def test_kv_format_of_measured_runs(weights: str, engine: str, gpu: catalog.GpuFacts, expected: str) -> None:
    assert measured_kv_format(weights, engine, gpu, "bf16") == expected


def test_every_engine_and_the_unknown_one_have_constants() -> None:
    assert {"vllm", "sglang", "trtllm", "other"} <= set(closed_loop_constants())
