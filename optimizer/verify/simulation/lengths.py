"""How long prompts and outputs are: all alike, drawn from a distribution, or drawn from classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from optimizer.facts.lengths import RequestClass
from optimizer.facts.problem import Problem

_P99 = 2.3263478740408408  # 99th percentile of the standard normal distribution


class Lengths(Protocol):
    """Prompt and output lengths of successive requests."""

    def draw(self, count: int, random: np.random.Generator) -> tuple[list[int], list[int]]:
        """(prompt tokens, output tokens) of so many requests."""
        ...


@dataclass(frozen=True, slots=True)
class FixedLengths:
    """Every request alike."""

    prompt_tokens: int
    output_tokens: int

    def draw(self, count: int, random: np.random.Generator) -> tuple[list[int], list[int]]:
        """The same lengths each time."""
        return [self.prompt_tokens] * count, [self.output_tokens] * count


@dataclass(frozen=True, slots=True)
class LognormalPrompts:
    """Lognormal prompts with a stated mean and 99th percentile, cut at the longest allowed; every output alike."""

    mean_tokens: int
    p99_tokens: int
    longest_tokens: int
    output_tokens: int

    def draw(self, count: int, random: np.random.Generator) -> tuple[list[int], list[int]]:
        """Prompts of exp(mu + sigma z), with mu + sigma^2 / 2 = ln mean and mu + 2.326 sigma = ln p99."""
        spread = _P99**2 - 2 * math.log(self.p99_tokens / self.mean_tokens)
        sigma = _P99 - math.sqrt(max(0.0, spread))
        drawn = np.exp(math.log(self.mean_tokens) - sigma**2 / 2 + sigma * random.standard_normal(count))
        prompts: list[int] = np.clip(np.rint(drawn), 1, self.longest_tokens).astype(np.int64).tolist()
        return prompts, [self.output_tokens] * count


@dataclass(frozen=True, slots=True)
class ClassLengths:
    """Prompt and output of a request drawn together from classes."""

    prompts: tuple[int, ...]
    outputs: tuple[int, ...]
    shares: tuple[float, ...]

    @classmethod
    def of(cls, classes: Sequence[RequestClass]) -> ClassLengths:
        """In proportion to the classes' weights."""
        prompts, outputs, weights = zip(*classes, strict=True)
        whole = sum(weights)
        return cls(prompts, outputs, tuple(weight / whole for weight in weights))

    def draw(self, count: int, random: np.random.Generator) -> tuple[list[int], list[int]]:
        """Independent draws."""
        drawn = random.choice(len(self.shares), size=count, p=self.shares).tolist()
        return [self.prompts[i] for i in drawn], [self.outputs[i] for i in drawn]


def lengths_of(problem: Problem) -> Lengths:
    """The lengths that a problem's workload states."""
    work = problem.workload
    if work.recorded or work.prompt_law or work.output_law:
        return ClassLengths.of(problem.requests)
    if work.longest_prompt_tokens == work.prompt_tokens:
        return FixedLengths(work.prompt_tokens, work.output_tokens)
    longest = max(request.prompt_tokens for request in problem.requests)
    return LognormalPrompts(work.prompt_tokens, work.longest_prompt_tokens, longest, work.output_tokens)
