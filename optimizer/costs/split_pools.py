"""A closed loop over pools of prefill and of decode workers, by the flow that both sides share.

With C requests in the loop, n of them decoding, D(n) a decode step and o output tokens, n / (o·D(n)) requests leave per
millisecond. By Little's law the other C − n are on their way to a first token, so

    (C − n) / X(n) = T(X, n),   X(n) = n / (o · D(n))
    T(X, n) = t0 + p1 + d · D(n) + max(b · (C − 1) · p, waiting of an M/D/1 queue at the prefill side)

has one solution: the left falls with n and the right grows. TPOT is D(n): decode workers see no prompts. p1 is a prompt alone, p
what it takes of all prefill workers; t0, d and b are those of the closed loop over joint workers (``closed_loop``): requests of a
loop that began at once stay bunched.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optimizer.catalog.constants import ClosedLoopConstants
from optimizer.costs.shapes import Floats

_BUSIEST = 0.999


@dataclass(frozen=True, slots=True)
class PoolSplit:
    """Mean times in ms and output tokens per second of the whole run."""

    ttft_ms: float
    tpot_ms: float
    output_tok_s: float


def split_pools(
    *,
    concurrency: int,
    output_tokens: int,
    prompt_ms: float,
    occupancy_ms: float,
    loads: Floats,
    decode_ms: Floats,
    engine: ClosedLoopConstants,
) -> PoolSplit:
    """Where the two sides balance.

    Args:
        concurrency: C.
        output_tokens: o.
        prompt_ms: one prompt through an idle prefill worker.
        occupancy_ms: what one prompt takes of all prefill workers together: 1 / occupancy_ms is the most they complete.
        loads: increasing numbers of sequences in all decode workers together.
        decode_ms: a decode step at each.
        engine: t0, d and b, as fitted to joint workers.
    """

    def flow(n: float) -> float:
        return float(n / (output_tokens * np.interp(n, loads, decode_ms)))

    def first_token(rate: float, n: float) -> float:
        use = min(rate * occupancy_ms, _BUSIEST)
        bunched = engine.bunching * (concurrency - 1) * occupancy_ms
        admitted = engine.start_ms + engine.steps * float(np.interp(n, loads, decode_ms))
        return admitted + prompt_ms + max(bunched, occupancy_ms * use / (2 * (1 - use)))

    low, high = 1e-6, float(min(concurrency, loads[-1]))
    for _ in range(60):
        middle = (low + high) / 2
        rate = flow(middle)
        if rate * occupancy_ms < _BUSIEST and (concurrency - middle) / rate > first_token(rate, middle):
            low = middle
        else:
            high = middle
    rate = flow(low)
    return PoolSplit((concurrency - low) / rate, float(np.interp(low, loads, decode_ms)), 1e3 * rate * output_tokens)
