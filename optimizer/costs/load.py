"""From step times and an arrival rate to percentiles: the birth–death chain of requests in progress. Section 4.

The stationary distribution of a birth–death chain with arrival rate lambda and departure rate n / R(n) is that of a
processor-sharing server with state-dependent speed (Kelly, Reversibility and Stochastic Networks, 1979, chapter 3).

Other homes: ``verify/common/load.py``, ``verify/common/float_load.py``; docs/model.md, section 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from optimizer.costs.chain import ChainTable, tail_moments
from optimizer.costs.mixed import Cumulants, latencies
from optimizer.costs.service import ServiceTable
from optimizer.costs.shapes import Bools, Floats, Ints
from optimizer.facts.problem import Problem

_CELLS = 1 << 17
"""Load points times states worked on at a time: arrays of 1 MiB stay in cache, with twice as many a state takes three times as long."""
_CELLS_OF_A_ROUND = 1 << 14
"""A round takes as long as so many of them."""
_PILES_UP = -1
_TIMES = (
    *("mean_ms", "prefill_p50", "prefill_p99", "ttft_p50", "ttft_p99"),
    *("tpot_p50", "tpot_p99", "e2e_p50", "e2e_p99", "goodput"),
)
SMALLEST_CHAIN = 512
SELDOM = frozenset({"e2e_p50", "e2e_p99", "goodput", "prefill_p50", "ttft_p50", "tpot_p50"})
"""What takes half of the work of a point and is seldom asked for where many points are tried."""


def chain_length(problem: Problem) -> int:
    """N: requests in progress at a replica beyond which the load model calls it overloaded."""
    stated = problem.requirements.max_batch
    return max(SMALLEST_CHAIN, problem.max_batch if stated is None else 2 * stated)


@dataclass(frozen=True, slots=True)
class LoadPoints:
    """Results for Q pairs of (shape, arrival rate per replica); times in ms, infinite where overloaded."""

    overloaded: Bools
    n50: Ints
    n99: Ints  # ``never`` where overloaded
    slots_needed: Ints  # fewest slots whose completion rate covers the arrivals; ``never`` where none does
    mean_number: Floats  # requests in progress, mean over time; meaningless where overloaded, as are the two below
    number_variance: Floats
    number_third: Floats  # third central moment
    mean_ms: Floats
    prefill_p50: Floats
    prefill_p99: Floats
    ttft_p50: Floats
    ttft_p99: Floats
    tpot_p50: Floats
    tpot_p99: Floats
    e2e_p50: Floats
    e2e_p99: Floats
    goodput: Floats  # share of requests that may miss a limit of requirements.goodput; 0 where none is stated

    def metric(self, field: str) -> Floats:
        """A latency by its problem-file name without ``_ms``, e.g. ``ttft_p99``."""
        values: Floats = getattr(self, field)
        return values


def evaluate(
    service: ServiceTable,
    shape: Ints,
    rate_per_s: Floats,
    never: int,
    overlap_rate_per_s: Floats | None = None,
    *,
    everything: bool = True,
) -> LoadPoints:
    """Percentiles of every pair of shape index and arrival rate (requests/s at one replica).

    All of them grow with the rate and with the time O that a prompt keeps the pipeline, but O itself shrinks as prompts
    overlap more. So rates between two are bounded from below by the lower of them with O at the higher.

    Args:
        service: step times of all shapes.
        shape: (Q,) row of ``service``.
        rate_per_s: (Q,) arrival rate of one replica; 0 or less marks a pair without replicas (overloaded).
        never: number of sequences that stands for "more than any" where overloaded.
        overlap_rate_per_s: (Q,) rate at which prompts overlap in the pipeline, for such bounds; left out, the arrival rate.
        everything: False where nobody reads ``SELDOM``, which are not numbers then, nor ``n50`` and ``slots_needed``.
    """
    chain, usable = service.chain, rate_per_s > 0
    rate = np.where(usable, rate_per_s, 1.0) / 1e3  # per ms
    piles_up = ~usable | (rate * chain.last(shape) >= 1)
    if not len(shape):
        return _evaluate(service, shape, rate, never, rate, 0, everything)
    level = np.full(len(shape), _PILES_UP, dtype=np.int64)
    level[~piles_up] = chain.level_of(shape[~piles_up], rate[~piles_up])
    _join_few(level, chain.widths)
    parts: list[tuple[Ints, LoadPoints]] = []
    for one in sorted(set(level.tolist())):
        rows = np.flatnonzero(level == one)
        width = chain.slots if one == _PILES_UP else chain.widths[one]
        size = max(1, _CELLS // width)
        for start in range(0, len(rows), size):
            at = rows[start : start + size]
            if one == _PILES_UP:
                parts.append((at, _piled_up(chain, shape[at], np.where(usable, rate, 0.0)[at], never)))
            else:
                own = rate[at]
                overlap = own if overlap_rate_per_s is None else overlap_rate_per_s[at] / 1e3
                parts.append((at, _evaluate(service, shape[at], own, never, overlap, one, everything)))
    if len(parts) == 1:
        return parts[0][1]
    return _together(parts, len(shape))


def _join_few(level: Ints, widths: list[int]) -> None:
    """Work on points of a narrow chain with those of the next wider one where that is less work than another round."""
    present = sorted(set(level[level != _PILES_UP].tolist()))
    for narrow, wide in pairwise(present):
        here = level == narrow
        if int(here.sum()) * (widths[wide] - widths[narrow]) < _CELLS_OF_A_ROUND:
            level[here] = wide


def _together(parts: list[tuple[Ints, LoadPoints]], count: int) -> LoadPoints:
    """Parts of points, each with its places, as one."""
    columns = {}
    for name in LoadPoints.__dataclass_fields__:
        values = [getattr(part, name) for _, part in parts]
        columns[name] = np.empty(count, dtype=values[0].dtype)
        for (at, _), value in zip(parts, values, strict=True):
            columns[name][at] = value
    return LoadPoints(**columns)


def _piled_up(chain: ChainTable, shape: Ints, rate_per_ms: Floats, never: int) -> LoadPoints:
    """Points with more arriving than N in progress complete, or without a replica (rate 0)."""
    nowhere, nothing = np.full(len(shape), np.inf), np.zeros(len(shape))
    more = np.full(len(shape), never, dtype=np.int64)
    needed = np.full(len(shape), never, dtype=np.int64)
    some = np.flatnonzero(rate_per_ms > 0)
    if len(some):
        fewest = chain.fewest_completing(chain.slots, shape[some], rate_per_ms[some])
        needed[some] = np.where(fewest <= chain.slots, fewest, never)
    return LoadPoints(
        overloaded=np.ones(len(shape), dtype=np.bool_),
        n50=more,
        n99=more,
        slots_needed=needed,
        mean_number=nothing,
        number_variance=nothing,
        number_third=nothing,
        **dict.fromkeys(_TIMES, nowhere),
    )


def _evaluate(
    service: ServiceTable,
    shape: Ints,
    rate: Floats,
    never: int,
    overlapping: Floats,
    level: int,
    everything: bool,
) -> LoadPoints:
    """Points of one width of the chain, none of which piles up; rates per ms. ``overlapping`` is ``rate`` but for bounds from below."""
    chain = service.chain
    slots, n = chain.slots, chain.numbers(level)
    logs = chain.logs(level, shape)
    logs[:, 1:] += np.log(rate)[:, None] * n
    logs -= logs.max(axis=1, keepdims=True)
    weights = np.exp(logs, out=logs)
    ratio = np.zeros(len(shape)) if chain.cut_short(level) else rate * chain.last(shape)
    tail = weights[:, -1] * ratio / (1 - ratio)
    cumulative = np.cumsum(weights, axis=1)
    total = cumulative[:, -1] + tail
    c50 = _states_below(cumulative, 0.5 * total) if everything else np.full(len(shape), never)
    reach = 0.99 * total
    k = _states_below(cumulative, reach)
    inside = np.clip(k, 1, len(n))
    row = np.arange(len(shape))
    c99 = inside - 1 + (reach - cumulative[row, inside - 1]) / weights[row, inside]
    c99 = np.where(k == 0, 0.0, c99)
    raw = weights[:, 1:] @ np.stack([n, n**2, n**3], axis=1)
    beyond = tail_moments(ratio, slots) * weights[:, -1]
    mean_number, square, cube = (raw.T + beyond) / total

    alone = service.prompt_sum_ms[shape]
    beside = 2 * service.overlap[shape] * overlapping * alone
    busiest = service.prompt_max_ms[shape]
    occupancy = busiest + (alone - busiest) / (1 + beside)
    prefilling = rate * occupancy
    variance = square - mean_number**2
    third = cube - 3 * mean_number * square + 2 * mean_number**3
    push = prefilling / (1 - np.where(prefilling < 1, prefilling, 0.0))
    stable = (k <= slots) & (prefilling < 1)
    spread = np.maximum(0.0, c99 - mean_number) / np.where(stable, 1 - prefilling, 1.0)
    n99 = 1 + np.ceil(np.where(stable, mean_number + spread, slots)).astype(np.int64)
    n50 = c50 + 1
    at50 = np.minimum(n50, slots) - 1
    at99 = np.minimum(n99, slots) - 1
    round99 = service.round_ms[shape, at99]
    hold = occupancy + service.chunks * round99 / max(1, int(service.prompts_per_step))
    use = rate * hold
    fine = stable & (n99 <= slots) & (use < 1)
    safe = np.where(fine, use, 0.0)
    scale = hold / (2 * (1 - safe))
    logarithm = np.log(np.maximum(100 * safe, 1.0))
    wait99 = np.maximum(scale * logarithm, hold * (1 - 1 / np.maximum(100 * safe, 1.0)))
    mean_wait = safe * scale
    prefill50, base = service.prefill_ms[shape, at50], service.prefill_long_ms[shape, at99]
    pair = occupancy * np.clip(100 * rate * (round99 + occupancy) - 1, 0.0, 1.0)
    cap = service.prompt_cap_steps * (service.prompts_per_step * occupancy + round99)
    prefill99 = np.maximum(base, np.minimum(base + np.maximum(wait99, pair), cap))
    needed = chain.fewest_completing(len(n), shape, rate) if everything else np.full(len(shape), never)

    wider = _wider(push, service.prompt_moments)
    seen = None
    if everything or service.lengths.mixed:
        seen = latencies(
            service.lengths,
            rate,
            np.where(fine, prefilling, 0.0),
            *_prompts(service, shape, occupancy / alone),
            at=_at_mean(service, shape, mean_number + 1, np.sqrt(np.maximum(0.0, variance * wider))),
        )
    first = {
        "prefill_p50": prefill50,
        "prefill_p99": prefill99,
        "ttft_p50": service.admission_ms[shape, at50] + mean_wait + prefill50,
        "ttft_p99": service.admission_ms[shape, at99] + round99 / 2 + (1 + safe) * wait99 + base,
        "tpot_p50": service.tpot_ms[shape, at50],
        "tpot_p99": service.tpot_ms[shape, at99],
    }
    if seen is not None and service.lengths.mixed:
        mean_wait = seen.wait
        for name in ("prefill", "ttft", "tpot"):
            of = getattr(seen, name)
            first[f"{name}_p50"], first[f"{name}_p99"] = seen.p50[name], of.mean + of.beyond()
        first["prefill_p99"] = np.minimum(first["prefill_p99"], np.maximum(base, cap))

    def finite(values: Floats) -> Floats:
        result: Floats = np.where(fine, values, np.inf)
        return result

    unknown = dict.fromkeys(sorted(SELDOM), np.full(len(shape), np.nan))
    if seen is None or not everything:
        first, quantiles = (
            {name: unknown.get(name, v) for name, v in first.items()},
            {name: v for name, v in unknown.items() if name not in first},
        )
    else:
        quantiles = {"e2e_p50": seen.e2e_p50, "e2e_p99": seen.e2e_p99, "goodput": seen.missed(service.lengths.goodput)}
    if overlapping is not rate:
        # A bound from below: quantiles from cumulants are not sure to grow with the rate, so nothing is said of them.
        unsure = quantiles | (first if service.lengths.mixed else {})
        first, quantiles = (
            {name: 0 * v if name in unsure else v for name, v in of.items()} for of in (first, quantiles)
        )
    return LoadPoints(
        overloaded=~fine,
        n50=np.where(fine, n50, never),
        n99=np.where(fine, n99, never),
        slots_needed=np.where(needed <= slots, needed, never),
        mean_number=mean_number,
        number_variance=variance * wider,
        number_third=_third(variance, third, push, service.prompt_moments),
        mean_ms=finite(mean_number / rate + mean_wait),
        **{name: finite(values) for name, values in first.items()},
        **{name: finite(values) for name, values in quantiles.items()},
    )


def _states_below(cumulative: Floats, reach: Floats) -> Ints:
    """How many of the rising sums of each row, (Q, width + 1), are below its reach, (Q,): the first that is not ends the look."""
    first = (cumulative < reach[:, None]).argmin(axis=1)
    result: Ints = np.where(cumulative[:, -1] < reach, cumulative.shape[1], first)
    return result


def _prompts(
    service: ServiceTable, shape: Ints, share: Floats
) -> tuple[Cumulants, tuple[Floats, Floats, Floats], Floats]:
    """A prompt's own compute: cumulants, what it costs the others (E[X^k] of so large a share of it), and each prompt's."""
    each, weights = service.prompt_each_ms[shape], service.lengths.prompt_share
    mean = each @ weights
    off = each - mean[:, None]
    raw = tuple(share**k * (each**k @ weights) for k in (1, 2, 3))
    return Cumulants(mean, off**2 @ weights, off**3 @ weights), (raw[0], raw[1], raw[2]), each


def _at_mean(service: ServiceTable, shape: Ints, number: Floats, spread: Floats) -> dict[str, Floats]:
    """Step times at the mean number in progress, the one that arrives included, straight between whole numbers."""
    slots = service.round_ms.shape[1]

    def at(table: Floats, n: Floats) -> Floats:
        inside = np.clip(np.nan_to_num(n, posinf=slots), 1, slots)
        low = np.minimum(inside.astype(np.int64), max(1, slots - 1)) - 1
        high = np.minimum(low + 1, slots - 1)
        result: Floats = table[shape, low] + (table[shape, high] - table[shape, low]) * (inside - 1 - low)
        return result

    mean_prompt = service.prompt_mean_ms[shape]
    return {
        "pass": at(service.round_ms, number) / service.stages[shape],
        "round": at(service.round_ms, number),
        "wider": at(service.round_ms, number + spread),
        "tpot": at(service.tpot_ms, number),
        "yielded": np.full(len(shape), service.yielded),
        "admission": at(service.admission_ms, number),
        "passes": at(service.prefill_ms, number) - mean_prompt,
    }


def _wider(push: Floats, prompts: tuple[float, float]) -> Floats:
    """r: an arrival is one request more, and ``push`` more that its prompt keeps from leaving meanwhile, (Q,)."""
    result: Floats = 1 + push + push**2 * prompts[0] / 2
    return result


def _third(variance: Floats, third: Floats, push: Floats, prompts: tuple[float, float]) -> Floats:
    jump = 3 * push + 3 * push**2 * prompts[0] + push**3 * prompts[1]
    result: Floats = third * _wider(push, prompts) ** 2 + variance * jump / 3
    return result
