"""From step times and an arrival rate to percentiles: the birth–death chain of requests in progress. Section 4.

The stationary distribution of a birth–death chain with arrival rate lambda and departure rate n / R(n) is that of a
processor-sharing server with state-dependent speed (Kelly, Reversibility and Stochastic Networks, 1979, chapter 3).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from optimizer.costs.mixed import Cumulants, latencies
from optimizer.costs.service import ServiceTable
from optimizer.costs.shapes import Bools, Floats, Ints
from optimizer.facts.problem import Problem

_BLOCK = 2048  # load points evaluated at a time, to bound memory
SMALLEST_CHAIN = 512


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
    service: ServiceTable, shape: Ints, rate_per_s: Floats, never: int, overlap_rate_per_s: Floats | None = None
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
    """
    blocks = []
    for start in range(0, max(1, len(shape)), _BLOCK):
        part = slice(start, start + _BLOCK)
        rate = rate_per_s[part]
        overlap = rate if overlap_rate_per_s is None else overlap_rate_per_s[part]
        blocks.append(_evaluate(service, shape[part], rate, never, overlap))
    if len(blocks) == 1:
        return blocks[0]
    names = LoadPoints.__dataclass_fields__
    return LoadPoints(**{name: np.concatenate([getattr(block, name) for block in blocks]) for name in names})


def _evaluate(
    service: ServiceTable, shape: Ints, rate_per_s: Floats, never: int, overlap_rate_per_s: Floats
) -> LoadPoints:
    usable = rate_per_s > 0
    rate = np.where(usable, rate_per_s, 1.0) / 1e3  # per ms
    residence = service.residence_ms[shape]
    slots = residence.shape[1]
    n = np.arange(1, slots + 1, dtype=np.float64)
    growth = rate[:, None] * residence / n
    logs = np.concatenate([np.zeros((len(shape), 1)), np.cumsum(np.log(growth), axis=1)], axis=1)
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    ratio = growth[:, -1]
    stable = usable & (ratio < 1)
    ratio = np.where(stable, ratio, 0.0)
    tail = weights[:, -1] * ratio / (1 - ratio)
    cumulative = np.cumsum(weights, axis=1)
    total = cumulative[:, -1] + tail
    c50 = (cumulative < 0.5 * total[:, None]).sum(axis=1)
    reach = 0.99 * total
    k = (cumulative < reach[:, None]).sum(axis=1)
    inside = np.clip(k, 1, slots)
    row = np.arange(len(shape))
    c99 = inside - 1 + (reach - cumulative[row, inside - 1]) / weights[row, inside]
    c99 = np.where(k == 0, 0.0, c99)
    raw = weights[:, 1:] @ np.stack([n, n**2, n**3], axis=1)
    beyond = _tail_moments(ratio, slots) * weights[:, -1]
    mean_number, square, cube = (raw.T + beyond) / total

    alone = service.prompt_sum_ms[shape]
    overlapping = np.where(usable, overlap_rate_per_s, 1.0) / 1e3
    beside = 2 * service.overlap[shape] * overlapping * alone
    busiest = service.prompt_max_ms[shape]
    occupancy = busiest + (alone - busiest) / (1 + beside)
    prefilling = rate * occupancy
    variance = square - mean_number**2
    third = cube - 3 * mean_number * square + 2 * mean_number**3
    push = rate * alone / (1 - np.where(prefilling < 1, prefilling, 0.0))
    stable &= (k <= slots) & (prefilling < 1)
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
    if len(shape) < len(service.residence_ms):
        completion = np.maximum.accumulate(n / residence, axis=1)
    else:
        completion = np.maximum.accumulate(n / service.residence_ms, axis=1)[shape]
    needed = (completion < rate[:, None]).sum(axis=1) + 1

    wider = _wider(push, service.prompt_moments)
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
    if service.lengths.mixed:
        mean_wait = seen.wait
        for name in ("prefill", "ttft", "tpot"):
            of = getattr(seen, name)
            first[f"{name}_p50"], first[f"{name}_p99"] = seen.p50[name], of.mean + of.beyond()
        first["prefill_p99"] = np.minimum(first["prefill_p99"], np.maximum(base, cap))

    def finite(values: Floats) -> Floats:
        result: Floats = np.where(fine, values, np.inf)
        return result

    quantiles = {"e2e_p50": seen.e2e_p50, "e2e_p99": seen.e2e_p99, "goodput": seen.missed(service.lengths.goodput)}
    if overlap_rate_per_s is not rate_per_s:
        # A bound from below: quantiles from cumulants are not sure to grow with the rate, so nothing is said of them.
        unsure = quantiles | (first if service.lengths.mixed else {})
        first, quantiles = (
            {name: 0 * v if name in unsure else v for name, v in of.items()} for of in (first, quantiles)
        )
    return LoadPoints(
        overloaded=~fine,
        n50=np.where(fine, n50, never),
        n99=np.where(fine, n99, never),
        slots_needed=np.where(usable & (needed <= slots), needed, never),
        mean_number=mean_number,
        number_variance=variance * wider,
        number_third=_third(variance, third, push, service.prompt_moments),
        mean_ms=finite(mean_number / rate + mean_wait),
        **{name: finite(values) for name, values in first.items()},
        **{name: finite(values) for name, values in quantiles.items()},
    )


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


def _tail_moments(ratio: Floats, slots: int) -> Floats:
    """Σ over j ≥ 1 of ratio^j · (slots + j)^k for k = 1, 2, 3, (3, Q)."""
    rest = 1 - ratio
    zeroth, first = ratio / rest, ratio / rest**2
    second, third = ratio * (1 + ratio) / rest**3, ratio * (1 + 4 * ratio + ratio**2) / rest**4
    return np.stack(
        [
            slots * zeroth + first,
            slots**2 * zeroth + 2 * slots * first + second,
            slots**3 * zeroth + 3 * slots**2 * first + 3 * slots * second + third,
        ]
    )
