"""Where requests come from: a Poisson stream, a trace file, or a fixed number of users who each wait for their answer.

A source tells the time of its next arrival and hands it over when that time has come. Times are milliseconds.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

TRACE_COLUMNS = ("arrived_at", "num_prefill_tokens", "num_decode_tokens")
_BLOCK = 1024  # arrivals drawn at a time
_P99 = 2.3263478740408408  # 99th percentile of the standard normal distribution


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request of a trace: when it came (ms), and its lengths in tokens."""

    at_ms: float
    prompt_tokens: int
    output_tokens: int


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


class PoissonSource:
    """Endless Poisson arrivals at a rate; the same seed gives the same requests."""

    def __init__(self, rate_per_s: float, lengths: Lengths, random: np.random.Generator) -> None:
        self._gap_ms, self._lengths, self._random = 1000 / rate_per_s, lengths, random
        self._times: list[float] = [0.0]
        self._prompts: list[int] = []
        self._outputs: list[int] = []
        self._refill()

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
        self.next_ms = self._times[-1]


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


def read_trace(path: Path) -> tuple[Arrival, ...]:
    """The requests of a trace file in order of arrival.

    Args:
        path: CSV with the columns ``arrived_at`` (seconds), ``num_prefill_tokens`` and ``num_decode_tokens``, as the
            Vidur project packages the Azure LLM inference traces.

    Raises:
        ValueError: a column is missing, a value is no number, a length is below 1, or the file holds no request.
    """
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        missing = [name for name in TRACE_COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(f"{path}: the column {missing[0]} is missing; a trace has {', '.join(TRACE_COLUMNS)}")
        requests = [_arrival(path, line, row) for line, row in enumerate(reader, start=2)]
    if not requests:
        raise ValueError(f"{path}: holds no request")
    return tuple(sorted(requests, key=lambda request: request.at_ms))


def _arrival(path: Path, line: int, row: dict[str, str]) -> Arrival:
    try:
        at, prompt, output = float(row[TRACE_COLUMNS[0]]), int(row[TRACE_COLUMNS[1]]), int(row[TRACE_COLUMNS[2]])
    except (TypeError, ValueError):
        raise ValueError(f"{path}, line {line}: a value is not a number") from None
    if not math.isfinite(at) or prompt < 1 or output < 1:
        raise ValueError(f"{path}, line {line}: needs a finite time and at least one token of prompt and output")
    return Arrival(1000 * at, prompt, output)


def share_of_replica(
    requests: Iterable[Arrival],
    replicas: int,
    replica: int,
    how: Literal["round-robin", "random"],
    random: np.random.Generator,
) -> tuple[Arrival, ...]:
    """The requests that one of several replicas receives.

    Args:
        how: ``round-robin`` deals them in turn; ``random`` sends each to a replica drawn evenly.
    """
    listed = list(requests)
    if how == "round-robin":
        return tuple(listed[replica::replicas])
    chosen = random.integers(replicas, size=len(listed)).tolist()
    return tuple(request for request, where in zip(listed, chosen, strict=True) if where == replica)
