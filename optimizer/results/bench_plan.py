"""What ``bench-plan`` says: runs to make, and what each would leave open."""

from __future__ import annotations

from dataclasses import dataclass

from optimizer.results.answer import Strategy


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One run to make, a closed loop of 10 requests for each in progress, and what the runs up to it would leave open."""

    tensor_parallel: int
    """TP of the instance to measure."""
    prompt_tokens: int
    """Of each request."""
    output_tokens: int
    """Of each request."""
    concurrency: int
    """Requests in progress at once."""
    tpot_percent: float
    """Half the width of the 90 % range of the answer's TPOT that would be left, percent."""


@dataclass(frozen=True, slots=True)
class BenchPlan:
    """Runs to make, in the order in which they tell most, for one answer."""

    strategy: Strategy
    """Of the answer."""
    in_progress: int
    """Sequences of the engine instance at which the answer's latencies were judged."""
    runs: tuple[PlannedRun, ...]
    """The most telling first."""
    open_percent: float
    """Half the width of the 90 % range of the answer's TPOT that the constants leave without a run, percent; what runs of one
    system scatter by around the best constants is in it, as in those of the runs."""
