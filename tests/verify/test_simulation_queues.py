"""The engine against closed forms: M/D/1, M/M/1, Little's law, a pipeline's throughput and latency."""

from __future__ import annotations

import numpy as np
import pytest

from optimizer.verify.simulation.engine import SimulatedEngine, SimulationRun
from optimizer.verify.simulation.lengths import FixedLengths
from optimizer.verify.simulation.report import littles_law_residual
from tests.verify.simulation_cases import limits, poisson, stages
from tests.verify.sources import ClosedLoopSource, ExponentialPrompts, SpreadLengths

REQUESTS, WARM_UP = 40_000, 2_000


def mean_wait(run: SimulationRun) -> tuple[float, float]:
    """Mean time from arrival to first schedule after the warm-up, ms, and its standard error by 20 batch means."""
    waits = np.array([r.scheduled - r.arrived for r in run.requests[WARM_UP:REQUESTS]])
    batches = [batch.mean() for batch in np.array_split(waits, 20)]
    return float(waits.mean()), float(np.std(batches, ddof=1) / np.sqrt(20))


@pytest.mark.parametrize("busy", [0.3, 0.6, 0.8])
@pytest.mark.parametrize(("slots", "budget"), [(1, 10**6), (8, 1000)])
def test_prompts_of_one_length_queue_as_in_md1(busy: float, slots: int, budget: int) -> None:
    """Mean wait s rho / (2 (1 - rho)), with one slot and with one prompt per token budget."""
    service = 1.0  # 1,000 tokens of 0.001 ms
    run = poisson(stages(0.0), limits(slots, budget), 1000 * busy / service, FixedLengths(1000, 1), REQUESTS)
    wait, error = mean_wait(run)
    assert abs(wait - service * busy / (2 * (1 - busy))) < 3 * error


@pytest.mark.parametrize("busy", [0.3, 0.6, 0.8])
def test_prompts_of_exponential_length_queue_as_in_mm1(busy: float) -> None:
    """Mean wait s rho / (1 - rho)."""
    run = poisson(stages(0.0), limits(1), 1000 * busy, ExponentialPrompts(1000, 1), REQUESTS)
    wait, error = mean_wait(run)
    assert abs(wait - busy / (1 - busy)) < 3 * error


def test_a_slot_is_held_for_prompt_and_outputs() -> None:
    """One slot, service = prompt + outputs: M/D/1 again, its service spread over 11 steps."""
    service = 1.0 + 11 * 0.1  # every step costs 0.1 ms, the first carries the prompt
    run = poisson(stages(0.1), limits(1), 1000 * 0.6 / service, FixedLengths(1000, 11), REQUESTS)
    wait, error = mean_wait(run)
    assert abs(wait - service * 0.6 / (2 * 0.4)) < 3 * error


@pytest.mark.parametrize("rate", [10.0, 200.0, 500.0])
@pytest.mark.parametrize("depth", [1, 3])
def test_littles_law(rate: float, depth: int) -> None:
    """The time average of requests in the system is what their times add up to, also when overloaded."""
    run = poisson(stages(*[1.0] * depth), limits(8, 2000, 400), rate, SpreadLengths(500, 20, 0.5), 2000)
    assert littles_law_residual(run) < 1e-9


@pytest.mark.parametrize("times", [(2.0, 2.0, 2.0, 2.0), (1.0, 3.0, 2.0, 1.0)])
def test_a_full_pipeline_delivers_at_the_pace_of_its_slowest_stage(times: tuple[float, ...]) -> None:
    """With as many users as stages, a token leaves every max(stage) ms; with one user, every sum(stages) ms."""
    # The pipeline has 4 stages and at most 4 micro-batches, so sum <= 4 max and the slowest stage never idles.
    for users, expected in ((4, max(times)), (1, sum(times))):
        source = ClosedLoopSource(users, FixedLengths(100, 1000), np.random.default_rng(1))
        # The budget holds one prompt, so each user has a micro-batch of its own.
        run = SimulatedEngine(stages(*times, prefill=0.0), limits(users, 100), source).run(5 * users)
        done = [r for r in run.requests if r.finished >= 0]
        # A token of each user takes one turn through all stages.
        each = np.mean([(r.finished - r.first) / (r.output - 1) for r in done]) / users
        assert each == pytest.approx(expected, rel=0.01)


def test_a_lone_prompt_passes_every_stage_and_its_chunks_overlap() -> None:
    """Prefill = sum over stages of one chunk + (chunks - 1) of the slowest; the doc's prefill formula."""
    source = ClosedLoopSource(1, FixedLengths(3000, 2), np.random.default_rng(1))
    run = SimulatedEngine(stages(1.0, 2.0, prefill=0.001), limits(4, 1000), source).run(1)
    assert run.requests[0].first - run.requests[0].scheduled == pytest.approx((1 + 1) + (2 + 1) + 2 * (2 + 1))
