"""Section 4 for many rows at once in 64-bit floats."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimizer.facts.problem import Problem
from optimizer.verify.common.float_times import Floats, Ints, ShapeTimes
from optimizer.verify.common.times import chunks_of

NEAR = 1e-10
"""A cumulative share or a utilisation this close to its threshold is left to exact arithmetic."""


@dataclass(frozen=True, slots=True)
class Loads:
    """One entry for each row; meaningless where ``overloaded``."""

    overloaded: NDArray[np.bool_]
    unsure: NDArray[np.bool_]
    n50: Ints
    n99: Ints
    number: Floats
    """Requests in progress over time: mean, variance and third central moment, clusters counted."""
    number_variance: Floats
    number_third: Floats
    mean: Floats
    latency: dict[str, Floats]
    """By name as in the rules, e.g. ``ttft_p99``."""


@np.errstate(divide="ignore", over="ignore", invalid="ignore")  # rows that are overloaded: their values are not used
def loads(
    problem: Problem,
    times: ShapeTimes,
    shape: Ints,
    per_replica_per_s: Floats,
    length: int,
    at_most_per_s: Floats | None = None,
) -> Loads:
    """Load of the rows' replicas.

    Args:
        shape: the line of ``times`` of each row.
        per_replica_per_s: requests/s at a replica of each row; infinite where no replica is left.
        length: states before the tail.
        at_most_per_s: a rate that is no lower, for each row: what is found then holds from below for every rate between.
            Everything grows with the rate but the time that a prompt has a pipeline to itself, and everything with that.
    """
    work = problem.workload
    none_left = np.isinf(per_replica_per_s)
    rate = np.where(none_left, 1.0, per_replica_per_s) / 1000
    n = np.arange(1, length + 1)
    slowness = times.residence[:, :length] / n
    last = rate * slowness[shape, -1]
    unsure = np.abs(last - 1) < NEAR
    overloaded = (last >= 1) | none_left
    logs = np.zeros((len(shape), length + 1))
    np.cumsum(np.log(slowness)[shape] + np.log(rate)[:, None], axis=1, out=logs[:, 1:])
    shares = np.exp(logs - logs.max(axis=1, keepdims=True))
    odds = np.where(overloaded, 0.0, last / np.where(overloaded, 1.0, 1 - last))
    total = shares.sum(axis=1) + shares[:, -1] * odds
    tail = shares[:, -1] * (length * odds + odds * (1 + odds))
    mean = (shares[:, 1:] @ n.astype(np.float64) + tail) / total
    variance, third = _about(mean, shares, total, odds)
    cumulative = np.cumsum(shares, axis=1) / total[:, None]
    reached = cumulative >= 0.99
    unsure |= (np.abs(cumulative - 0.5) < NEAR).any(axis=1) | (np.abs(cumulative[:, -1] - 0.99) < NEAR)
    overloaded = overloaded | ~reached[:, -1]
    lines, k = np.arange(len(shape)), np.maximum(1, reached.argmax(axis=1))
    before = cumulative[lines, k - 1]
    step = cumulative[lines, k] - before
    p99 = np.where(reached[:, 0], 0.0, k - 1 + (0.99 - before) / np.where(step > 0, step, 1.0))
    whole = times.prompt_sum[shape]
    crowd = rate if at_most_per_s is None else at_most_per_s / 1000
    occupancy = np.maximum(times.prompt_max[shape], whole / (1 + crowd * whole))
    prompts = rate * occupancy
    alone_share = np.where(prompts >= 1, 1.0, 1 - prompts)
    unsure |= np.abs(prompts - 1) < NEAR
    overloaded = overloaded | (prompts >= 1)
    others = mean + np.maximum(0.0, p99 - mean) / np.where(prompts >= 1, 1.0, 1 - prompts)
    unsure |= np.abs(others - np.rint(others)) < NEAR * np.maximum(1.0, others)
    others = np.where(overloaded, 0.0, others)
    overloaded = overloaded | (np.ceil(others) >= length)
    n99 = np.minimum(length, 1 + np.ceil(others).astype(np.int64))
    n50 = np.minimum(length, 1 + (cumulative >= 0.5).argmax(axis=1))
    at50, at99 = (shape, n50 - 1), (shape, n99 - 1)
    budget = problem.search.max_num_batched_tokens
    at_once = max(1, budget // work.prompt_tokens)
    turn = times.round[at99]
    service = occupancy + chunks_of(problem, work.prompt_tokens) * turn / at_once
    busy = rate * service
    unsure |= np.abs(busy - 1) < NEAR
    overloaded = overloaded | (busy >= 1)
    half = service / (2 * np.where(busy >= 1, 1.0, 1 - busy))
    often = np.maximum(1.0, 100 * busy)
    rare = np.maximum(half * np.log(often), service * (1 - 1 / often))
    alone = times.prefill_longest[at99]
    pair = occupancy * np.clip(100 * rate * (turn + occupancy) - 1, 0, 1)
    cap = (chunks_of(problem, work.longest_prompt_tokens) + 1) * (budget / work.prompt_tokens * occupancy + turn)
    latency = {
        "prefill_p50": times.prefill[at50],
        "prefill_p99": np.maximum(alone, np.minimum(alone + np.maximum(rare, pair), cap)),
        "ttft_p50": times.admission[at50] + half * busy + times.prefill[at50],
        "ttft_p99": times.admission[at99] + turn / 2 + (1 + busy) * rare + alone,
        "tpot_p50": times.tpot[at50],
        "tpot_p99": times.tpot[at99],
    }
    unsure &= ~none_left & (last < 1 + NEAR)
    push = rate * whole / alone_share
    second, cubed = _prompts(problem)
    wider = 1 + push + second * push**2 / 2
    number = mean, variance * wider, third * wider**2 + variance * (push + second * push**2 + cubed * push**3 / 3)
    return Loads(overloaded, unsure, n50, n99, *number, mean / rate + half * busy, latency)


def _prompts(problem: Problem) -> tuple[float, float]:
    """Second and third moment of the prompt length, the mean being 1."""
    weights = sum(one.weight for one in problem.requests)
    mean = sum(one.weight * one.prompt_tokens for one in problem.requests) / weights
    second, third = (sum(one.weight * (one.prompt_tokens / mean) ** k for one in problem.requests) for k in (2, 3))
    return second / weights, third / weights


def _about(mean: Floats, shares: Floats, total: Floats, odds: Floats) -> tuple[Floats, Floats]:
    """Variance and third central moment of chains with a geometric tail of odds r/(1 − r) each."""
    length = shares.shape[1] - 1
    n = np.arange(length + 1, dtype=np.float64)
    square, cube = (shares @ n**k / total for k in (2, 3))
    # Moments about zero of the tail, from the factorial moments k! · odds^k · (1 + odds) of a geometric number.
    first, second, third = odds * (1 + odds), 2 * odds**2 * (1 + odds), 6 * odds**3 * (1 + odds)
    one, two, three = first, second + first, third + 3 * second + first
    last = shares[:, -1] / total
    square += last * (length**2 * odds + 2 * length * one + two)
    cube += last * (length**3 * odds + 3 * length**2 * one + 3 * length * two + three)
    return square - mean**2, cube - 3 * mean * square + 2 * mean**3
