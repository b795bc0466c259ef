"""Percentiles where requests differ in length: cumulants of what a request waits and takes. Section 4 of ``docs/model.md``.

Engine steps follow each other without a gap: a step is a round of decodes and the prompts that arrived in the step before it. So
steps are a branching process, whose cumulants are in closed form (Harris, The Theory of Branching Processes, 1963, chapter 1), an
arrival meets a step with a probability proportional to its length, and what delays a sequence that decodes is a delay cycle
(Conway, Maxwell and Miller, Theory of Scheduling, 1967, chapter 8). Quantiles are Cornish and Fisher's with the skewness.

Other home: ``verify/common/mixed.py``; docs/model.md, section 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from optimizer.costs.shapes import Floats, Ints
from optimizer.facts.problem import Problem

SPREAD = 1.2
"""Variance of a request's time per token over what the delay cycle alone gives: contexts differ too. Against the simulator."""
MOST_SKEW = 2.0
"""Skewness up to which a median lies further below the mean; beyond it Cornish and Fisher's term passes the median by far."""
Z99 = NormalDist().inv_cdf(0.99)


@dataclass(frozen=True, slots=True)
class LengthMoments:
    """What the formulas need to know of the law of lengths."""

    mixed: bool
    outputs: Floats  # (K,) output tokens of the classes
    prompt_of: Ints  # (K,) which of the distinct prompts each has
    share: Floats  # (K,) of all requests
    inverse: tuple[float, float, float]  # E[(o − 1)^−k] of requests with more than one token, k = 1, 2, 3
    mean_after: float  # E[o − 1]
    square_after: float  # E[(o − 1)²]
    prompts: Ints  # (C,) distinct prompts
    prompt_share: Floats  # (C,)
    more_chunks: Floats  # (C,) steps that each is cut into, less those of the mean prompt
    goodput: dict[str, float]  # limits of requirements.goodput, ms by metric


def length_moments(problem: Problem) -> LengthMoments:
    """The law of a problem's requests."""
    prompts, outputs, weights = np.array(problem.requests, dtype=np.float64).T
    share = weights / weights.sum()
    distinct = sorted(set(prompts.tolist()))
    which = np.searchsorted(np.array(distinct), prompts)
    after = outputs - 1
    some = after > 0
    of_some = share[some] / share[some].sum() if some.any() else share[some]
    inverse = tuple(float((of_some / after[some] ** k).sum()) for k in (1, 2, 3))
    return LengthMoments(
        mixed=problem.workload.mixed,
        outputs=outputs,
        prompt_of=which,
        share=share,
        inverse=(inverse[0], inverse[1], inverse[2]),
        mean_after=float((share * after).sum()),
        square_after=float((share * after**2).sum()),
        prompts=np.array(distinct).astype(np.int64),
        more_chunks=np.array([_chunks(problem, int(p)) for p in distinct], dtype=np.float64)
        - _chunks(problem, problem.workload.prompt_tokens),
        prompt_share=np.bincount(which, weights=share).astype(np.float64),
        goodput={} if problem.requirements.goodput is None else problem.requirements.goodput.limits,
    )


def _chunks(problem: Problem, prompt: int) -> int:
    return -(-problem.workload.fresh(prompt) // problem.search.max_num_batched_tokens)


class Cumulants(NamedTuple):
    """Mean, variance and third central moment of a time, (Q,) each."""

    mean: Floats
    variance: Floats
    third: Floats

    def below(self) -> Floats:
        """How far the median lies below the mean."""
        some = np.where(self.variance > 0, self.variance, 1.0)
        result: Floats = np.minimum(np.maximum(0.0, self.third) / (6 * some), MOST_SKEW / 6 * np.sqrt(some))
        return np.where(self.variance > 0, result, 0.0)

    def above(self, limit: float) -> Floats:
        """Share above a limit: what the quantile above gives, turned round; 1 below where it turns back."""
        sd = np.sqrt(np.maximum(self.variance, 0.0))
        some = np.where(sd > 0, sd, 1.0)
        x, skew = (limit - self.mean) / some, np.maximum(0.0, self.third) / some**3
        bent = np.where(skew > 1e-6, skew, 1.0)
        under = 1 + 2 * bent / 3 * (x + bent / 6)
        z = np.where(skew > 1e-6, (np.sqrt(np.maximum(0.0, under)) - 1) * 3 / bent, x)
        share = np.array([math.erfc(value / math.sqrt(2)) / 2 for value in np.nan_to_num(z).tolist()])
        share = np.where((skew > 1e-6) & (under < 0), 1.0, share)
        result: Floats = np.where(sd > 0, share, self.mean > limit)
        return result

    def beyond(self) -> Floats:
        """How far the 99th percentile lies above the mean."""
        some = np.where(self.variance > 0, self.variance, 1.0)
        result: Floats = Z99 * np.sqrt(some) + (Z99**2 - 1) / 6 * np.maximum(0.0, self.third) / some
        return np.where(self.variance > 0, result, 0.0)


@dataclass(frozen=True, slots=True)
class Latencies:
    """Cumulants of one row each."""

    prefill: Cumulants
    ttft: Cumulants
    tpot: Cumulants
    whole: Cumulants
    p50: dict[str, Floats]
    """Of prefill, TTFT and TPOT: means less what the law of prompts alone puts the median below, which grow with the load."""
    e2e_p50: Floats
    e2e_p99: Floats
    wait: Floats  # mean from arrival to schedule beyond the admission

    def missed(self, limits: dict[str, float]) -> Floats:
        """Share of requests that miss one of the limits (ms by metric): at most the sum over limits."""
        found = {"ttft": self.ttft, "tpot": self.tpot, "e2e": self.whole}
        total = sum((found[name].above(limit) for name, limit in limits.items()), np.zeros_like(self.wait))
        return np.minimum(1.0, total)


def latencies(
    law: LengthMoments,
    rate: Floats,
    load: Floats,
    alone: Cumulants,
    raw: tuple[Floats, Floats, Floats],
    prompts: Floats,
    at: dict[str, Floats],
) -> Latencies:
    """Section 4, "Mixed lengths", for Q rows; what overloaded rows get is meaningless.

    Args:
        rate: (Q,) λ, requests per ms.
        load: (Q,) ρ, the share of the time that prompts take, below 1.
        alone: cumulants of X, a prompt's own compute.
        raw: E[X^k] of the time that a prompt costs the others, k = 1, 2, 3.
        prompts: (Q, C) X of each distinct prompt.
        at: (Q,) pass (a round over the stages), round,
            wider (round at √V more in progress), tpot, admission and passes, at the mean number in progress.
    """
    if law.more_chunks.any():
        # Each further chunk is one more step of the slowest stage, the decodes beside it.
        prompts = prompts + law.more_chunks * at["pass"][:, None]
        mean = prompts @ law.prompt_share
        around = prompts - mean[:, None]
        cut = Cumulants(mean, around**2 @ law.prompt_share, around**3 @ law.prompt_share)
    else:
        cut = alone
    left = 1 - load
    one, two, three = raw
    step = at["round"] / left
    spread = rate * step * two / (1 - load**2)
    skew = (rate * step * three + 3 * load * rate * two * spread) / (1 - load**3)
    met1, met2 = (step**2 + spread) / step, (step**3 + 3 * step * spread + skew) / step
    wide = np.maximum(0.0, met2 / met1**2 - 1)
    met3 = met1**3 * (1 + wide) * (1 + 2 * wide)
    varied = met2 - met1**2

    def with_others(r1: Floats, r2: Floats, r3: Floats, fixed: Floats) -> Cumulants:
        b1, b2, b3 = r1 * met1, r2 * met2, r3 * met3
        return Cumulants(
            fixed + cut.mean + b1,
            cut.variance + rate * two * met1 + b2 - b1**2,
            cut.third + rate * three * met1 + 3 * rate * two * r1 * varied + b3 - 3 * b1 * b2 + 2 * b1**3,
        )

    prefill = with_others(load, load**2, load**3, at["passes"])
    r1, r2, r3 = 0.5 + load, 1 / 3 + load + load**2, ((1 + load) ** 4 - load**4) / 4
    ttft = with_others(r1, r2, r3, at["admission"] - at["round"] / 2 + at["passes"])

    token = at["tpot"]
    first = load * (at["round"] + one + load * met1) / left
    number = ((at["wider"] - at["round"]) / (left * at["yielded"])) ** 2
    cycle2 = token * rate * two / left**2
    cycle3 = token * (rate * three / left**3 + 3 * (rate * two) ** 2 / left**4)
    i1, i2, i3 = law.inverse
    tpot = Cumulants(
        token + first * i1,
        SPREAD * (number + cycle2 * i1) + first**2 * (i2 - i1**2),
        SPREAD * (cycle3 * i2 + 3 * first * cycle2 * (i2 - i1**2)) + first**3 * (i3 - 3 * i1 * i2 + 2 * i1**3),
    )
    own = prompts[:, law.prompt_of] + token[:, None] * (law.outputs - 1)
    usual = own @ law.share
    off = own - usual[:, None]
    noise = Cumulants(
        np.zeros_like(token),
        ttft.variance - cut.variance + SPREAD * (law.square_after * number + law.mean_after * cycle2),
        ttft.third - cut.third + SPREAD * law.mean_after * cycle3,
    )
    mean = ttft.mean + law.mean_after * token + first
    whole = Cumulants(mean, noise.variance + off**2 @ law.share, noise.third + off**3 @ law.share)
    middle, far = _quantiles(own, law.share)
    return Latencies(
        prefill=prefill,
        ttft=ttft,
        tpot=tpot,
        whole=whole,
        p50={"prefill": prefill.mean - alone.below(), "ttft": ttft.mean - alone.below(), "tpot": token},
        e2e_p50=mean + middle - usual,
        e2e_p99=mean + np.sqrt(np.maximum(0.0, far - usual) ** 2 + noise.beyond() ** 2),
        wait=r1 * met1 - at["round"] / 2,
    )


def _quantiles(values: Floats, share: Floats) -> tuple[Floats, Floats]:
    """Median and 99th percentile of classes, (Q,) each: the smallest value with so many requests at or below it."""
    if values.shape[1] == 1:
        return values[:, 0], values[:, 0]
    order = np.argsort(values, axis=1, kind="stable")
    below = np.cumsum(share[order], axis=1)
    lines = np.arange(len(values))
    at = [np.minimum((below < q - 1e-9).sum(axis=1), values.shape[1] - 1) for q in (0.5, 0.99)]
    return values[lines, order[lines, at[0]]], values[lines, order[lines, at[1]]]
