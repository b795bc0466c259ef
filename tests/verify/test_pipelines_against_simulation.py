"""Pipelines near saturation, where prompts bunch in one micro-batch: how long requests stay, and the cache they hold."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from optimizer.facts.problem import Problem
from optimizer.results.answer import Strategy
from optimizer.verify.common.arithmetic import sixty_digits
from optimizer.verify.common.occupancy import blocks_in_progress, moments_of_one, wanted
from optimizer.verify.simulation.arrivals import PoissonSource
from optimizer.verify.simulation.engine import SimulatedEngine, SimulationRun
from optimizer.verify.simulation.lengths import lengths_of
from optimizer.verify.simulation.scheduler import Limits
from optimizer.verify.simulation.steps import step_times
from optimizer.verify.uniform.recompute import candidate_of
from tests.verify.builders import LLAMA3_70B, problem

NO_LIMIT = Limits(max_num_seqs=4096, token_budget=8192, kv_blocks=10**9, max_sequence_tokens=10**7)
RUNS, T995 = 5, 4.60  # 99.5th percentile of Student's t with RUNS - 1 degrees of freedom


def load(rate: float, tp: int, pp: int, **lengths: Any) -> tuple[Problem, Strategy]:
    work = {"prompt_tokens": 1155, "output_tokens": 211, "requests_per_s": rate} | lengths
    model = {**LLAMA3_70B, "max_position_embeddings": 16384}
    of = problem(model=model, workload=work, requirements={"max_batch": 2048, "max_sequence_tokens": 16384})
    return of, Strategy(tp, pp, 1, 1, 2048, (80 // pp,) * pp, "fp16", "fp16")


def play(of: Problem, strategy: Strategy, requests: int, seed: int = 3) -> SimulationRun:
    source = PoissonSource(of.workload.requests_per_s, lengths_of(of), np.random.default_rng(seed))
    return SimulatedEngine(step_times(of, strategy), NO_LIMIT, source).run(requests)


def test_a_bunched_round_by_hand() -> None:
    """The example of docs/model.md: 232 in progress at TP2·PP4."""
    times = candidate_of(*load(7, 2, 4)).times
    with sixty_digits():
        d, o_sum, o_max = (float(ms) for ms in (times.round(232), times.prompt_sum, times.prompt_max))
        under_way, sent = 38.470, 3 * 1155 * 4 * 8192 / (900e6 / 2)  # 20 layers a stage; three hops over NVLink
        assert d == pytest.approx(48.066, abs=1e-3) and sent == pytest.approx(0.2523, abs=1e-4)
        b = 231 / 211
        x, s = o_sum + sent - o_max, d - under_way
        a = b * o_max + b * x * (1 - (s / x) / (1 + b))
        h, f = b / (1 + 2 * b / 3), 1 - 1 / 4 - 1 / 32
        assert (x, a) == pytest.approx((84.83, 125.22), abs=0.02)
        bunched = (d + a) / 2 + (((d + a) / 2) ** 2 - f * h * a * d) ** 0.5
        assert bunched == pytest.approx(155.70, abs=0.01) and float(times.tpot(232)) == pytest.approx(bunched, rel=1e-4)
        alone = candidate_of(*load(4, 8, 1)).times
        assert float(alone.tpot(100)) == pytest.approx(float(alone.round(100) + 99 * alone.prompt_sum / 211))


def test_short_prompts_hide_in_the_wait_for_a_turn() -> None:
    """Prompts of 100 tokens take less than micro-batches wait: the slowest stage's work is all that they cost."""
    times = candidate_of(*load(7, 2, 4, prompt_tokens=100, output_tokens=400)).times
    with sixty_digits():
        for n in (2, 8, 40):
            least = times.round(n) + Decimal(n - 1) / 400 * times.prompt_max
            assert least <= times.tpot(n) <= least * Decimal("1.005")
        tokens = [times.tpot(n) for n in range(1, 600)]
    assert tokens == sorted(tokens)


@pytest.mark.parametrize(("tp", "pp", "rate", "most"), [(2, 4, 7.0, 1.2), (2, 4, 9.0, 1.7), (4, 2, 11.0, 1.2)])
def test_stays_are_not_optimistic(tp: int, pp: int, rate: float, most: float) -> None:
    """At the second load more than 1,000 requests gather, and runs differ by a third; 0.30 of their stay was predicted once."""
    of, strategy = load(rate, tp, pp)
    run = play(of, strategy, 4000)
    late = [request for request in run.requests[800:4000] if request.finished > 0]
    seen = np.mean([request.finished - request.arrived for request in late])
    with sixty_digits():
        said = candidate_of(of, strategy).load
    assert said is not None and 0.95 <= float(said.mean) / seen <= most


@pytest.mark.parametrize(("tp", "pp", "rate"), [(2, 4, 5.0), (4, 2, 8.0)])
def test_cache_in_use_is_passed_for_the_share_predicted(tp: int, pp: int, rate: float) -> None:
    """Within the 99 % interval of independent simulations, or pessimistic by at most a third."""
    of, strategy = load(rate, tp, pp)
    with sixty_digits():
        said = candidate_of(of, strategy).load
        assert said is not None
        one = moments_of_one(blocks_in_progress(of), lambda tokens: Fraction(tokens, 16))
        levels = {share: float(wanted(said.number, one, share)) for share in (0.05, 0.01)}
    runs = [play(of, strategy, 6000, seed) for seed in range(RUNS)]
    for share, level in levels.items():
        seen = [float(run.occupancy.share_above(level, 1, from_ms=0.1 * run.ended_ms)[0]) for run in runs]
        mean, half = float(np.mean(seen)), T995 * float(np.std(seen, ddof=1)) / RUNS**0.5
        assert mean - half <= share <= max(mean + half, mean * 4 / 3), (share, mean, half)
