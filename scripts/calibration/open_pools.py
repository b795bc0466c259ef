"""Prefill and decode instances under Poisson arrivals, played request by request: so many arrivals, several seeds.

Prompts wait for the prefill instance that is free first, one after the other; their cache then crosses the network, one prompt at a
time at its sender; each decode instance runs steps of all that it holds. Step times are those of ``closed_loop``, as for joint runs.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from calibration.open_loop import Percentiles, admit_steps, played, poisson_ms
from optimizer.catalog.constants import CostConstants, constants
from optimizer.costs.closed_loop import ClosedLoop, StepTimes
from optimizer.costs.corpus import Corpus
from optimizer.costs.measured_runs import MeasuredRun, run_of
from optimizer.costs.shapes import Floats
from optimizer.reading.measurements import CLOSED_LOOP, MeasuredPool

USUAL_GBIT_PER_NODE = 100.0
"""Network of a node where the catalog knows none (docs/model.md, section 3)."""


@dataclass(frozen=True, slots=True)
class Pair:
    """What one run of both pools takes, ms."""

    senders: int
    prompt: float
    """A prompt alone on a prefill instance, with the step that it is part of."""
    transfer: float
    receivers: int
    steps: Floats
    """Entry n: a step of n + 1 sequences on a decode instance."""
    start: float


def open_pools(run: MeasuredRun, values: CostConstants) -> Percentiles:
    """Mean, median and 99th percentile over all requests of several seeds."""
    pair, row = _pair(run, values), run.row
    first, each, ended = list[float](), list[float](), 0.0
    count, seeds = played(row)
    for seed in range(seeds):
        arrived = poisson_ms(count, row.rate_per_s, np.random.default_rng(seed))
        tokens, done = _played(pair, arrived, row.output_tokens)
        first += (tokens - arrived).tolist()
        each += ((done - tokens) / max(1, row.output_tokens - 1)).tolist()
        ended += float(done.max())
    answered = 1e3 * seeds * count * row.output_tokens / ended
    return Percentiles(
        float(np.mean(first)), *(float(v) for v in np.percentile(first, (50, 99))),
        float(np.mean(each)), *(float(v) for v in np.percentile(each, (50, 99))),
        answered,
    )  # fmt: skip


def side(run: MeasuredRun, pool: MeasuredPool, loads: Sequence[int], values: CostConstants) -> StepTimes:
    """Steps of one worker of a side at several loads."""
    row = replace(
        run.row, tp=pool.tp, pp=pool.pp, ranks=pool.ranks, ep=pool.ep, gpus=pool.gpus // pool.workers,
        kind=CLOSED_LOOP, nodes=1,
    )  # fmt: skip
    corpus = Corpus([run_of(replace(row, concurrency=load), run.model, run.gpu) for load in loads])
    return corpus.steps_by_run(corpus.step_times(values))


def _pair(run: MeasuredRun, values: CostConstants) -> Pair:
    prefill, decode = run.row.prefill, run.row.decode
    assert prefill and decode
    engine = constants().engines.get(run.row.engine) or constants().engines["vllm"]
    most = max(1, min(256, -(-run.row.concurrency // decode.workers)))
    second = side(run, decode, range(1, most + 1), values)
    first = side(run, prefill, [1], values)
    gbit_per_gpu = run.gpu.network_gbit_per_s or USUAL_GBIT_PER_NODE / run.gpu.gpus_per_node
    return Pair(
        senders=prefill.workers * prefill.ranks,
        prompt=float(first.prompt_ms[0, 0] + first.decode_ms[0, 0]),
        transfer=_cache_bytes_per_gpu(run, prefill) / (gbit_per_gpu * 125_000),
        receivers=decode.workers,
        steps=second.decode_ms[:, 0],
        start=engine.start_ms + admit_steps(run.row) * float(first.decode_ms[0, 0]),
    )


def _cache_bytes_per_gpu(run: MeasuredRun, pool: MeasuredPool) -> float:
    """Cache of one prompt on a GPU of a pool."""
    shape, one = replace(run.shape, tp=pool.tp, ep=1), np.array([1])
    lengths = np.array([run.row.prompt_tokens]), np.array([run.row.output_tokens])
    return float(ClosedLoop(run.model, run.gpu, [shape], one, *lengths).cache_bytes(constants())[0])


def _played(pair: Pair, arrived: Floats, output: int) -> tuple[Floats, Floats]:
    """When each request has its first and its last token."""
    free, link = [0.0] * pair.senders, [0.0] * pair.senders
    ready = np.empty(len(arrived))
    for index, at in enumerate(arrived):
        rank = min(range(pair.senders), key=free.__getitem__)
        free[rank] = max(free[rank], at + pair.start) + pair.prompt
        link[rank] = max(link[rank], free[rank]) + pair.transfer
        ready[index] = link[rank]
    first, done = np.empty(len(arrived)), np.empty(len(arrived))
    order = np.argsort(ready)
    for receiver in range(pair.receivers):
        _decode(pair, order[receiver :: pair.receivers], ready, output, first, done)
    return first, done


def _decode(pair: Pair, mine: Sequence[int] | Floats, ready: Floats, output: int, first: Floats, done: Floats) -> None:
    """Steps of one instance: who is there when a step begins takes part in it."""
    clock, step, place = 0.0, 0, 0
    running: list[tuple[int, int]] = []
    most = len(pair.steps)
    while place < len(mine) or running:
        if not running:
            clock = max(clock, float(ready[int(mine[place])]))
        joined = []
        while place < len(mine) and ready[int(mine[place])] <= clock and len(running) < most:
            joined.append(int(mine[place]))
            heapq.heappush(running, (step + output, joined[-1]))
            place += 1
        clock += float(pair.steps[len(running) - 1])
        step += 1
        first[joined] = clock
        while running and running[0][0] == step:
            done[heapq.heappop(running)[1]] = clock
