"""Requests and stages whose queues are known: what the simulation is held against."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from optimizer.verify.simulation.lengths import Lengths
from optimizer.verify.simulation.steps import StageTimes
from optimizer.verify.simulation.trace import Arrival


@dataclass(frozen=True, slots=True)
class SpreadLengths:
    """Prompts and outputs uniform within a share of their means: what keeps closed-loop users out of step."""

    prompt_tokens: int
    output_tokens: int
    share: float

    def draw(self, count: int, random: np.random.Generator) -> tuple[list[int], list[int]]:
        """Independent draws from mean * (1 - share) to mean * (1 + share)."""
        drawn = 1 + self.share * random.uniform(-1, 1, (2, count))
        means = np.array([[self.prompt_tokens], [self.output_tokens]])
        lengths: list[list[int]] = np.maximum(1, np.rint(means * drawn)).astype(np.int64).tolist()
        return lengths[0], lengths[1]


@dataclass(frozen=True, slots=True)
class ExponentialPrompts:
    """Prompts of exponential length, at least one token; every output alike. For tests against M/M/1."""

    mean_tokens: int
    output_tokens: int

    def draw(self, count: int, random: np.random.Generator) -> tuple[list[int], list[int]]:
        """Exponential lengths rounded up."""
        prompts: list[int] = np.ceil(random.exponential(self.mean_tokens, count)).astype(np.int64).tolist()
        return prompts, [self.output_tokens] * count


@dataclass(frozen=True, slots=True)
class SampledLengths:
    """Prompt and output of a request drawn together from those of a trace."""

    requests: tuple[Arrival, ...]

    def draw(self, count: int, random: np.random.Generator) -> tuple[list[int], list[int]]:
        """Independent draws with replacement."""
        drawn = [self.requests[i] for i in random.integers(len(self.requests), size=count).tolist()]
        return [r.prompt_tokens for r in drawn], [r.output_tokens for r in drawn]


class ClosedLoopSource:
    """A fixed number of users, each with one request in progress: an answer brings the next request at once."""

    def __init__(self, users: int, lengths: Lengths, random: np.random.Generator) -> None:
        self._due = [0.0] * users
        self._lengths, self._random = lengths, random
        self.next_ms = 0.0

    def take(self) -> Arrival:
        """The next request."""
        self._due.pop(0)
        prompts, outputs = self._lengths.draw(1, self._random)
        arrival = Arrival(self.next_ms, prompts[0], outputs[0])
        self.next_ms = self._due[0] if self._due else math.inf
        return arrival

    def completed(self, at_ms: float) -> None:
        """A user has an answer and asks again."""
        self._due.append(at_ms)
        self.next_ms = self._due[0]


def plain_stage(decode_ms: Sequence[float] | float, prefill_ms_per_token: float, most_sequences: int) -> StageTimes:
    """A stage without attention or cache, for degenerate queues.

    Args:
        decode_ms: a step with 0, 1, ... ``most_sequences`` sequences, or one number for all.
    """
    base = [decode_ms] * (most_sequences + 1) if isinstance(decode_ms, int | float) else decode_ms
    return StageTimes(tuple(map(float, base)), (0.0, 1.0), (0.0, 0.0), 0.0, prefill_ms_per_token, ())
