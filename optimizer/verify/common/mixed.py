"""Section 4, "Mixed lengths": what requests of differing lengths wait and take, as cumulants.

Written once for two kinds of numbers: ``Decimal`` (callers inside ``arithmetic.sixty_digits``) and arrays of 64-bit floats.

Other home: ``costs/mixed.py``; docs/model.md, section 4.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from optimizer.facts.lengths import RequestClass
from optimizer.facts.problem import Problem
from optimizer.verify.common.arithmetic import ceil_ratio, decimal
from optimizer.verify.common.occupancy import standard_normal

SPREAD = Fraction(6, 5)
Number = Any
"""A ``Decimal``, or an array of floats."""


class Numbers(Protocol):
    """What differs between the two kinds of numbers."""

    def of(self, value: Fraction) -> Number: ...
    def root(self, value: Number) -> Number: ...
    def larger(self, a: Number, b: Number) -> Number: ...
    def smaller(self, a: Number, b: Number) -> Number: ...
    def ratio(self, a: Number, b: Number) -> Number: ...


class ExactNumbers:
    """Decimals."""

    def of(self, value: Fraction) -> Number:
        return decimal(value)

    def root(self, value: Number) -> Number:
        return max(Decimal(0), value).sqrt()

    def larger(self, a: Number, b: Number) -> Number:
        return max(Decimal(a), b)

    def smaller(self, a: Number, b: Number) -> Number:
        return min(a, b)

    def ratio(self, a: Number, b: Number) -> Number:
        return a / b if b > 0 else Decimal(0)


class Floats:
    """Arrays."""

    def of(self, value: Fraction) -> Number:
        return float(value)

    def root(self, value: Number) -> Number:
        return np.sqrt(np.maximum(value, 0.0))

    def larger(self, a: Number, b: Number) -> Number:
        return np.maximum(a, b)

    def smaller(self, a: Number, b: Number) -> Number:
        return np.minimum(a, b)

    def ratio(self, a: Number, b: Number) -> Number:
        return np.where(b > 0, a / np.where(b > 0, b, 1.0), 0.0)


@dataclass(frozen=True, slots=True)
class Law:
    """Request lengths: shares of distinct prompts, and what the formulas ask of outputs."""

    prompts: tuple[int, ...]
    prompt_shares: tuple[Fraction, ...]
    classes: tuple[tuple[int, int, Fraction], ...]
    """(which prompt, output tokens, share)."""
    after: Fraction
    after_squared: Fraction
    inverses: tuple[Fraction, Fraction, Fraction]


@lru_cache(maxsize=64)
def law_of(requests: tuple[RequestClass, ...]) -> Law:
    """The law of a problem's requests."""
    whole = sum(one.weight for one in requests)
    by_prompt: Counter[int] = Counter()
    for one in requests:
        by_prompt[one.prompt_tokens] += one.weight
    prompts = tuple(sorted(by_prompt))
    some = [one for one in requests if one.output_tokens > 1]
    counted = sum(one.weight for one in some)
    inverse = [
        sum((Fraction(one.weight, counted * (one.output_tokens - 1) ** k) for one in some), Fraction(0))
        for k in (1, 2, 3)
    ]
    return Law(
        prompts,
        tuple(Fraction(by_prompt[p], whole) for p in prompts),
        tuple((prompts.index(p), o, Fraction(weight, whole)) for p, o, weight in requests),
        sum((Fraction(one.weight * (one.output_tokens - 1), whole) for one in requests), Fraction(0)),
        sum((Fraction(one.weight * (one.output_tokens - 1) ** 2, whole) for one in requests), Fraction(0)),
        (inverse[0], inverse[1], inverse[2]),
    )


def mean_context(problem: Problem) -> int:
    """c: the tokens of a request in progress, drawn in proportion to its output and half through it, rounded up."""
    top = sum(w * o * (2 * p + o) for p, o, w in problem.requests)
    return ceil_ratio(top, 2 * sum(w * o for p, o, w in problem.requests))


@dataclass(frozen=True, slots=True)
class LengthSpread:
    """Mean, variance and third central moment."""

    mean: Number
    variance: Number
    third: Number

    def below(self, by: Numbers) -> Number:
        """From the median up to the mean."""
        bent = by.ratio(by.larger(0 * self.third, self.third), 6 * self.variance)
        return by.smaller(bent, by.root(self.variance) / 3)

    def tail(self, by: Numbers, z: Number) -> Number:
        """From the mean to the 99th percentile."""
        bent = by.ratio(by.larger(0 * self.third, self.third), self.variance)
        return z * by.root(self.variance) + (z * z - 1) / 6 * bent


@dataclass(frozen=True, slots=True)
class SeenLengths:
    """What a request meets."""

    wait: Number
    prefill: LengthSpread
    ttft: LengthSpread
    tpot: LengthSpread
    whole: LengthSpread
    """Arrival to last token."""
    noise: LengthSpread
    """Of the same, what lengths do not explain; its mean is 0."""
    token: Number

    def medians(self, prompt: LengthSpread, by: Numbers) -> dict[str, Number]:
        """Of prefill, TTFT and TPOT: only the law of prompts puts them below their means, which grow with the load."""
        below = prompt.below(by)
        return {"prefill": self.prefill.mean - below, "ttft": self.ttft.mean - below, "tpot": self.token}


@dataclass(frozen=True, slots=True)
class MixedReplica:
    """A replica at its mean number in progress; milliseconds, rates per millisecond."""

    rate: Number
    busy: Number
    """ρ."""
    prompt: LengthSpread
    """X, a prompt's own compute."""
    costs: tuple[Number, Number, Number]
    """Moments about zero of what it costs others."""
    round: Number
    wider: Number
    token: Number
    admission: Number
    passes: Number
    yielded: Number
    """Tokens that a step yields a sequence."""


def third_about(first: Number, second: Number, third: Number) -> Number:
    """Third central moment from moments about zero."""
    return third - 3 * first * second + 2 * first * first * first


def seen_by(law: Law, at: MixedReplica, by: Numbers) -> SeenLengths:
    """The cumulants of every time."""
    free, busy, rate = 1 - at.busy, at.busy, at.rate
    c1, c2, c3 = at.costs
    # A step: its round and a compound Poisson number of prompts from the step before.
    mean = at.round / free
    variance = rate * c2 * mean / (1 - busy * busy)
    third = (rate * c3 * mean + 3 * busy * rate * c2 * variance) / (1 - busy * busy * busy)
    second_moment = mean * mean + variance
    third_moment = mean * mean * mean + 3 * mean * variance + third
    # The step that an arrival meets; its third moment as of a gamma law.
    met = second_moment / mean
    met2 = third_moment / mean
    wide = by.larger(0 * mean, met2 / (met * met) - 1)
    met3 = met * met * met * (1 + wide) * (1 + 2 * wide)
    spread = met2 - met * met

    def time(shares: tuple[Number, Number, Number], fixed: Number) -> LengthSpread:
        one, two, three = shares[0] * met, shares[1] * met2, shares[2] * met3
        return LengthSpread(
            fixed + at.prompt.mean + one,
            at.prompt.variance + two - one * one + rate * c2 * met,
            at.prompt.third + third_about(one, two, three) + rate * c3 * met + 3 * rate * c2 * shares[0] * spread,
        )

    half = by.of(Fraction(1, 2)) + busy
    squares = by.of(Fraction(1, 3)) + busy + busy * busy
    cubes = by.of(Fraction(1, 4)) + busy + busy * busy * by.of(Fraction(3, 2)) + busy * busy * busy
    prefill = time((busy, busy * busy, busy * busy * busy), at.passes)
    ttft = time((half, squares, cubes), at.admission - at.round / 2 + at.passes)

    cycle2 = rate * c2 * at.token / (free * free)
    cycle3 = at.token * (rate * c3 * free + 3 * rate * c2 * rate * c2) / (free * free * free * free)
    slack = busy * (at.round + c1 + busy * met) / free
    number = (at.wider - at.round) / (free * at.yielded)
    number = number * number
    wider = by.of(SPREAD)
    i1, i2, i3 = (by.of(value) for value in law.inverses)
    uneven = i2 - i1 * i1
    tpot = LengthSpread(
        at.token + slack * i1,
        wider * (number + cycle2 * i1) + slack * slack * uneven,
        wider * (cycle3 * i2 + 3 * slack * cycle2 * uneven) + slack * slack * slack * third_about(i1, i2, i3),
    )
    after, squared = by.of(law.after), by.of(law.after_squared)
    noise = LengthSpread(
        0 * mean,
        ttft.variance - at.prompt.variance + wider * (squared * number + after * cycle2),
        ttft.third - at.prompt.third + wider * after * cycle3,
    )
    whole = LengthSpread(ttft.mean + after * at.token + slack, noise.variance, noise.third)
    return SeenLengths(half * met - at.round / 2, prefill, ttft, tpot, whole, noise, at.token)


def share_above(mean: float, variance: float, third: float, limit: float) -> float:
    """Share of requests above a limit: the z at which Cornish and Fisher's quantile is the limit."""
    if variance <= 0:
        return float(mean > limit)
    sd = math.sqrt(variance)
    x, skew = (limit - mean) / sd, max(0.0, third) / sd**3
    if skew <= 1e-6:
        return math.erfc(x / math.sqrt(2)) / 2
    # skew / 6 · z² + z − (x + skew / 6) = 0
    square = 1 + 4 * (skew / 6) * (x + skew / 6)
    if square < 0:
        return 1.0
    return math.erfc((math.sqrt(square) - 1) / (skew / 3) / math.sqrt(2)) / 2


def of_prompts(prompts: list[Decimal], law: Law) -> tuple[LengthSpread, tuple[Decimal, Decimal, Decimal], Decimal]:
    """X as a spread, its moments about zero, and c = E[min(X, X')] / (2 E[X]), exact."""
    shares = [decimal(share) for share in law.prompt_shares]
    pairs = list(zip(prompts, shares, strict=True))
    m1, m2, m3 = (sum((share * x**k for x, share in pairs), Decimal(0)) for k in (1, 2, 3))
    off = [(x - m1, share) for x, share in pairs]
    spread = LengthSpread(m1, sum((s * x**2 for x, s in off), Decimal(0)), sum((s * x**3 for x, s in off), Decimal(0)))
    least, left = Decimal(0), Decimal(1)
    for x, share in sorted(pairs):
        # Both at least this long, and one of them just so.
        least += x * (left * left - (left - share) * (left - share))
        left -= share
    return spread, (m1, m2, m3), least / (2 * m1)


def whole_quantiles(law: Law, seen: SeenLengths, prompts: list[Decimal]) -> tuple[Decimal, Decimal, LengthSpread]:
    """(P50, P99) from arrival to the last token, and its cumulants with the spread of lengths in them, exact."""
    by, z = ExactNumbers(), standard_normal(Fraction(1, 100))
    own = [(prompts[i] + (o - 1) * seen.token, decimal(share)) for i, o, share in law.classes]
    usual = sum((value * share for value, share in own), Decimal(0))
    middle, far = (_quantile(own, Fraction(q, 100)) for q in (50, 99))
    reach = max(Decimal(0), far - usual)
    beyond = seen.noise.tail(by, z)
    mean = seen.whole.mean
    spread = LengthSpread(
        mean,
        seen.noise.variance + sum((s * (v - usual) ** 2 for v, s in own), Decimal(0)),
        seen.noise.third + sum((s * (v - usual) ** 3 for v, s in own), Decimal(0)),
    )
    return mean + middle - usual, mean + (reach * reach + beyond * beyond).sqrt(), spread


def _quantile(values: list[tuple[Decimal, Decimal]], share: Fraction) -> Decimal:
    below, wanted = Decimal(0), decimal(share) - Decimal("1e-9")
    for value, weight in sorted(values):
        below += weight
        if below >= wanted:
            return value
    return max(value for value, _ in values)
