"""Runs whose requests all wait at the start: highest throughput, one static batch, or a burst. ``docs/accuracy.md``.

Steps and prompts are those of ``closed_loop``; with D a decode step of n sequences, p a prompt at the slowest stage per
rank and o output tokens:

    highest throughput   every sequence's prompt is worked on between the steps of the others: n·o / (n·p + o·D) tokens/ms
    static batch         all prompts, then o − 1 steps: C·o / (C·p + (o − 1)·D); past the capacity, one wave after another
    burst                the k-th first token after k prompts; then as in a batch
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optimizer.costs.closed_loop import StepTimes
from optimizer.costs.shapes import Floats, Ints


@dataclass(frozen=True, slots=True)
class Queued:
    """Mean times in ms and output tokens per second, (S, B)."""

    ttft_ms: Floats
    tpot_ms: Floats
    output_tok_s: Floats


def highest_throughput(times: StepTimes, concurrency: Ints, output_tokens: Ints) -> Queued:
    """All requests of a long run queued at once, (S, B) of them running where memory allows.

    Args:
        times: steps at ``concurrency``.
        concurrency: (S, B) most sequences that the engine runs.
        output_tokens: (S,) tokens of each answer.
    """
    n, output = times.running, output_tokens[:, None]
    tpot = times.decode_ms + n * times.occupancy_ms / output
    return Queued(
        ttft_ms=times.prompt_ms + n * times.occupancy_ms / 2 + 0 * concurrency,
        tpot_ms=tpot,
        output_tok_s=1e3 * n / tpot,
    )


def static_batch(times: StepTimes, concurrency: Ints, output_tokens: Ints) -> Queued:
    """One batch of (S, B) requests from its start to its end."""
    n, output = times.running, output_tokens[:, None]
    waves = np.ceil(concurrency / n)
    first = times.prompt_ms + (n - 1) * times.occupancy_ms
    whole = first + (output - 1) * times.decode_ms
    return Queued(first, times.decode_ms + 0 * first, 1e3 * concurrency * output / (waves * whole))


def burst(times: StepTimes, concurrency: Ints, output_tokens: Ints, percentile: float) -> Queued:
    """Requests that all arrive at once: a percentile of first tokens; early ones see the later prompts in their steps."""
    n, output = times.running, output_tokens[:, None]
    first = times.prompt_ms + percentile * (n - 1) * times.occupancy_ms
    tpot = times.decode_ms + percentile * (n - 1) * times.occupancy_ms / output
    waves = np.ceil(concurrency / n)
    whole = times.prompt_ms + (n - 1) * times.occupancy_ms + (output - 1) * times.decode_ms
    return Queued(first, tpot, 1e3 * concurrency * output / (waves * whole))
