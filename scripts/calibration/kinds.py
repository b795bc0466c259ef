"""Predictions for runs of every kind: closed and open loops, bursts, highest throughput, static batches, split pools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from calibration.open_loop import first_of_series, open_loop
from calibration.open_pools import open_pools, side
from optimizer.catalog.constants import ClosedLoopConstants, CostConstants
from optimizer.costs.corpus import Corpus
from optimizer.costs.measured_runs import MeasuredRun
from optimizer.costs.queued import highest_throughput, static_batch
from optimizer.costs.split_pools import split_pools
from optimizer.reading.measurements import (
    ALL_AT_ONCE,
    CLOSED_LOOP,
    DISAGGREGATED,
    DISAGGREGATED_OPEN,
    OFFLINE_MAX,
    OPEN_LOOP,
    STATIC_BATCH,
)

NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Predicted:
    """Times in ms, output tokens per second of the whole run; NaN where the kind has no such figure."""

    ttft: float = NAN
    ttft_p50: float = NAN
    ttft_p99: float = NAN
    tpot: float = NAN
    tpot_p50: float = NAN
    tpot_p99: float = NAN
    output_tok_s: float = NAN


def predict(
    runs: Sequence[MeasuredRun], values: CostConstants, engines: Mapping[str, ClosedLoopConstants]
) -> list[Predicted]:
    """One prediction a run, in their order."""
    found = [Predicted()] * len(runs)
    by_kind: dict[str, list[int]] = {}
    for index, run in enumerate(runs):
        by_kind.setdefault(OPEN_LOOP if run.row.kind == ALL_AT_ONCE else run.row.kind, []).append(index)
    for kind, rows in by_kind.items():
        mine = [runs[i] for i in rows]
        for index, one in zip(rows, _of_kind(kind, mine, values, engines), strict=True):
            found[index] = one
    return found


def _of_kind(
    kind: str, runs: Sequence[MeasuredRun], values: CostConstants, engines: Mapping[str, ClosedLoopConstants]
) -> list[Predicted]:
    if kind == OPEN_LOOP:
        firsts = first_of_series(runs)
        return [Predicted(**vars_of(open_loop(run, first))) for run, first in zip(runs, firsts, strict=True)]
    if kind == DISAGGREGATED_OPEN:
        return [Predicted(**vars_of(open_pools(run, values))) for run in runs]
    if kind == DISAGGREGATED:
        return _split(runs, values, engines)
    corpus = Corpus(runs)
    grid = corpus.step_times(values)
    steps = corpus.steps_by_run(grid)
    concurrency = np.array([[run.row.concurrency] for run in runs])
    output = np.array([run.row.output_tokens for run in runs])
    if kind == CLOSED_LOOP:
        times = corpus.predict(grid, engines)
        return [
            Predicted(ttft, ttft, NAN, tpot, tpot, NAN, 1e3 * run.row.concurrency * run.row.output_tokens / whole)
            for run, ttft, tpot, whole in zip(runs, times["ttft"], times["tpot"], times["e2e"], strict=True)
        ]
    queued = {OFFLINE_MAX: highest_throughput, STATIC_BATCH: static_batch}[kind](steps, concurrency, output)
    return [
        Predicted(
            ttft=float(queued.ttft_ms[i, 0]),
            ttft_p50=float(queued.ttft_ms[i, 0]),
            tpot=float(queued.tpot_ms[i, 0]),
            tpot_p50=float(queued.tpot_ms[i, 0]),
            output_tok_s=float(queued.output_tok_s[i, 0]),
        )
        for i in range(len(runs))
    ]


def vars_of(percentiles: object) -> dict[str, float]:
    """Fields of a slotted dataclass."""
    return {name: getattr(percentiles, name) for name in percentiles.__dataclass_fields__}  # type: ignore[attr-defined]


def _split(
    runs: Sequence[MeasuredRun], values: CostConstants, engines: Mapping[str, ClosedLoopConstants]
) -> list[Predicted]:
    """Both sides as closed loops of their own, joined by the flow between them."""
    found = []
    for run in runs:
        prefill, decode = run.row.prefill, run.row.decode
        assert prefill and decode
        engine = engines.get(run.row.engine) or engines["other"]
        first = side(run, prefill, [1], values)
        most = max(1, run.row.concurrency // decode.workers)
        loads = sorted({max(1, round(most * k / 32)) for k in range(1, 33)})
        second = side(run, decode, loads, values)
        result = split_pools(
            concurrency=run.row.concurrency,
            output_tokens=run.row.output_tokens,
            prompt_ms=float(first.prompt_ms[0, 0]),
            occupancy_ms=float(first.occupancy_ms[0, 0]) / prefill.workers,
            loads=second.running[:, 0] * decode.workers,
            decode_ms=second.decode_ms[:, 0],
            engine=engine,
        )
        found.append(
            Predicted(
                ttft=result.ttft_ms, ttft_p50=result.ttft_ms, tpot=result.tpot_ms, tpot_p50=result.tpot_ms,
                output_tok_s=result.output_tok_s,
            )
        )  # fmt: skip
    return found
