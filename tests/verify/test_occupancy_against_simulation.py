"""The predicted share of the time above a number of blocks against the simulation's block manager, over generated loads."""

from __future__ import annotations

import random
from fractions import Fraction

import numpy as np
import pytest

from optimizer.facts.problem import Problem
from optimizer.results.answer import Strategy
from optimizer.verify.common.arithmetic import sixty_digits
from optimizer.verify.common.occupancy import blocks_in_progress, moments_of_one, wanted
from optimizer.verify.simulation import limits_of, simulate
from optimizer.verify.simulation.arrivals import PoissonSource
from optimizer.verify.simulation.engine import SimulatedEngine
from optimizer.verify.simulation.lengths import Lengths, lengths_of
from optimizer.verify.simulation.scheduler import Limits
from optimizer.verify.simulation.steps import step_times
from optimizer.verify.uniform.recompute import candidate_of
from tests.verify.builders import LLAMA3_70B, problem

BATCHES = 10
T995 = 3.25  # 99.5th percentile of Student's t with BATCHES - 1 degrees of freedom
SHARES = (0.05, 0.01)
NO_LIMIT = Limits(max_num_seqs=1024, token_budget=8192, kv_blocks=10**9, max_sequence_tokens=10**7)


def drawn(seed: int) -> tuple[Problem, Strategy]:
    """A load between a fifth and three quarters of what a replica of a 70B model completes."""
    draw = random.Random(seed)
    prompt, output = draw.randint(100, 2000), draw.randint(50, 500)
    tensor = draw.choice([4, 8])
    lengths = {"prompt_tokens": prompt, "output_tokens": output, "requests_per_s": 1}
    wanted_ = {"max_batch": 512, "max_sequence_tokens": 8192}
    of = problem(model=LLAMA3_70B, workload=lengths, requirements=wanted_)
    strategy = Strategy(tensor, 1, 1, 1, 512, (80,), "fp16", "fp16")
    with sixty_digits():
        most = float(candidate_of(of, strategy).completions()[0])
    lengths["requests_per_s"] = round(most * draw.uniform(0.2, 0.7), 3)
    return problem(model=LLAMA3_70B, workload=lengths, requirements=wanted_), strategy


@pytest.mark.parametrize("seed", range(4))
def test_share_of_time_above_what_is_predicted(seed: int) -> None:
    of, strategy = drawn(seed)
    candidate = candidate_of(of, strategy)
    with sixty_digits():
        load = candidate.load
        assert load is not None
        blocks = moments_of_one(blocks_in_progress(of), lambda tokens: Fraction(tokens, 16))
        predicted = [float(wanted(load.number, blocks, share)) for share in SHARES]
    source = PoissonSource(of.workload.requests_per_s, lengths_of(of), np.random.default_rng(seed))
    run = SimulatedEngine(step_times(of, strategy), NO_LIMIT, source).run(6000)
    for share, level in zip(SHARES, predicted, strict=True):
        seen = run.occupancy.share_above(level, BATCHES, from_ms=0.1 * run.ended_ms)
        mean, half = float(seen.mean()), T995 * float(seen.std(ddof=1)) / BATCHES**0.5
        within = mean - half <= share <= mean + half
        assert within or mean <= share <= mean * 4 / 3, (share, mean, half)


def test_block_manager_preempts_where_the_formula_says_that_cache_lacks() -> None:
    """A cache of what is wanted for 1 % of the time preempts next to nobody; one of the mean preempts many."""
    of, strategy = drawn(1)
    candidate = candidate_of(of, strategy)
    with sixty_digits():
        load = candidate.load
        assert load is not None
        one = moments_of_one(blocks_in_progress(of), lambda tokens: Fraction(tokens, 16))
        ample, scarce = int(wanted(load.number, one, 0.01)), int(load.number.mean * one.mean * 4 / 5)
    preempted = []
    for blocks in (ample, scarce):
        source = PoissonSource(of.workload.requests_per_s, lengths_of(of), np.random.default_rng(1))
        limits = Limits(max_num_seqs=512, token_budget=8192, kv_blocks=blocks, max_sequence_tokens=8192)
        preempted.append(SimulatedEngine(step_times(of, strategy), limits, source).run(2000).preemptions)
    assert preempted[0] <= 0.02 * 2000
    assert preempted[1] > 5 * max(1, preempted[0])


def test_simulation_has_the_cache_of_the_answer() -> None:
    of, strategy = drawn(2)
    assert limits_of(of, strategy).kv_blocks == candidate_of(of, strategy).cache_tokens // 16
    assert simulate(of, strategy, requests=200).preemptions == 0


def test_lengths_are_drawn_from_the_law() -> None:
    found: Lengths = lengths_of(problem(workload={"prompt_tokens": 100, "output_tokens": 20, "requests_per_s": 1}))
    assert found.draw(2, np.random.default_rng(1)) == ([100, 100], [20, 20])
