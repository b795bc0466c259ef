"""What the load model needs to know of a replica: times by number of sequences in progress, one row for each shape."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from optimizer.costs.chain import ChainTable
from optimizer.costs.mixed import LengthMoments
from optimizer.costs.shapes import Floats, Ints


@dataclass(frozen=True, slots=True)
class ServiceTable:
    """Milliseconds per shape (S,) and number in progress n = 1…N (S, N); column n - 1 holds n."""

    round_ms: Floats  # (S, N) one token for every running sequence
    tpot_ms: Floats  # (S, N) time per output token
    prefill_ms: Floats  # (S, N) mean prompt
    prefill_long_ms: Floats  # (S, N) longest planned prompt
    residence_ms: Floats  # (S, N) a whole request
    prompt_sum_ms: Floats  # (S,) O_sum: one prompt through all stages
    prompt_max_ms: Floats  # (S,) O_max: one prompt at the slowest stage
    admission_ms: Floats  # (S, N) arrival to scheduled, no prompts ahead
    stages: Floats  # (S,) P
    prompt_mean_ms: Floats  # (S,) X of a prompt of mean length
    prompt_each_ms: Floats  # (S, C) X: each distinct prompt through all stages
    overlap: Floats  # (S,) c: half the share of a prompt that another beside it saves
    yielded: float  # tokens that a step yields a sequence
    lengths: LengthMoments
    chunks: int
    prompts_per_step: float  # T / prompt
    prompt_cap_steps: int  # ceil(longest / T) + 1
    prompt_moments: tuple[float, float]  # E[p²] / E[p]² and E[p³] / E[p]³ of prompt lengths
    _chains: list[ChainTable] = field(init=False, repr=False, compare=False, default_factory=list)

    @property
    def chain(self) -> ChainTable:
        """The chain of requests in progress of each shape, built once."""
        if not self._chains:
            self._chains.append(ChainTable(self.residence_ms))
        return self._chains[0]

    def up_to(self, slots: int) -> ServiceTable:
        """The same for 1…slots sequences in progress only."""
        if slots >= self.round_ms.shape[1]:
            return self
        names = ("round_ms", "tpot_ms", "prefill_ms", "prefill_long_ms", "residence_ms", "admission_ms")
        return replace(self, **{name: getattr(self, name)[:, :slots] for name in names})

    def part(self, shapes: Ints) -> ServiceTable:
        """The same for some of the shapes."""
        tables = {f.name: getattr(self, f.name) for f in fields(self)}
        columns: dict[str, Any] = {name: v[shapes] for name, v in tables.items() if isinstance(v, np.ndarray)}
        return replace(self, **columns)


def joined(parts: list[tuple[Ints, ServiceTable]], shapes: int) -> ServiceTable:
    """One table of the tables of groups of shapes, each with its rows."""
    first = parts[0][1]
    columns: dict[str, Any] = {}
    for one in fields(first):
        value = getattr(first, one.name)
        if isinstance(value, np.ndarray):
            columns[one.name] = np.empty((shapes, *value.shape[1:]))
            for rows, part in parts:
                columns[one.name][rows] = getattr(part, one.name)
    return replace(first, **columns)
