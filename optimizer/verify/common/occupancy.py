"""What requests in progress hold of the KV cache: exact moments of one request, and quantiles of all together.

``docs/model.md``, section 4. Callers of the quantiles work inside ``arithmetic.sixty_digits``.

Other home: ``costs/occupancy.py``; docs/model.md, section 4.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from optimizer.facts.lengths import RequestClass
from optimizer.facts.problem import Problem
from optimizer.verify.common.arithmetic import ceil_ratio, decimal, exact

BLOCK_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Moments:
    """Of one random quantity: its mean, variance and third central moment."""

    mean: Decimal
    variance: Decimal
    third: Decimal


def blocks_in_progress(problem: Problem) -> dict[int, int]:
    """Blocks that a request in progress may hold → how often, in weights of requests times output tokens."""
    return dict(_blocks_of(problem.held_requests))


@lru_cache(maxsize=16)
def _blocks_of(requests: tuple[RequestClass, ...]) -> Counter[int]:
    found: Counter[int] = Counter()
    for prompt, output, weight in requests:
        # With g tokens produced, g = 0 … output - 1, it holds prompt + g.
        first, last = ceil_ratio(prompt, BLOCK_TOKENS), ceil_ratio(prompt + output - 1, BLOCK_TOKENS)
        for block in range(first, last + 1):
            low = max(prompt, BLOCK_TOKENS * (block - 1) + 1)
            high = min(prompt + output - 1, BLOCK_TOKENS * block)
            found[block] += weight * (high - low + 1)
    return found


def moments_of_one(blocks: dict[int, int], held: Callable[[int], Fraction]) -> Moments:
    """What one request in progress holds, by the bytes that a sequence of so many tokens takes."""
    total = sum(blocks.values())
    values = [(held(BLOCK_TOKENS * block), often) for block, often in blocks.items()]
    # In whole numbers of what all values are multiples of: ten times faster than with fractions, and as exact.
    parts = math.lcm(*(value.denominator for value, _ in values))
    each = [(value.numerator * (parts // value.denominator), often) for value, often in values]
    whole = sum(often * value for value, often in each)
    off = [(value * total - whole, often) for value, often in each]
    unit = total * parts
    return Moments(
        decimal(Fraction(whole, unit)),
        decimal(Fraction(sum(often * value**2 for value, often in off), total * unit**2)),
        decimal(Fraction(sum(often * value**3 for value, often in off), total * unit**3)),
    )


def wanted(number: Moments, one: Moments, share: float) -> Decimal:
    """Bytes that all requests in progress pass for a share of the time, their number being random."""
    variance = number.mean * one.variance + number.variance * one.mean**2
    third = number.mean * one.third + 3 * number.variance * one.mean * one.variance + number.third * one.mean**3
    return quantile(Moments(number.mean * one.mean, variance, third), share)


def wanted_by(requests: int, one: Moments, share: float) -> Decimal:
    """The same for exactly so many requests in progress."""
    return quantile(Moments(requests * one.mean, requests * one.variance, requests * one.third), share)


def quantile(of: Moments, share: float) -> Decimal:
    """What is passed for a share of the time: the normal quantile with the term of the skewness, where that adds."""
    z = standard_normal(exact(share))
    if of.variance <= 0:
        return of.mean
    return of.mean + z * of.variance.sqrt() + max(Decimal(0), (z * z - 1) / 6 * of.third / of.variance)


@lru_cache(maxsize=64)
def standard_normal(share: Fraction) -> Decimal:
    """The number that a standard normal variable passes with this probability, at most one half: halving, then Newton's method."""
    target, x, width = 1 - decimal(share), Decimal(0), Decimal(8)
    for _ in range(12):
        width /= 2
        x += width if _below(x + width) <= target else 0
    for _ in range(60):
        step = (_below(x) - target) / _density(x)
        x -= step
        if abs(step) < Decimal("1e-45"):
            return x
    raise ArithmeticError(f"no quantile found for {share}")


def _density(x: Decimal) -> Decimal:
    two_pi = Decimal("6.28318530717958647692528676655900576839433879875021164194989")
    return (-x * x / 2).exp() / two_pi.sqrt()


def _below(x: Decimal) -> Decimal:
    """Φ(x) = 1/2 + φ(x) · (x + x³/3 + x⁵/(3·5) + …)."""
    term = total = x
    divisor = 1
    while abs(term) > Decimal("1e-58"):
        divisor += 2
        term = term * x * x / divisor
        total += term
    return Decimal("0.5") + _density(x) * total
