"""Discrete simulation of one replica of a strategy: the check on the percentiles of every answer."""

from __future__ import annotations

import math
from decimal import Decimal
from pathlib import Path

import numpy as np

from optimizer.facts.problem import Problem
from optimizer.results.answer import Strategy
from optimizer.verify.common.arithmetic import sixty_digits
from optimizer.verify.common.candidate import Candidate
from optimizer.verify.common.occupancy import blocks_in_progress
from optimizer.verify.common.stage import Stage
from optimizer.verify.simulation.arrivals import PoissonSource, Source, TraceSource
from optimizer.verify.simulation.engine import SimulatedEngine
from optimizer.verify.simulation.lengths import lengths_of
from optimizer.verify.simulation.report import Disagreement, Estimate, SimulatedPercentiles, compare, summarise
from optimizer.verify.simulation.scheduler import Limits
from optimizer.verify.simulation.sequences import blocks_of
from optimizer.verify.simulation.steps import step_times
from optimizer.verify.simulation.trace import read_trace, share_of_replica
from optimizer.verify.uniform.recompute import candidate_of, longest_of

__all__ = ["Disagreement", "Estimate", "SimulatedPercentiles", "compare", "limits_of", "simulate"]

_WARM_UP = 5  # one warm-up request for so many measured


def simulate(
    problem: Problem, strategy: Strategy, *, seed: int = 1, requests: int = 2000, trace: Path | None = None
) -> SimulatedPercentiles:
    """Serve requests with one replica of a strategy and report what they saw.

    Without a trace, requests arrive as a Poisson stream at ``requests_per_s / DP``: what one replica receives when each
    request goes to a replica drawn at random. Lengths are the workload's means; prompts are lognormal when
    ``prompt_tokens_p99`` is stated. Another fifth of requests warms the replica up; arrivals go on until the last
    measured request is answered. With a trace, the replica serves every DP-th request of it (dealt in turn) at the
    recorded times, whatever ``requests_per_s`` says; requests longer than ``max_sequence_tokens`` are refused.
    Replicas that form one engine (EP = TP x DP) are taken to have equal batches at every step.

    Args:
        problem: from ``load_problem``.
        strategy: one that keeps the rules; at least the longest request stated has to fit its memory.
        seed: of the random numbers; the same seed gives the same result.
        requests: measured requests; ignored with a trace, of which all are measured.
        trace: CSV as ``arrivals.read_trace`` describes.

    Raises:
        ValueError: not even one sequence fits the memory, or the trace is malformed.
    """
    random = np.random.default_rng(seed)
    source: Source
    if trace is not None:
        whole = read_trace(trace)
        share = share_of_replica(whole, strategy.data_parallel, 0, "round-robin", random)
        source, warm_up, requests = TraceSource(share), 0, len(share)
        said = f"trace {trace.name}, dealt in turn to {strategy.data_parallel} replicas, of which this is the first"
    else:
        rate, warm_up = problem.workload.requests_per_s / strategy.data_parallel, requests // _WARM_UP
        source = PoissonSource(rate, lengths_of(problem), random)
        said = f"Poisson, {rate:g} requests/s at the replica"
    run = SimulatedEngine(step_times(problem, strategy), limits_of(problem, strategy), source).run(warm_up + requests)
    return summarise(run, warm_up=warm_up, requests=requests, arrivals=said, seed=seed)


def limits_of(problem: Problem, strategy: Strategy) -> Limits:
    """What the replica's engine may hold; KV blocks are what its memory budget leaves, at the stage with the fewest.

    Raises:
        ValueError: not even one sequence of full length fits.
    """
    candidate = candidate_of(problem, strategy)
    if problem.search.kv_reservation == "paged":
        blocks, longest = _paged_blocks(candidate), longest_of(candidate)
    else:
        stages = [stage for stage in candidate.facts.stages if stage.sequence_bytes]
        rooms = zip(candidate.facts.stages, candidate.rooms, strict=True)
        sequences = min(room // stage.sequence_bytes for stage, room in rooms if stage in stages)
        blocks, longest = sequences * blocks_of(problem.max_sequence_tokens), problem.max_sequence_tokens
    if blocks < blocks_of(problem.longest_request_tokens):
        raise ValueError(f"{strategy.label}: the memory budget leaves no room for one sequence of full length")
    return Limits(
        max_num_seqs=strategy.max_num_seqs,
        token_budget=problem.search.max_num_batched_tokens,
        kv_blocks=blocks,
        prefix=problem.workload.prefix,
        speculation=problem.workload.speculation if problem.workload.guessed else None,
        max_sequence_tokens=longest,
    )


def once(candidate: Candidate, stage: Stage) -> int:
    """Bytes that are held once for all requests."""
    tokens = candidate.problem.workload.shared_tokens
    return math.ceil(stage.held_bytes(tokens)) if tokens else 0


@sixty_digits()
def _paged_blocks(candidate: Candidate) -> int:
    """Blocks of 16 tokens that the cache holds, a block counted at what it takes on average while requests are in progress.

    Where every layer keeps every token that is the same for all blocks; windows and states make long sequences cheaper.
    """
    often = blocks_in_progress(candidate.problem)
    mean = Decimal(sum(block * times for block, times in often.items())) / sum(often.values())
    found = []
    for stage, room in zip(candidate.facts.stages, candidate.rooms, strict=True):
        held = candidate.facts.held(stage).mean
        if held:
            found.append(int(max(0, room - once(candidate, stage)) * mean / held))
    return min(found)
