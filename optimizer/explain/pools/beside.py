"""Joint instances beside pools against one kind alone: which requests gain what, where, and how full both are."""

from __future__ import annotations

from dataclasses import dataclass

from optimizer.explain.common.numbers import count, milliseconds, time_or_none
from optimizer.explain.pools.compare import NOTHING_MS


@dataclass(frozen=True, slots=True)
class KindFigures:
    """What joint instances or pools deliver, alone or as a part. None: no finite value, or not known."""

    label: str
    gpus: int
    value_ms: float
    """Objective, ms per request that they are sent."""
    ttft_p50_ms: float | None
    ttft_p99_ms: float | None
    tpot_p50_ms: float | None
    tpot_p99_ms: float | None
    max_request_rate: float | None
    busy: tuple[tuple[str, float | None], ...] = ()
    """Of pools, the share of its capacity that each uses."""


@dataclass(frozen=True, slots=True)
class MixFigures:
    """Both parts, and the share of the requests that the joint instances are sent."""

    share: float
    joint: KindFigures
    pools: KindFigures


def split_sentence(mix: MixFigures) -> str:
    """Who is sent what, and what it takes."""
    share, rest, joint, pools = mix.share, 1 - mix.share, mix.joint, mix.pools
    total = milliseconds(share * joint.value_ms + rest * pools.value_ms)
    sent = f"{share:g} · {milliseconds(joint.value_ms)} + {rest:g} · {milliseconds(pools.value_ms)}"
    return (
        f"{share:.0%} of the requests go to joint instances, {joint.label} on {count(joint.gpus, 'GPU')}, {rest:.0%} to pools, "
        f"{pools.label} on {count(pools.gpus, 'GPU')}: {sent} = {total} a request."
    )


def mix_against(mix: MixFigures, alone: KindFigures) -> list[str]:
    """Sentences that hold whichever of the two is the answer."""
    return [_who_gains(mix, alone), *_latencies(mix, alone), *_fullness(mix, alone)]


def _who_gains(mix: MixFigures, alone: KindFigures) -> str:
    """The difference as a sum over both shares of the requests."""
    said = []
    for share, kind, part in ((mix.share, "joint instances", mix.joint), (1 - mix.share, "pools", mix.pools)):
        change = share * (part.value_ms - alone.value_ms)
        of_all = f"{'+' if change > 0 else '−'}{milliseconds(abs(change))} a request of all"
        if abs(change) < NOTHING_MS:
            of_all = "no difference"
        said.append(
            f"{share:.0%} take {milliseconds(part.value_ms)} at {kind} in place of {milliseconds(alone.value_ms)} ({of_all})"
        )
    return f"Of the requests of the mix {' and '.join(said)}."


def _latencies(mix: MixFigures, alone: KindFigures) -> list[str]:
    def pair(one: KindFigures, metric: str, words: str = "") -> str:
        low, high = (time_or_none(getattr(one, f"{metric}_{of}_ms")) for of in ("p50", "p99"))
        return f"{low} and {words}{high}"

    return [
        f"{when}: {name} P50 {pair(mix.joint, metric, 'P99 ')} at the joint instances of the mix, {pair(mix.pools, metric)} at its pools, "
        f"{pair(alone, metric)} with {alone.label} alone."
        for when, name, metric in (("Up to the first token", "TTFT", "ttft"), ("From then on", "TPOT", "tpot"))
    ]


def _fullness(mix: MixFigures, alone: KindFigures) -> list[str]:
    """What either carries, and how busy pools are: what one kind alone leaves idle is what the mix gains by."""
    joint, pools = mix.joint.max_request_rate, mix.pools.max_request_rate
    said = []
    if joint is not None and pools is not None:
        rest = 1 - mix.share
        both = min(joint / mix.share, pools / rest)
        other = "" if alone.max_request_rate is None else f"; {alone.label} alone {alone.max_request_rate:.2f}"
        said.append(
            f"Together they carry {both:.2f} requests/s within every limit (joint instances {joint:.2f} / {mix.share:g}, "
            f"pools {pools:.2f} / {rest:g}){other}."
        )
    busy = [f"{_busy(mix.pools)} in the mix"] if mix.pools.busy else []
    busy += [f"{_busy(alone)} alone"] if alone.busy else []
    return [*said, f"How busy pools are: {', '.join(busy)}."] if busy else said


def _busy(one: KindFigures) -> str:
    return " and ".join(f"{side} {'overloaded' if share is None else f'{share:.0%}'}" for side, share in one.busy)
