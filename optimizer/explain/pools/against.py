"""Pools against joint instances, term by term: what a request gains by its own decode ranks, and what the way there costs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from optimizer.explain.common.numbers import milliseconds, time_or_none
from optimizer.explain.pools.compare import pools_of


@dataclass(frozen=True, slots=True)
class JointFigures:
    """What joint instances deliver; of several kinds of instances the slowest of each. None: no finite value, or not stated."""

    ttft_p50_ms: float | None
    ttft_p99_ms: float | None
    tpot_p50_ms: float | None
    tpot_p99_ms: float | None
    request_mean_ms: float | None
    in_progress_p50: int | None
    max_request_rate: float | None
    tpot_p50_mean_ms: float | None
    """The median of each kind of instances, in the mean of the shares of the requests that they are sent."""
    kinds: int
    """Of instances that are sent requests."""


def joint_figures(metrics: Any) -> JointFigures:
    """Of ``Metrics``."""
    return JointFigures(
        metrics.ttft_p50_ms, metrics.ttft_p99_ms, metrics.tpot_p50_ms, metrics.tpot_p99_ms, metrics.request_mean_ms,
        metrics.concurrency_p50, metrics.max_request_rate, metrics.tpot_p50_ms, 1,
    )  # fmt: skip


def inventory_figures(answer: Any) -> JointFigures:
    """Of an inventory's answer."""

    sent = [pool for pool in answer.pools if pool.share > 0]

    def slowest(field: str) -> Any:
        values = [getattr(pool.metrics, field) for pool in sent]
        return max(values) if values and None not in values else None

    tokens = [(pool.share, pool.metrics.tpot_p50_ms) for pool in sent]
    mean = None
    if all(ms is not None for _, ms in tokens):
        mean = sum(share * ms for share, ms in tokens) / sum(share for share, _ in tokens)
    rates = [pool.capacity * pool.instances for pool in answer.pools]
    return JointFigures(
        slowest("ttft_p50_ms"), slowest("ttft_p99_ms"), slowest("tpot_p50_ms"), slowest("tpot_p99_ms"),
        answer.request_mean_ms, slowest("concurrency_p50"), sum(rates), mean, len(sent),
    )  # fmt: skip


def pools_against_joint(output_tokens: int, pools: Any, joint: JointFigures) -> list[str]:
    """Sentences that say "with pools … with joint instances …", whichever of the two is the answer.

    Args:
        output_tokens: of the mean request.
        pools: an answer about pools, with strategy and metrics.
        joint: what joint instances deliver.
    """
    metrics, strategy = pools.metrics, pools.strategy
    prompts = sum(_gpus(strategy, "prefill"))
    busy = [one.busy for one in pools_of(metrics, "prefill")]
    several = joint.kinds > 1
    with_joint = "with the slowest of the joint instances" if several else "with joint instances"
    worked = "overloaded" if None in busy else f"{max(one or 0.0 for one in busy):.0%} busy"
    said = [
        f"Up to the first token: TTFT P50 {time_or_none(metrics.ttft_p50_ms)} and P99 {time_or_none(metrics.ttft_p99_ms)} with pools, "
        f"{time_or_none(joint.ttft_p50_ms)} and {time_or_none(joint.ttft_p99_ms)} {with_joint}. Prompts have {prompts} of "
        f"{strategy.gpus} GPUs to themselves ({worked}), and their cache takes {milliseconds(metrics.transfer_ms)} on the link."
    ]
    shared = [one.concurrency_p50 for one in pools_of(metrics, "decode")]
    step = ""
    if None not in shared and joint.in_progress_p50 is not None:
        step = (
            f": a decode rank's steps carry no prompts, and {max(one or 0 for one in shared)} requests share one (P50) where "
            f"{'up to ' if several else ''}{joint.in_progress_p50} share a joint replica's"
        )
    said.append(
        f"From then on: TPOT P50 {time_or_none(metrics.tpot_p50_ms)} and P99 {time_or_none(metrics.tpot_p99_ms)} with pools, "
        f"{time_or_none(joint.tpot_p50_ms)} and {time_or_none(joint.tpot_p99_ms)} {with_joint}{step}"
        f"{_over(output_tokens, metrics, joint)}."
    )
    full = " and ".join(
        f"the {side} pool is full at {_full(metrics, strategy, side):.2f}" for side in ("prefill", "decode")
    )
    rate = "" if joint.max_request_rate is None else f", joint instances {joint.max_request_rate:.2f}"
    said.append(f"Pools carry {metrics.max_request_rate:.2f} requests/s within every limit ({full}){rate}.")
    return said


def _over(tokens: int, metrics: Any, joint: JointFigures) -> str:
    """What the difference of a token comes to over an answer; of decode pools in several parts only the slowest one's time is known."""
    if metrics.tpot_p50_ms is None or joint.tpot_p50_mean_ms is None or len(pools_of(metrics, "decode")) > 1:
        return ""
    change = (metrics.tpot_p50_ms - joint.tpot_p50_mean_ms) * tokens
    taken = " than in the mean of all joint instances" if joint.kinds > 1 else ""
    return f"; over {tokens:,} tokens {milliseconds(abs(change))} {'more' if change > 0 else 'less'} with pools{taken}"


def _gpus(strategy: Any, side: str) -> list[int]:
    found = getattr(strategy, side)
    return [part.pool.gpus for part in found] if isinstance(found, tuple) else [found.gpus]


def _full(metrics: Any, strategy: Any, side: str) -> float:
    """Requests/s of all at which the first part of a pool is full, shares kept."""
    parts = pools_of(metrics, side)
    found = getattr(strategy, side)
    shares = [part.share for part in found] if isinstance(found, tuple) else [1.0]
    return min(one.capacity_per_s / share for one, share in zip(parts, shares, strict=True))
