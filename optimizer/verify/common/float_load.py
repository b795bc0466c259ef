"""Section 4 for many rows at once in 64-bit floats.

Other home: ``costs/load.py``; docs/model.md, section 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from optimizer.facts.problem import Problem
from optimizer.verify.common import mixed
from optimizer.verify.common.expected_tokens import computed_tokens, tokens_of_a_step
from optimizer.verify.common.float_states import FloatStates
from optimizer.verify.common.float_times import Floats, Ints, ShapeTimes
from optimizer.verify.common.mixed import LengthSpread, MixedReplica, law_of, seen_by, share_above
from optimizer.verify.common.occupancy import standard_normal
from optimizer.verify.common.times import chunks_of

PROVEN = frozenset({"prefill_p50", "prefill_p99", "ttft_p50", "ttft_p99", "tpot_p50", "tpot_p99"})
"""Latencies that grow with the rate where all requests are alike."""
END_TO_END = frozenset({"e2e_p50", "e2e_p99", "goodput"})
"""Latencies of whole requests, which take as long to find as all else together."""
_COLUMNS = ("overloaded", "unsure", "n50", "n99", "number", "number_variance", "number_third", "mean")
_NO_REPLICA = 1e30
_MANY_CELLS = 1 << 17
"""Rows times states that are worked on together at most: arrays of 1 MiB stay in cache."""
_FEW_CELLS = 1 << 14
"""Rows times states that are worked on together: apart they would take longer."""
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


def loads(
    problem: Problem,
    times: ShapeTimes,
    shape: Ints,
    per_replica_per_s: Floats,
    length: int,
    at_most_per_s: Floats | None = None,
    *,
    end_to_end: bool = True,
) -> Loads:
    """Load of the rows' replicas.

    Args:
        shape: the line of ``times`` of each row.
        per_replica_per_s: requests/s at a replica of each row; infinite where no replica is left.
        length: states before the tail.
        at_most_per_s: a rate that is no lower, for each row: what is found then holds from below for every rate between.
            Everything grows with the rate but the time that a prompt has a pipeline to itself, and everything with that.
        end_to_end: False where nobody asks for ``END_TO_END``, which ``latency`` then has not.
    """
    rate = np.where(np.isinf(per_replica_per_s), _NO_REPLICA, per_replica_per_s) / 1000
    crowd = None if at_most_per_s is None else at_most_per_s / 1000
    states = times.states(length)
    enough = states.enough(shape, rate)
    counts = sorted(set(enough.tolist()))
    if len(counts) > 1 and len(shape) * counts[-1] <= _FEW_CELLS:
        counts = counts[-1:]
    if len(counts) <= 1 and len(shape) * length <= _MANY_CELLS:
        return _within(problem, times, states, shape, rate, crowd, counts[0] if counts else length, end_to_end)
    blocks = [
        (some[start : start + size], count)
        for count, size in zip(counts, [max(1, _MANY_CELLS // count) for count in counts], strict=True)
        for some in [np.flatnonzero(enough == count) if len(counts) > 1 else np.arange(len(shape))]
        for start in range(0, len(some), size)
    ]
    found = [
        _within(problem, times, states, shape[at], rate[at], None if crowd is None else crowd[at], count, end_to_end)
        for at, count in blocks
    ]
    back = np.argsort(np.concatenate([at for at, _ in blocks]), kind="stable")
    columns = {name: np.concatenate([getattr(one, name) for one in found])[back] for name in _COLUMNS}
    latency = {name: np.concatenate([one.latency[name] for one in found])[back] for name in found[0].latency}
    return Loads(**columns, latency=latency)


@np.errstate(divide="ignore", over="ignore", invalid="ignore")  # rows that are overloaded: their values are not used
def _within(
    problem: Problem,
    times: ShapeTimes,
    states: FloatStates,
    shape: Ints,
    rate: Floats,
    crowd: Floats | None,
    upto: int,
    end_to_end: bool,
) -> Loads:
    """Rows for which the states up to a number are enough. Rates per ms; ``crowd`` is a rate that is no lower, as in ``loads``."""
    length = states.length
    none_left = rate >= _NO_REPLICA / 1000
    rate = np.where(none_left, 1e-3, rate)
    n = np.arange(1, upto + 1)
    last = rate * states.slowest(shape)
    unsure = np.abs(last - 1) < NEAR
    overloaded = (last >= 1) | none_left
    shares = np.exp(states.logs(shape, rate, upto))
    # What is left out shows in no sum.
    odds = np.where(overloaded | (upto < length), 0.0, last / np.where(overloaded, 1.0, 1 - last))
    total = shares.sum(axis=1) + shares[:, -1] * odds
    tail = shares[:, -1] * (length * odds + odds * (1 + odds))
    mean = (shares[:, 1:] @ n.astype(np.float64) + tail) / total
    variance, third = _about(mean, shares, total, odds, length)
    cumulative = np.cumsum(shares, axis=1) / total[:, None]
    reached = cumulative >= 0.99
    unsure |= (np.abs(cumulative - 0.5) < NEAR).any(axis=1) | (np.abs(cumulative[:, -1] - 0.99) < NEAR)
    overloaded = overloaded | ~reached[:, -1]
    lines, k = np.arange(len(shape)), np.maximum(1, reached.argmax(axis=1))
    before = cumulative[lines, k - 1]
    step = cumulative[lines, k] - before
    p99 = np.where(reached[:, 0], 0.0, k - 1 + (0.99 - before) / np.where(step > 0, step, 1.0))
    whole = times.prompt_sum[shape]
    beside = 2 * times.overlap[shape] * (rate if crowd is None else crowd) * whole
    occupancy = times.prompt_max[shape] + (whole - times.prompt_max[shape]) / (1 + beside)
    prompts = rate * occupancy
    alone_share = np.where(prompts >= 1, 1.0, 1 - prompts)
    unsure |= np.abs(prompts - 1) < NEAR
    overloaded = overloaded | (prompts >= 1)
    others = mean + np.maximum(0.0, p99 - mean) / np.where(prompts >= 1, 1.0, 1 - prompts)
    # What is overloaded already is not saved by rounding; whether that is sure was asked above.
    unsure |= ~overloaded & (np.abs(others - np.rint(others)) < NEAR * np.maximum(1.0, others))
    others = np.where(overloaded, 0.0, others)
    overloaded = overloaded | (np.ceil(others) >= length)
    n99 = np.minimum(length, 1 + np.ceil(others).astype(np.int64))
    n50 = np.minimum(length, 1 + (cumulative >= 0.5).argmax(axis=1))
    work = problem.workload
    at50, at99 = (shape, n50 - 1), (shape, n99 - 1)
    budget = problem.search.max_num_batched_tokens
    fresh = computed_tokens(work, work.prompt_tokens)
    at_once = max(1, budget // fresh)
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
    cap = (chunks_of(problem, work.longest_prompt_tokens) + 1) * (budget / fresh * occupancy + turn)
    latency = {
        "prefill_p50": times.prefill[at50],
        "prefill_p99": np.maximum(alone, np.minimum(alone + np.maximum(rare, pair), cap)),
        "ttft_p50": times.admission[at50] + half * busy + times.prefill[at50],
        "ttft_p99": times.admission[at99] + turn / 2 + (1 + busy) * rare + alone,
        "tpot_p50": times.tpot[at50],
        "tpot_p99": times.tpot[at99],
    }
    unsure &= ~none_left & (last < 1 + NEAR)
    push = rate * occupancy / alone_share
    second, cubed = _prompts(problem)
    wider = 1 + push + second * push**2 / 2
    number = mean, variance * wider, third * wider**2 + variance * (push + second * push**2 + cubed * push**3 / 3)
    wait = half * busy
    if work.mixed or end_to_end:
        waits = _seen(problem, times, shape, rate, np.where(overloaded, 0.0, prompts), occupancy, number, latency)
    if work.mixed:
        wait = waits
        latency["prefill_p99"] = np.minimum(latency["prefill_p99"], np.maximum(alone, cap))
    if crowd is not None:
        # Quantiles from cumulants are not sure to grow with the rate: from below nothing is said of them.
        said = () if work.mixed else PROVEN
        latency = {name: values if name in said else np.zeros_like(values) for name, values in latency.items()}
    return Loads(overloaded, unsure, n50, n99, *number, mean / rate + wait, latency)


def _seen(
    problem: Problem,
    times: ShapeTimes,
    shape: Ints,
    rate: Floats,
    busy: Floats,
    cost: Floats,
    number: tuple[Floats, Floats, Floats],
    latency: dict[str, Floats],
) -> Floats:
    """The mean wait; writes what mixed lengths, whole requests and goodput are into ``latency``."""
    law, by, z = law_of(problem.requests), mixed.Floats(), float(standard_normal(Fraction(1, 100)))
    shares = np.array([float(share) for share in law.prompt_shares])
    own, here = times.prompts[shape], number[0] + 1
    m1 = own @ shares
    off = own - m1[:, None]
    share = cost / times.prompt_sum[shape]

    prompt = LengthSpread(m1, off**2 @ shares, off**3 @ shares)

    def at(table: Floats, n: Floats) -> Floats:
        last = table.shape[1]
        inside = np.clip(np.nan_to_num(n, posinf=last), 1, last)
        low = np.minimum(inside.astype(np.int64), max(1, last - 1))
        high = np.minimum(low + 1, last)
        below: Floats = table[shape, low - 1]
        found: Floats = below + (table[shape, high - 1] - below) * (inside - low)
        return found

    usual = chunks_of(problem, problem.workload.prompt_tokens)
    more = np.array([chunks_of(problem, tokens) - usual for tokens in law.prompts], dtype=np.float64)
    cut, own_time = prompt, own
    if problem.workload.mixed and more.any():
        own_time = own + more * (at(times.round, here) / times.stages[shape])[:, None]
        first = own_time @ shares
        apart = own_time - first[:, None]
        cut = LengthSpread(first, apart**2 @ shares, apart**3 @ shares)
    seen = seen_by(
        law,
        MixedReplica(
            rate=rate,
            busy=busy,
            prompt=cut,
            costs=(share * m1, share**2 * (own**2 @ shares), share**3 * (own**3 @ shares)),
            round=at(times.round, here),
            wider=at(times.round, here + np.sqrt(np.maximum(0.0, number[1]))),
            token=at(times.tpot, here),
            admission=at(times.admission, here),
            passes=at(times.prefill, here) - times.prompt_mean[shape],
            yielded=float(tokens_of_a_step(problem.workload)),
        ),
        by,
    )
    if problem.workload.mixed:
        latency |= {f"{name}_p50": value for name, value in seen.medians(prompt, by).items()}
        for name, one in (("prefill", seen.prefill), ("ttft", seen.ttft), ("tpot", seen.tpot)):
            latency[f"{name}_p99"] = one.mean + one.tail(by, z)
    of_prompt, output, often = (np.array(column) for column in zip(*law.classes, strict=True))
    often = often.astype(np.float64)
    each = own_time[:, of_prompt] + seen.token[:, None] * (output - 1)
    mean = each @ often
    off = each - mean[:, None]
    order = np.argsort(off, axis=1)
    below = np.cumsum(often[order], axis=1)
    lines = np.arange(len(off))
    middle, far = (off[lines, order[lines, (below >= q - 1e-9).argmax(axis=1)]] for q in (0.5, 0.99))
    latency["e2e_p50"] = seen.whole.mean + middle
    latency["e2e_p99"] = seen.whole.mean + np.hypot(np.maximum(0.0, far), seen.noise.tail(by, z))
    whole = LengthSpread(seen.whole.mean, seen.noise.variance + off**2 @ often, seen.noise.third + off**3 @ often)
    goodput = problem.requirements.goodput
    if goodput is not None:
        missed = np.zeros_like(mean)
        for name, one in (("ttft", seen.ttft), ("tpot", seen.tpot), ("e2e", whole)):
            if name in goodput.limits:
                means, variance, third = (np.nan_to_num(part).tolist() for part in (one.mean, one.variance, one.third))
                values = zip(means, variance, third, strict=True)
                missed += [share_above(m, v, k, goodput.limits[name]) for m, v, k in values]
        latency["goodput"] = np.minimum(1.0, missed)
    wait: Floats = seen.wait
    return wait


def _prompts(problem: Problem) -> tuple[float, float]:
    """Second and third moment of the prompt length, the mean being 1."""
    weights = sum(one.weight for one in problem.requests)
    mean = sum(one.weight * one.prompt_tokens for one in problem.requests) / weights
    second, third = (sum(one.weight * (one.prompt_tokens / mean) ** k for one in problem.requests) for k in (2, 3))
    return second / weights, third / weights


def _about(mean: Floats, shares: Floats, total: Floats, odds: Floats, length: int) -> tuple[Floats, Floats]:
    """Variance and third central moment of chains with a geometric tail of odds r/(1 − r) behind ``length`` each."""
    n = np.arange(shares.shape[1], dtype=np.float64)
    square, cube = (shares @ n**k / total for k in (2, 3))
    # Moments about zero of the tail, from the factorial moments k! · odds^k · (1 + odds) of a geometric number.
    first, second, third = odds * (1 + odds), 2 * odds**2 * (1 + odds), 6 * odds**3 * (1 + odds)
    one, two, three = first, second + first, third + 3 * second + first
    last = shares[:, -1] / total
    square += last * (length**2 * odds + 2 * length * one + two)
    cube += last * (length**3 * odds + 3 * length**2 * one + 3 * length * two + three)
    return square - mean**2, cube - 3 * mean * square + 2 * mean**3
