"""The law of request lengths as a short list of classes, which the formulas and the simulation share.

A length is one number, or a law: a mean with percentiles (the logarithm of the length is a bent line through them, in units of the
standard normal deviation) or with a coefficient of variation (lognormal). A mean with one percentile is the lognormal law with
both: mu + sigma^2 / 2 = ln mean and mu + z sigma = ln percentile, the smaller sigma of the two that solve it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from statistics import NormalDist
from typing import Annotated, NamedTuple

from pydantic import Field, model_validator

from optimizer.facts.base import Facts, Tokens

_NORMAL = NormalDist()
_Z99 = _NORMAL.inv_cdf(0.99)
_EDGES = (*(i / 50 for i in range(45)), *(0.9 + i / 100 for i in range(9)), *(0.99 + i / 1000 for i in range(9)), 0.999)
"""Where the bins of a law begin, as cumulative shares: finer in the tail, which decides variances."""
_COARSE = (*(i / 10 for i in range(9)), 0.9, 0.925, 0.95, 0.97, 0.98, 0.99, 0.995)
"""The same where two laws are combined: of the outputs."""
_INSIDE = tuple((i + 0.5) / 8 for i in range(8))
"""Where a bin of a bent line is evaluated, as shares of its width."""
WEIGHT = 1000
"""Weights of classes are whole numbers of this part of all requests."""
_PERCENTILES = ("p50", "p90", "p95", "p99")


class RequestClass(NamedTuple):
    """Requests taken to be alike: tokens of prompt and output, and a whole weight."""

    prompt_tokens: int
    output_tokens: int
    weight: int


class LengthLaw(Facts):
    """How long prompts or outputs are: a mean with percentiles, or with a coefficient of variation."""

    mean: Tokens = Field(description="Mean length, tokens")
    p50: Tokens | None = Field(default=None, description="Median, tokens")
    p90: Tokens | None = Field(default=None, description="90th percentile, tokens")
    p95: Tokens | None = Field(default=None, description="95th percentile, tokens")
    p99: Tokens | None = Field(default=None, description="99th percentile, tokens")
    max: Tokens | None = Field(default=None, description="Longest, tokens; left out, what the model's context leaves")
    cv: Annotated[float, Field(ge=0, le=5, strict=True)] | None = Field(
        default=None, description="Standard deviation over mean, in place of percentiles: lognormal"
    )

    @model_validator(mode="after")
    def _one_law(self) -> LengthLaw:
        stated = [(name, value) for name in _PERCENTILES if (value := getattr(self, name)) is not None]
        if self.cv is not None and stated:
            raise ValueError(f"cv stands beside {stated[0][0]}; state percentiles or cv")
        for (low, a), (high, b) in pairwise(stated):
            if a > b:
                raise ValueError(f"{low} = {a} is above {high} = {b}")
        if self.max is not None and self.max < max([self.mean, *(value for _, value in stated)]):
            raise ValueError(f"max = {self.max} is below the mean or a percentile")
        self.line()
        return self

    @property
    def spread(self) -> bool:
        """Whether lengths differ at all."""
        return bool(self.cv) or bool(self.points)

    @property
    def points(self) -> list[tuple[float, float]]:
        """(z, ln tokens) of the stated percentiles."""
        found = [(name, getattr(self, name)) for name in _PERCENTILES]
        return [
            (_NORMAL.inv_cdf(int(name[1:]) / 100), math.log(tokens)) for name, tokens in found if tokens is not None
        ]

    def line(self) -> Callable[[float], float]:
        """ln tokens at a standard normal deviation z.

        Raises:
            ValueError: no such law has the stated mean.
        """
        points = self.points
        if len(points) <= 1:
            return self._lognormal(points)
        low, high = _mean_of(_bent(points, 16.0)), _mean_of(_bent(points, 1 / 16))
        if not low <= self.mean <= high:
            raise ValueError(
                f"mean = {self.mean} does not go with the percentiles: with those it is between {low:,.0f} and {high:,.0f}"
            )
        least, most = math.log(1 / 16), math.log(16)
        for _ in range(24):
            middle = (least + most) / 2
            least, most = (middle, most) if _mean_of(_bent(points, math.exp(middle))) > self.mean else (least, middle)
        return _bent(points, math.exp(least))

    def _lognormal(self, points: list[tuple[float, float]]) -> Callable[[float], float]:
        if self.cv is not None:
            sigma = math.sqrt(math.log(1 + self.cv**2))
        elif not points:
            sigma = 0.0
        else:
            (z, log), mean = points[0], math.log(self.mean)
            if z * z + 2 * (mean - log) < 0:
                most = math.exp(mean + z * z / 2)
                raise ValueError(
                    f"no lognormal law with mean {self.mean} has a percentile of {math.exp(log):,.0f}; it is at most {most:,.0f}, unless "
                    "more percentiles say how lengths spread"
                )
            sigma = z - math.sqrt(z * z + 2 * (mean - log)) if z > 0 else math.sqrt(2 * (mean - log))
            if sigma < 0:
                raise ValueError(
                    f"a percentile of {math.exp(log):,.0f} is below the mean {self.mean}; state cv, or p50 beside it"
                )
        start = math.log(self.mean) - sigma**2 / 2
        return lambda at: start + sigma * at


def lognormal_sigma(mean: float, p99: float) -> float:
    """Sigma of the lognormal law with this mean and 99th percentile."""
    return _Z99 - math.sqrt(max(0.0, _Z99**2 - 2 * math.log(p99 / mean)))


def _bent(points: Sequence[tuple[float, float]], bend: float) -> Callable[[float], float]:
    """Through the points, between two of them as u^bend of the way; straight on beyond the ends."""

    def at(z: float) -> float:
        (left, low), (right, high) = next(
            (pair for pair in pairwise(points) if z <= pair[1][0]), (points[-2], points[-1])
        )
        slope = (high - low) / (right - left)
        if z <= left:
            return low + slope * (z - left)
        if z >= right:
            return high + slope * (z - right)
        return float(low + (high - low) * ((z - left) / (right - left)) ** bend)

    return at


def _mean_of(line: Callable[[float], float]) -> float:
    return sum(share * mean for share, mean in _bins(line, _EDGES))


def _bins(line: Callable[[float], float], edges: Sequence[float]) -> list[tuple[float, float]]:
    """(share, mean length) of the bins between cumulative shares."""
    return [
        (share, sum(math.exp(line(z)) for z in inside) / len(inside)) for share, inside in _deviations(tuple(edges))
    ]


@lru_cache(maxsize=4)
def _deviations(edges: tuple[float, ...]) -> list[tuple[float, list[float]]]:
    """(share, deviations at which it is evaluated) of each bin."""
    bins = pairwise((*edges, 1.0))
    return [(high - low, [_NORMAL.inv_cdf(low + (high - low) * at) for at in _INSIDE]) for low, high in bins]


@lru_cache(maxsize=256)
def length_classes(law: LengthLaw, longest: int, *, coarse: bool = False) -> tuple[tuple[int, int], ...]:
    """(tokens, weight) of a law, shortest first; no class is longer than ``longest``."""
    found: dict[int, int] = {}
    for share, mean in _bins(law.line(), _COARSE if coarse else _EDGES):
        tokens = min(longest, law.max or longest, max(1, round(mean)))
        found[tokens] = found.get(tokens, 0) + round(WEIGHT * share)
    return tuple(sorted(found.items()))


@lru_cache(maxsize=256)
def request_classes(prompt: int, prompt_p99: int | None, output: int, longest_prompt: int) -> tuple[RequestClass, ...]:
    """The classes of a workload with equal outputs, shortest prompt first.

    Args:
        prompt, prompt_p99, output: mean prompt, its 99th percentile if stated, and the output, tokens.
        longest_prompt: no class is longer.
    """
    if prompt_p99 is None or prompt_p99 <= prompt:
        return (RequestClass(prompt, output, WEIGHT),)
    sigma = lognormal_sigma(prompt, prompt_p99)
    ends = [-math.inf, *(_NORMAL.inv_cdf(edge) for edge in _EDGES[1:]), math.inf]
    found: dict[int, int] = {}
    for low, high in pairwise(ends):
        share = _below(high) - _below(low)
        mean = prompt * (_below(high - sigma) - _below(low - sigma)) / share
        tokens = min(longest_prompt, max(1, round(mean)))
        found[tokens] = found.get(tokens, 0) + round(WEIGHT * share)
    return tuple(RequestClass(tokens, output, weight) for tokens, weight in sorted(found.items()))


@lru_cache(maxsize=256)
def law_classes(prompt: LengthLaw | int, output: LengthLaw | int, longest: int) -> tuple[RequestClass, ...]:
    """The classes of prompts and outputs that are independent of each other, cut where together they pass ``longest``."""
    prompts = ((prompt, 1),) if isinstance(prompt, int) else length_classes(prompt, longest)
    coarse = not isinstance(prompt, int)
    outputs = ((output, 1),) if isinstance(output, int) else length_classes(output, longest, coarse=coarse)
    found: dict[tuple[int, int], int] = {}
    for p, many in prompts:
        for o, often in outputs:
            key = (min(p, max(1, longest - o)), min(o, max(1, longest - 1)))
            found[key] = found.get(key, 0) + many * often
    return tuple(RequestClass(p, o, weight) for (p, o), weight in sorted(found.items()))


def trace_classes(lengths: Sequence[tuple[int, int]]) -> tuple[RequestClass, ...]:
    """Classes of recorded requests: bins of the prompt, finer in the tail, and in each bins of the output."""
    ordered = sorted(lengths)
    found: dict[tuple[int, int], int] = {}
    for many in _cut(ordered, (*(i / 20 for i in range(19)), 0.95, 0.965, 0.98, 0.99, 0.997)):
        prompt = round(sum(one[0] for one in many) / len(many))
        for some in _cut(sorted(many, key=lambda one: one[1]), _COARSE):
            key = (prompt, max(1, round(sum(one[1] for one in some) / len(some))))
            found[key] = found.get(key, 0) + len(some)
    return tuple(RequestClass(p, o, weight) for (p, o), weight in sorted(found.items()))


def _cut(ordered: Sequence[tuple[int, int]], edges: Sequence[float]) -> list[Sequence[tuple[int, int]]]:
    at = [round(edge * len(ordered)) for edge in (*edges, 1.0)]
    return [ordered[low:high] for low, high in pairwise(at) if high > low]


def _below(z: float) -> float:
    return _NORMAL.cdf(z) if math.isfinite(z) else float(z > 0)
