"""Two answers about pools, term by term: where the time of a request goes in one and not in the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optimizer.explain.common.numbers import milliseconds, time_or_none
from optimizer.results.pools import PoolMetrics

TERM_WORDS = {
    "prefill": "prompts up to their cache",
    "transfer": "cache on the link",
    "decode": "tokens",
    "served": "time of served requests",
    "unserved": "requests not served",
    "gpus": "GPUs in use",
    "rounding": "joint instances' rounding up to whole milliseconds",
}
NOTHING_MS = 0.005


def said_terms(terms: dict[str, float]) -> str:
    """``+412 ms prompts up to their cache, −3.10 ms tokens``; empty where nothing differs."""
    parts = [
        f"{'+' if value > 0 else '−'}{milliseconds(abs(value))} {TERM_WORDS.get(name, name)}"
        for name, value in terms.items()
        if abs(value) >= NOTHING_MS
    ]
    return ", ".join(parts)


def pools_of(metrics: Any, side: str) -> tuple[PoolMetrics, ...]:
    """The parts of a pool, on equal nodes its only one."""
    found = getattr(metrics, side)
    return found if isinstance(found, tuple) else (found,)


def term_by_term(foil: Any, best: Any, terms: dict[str, float]) -> list[str]:
    """What is behind each term that differs: how busy ranks are, how many requests share a step, what the link takes.

    Args:
        foil, best: answers about pools on the same kind of hardware, with metrics.
        terms: of the foil's objective less the best's, ms.
    """
    mine, its = foil.metrics, best.metrics
    said = []
    if abs(terms.get("prefill", 0.0)) >= NOTHING_MS:
        said.append(
            f"Prompts: {_more(terms['prefill'])}. The prefill ranks are {_busiest(mine.prefill)} busy against {_busiest(its.prefill)}, "
            f"{_alone(mine.prefill_p50_ms, its.prefill_p50_ms)}"
            f"TTFT P99 is {time_or_none(mine.ttft_p99_ms)} against {time_or_none(its.ttft_p99_ms)}."
        )
    if abs(terms.get("transfer", 0.0)) >= NOTHING_MS:
        said.append(
            f"Cache on the link: {_more(terms['transfer'])}. {foil.link} moves a mean prompt's in "
            f"{milliseconds(mine.transfer_ms)}; it was {milliseconds(its.transfer_ms)} ({best.link})."
            if foil.link != best.link
            else f"Cache on the link: {_more(terms['transfer'])}. A mean prompt's takes {milliseconds(mine.transfer_ms)} "
            f"against {milliseconds(its.transfer_ms)}."
        )
    if abs(terms.get("decode", 0.0)) >= NOTHING_MS:
        said.append(
            f"Tokens: {_more(terms['decode'])}. {_progress(mine.decode)} in progress at a decode rank against "
            f"{_progress(its.decode)}, TPOT P50 {time_or_none(mine.tpot_p50_ms)} against {time_or_none(its.tpot_p50_ms)}."
        )
    if abs(terms.get("unserved", 0.0)) >= NOTHING_MS:
        said.append(
            f"Failures: {_more(terms['unserved'])}. {1 - mine.availability:.2e} of the requests are not served against "
            f"{1 - its.availability:.2e}."
        )
    return said


def _alone(mine: float | None, its: float | None) -> str:
    """How long a prompt is worked on, where that differs."""
    return "" if mine == its else f"a prompt alone takes {time_or_none(mine)} against {time_or_none(its)}, "


def _more(value: float) -> str:
    return f"{milliseconds(abs(value))} {'more' if value > 0 else 'less'} a request"


def _parts(pool: PoolMetrics | Sequence[PoolMetrics]) -> tuple[PoolMetrics, ...]:
    return (pool,) if isinstance(pool, PoolMetrics) else tuple(pool)


def _busiest(pool: PoolMetrics | Sequence[PoolMetrics]) -> str:
    found = [one.busy for one in _parts(pool)]
    return "more than fully" if None in found else f"{max(one for one in found if one is not None):.1%}"


def _progress(pool: PoolMetrics | Sequence[PoolMetrics]) -> str:
    found = [one.concurrency_p50 for one in _parts(pool)]
    return "More and more" if None in found else f"{max(one for one in found if one is not None)}"
