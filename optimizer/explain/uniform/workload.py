"""What the workload says beyond its means, in sentences: where lengths are from, what prefixes save, what guesses bring."""

from __future__ import annotations

import math

from optimizer.facts.problem import Problem
from optimizer.facts.workload import Prefix
from optimizer.results.answer import Metrics

REUSE_S = ((60.0, "a minute"), (600.0, "ten minutes"), (3600.0, "an hour"))


def workload_sentences(problem: Problem, metrics: Metrics) -> list[str]:
    """One for each thing stated; none for equal lengths, no prefixes and no guesses."""
    work = problem.workload
    said = [work.note] if work.note else []
    if metrics.e2e_p99_ms is not None and metrics.e2e_p50_ms is not None and (work.mixed or _whole(problem)):
        said.append(
            f"A whole request takes {metrics.e2e_p50_ms:,.0f} ms at P50 and {metrics.e2e_p99_ms:,.0f} ms at P99, lengths as stated."
        )
    if work.prefix is not None:
        share = work.cached(work.prompt_tokens) / work.prompt_tokens
        once = f", {work.shared_tokens:,} of them held once for all requests" if work.shared_tokens else ""
        kept = metrics.prefix_kept_s
        lasts = (
            ""
            if kept is None
            else f" The cache that the load leaves keeps a prefix about {kept:,.0f} s after its last use"
        )
        claim = "" if kept is None else f"; {_carried(work.prefix, kept)}."
        said.append(
            f"{share:.0%} of a mean prompt's tokens are found in the cache{once}.{lasts}"
            + (claim if work.prefix.hit_rate else "." if lasts else "")
        )
    if work.speculation is not None and work.guessed:
        said.append(
            f"Each step checks {work.guessed} guessed token{'' if work.guessed == 1 else 's'} a sequence and yields "
            f"{float(work.yielded):.2f} on average at an acceptance of {work.speculation.acceptance:g}."
        )
    return said


def _carried(prefix: Prefix, kept_s: float) -> str:
    """Which hit rate the memory left can carry: the share of prefixes that come again, at random, before they are pushed out."""

    def rate(reuse_s: float) -> str:
        return f"{prefix.hit_rate * -math.expm1(-kept_s / reuse_s):.0%}"

    stated = f"of the hit rate of {prefix.hit_rate:.0%} the memory left carries"
    if prefix.reuse_s is not None:
        return f"{stated} {rate(prefix.reuse_s)} where a prefix comes again after {prefix.reuse_s:g} s on average"
    said = ", ".join(f"{rate(seconds)} after {words}" for seconds, words in REUSE_S)
    return f"{stated} {said}, where a prefix comes again after that on average (workload.prefix.reuse_s states it)"


def _whole(problem: Problem) -> bool:
    return any(limit.metric in ("e2e", "goodput") for limit in problem.requirements.latency_limits)
