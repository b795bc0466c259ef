"""Open-loop runs and bursts, played request by request: so many arrivals, and the percentiles of what they saw.

A run of 200 requests does not reach the steady state that the product's answers speak of, so the run itself is played,
with the verifier's simulator and several seeds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from optimizer.costs.closed_loop import ClosedLoop
from optimizer.costs.measured_runs import MeasuredRun
from optimizer.facts.problem import Problem
from optimizer.results.answer import Strategy
from optimizer.verify.simulation.arrivals import TraceSource
from optimizer.verify.simulation.engine import SimulatedEngine
from optimizer.verify.simulation.scheduler import Limits
from optimizer.verify.simulation.steps import step_times
from optimizer.verify.simulation.trace import Arrival

SEEDS = 5
SPREAD = 0.7
"""Standard deviation of the log lengths drawn where the outputs are long enough to vary (chat logs: 0.7 to 1.1)."""
SHORTEST_VARIED = 32
MOST_SEQUENCES = 256
PLAYED_STEPS = 0.5
"""Steps before the first that a request waits for in a played run. The product's formulas count ``admit_steps`` in all; what is left
of the step under way is part of the play. First tokens at low rates ask for 0 to 1 (vLLM, one A10 and two nodes of A100)."""
EAGER_LAUNCHES = 10.0
"""How many times longer a layer's launches take without CUDA graphs, where experts are routed: 18 ms a token become 139
(DeepSeek-V2.5 over two nodes, vLLM 0.8.3, the only runs of it)."""


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Milliseconds; tokens per second."""

    ttft: float
    ttft_p50: float
    ttft_p99: float
    tpot: float
    tpot_p50: float
    tpot_p99: float
    output_tok_s: float


def open_loop(run: MeasuredRun) -> Percentiles:
    """Mean, median and 99th percentile over all requests of several seeds."""
    row = run.row
    problem = _problem(run)
    strategy = Strategy(
        row.tp, row.pp, 1, run.shape.ep, MOST_SEQUENCES, run.shape.layers_per_stage,
        run.shape.weight_format, run.shape.kv_format,
    )  # fmt: skip
    times = replace(step_times(problem, strategy), admit_steps=PLAYED_STEPS)
    first, each, duration = [], [], 0.0
    for seed in range(SEEDS):
        random = np.random.default_rng(seed)
        source = TraceSource(_arrivals(run, random))
        limits = Limits(
            max_num_seqs=MOST_SEQUENCES,
            token_budget=problem.search.max_num_batched_tokens,
            kv_blocks=1_000_000,
            max_sequence_tokens=8 * (row.prompt_tokens + row.output_tokens),
        )
        done = SimulatedEngine(times, limits, source).run(row.concurrency)
        answered = [r for r in done.requests if r.finished >= 0]
        first += [r.first - r.arrived for r in answered]
        each += [(r.finished - r.first) / (r.output - 1) for r in answered if r.output > 1]
        duration += done.ended_ms
    tokens = SEEDS * row.concurrency * row.output_tokens
    return Percentiles(
        float(np.mean(first)), *(float(v) for v in np.percentile(first, (50, 99))),
        float(np.mean(each)), *(float(v) for v in np.percentile(each, (50, 99))),
        1e3 * tokens / duration,
    )  # fmt: skip


def _arrivals(run: MeasuredRun, random: np.random.Generator) -> list[Arrival]:
    row = run.row
    gaps = random.exponential(1.0, row.concurrency)
    at = np.cumsum(gaps) * 1e3 / row.rate_per_s if math.isfinite(row.rate_per_s) else np.zeros(row.concurrency)
    lengths = np.tile([[row.prompt_tokens], [row.output_tokens]], row.concurrency).astype(np.float64)
    if row.output_tokens >= SHORTEST_VARIED:
        drawn = np.exp(SPREAD * random.standard_normal(lengths.shape) - SPREAD**2 / 2)
        lengths = lengths * drawn
    prompts, outputs = np.clip(np.rint(lengths), 1, 8 * max(row.prompt_tokens, row.output_tokens)).astype(int).tolist()
    return [Arrival(t, p, o) for t, p, o in zip(at.tolist(), prompts, outputs, strict=True)]


def _problem(run: MeasuredRun) -> Problem:
    row = run.row
    one = [np.array([v]) for v in (1, row.prompt_tokens, row.output_tokens)]
    per_node = -(-row.gpus // row.nodes) if row.nodes > 1 else None
    problem = ClosedLoop(run.model, run.gpu, [run.shape], *one, gpus_per_node=per_node).problem
    most = 8 * (row.prompt_tokens + row.output_tokens)
    wanted = problem.requirements.model_copy(update={"max_sequence_tokens": most})
    gpu = run.gpu
    if row.eager and run.model.experts:
        gpu = gpu.model_copy(update={"layer_time_factor": gpu.layer_time_factor * EAGER_LAUNCHES})
    hardware = problem.hardware.model_copy(update={"gpu": gpu})
    return problem.model_copy(
        update={
            "hardware": hardware,
            "requirements": wanted,
            "engine": row.engine if row.engine != "trtllm" else "vllm",
        }
    )
