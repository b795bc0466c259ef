"""Open-loop runs and bursts, played request by request: so many arrivals, and the percentiles of what they saw.

A run of 200 requests does not reach the steady state that the product's answers speak of, so the run itself is played,
with the verifier's simulator and several seeds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from calibration.prefill_first import SEQUENCE_MS, first_engine, play, prompts_first
from optimizer.catalog.constants import constants
from optimizer.costs.closed_loop import ClosedLoop
from optimizer.costs.measured_runs import MeasuredRun
from optimizer.costs.shapes import Floats
from optimizer.facts.problem import Problem
from optimizer.reading.measurements import Measurement
from optimizer.results.answer import Strategy
from optimizer.verify.simulation.arrivals import TraceSource
from optimizer.verify.simulation.engine import SimulatedEngine
from optimizer.verify.simulation.scheduler import Limits
from optimizer.verify.simulation.sequences import Request
from optimizer.verify.simulation.steps import SimulatedStepTimes, StageTimes, step_times
from optimizer.verify.simulation.trace import Arrival

Ends = tuple[float, float]
SEEDS = 5
MOST_PLAYED = 10_000
PLAYED_ENGINES = frozenset({"vllm", "sglang"})
"""Engines that are played as they are; any other, and one that is not stated, as vLLM."""
SPREAD = 0.7
"""Standard deviation of the log lengths drawn where the outputs are long enough to vary (chat logs: 0.7 to 1.1)."""
SHORTEST_VARIED = 32
MOST_SEQUENCES = 256
OLD_STEPS = 0.5
"""``admit_steps`` of a run whose version is a date or unknown, as every run of 2024: the rest of the step under way."""
EAGER_DENSE_MS = 0.26
"""What the processor takes to launch a dense layer's kernels one by one, ms: a step of Llama-3.1-8B on one H100 takes 8.4 ms without
CUDA graphs, 5.1 with (https://cloudai.pt/tag/cuda-graphs/), and 28 layers on a shared A800 22 and 13 (0.8 a layer,
https://github.com/vllm-project/vllm-omni/issues/7960). The GPU works meanwhile: a step takes the longer of the two."""
EAGER_ROUTED_MS = 2.15
"""The same where experts are routed. Steps of DeepSeek-V2.5 over two nodes (vLLM 0.8.3, the only runs of it) take 129 ms for 60
layers and 0.2 for each sequence: TPOT at 1 and 4 requests/s, less the steps with prompts that come between."""
COMPILED_MS, COMPILED_VARIANTS = 1000.0, 4
"""What the first use of a variant of the expert kernel takes, both stages one after the other, and how many variants there are. Triton
compiles one for each tile size and divisibility of the tokens when a step first needs it; without CUDA graphs nothing has run them
before (https://github.com/vllm-project/vllm/pull/55268 counts four). The first of a series of runs on one server pays: 3 or 4
first tokens of 200 took 1.2 to 1.3 s there (both networks), 0.34 to 0.7 s in the runs after it."""


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


def open_loop(run: MeasuredRun, first_run: bool = True) -> Percentiles:
    """Mean, median and 99th percentile over all requests of several seeds; ``first_run``: the first that its server answers."""
    row = run.row
    problem = _problem(run)
    strategy = Strategy(
        row.tp, row.pp, 1, run.shape.ep, MOST_SEQUENCES, run.shape.layers_per_stage,
        run.shape.weight_format, run.shape.kv_format,
    )  # fmt: skip
    times = replace(step_times(problem, strategy), admit_steps=admit_steps(row))
    first, each, duration, tokens = [], [], 0.0, 0
    _, seeds = played(row)
    launched, stalls = _launched_ms(run), _stalls_ms(run, first_run)
    each_ms = SEQUENCE_MS / row.pp if first_engine(row) else 0.0
    slower = replace(times, stages=tuple(_slower(*one, each_ms) for one in zip(times.stages, launched, strict=True)))
    limits = Limits(
        max_num_seqs=MOST_SEQUENCES,
        token_budget=problem.search.max_num_batched_tokens,
        kv_blocks=1_000_000,
        max_sequence_tokens=8 * (row.prompt_tokens + row.output_tokens),
    )
    for seed in range(seeds):
        random = np.random.default_rng(seed)
        arrivals = _arrivals(run, random)
        if prompts_first(row, run.model):
            answered, ended = play(times, arrivals, MOST_SEQUENCES, launched, stalls)
        else:
            answered, ended = _mixed(slower, limits, arrivals)
        first += [r.first - r.arrived for r in answered]
        each += [(r.finished - r.first) / (r.output - 1) for r in answered if r.output > 1]
        duration += ended
        tokens += sum(r.output for r in answered)
    return Percentiles(
        float(np.mean(first)), *(float(v) for v in np.percentile(first, (50, 99))),
        float(np.mean(each)), *(float(v) for v in np.percentile(each, (50, 99))),
        1e3 * tokens / duration,
    )  # fmt: skip


def first_of_series(runs: Sequence[MeasuredRun]) -> list[bool]:
    """Whether each run is the first of those that a server answered: of rows alike in all but their rate, the one with the lowest."""
    lowest: dict[object, float] = {}
    keys = [
        (run.model.name, run.gpu.name, run.shape, run.row.engine, run.row.version, run.row.network, run.row.note)
        for run in runs
    ]
    rates = [run.row.rate_per_s if math.isfinite(run.row.rate_per_s) else math.inf for run in runs]
    for key, rate in zip(keys, rates, strict=True):
        lowest[key] = min(rate, lowest.get(key, math.inf))
    return [rate == lowest[key] for key, rate in zip(keys, rates, strict=True)]


def _stalls_ms(run: MeasuredRun, first: bool) -> list[float]:
    compiles = first and run.row.eager and bool(run.model.experts)
    return [COMPILED_MS] * COMPILED_VARIANTS if compiles else []


def _launched_ms(run: MeasuredRun) -> list[float]:
    """What launching each stage's kernels takes without CUDA graphs, ms; 0 with."""
    of_layer = (EAGER_ROUTED_MS if run.model.experts else EAGER_DENSE_MS) if run.row.eager else 0.0
    return [layers * of_layer for layers in run.shape.layers_per_stage]


def _slower(stage: StageTimes, launched_ms: float, each_ms: float) -> StageTimes:
    """A stage whose steps take no less than the launches, and so much more for each sequence; prompts come on top of it."""
    return replace(stage, base=tuple(max(ms, launched_ms) + each_ms * n for n, ms in enumerate(stage.base)))


def _mixed(times: SimulatedStepTimes, limits: Limits, arrivals: list[Arrival]) -> tuple[list[Request], float]:
    """Steps that carry tokens of answers and chunks of prompts together: those answered, and when the last one was, ms."""
    done = SimulatedEngine(times, limits, TraceSource(arrivals)).run(len(arrivals))
    return [r for r in done.requests if r.finished >= 0], done.ended_ms


def admit_steps(row: Measurement) -> float:
    """Steps that a request waits for besides its own, as the product counts them for the row's engine and version."""
    version = re.match(r"v?(\d{1,2}(?:\.\d+)+)", row.version)
    engine = constants().engines.get(row.engine)
    return engine.of_version(version[1]).admit_steps if engine and version else OLD_STEPS


def played(row: Measurement) -> tuple[int, int]:
    """Requests that are played, and how many times: the row's, but of a long run under a rate no more than tell its percentiles."""
    count = min(row.concurrency, MOST_PLAYED)
    return count, max(1, min(SEEDS, MOST_PLAYED // count))


def _arrivals(run: MeasuredRun, random: np.random.Generator) -> list[Arrival]:
    row = run.row
    count, _ = played(row)
    at = poisson_ms(count, row.rate_per_s, random)
    prompts, outputs = (
        _lengths(mean, ends, row, random)
        for mean, ends in zip((row.prompt_tokens, row.output_tokens), _ends(row), strict=True)
    )
    return [Arrival(t, p, o) for t, p, o in zip(at.tolist(), prompts, outputs, strict=True)]


def _lengths(mean: int, ends: Ends | None, row: Measurement, random: np.random.Generator) -> list[int]:
    """Lengths of one run: all alike where outputs are too short to vary, else drawn."""
    count, _ = played(row)
    if ends is not None and ends[0] < mean < ends[1]:
        drawn = between(*ends, float(mean), _shares(count, random))
    elif row.output_tokens >= SHORTEST_VARIED:
        drawn = mean * np.exp(SPREAD * random.standard_normal(count) - SPREAD**2 / 2)
    else:
        drawn = np.full(count, float(mean))
    result: list[int] = np.clip(np.rint(drawn), 1, 8 * max(row.prompt_tokens, row.output_tokens)).astype(int).tolist()
    return result


def _shares(count: int, random: np.random.Generator) -> Floats:
    """Evenly from 0 to 1, so that the shortest and the longest of the run are what was stated, in any order but for the last, the longest.

    The runs that state their ends (200 requests of ShareGPT in the order of seed 0) all end 780 tokens, their longest, after the last
    arrival: 109 s at 1 request/s and 139 ms a token.
    """
    return np.append(random.permutation(np.linspace(0.0, 1.0, count)[:-1]), 1.0)


LARGEST_SHARE = 1 - 1e-16
"""The nearest to 1 whose complement has a logarithm in floats."""


def between(low: float, high: float, mean: float, share: Floats) -> Floats:
    """Quantiles of the law between two ends that only its mean is known of: exponential, cut off at the ends (the one of most entropy)."""
    width = high - low
    wanted = (mean - low) / width

    def middle(k: float) -> float:
        return 0.5 if abs(k) < 1e-6 else 1 / k - 1 / math.expm1(k)

    below, above = -500.0, 500.0
    for _ in range(60):
        k = (below + above) / 2
        below, above = (k, above) if middle(k) > wanted else (below, k)
    if abs(k) < 1e-6:
        return low + width * share
    result: Floats = low - width * np.log1p(np.maximum(share * math.expm1(-k), -LARGEST_SHARE)) / k
    result[share >= 1] = high
    return result


RANGE = r"{} (\d+) ?(?:-|–|to) ?(\d+)"


def _ends(row: Measurement) -> tuple[Ends | None, Ends | None]:
    """Shortest and longest prompt and output that a row's note states."""
    found = [re.search(RANGE.format(name), row.note.lower()) for name in ("prompts", "outputs")]
    first, second = ((float(one[1]), float(one[2])) if one else None for one in found)
    return first, second


def poisson_ms(requests: int, rate_per_s: float, random: np.random.Generator) -> Floats:
    """When so many requests arrive, the first at 0 and the others as long as the rate says on average; all at once without a rate."""
    if not math.isfinite(rate_per_s) or requests < 2:
        return np.zeros(requests)
    gaps = random.exponential(1.0, requests - 1)
    at: Floats = np.concatenate([[0.0], np.cumsum(gaps / gaps.mean())]) * 1e3 / rate_per_s
    return at


def _problem(run: MeasuredRun) -> Problem:
    row = run.row
    one = [np.array([v]) for v in (1, row.prompt_tokens, row.output_tokens)]
    per_node = -(-row.gpus // row.nodes) if row.nodes > 1 else None
    problem = ClosedLoop(run.model, run.gpu, [run.shape], *one, gpus_per_node=per_node).problem
    most = 8 * (row.prompt_tokens + row.output_tokens)
    wanted = problem.requirements.model_copy(update={"max_sequence_tokens": most})
    hardware = problem.hardware.model_copy(update={"gpu": run.gpu})
    return problem.model_copy(
        update={
            "hardware": hardware,
            "requirements": wanted,
            "engine": row.engine if row.engine in PLAYED_ENGINES else "vllm",
        }
    )
