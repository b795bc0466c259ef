"""Where requests come from: a Poisson stream or a trace.

A source tells the time of its next arrival and hands it over when that time has come. Times are milliseconds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from optimizer.verify.simulation.lengths import Lengths
from optimizer.verify.simulation.trace import Arrival

_BLOCK = 1024  # arrivals drawn at a time


class Source(Protocol):
    """What the engine asks of any stream of requests."""

    next_ms: float
    """When the next request arrives; infinite while none is known."""

    def take(self) -> Arrival:
        """The request that arrives at ``next_ms``; moves on to the one after it."""
        ...

    def completed(self, at_ms: float) -> None:
        """A request was answered."""
        ...


class PoissonSource:
    """Endless Poisson arrivals at a rate; the same seed gives the same requests."""

    def __init__(self, rate_per_s: float, lengths: Lengths, random: np.random.Generator) -> None:
        self._gap_ms, self._lengths, self._random = 1000 / rate_per_s, lengths, random
        self._times: list[float] = [0.0]  # latest first, as are the lengths
        self._prompts: list[int] = []
        self._outputs: list[int] = []
        self._refill()
        self.next_ms = self._times[-1]

    def take(self) -> Arrival:
        """The next request."""
        arrival = Arrival(self.next_ms, self._prompts.pop(), self._outputs.pop())
        if len(self._times) == 1:
            self._refill()
        else:
            self._times.pop()
        self.next_ms = self._times[-1]
        return arrival

    def completed(self, at_ms: float) -> None:
        """Arrivals do not depend on answers."""

    def _refill(self) -> None:
        times = self._times[0] + np.cumsum(self._random.exponential(self._gap_ms, _BLOCK))
        self._times = times[::-1].tolist()
        prompts, outputs = self._lengths.draw(_BLOCK, self._random)
        self._prompts, self._outputs = prompts[::-1], outputs[::-1]


class TraceSource:
    """The requests of a trace at their recorded times, which must not decrease."""

    def __init__(self, requests: Sequence[Arrival]) -> None:
        self._left = list(reversed(requests))
        self.next_ms = self._left[-1].at_ms if self._left else math.inf

    def take(self) -> Arrival:
        """The next request of the trace."""
        arrival = self._left.pop()
        self.next_ms = self._left[-1].at_ms if self._left else math.inf
        return arrival

    def completed(self, at_ms: float) -> None:
        """Arrivals do not depend on answers."""
