"""Scheduling rules of the engine: slots, blocks, preemption, budget; and its shortcuts against a naive counterpart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from optimizer.verify.common.arithmetic import sixty_digits
from optimizer.verify.common.groups import row_of
from optimizer.verify.common.stage import Stages
from optimizer.verify.common.times import ReplicaTimes
from optimizer.verify.simulation.arrivals import PoissonSource
from optimizer.verify.simulation.engine import SimulatedEngine, SimulationRun
from optimizer.verify.simulation.lengths import FixedLengths
from optimizer.verify.simulation.sequences import blocks_of
from optimizer.verify.simulation.steps import SimulatedStepTimes, StageTimes, step_times
from tests.verify.simulation_cases import limits, poisson, problem, stages, strategy
from tests.verify.sources import ClosedLoopSource, SpreadLengths


class NaiveEngine(SimulatedEngine):
    """Runs every step by itself."""

    def _cycle(self) -> None:
        pass


def growing(depth: int) -> SimulatedStepTimes:
    """Steps that grow with sequences and contexts, with a bend in the context at 300 tokens."""
    base = tuple(1 + 0.05 * b for b in range(65))
    one = StageTimes(base, (0.0, 300.0, 1000.0), (0.0, 0.03, 0.04), 0.2, 0.004, ((1e-6, 0),))
    return SimulatedStepTimes((one,) * depth, send_fixed=0.02, send_per_token=1e-5, start_ms=3.0, admit_steps=2.0)


def times_of(run: SimulationRun) -> list[tuple[float, float, float]]:
    return [(r.scheduled, r.first, r.finished) for r in run.requests if r.finished >= 0]


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize(("rate", "slots", "blocks"), [(5, 64, 10**6), (40, 16, 10**6), (60, 32, 300)])
def test_shortcuts_change_nothing(depth: int, rate: float, slots: int, blocks: int) -> None:
    """The same requests at the same times, idle, full, and short of blocks.

    Admission costs no steps here: in a shortcut it is taken from the first of its steps, in the counterpart from the latest.
    """
    times = replace(growing(depth), admit_steps=0.0)

    def run(kind: type[SimulatedEngine]) -> SimulationRun:
        source = PoissonSource(rate, SpreadLengths(250, 120, 0.6), np.random.default_rng(7))
        return kind(times, limits(slots, 1024, blocks), source).run(300)

    quick, naive = run(SimulatedEngine), run(NaiveEngine)
    assert quick.preemptions == naive.preemptions
    assert quick.most_blocks == naive.most_blocks
    assert np.allclose(times_of(quick), times_of(naive), rtol=1e-9, atol=1e-6)
    if blocks == 300:
        assert quick.preemptions > 0


def test_same_seed_same_run_other_seed_another() -> None:
    runs = [poisson(growing(2), limits(16, 1024), 20, SpreadLengths(250, 50, 0.6), 300, seed) for seed in (3, 3, 4)]
    assert times_of(runs[0]) == times_of(runs[1]) != times_of(runs[2])


@pytest.mark.parametrize("depth", [1, 3])
def test_never_more_sequences_than_slots(depth: int) -> None:
    run = poisson(growing(depth), limits(7, 1024), 200, SpreadLengths(250, 50, 0.6), 500)
    assert run.most_running == 7


@pytest.mark.parametrize("depth", [1, 3])
def test_never_more_blocks_than_there_are_and_no_token_lost(depth: int) -> None:
    """Short of blocks, requests are preempted and computed again, and each still gets all its tokens."""
    run = poisson(growing(depth), limits(32, 1024, 200), 200, SpreadLengths(250, 200, 0.5), 500)
    assert run.preemptions > 0
    assert run.recomputed_tokens > 0
    assert 190 < run.most_blocks <= 200
    done = [r for r in run.requests if r.finished >= 0]
    assert len(done) >= 500
    assert all(r.produced == r.output and r.scheduled <= r.first <= r.finished for r in done)


def test_no_preemption_when_every_sequence_fits() -> None:
    each = blocks_of(250 + 200)
    run = poisson(growing(1), limits(8, 1024, 8 * each), 200, FixedLengths(250, 200), 300)
    assert run.preemptions == 0
    assert run.most_blocks <= 8 * each


def test_requests_that_never_fit_are_refused() -> None:
    run = poisson(growing(1), limits(8, 1024, 10**6, longest=300), 10, SpreadLengths(250, 50, 0.5), 200)
    assert run.refused > 0
    assert max(r.prompt + r.output for r in run.requests) <= 300


def test_prompts_share_a_step_up_to_the_token_budget() -> None:
    """Ten prompts of 100 tokens at once: with a budget of 500 the first five are done after one step."""
    source = ClosedLoopSource(10, FixedLengths(100, 2), np.random.default_rng(1))
    run = SimulatedEngine(stages(1.0), limits(64, 500), source).run(10)
    first = sorted(r.first for r in run.requests[:10])
    assert first[:5] == pytest.approx([1.5] * 5)  # one step of 1 ms and 500 tokens of 0.001 ms
    assert first[5:9] == pytest.approx([1.5 + 1.495] * 4)  # five tokens of the second step are decodes


@pytest.mark.parametrize("tensor, pipeline", [(1, 1), (2, 1), (1, 4)])
def test_a_lone_sequence_takes_what_the_formulas_say(tensor: int, pipeline: int) -> None:
    """One user: TPOT is round(1) at the mean context, TTFT is T_START + 1.5 rounds + prefill."""
    of = problem(gpus=8)
    chosen = strategy(of, tensor, pipeline)
    with sixty_digits():
        exact = ReplicaTimes(of, row_of(chosen).shape, Stages(of))
        rounds, prefill = float(exact.round(1)), float(exact.prefill(1155, 1))
    source = ClosedLoopSource(1, FixedLengths(1155, 211), np.random.default_rng(1))
    run = SimulatedEngine(step_times(of, chosen), limits(64, 8192), source).run(3)
    request = run.requests[1]
    assert (request.finished - request.first) / 210 == pytest.approx(rounds, rel=1e-3)
    assert request.first - request.scheduled == pytest.approx(prefill, rel=5e-3)
    assert request.scheduled - request.arrived == pytest.approx(float(exact.start) + 1.5 * rounds, rel=1e-2)
