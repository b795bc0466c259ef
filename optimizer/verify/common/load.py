"""Section 4: how many requests are in progress at a replica, and what they wait.

Callers work inside ``arithmetic.sixty_digits``.

Other homes: ``costs/chain.py``, ``costs/load.py``; docs/model.md, section 4.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from optimizer.facts.demand import LatencyLimit
from optimizer.facts.problem import Problem
from optimizer.verify.common.arithmetic import decimal
from optimizer.verify.common.expected_tokens import computed_tokens
from optimizer.verify.common.mixed import (
    ExactNumbers,
    LengthSpread,
    MixedReplica,
    SeenLengths,
    of_prompts,
    seen_by,
    share_above,
    whole_quantiles,
)
from optimizer.verify.common.occupancy import Moments, standard_normal
from optimizer.verify.common.times import ReplicaTimes, chunks_of


def chain_length(problem: Problem) -> int:
    """N: states of the birth-death chain before its geometric tail."""
    if problem.requirements.max_batch is None:
        return max(512, problem.max_batch)
    return max(512, 2 * problem.requirements.max_batch)


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Requests in progress of a chain in its steady state."""

    median: int
    p99: Decimal
    """Interpolated between whole numbers."""
    mean: Decimal
    variance: Decimal
    third: Decimal
    """Third central moment."""


@dataclass(frozen=True, slots=True)
class Load:
    """A replica that keeps up with its requests; times in milliseconds."""

    n50: int
    n99: int
    number: Moments
    """Requests in progress over time, the clusters counted in which prompts let them reach the decodes."""
    mean: Decimal
    """Mean time of a request, its wait included."""
    prefill_p50: Decimal
    prefill_p99: Decimal
    ttft_p50: Decimal
    ttft_p99: Decimal
    tpot_p50: Decimal
    tpot_p99: Decimal
    e2e_p50: Decimal
    e2e_p99: Decimal
    goodput: Decimal
    """Share of requests that may miss a limit of goodput; 0 where none is stated."""

    def latency(self, limit: LatencyLimit) -> Decimal:
        """The value that a latency limit is about."""
        value: Decimal = getattr(self, limit.rule)
        return value


def chain(residence: list[Decimal], rate: Decimal, length: int) -> Quantiles | None:
    """Steady state of the birth-death chain with arrivals ``rate`` and departures n / R(n).

    Args:
        residence: R(1) ... R(length), same unit of time as ``rate``.
        rate: arrivals per unit of time.
        length: states before the tail, in which R stays R(length) / length per request.

    Returns:
        None when the replica is overloaded: the queue grows for ever, or the 99th percentile lies in the tail.
    """
    last = rate * residence[length - 1] / length
    if last >= 1:
        return None
    shares = [Decimal(1)]
    for n in range(1, length + 1):
        shares.append(shares[-1] * rate * residence[n - 1] / n)
    odds = last / (1 - last)
    total = sum(shares, Decimal(0)) + shares[-1] * odds
    mean, variance, third = _central_moments(shares, last, total)
    median: int | None = None
    below = Decimal(0)
    for n, share in enumerate(shares):
        reached = below + share
        if median is None and 2 * reached >= total:
            median = n
        if 100 * reached >= 99 * total:
            p99 = n - 1 + (total * 99 / 100 - below) / share if n else Decimal(0)
            return Quantiles(n if median is None else median, p99, mean, variance, third)
        below = reached
    return None


def in_clusters(problem: Problem, found: Quantiles, push: Decimal) -> Moments:
    """Requests in progress when each arrival's prompt keeps, on average, ``push`` others from leaving while it is worked on."""
    weights = sum(one.weight for one in problem.requests)
    mean = Fraction(sum(one.weight * one.prompt_tokens for one in problem.requests), weights)
    square = Fraction(sum(one.weight * one.prompt_tokens**2 for one in problem.requests), weights)
    cube = Fraction(sum(one.weight * one.prompt_tokens**3 for one in problem.requests), weights)
    second, third = decimal(square / (mean * mean)), decimal(cube / (mean * mean * mean))
    wider = 1 + push + push**2 * second / 2
    skewed = push + push**2 * second + push**3 * third / 3
    return Moments(found.mean, found.variance * wider, found.third * wider**2 + found.variance * skewed)


def _central_moments(shares: list[Decimal], last: Decimal, total: Decimal) -> tuple[Decimal, Decimal, Decimal]:
    """Mean, variance and third central moment of a chain with a geometric tail of ratio ``last`` behind its states."""
    length, rest = len(shares) - 1, 1 - last
    # The tail's number beyond ``length`` is j ≥ 1 with weight last^j: sums of j^k · last^j for k = 0 … 3.
    tail = (
        last / rest,
        last / rest**2,
        last * (1 + last) / rest**3,
        last * (1 + 4 * last + last * last) / rest**4,
    )
    mean = sum((n * share for n, share in enumerate(shares)), Decimal(0))
    mean = (mean + shares[-1] * (length * tail[0] + tail[1])) / total
    off = length - mean
    variance = sum((share * (n - mean) ** 2 for n, share in enumerate(shares)), Decimal(0))
    variance += shares[-1] * (off**2 * tail[0] + 2 * off * tail[1] + tail[2])
    third = sum((share * (n - mean) ** 3 for n, share in enumerate(shares)), Decimal(0))
    third += shares[-1] * (off**3 * tail[0] + 3 * off**2 * tail[1] + 3 * off * tail[2] + tail[3])
    return mean, variance / total, third / total


def load_of(problem: Problem, times: ReplicaTimes, requests_per_s: Fraction) -> Load | None:
    """Percentiles of a replica that receives so many requests; None when it is overloaded."""
    work = problem.workload
    length = chain_length(problem)
    rate = decimal(requests_per_s) / 1000
    found = chain(times.residence(length), rate, length)
    prompt = times.occupancy(rate)
    prompts = rate * prompt
    if found is None or prompts >= 1:
        return None
    spread = max(Decimal(0), found.p99 - found.mean) / (1 - prompts)
    n50, n99 = found.median + 1, 1 + math.ceil(found.mean + spread)
    if n99 > length:
        return None
    budget = problem.search.max_num_batched_tokens
    at_once = max(1, budget // computed_tokens(work, work.prompt_tokens))
    service = prompt + chunks_of(problem, work.prompt_tokens) * times.round(n99) / at_once
    busy = rate * service
    if busy >= 1:
        return None
    usual = service * busy / (2 * (1 - busy))
    rare = Decimal(0)
    if 100 * busy > 1:
        rare = max(service * (100 * busy).ln() / (2 * (1 - busy)), service * (1 - 1 / (100 * busy)))
    prefill50 = times.prefill(work.prompt_tokens, n50)
    alone = times.prefill(work.longest_prompt_tokens, n99)
    met = 100 * rate * (times.round(n99) + prompt) - 1
    pair = prompt * min(Decimal(1), max(Decimal(0), met))
    steps = chunks_of(problem, work.longest_prompt_tokens) + 1
    cap = steps * (decimal(Fraction(budget, computed_tokens(work, work.prompt_tokens))) * prompt + times.round(n99))
    number = in_clusters(problem, found, prompts / (1 - prompts))
    own = _cut(problem, times, number.mean + 1)
    seen = _seen(times, rate, prompts, prompt, number, own)
    by, z = ExactNumbers(), standard_normal(Fraction(1, 100))
    e2e50, e2e99, whole = whole_quantiles(times.law, seen, own)
    wait = usual
    latency = {
        "prefill_p50": prefill50,
        "prefill_p99": max(alone, min(alone + max(rare, pair), cap)),
        "ttft_p50": times.admission(n50) + usual + prefill50,
        "ttft_p99": times.admission(n99) + Decimal("0.5") * times.round(n99) + (1 + busy) * rare + alone,
        "tpot_p50": times.tpot(n50),
        "tpot_p99": times.tpot(n99),
    }
    if work.mixed:
        wait = seen.wait
        latency |= {f"{name}_p50": value for name, value in seen.medians(times.prompt, by).items()}
        for name, one in (("prefill", seen.prefill), ("ttft", seen.ttft), ("tpot", seen.tpot)):
            latency[f"{name}_p99"] = one.mean + one.tail(by, z)
        latency["prefill_p99"] = min(latency["prefill_p99"], max(alone, cap))
    return Load(
        n50=n50,
        n99=n99,
        number=number,
        mean=found.mean / rate + wait,
        **latency,
        e2e_p50=e2e50,
        e2e_p99=e2e99,
        goodput=_missed(problem, {"ttft": seen.ttft, "tpot": seen.tpot, "e2e": whole}),
    )


def _missed(problem: Problem, times: dict[str, LengthSpread]) -> Decimal:
    """Share of requests that miss a goodput limit, at most: the sum over the limits."""
    goodput = problem.requirements.goodput
    if goodput is None:
        return Decimal(0)
    shares = [
        share_above(float(of.mean), float(of.variance), float(of.third), goodput.limits[name])
        for name, of in times.items()
        if name in goodput.limits
    ]
    return min(Decimal(1), Decimal(sum(shares)))


def _cut(problem: Problem, times: ReplicaTimes, here: Decimal) -> list[Decimal]:
    """A prompt's own time, by distinct prompt: its compute, and a step of a stage for each chunk more than the mean prompt has."""
    if not problem.workload.mixed:
        return times.prompts
    usual = chunks_of(problem, problem.workload.prompt_tokens)
    step = _between(times.round, here, times.length) / times.stages
    more = [chunks_of(problem, tokens) - usual for tokens in times.law.prompts]
    return [ms + step * chunks for ms, chunks in zip(times.prompts, more, strict=True)]


def _seen(
    times: ReplicaTimes, rate: Decimal, busy: Decimal, cost: Decimal, number: Moments, own: list[Decimal]
) -> SeenLengths:
    """What requests meet while the mean number is in progress, themselves one more."""
    here, share = number.mean + 1, cost / times.prompt_sum
    m1, m2, m3 = times.prompt_moments
    return seen_by(
        times.law,
        MixedReplica(
            rate=rate,
            busy=busy,
            prompt=of_prompts(own, times.law)[0],
            costs=(share * m1, share**2 * m2, share**3 * m3),
            round=_between(times.round, here, times.length),
            wider=_between(times.round, here + max(Decimal(0), number.variance).sqrt(), times.length),
            token=_between(times.tpot, here, times.length),
            admission=_between(times.admission, here, times.length),
            passes=_between(times.usual_prefill, here, times.length) - times.prompt_mean,
            yielded=times.yielded,
        ),
        ExactNumbers(),
    )


def _between(of: Callable[[int], Decimal], n: Decimal, length: int) -> Decimal:
    """A time at a number in progress that need not be whole: straight between whole ones, from 1 to the last."""
    inside = min(max(n, Decimal(1)), Decimal(length))
    low = min(int(inside), max(1, length - 1))
    return of(low) + (of(min(low + 1, length)) - of(low)) * (inside - low)
