"""Recorded requests: reading a trace file, and dealing its requests to replicas."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from optimizer.facts.workload import Workload
from optimizer.reading.traces import Arrival, read_requests

__all__ = ["Arrival", "read_trace", "share_of_replica", "trace_sentence"]


def read_trace(path: Path) -> tuple[Arrival, ...]:
    """The requests of a trace file in order of arrival, in any of the forms of ``facts.trace``.

    Raises:
        ProblemError: a column is missing, a value is no number, a length is below 1, or the file holds no request.
    """
    return read_requests(path, str(path))


def trace_sentence(requests: Sequence[Arrival], workload: Workload) -> str:
    """How a trace differs from the workload that the analytic percentiles are for, and which figures to plan with."""
    prompts, outputs = (np.array([getattr(r, name) for r in requests]) for name in ("prompt_tokens", "output_tokens"))
    seconds = (requests[-1].at_ms - requests[0].at_ms) / 1000
    rate = f"{len(requests) / seconds:,.2f} requests/s on average" if seconds > 0 else "all at once"
    lengths = [
        f"{values.mean():,.0f} (99th percentile {np.percentile(values, 99):,.0f})" for values in (prompts, outputs)
    ]
    longest = workload.longest_prompt_tokens
    stated = f"{workload.prompt_tokens:,} prompt" + (
        f" (up to {longest:,})" if longest != workload.prompt_tokens else ""
    )
    return (
        f"The trace holds {len(requests):,} requests, {rate}, with {lengths[0]} prompt tokens and {lengths[1]} output tokens; the "
        f"analytic percentiles are for {workload.requests_per_s:g} requests/s with {stated} and {workload.output_tokens:,} output tokens. "
        "Mixed lengths and uneven arrivals widen the spread, which the analytic percentiles do not count: where the simulated "
        "ones are higher, plan with those, or state a requirements.margin that covers the difference."
    )


def share_of_replica(
    requests: Sequence[Arrival],
    replicas: int,
    replica: int,
    how: Literal["round-robin", "random"],
    random: np.random.Generator,
) -> tuple[Arrival, ...]:
    """The requests that one of several replicas receives.

    Args:
        how: ``round-robin`` deals them in turn; ``random`` sends each to a replica drawn evenly.
    """
    if how == "round-robin":
        return tuple(requests[replica::replicas])
    chosen = random.integers(replicas, size=len(requests)).tolist()
    return tuple(request for request, where in zip(requests, chosen, strict=True) if where == replica)
