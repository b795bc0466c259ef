"""The law of request lengths as a short list of classes, which the formulas and the simulation share.

A workload that states means only has one class. Where a 99th percentile of the prompt is stated, prompts are lognormal with that
mean and percentile: mu + sigma^2 / 2 = ln mean and mu + 2.326 sigma = ln p99, the smaller sigma of the two that solve it.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise
from statistics import NormalDist
from typing import NamedTuple

_NORMAL = NormalDist()
_Z99 = _NORMAL.inv_cdf(0.99)
_EDGES = (*(i / 50 for i in range(45)), *(0.9 + i / 100 for i in range(9)), *(0.99 + i / 1000 for i in range(9)), 0.999)
"""Where the bins of a lognormal law begin, as cumulative shares: finer in the tail, which decides variances."""
WEIGHT = 1000
"""Weights of classes are whole numbers of this part of all requests."""


class RequestClass(NamedTuple):
    """Requests taken to be alike: tokens of prompt and output, and a whole weight."""

    prompt_tokens: int
    output_tokens: int
    weight: int


def lognormal_sigma(mean: float, p99: float) -> float:
    """Sigma of the lognormal law with this mean and 99th percentile."""
    return _Z99 - math.sqrt(max(0.0, _Z99**2 - 2 * math.log(p99 / mean)))


@lru_cache(maxsize=256)
def request_classes(prompt: int, prompt_p99: int | None, output: int, longest_prompt: int) -> tuple[RequestClass, ...]:
    """The classes of a workload, shortest prompt first.

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


def _below(z: float) -> float:
    return _NORMAL.cdf(z) if math.isfinite(z) else float(z > 0)
