"""Between measured runs: log ratios of measured to predicted times, interpolated over load and lengths. Section 9.

A curve is one pair of prompt and output length. On it the log ratio is linear in the logarithm of the sequences in progress;
between curves it is the mean weighted by inverse squared distance in log lengths. Outside the measured range it fades,
linearly in log distance, and is gone at a factor of ``FADE_LOAD`` (sequences) or ``FADE_LENGTHS`` (tokens) away: there the
analytic model stands alone. Residuals carry over to other lengths better than to other loads (docs/accuracy.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from optimizer.costs.shapes import Bools, Floats

FADE_LOAD, FADE_LENGTHS = 4.0, 16.0
_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class Sample:
    """One measured run of a layout; log ratios are log(measured / predicted), NaN where they say nothing."""

    sequences: float
    prompt_tokens: int
    output_tokens: int
    tpot: float
    ttft: float


class Residuals:
    """Log ratios of one layout as a function of sequences in progress, for one prompt and output length."""

    def __init__(self, samples: Sequence[Sample], metric: str, prompt_tokens: float, output_tokens: float) -> None:
        usable = [sample for sample in samples if np.isfinite(getattr(sample, metric))]
        lengths = sorted({(sample.prompt_tokens, sample.output_tokens) for sample in usable})
        self.curves: list[tuple[float, Floats, Floats]] = []
        self.within = 0.0
        if not lengths:
            return
        at = np.log([prompt_tokens, output_tokens])
        places = np.log(np.array(lengths, dtype=np.float64))
        beyond = np.maximum(0.0, np.maximum(places.min(axis=0) - at, at - places.max(axis=0)))
        self.within = _fade(float(np.hypot(*beyond)))
        for (prompt, output), place in zip(lengths, places, strict=True):
            mine = [s for s in usable if (s.prompt_tokens, s.output_tokens) == (prompt, output)]
            loads = np.log([s.sequences for s in mine])
            known: Floats = np.unique(loads)
            means: Floats = np.array([np.mean([getattr(s, metric) for s in np.array(mine)[loads == x]]) for x in known])
            self.curves.append((1 / (float(((place - at) ** 2).sum()) + _SAME), known, means))

    def at(self, sequences: Floats) -> Floats:
        """The log ratio, 0 where nothing is known."""
        x = np.log(sequences)
        total, weights, cover = np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)
        for nearness, known, means in self.curves:
            beyond = np.maximum(0.0, np.maximum(known[0] - x, x - known[-1]))
            covered = np.maximum(0.0, 1 - beyond / np.log(FADE_LOAD))
            weight = nearness * covered
            total += weight * np.interp(x, known, means)
            weights += weight
            cover = np.maximum(cover, covered)
        some: Bools = weights > 0
        result: Floats = np.where(some, total / np.where(some, weights, 1.0), 0.0) * cover * self.within
        return result


def _fade(distance: float) -> float:
    """What is left of a residual so far (in natural logarithms) outside the measured range."""
    return max(0.0, 1 - distance / float(np.log(FADE_LENGTHS)))


def leave_one_out(samples: Sequence[Sample], metric: str) -> list[tuple[Sample, float]]:
    """(run, its log error when all runs at its load and lengths are left out), for runs that others surround.

    Surrounded: runs of the same lengths exist at fewer and at more sequences in progress.
    """
    found: list[tuple[Sample, float]] = []
    for sample in samples:
        if not np.isfinite(getattr(sample, metric)):
            continue
        lengths = (sample.prompt_tokens, sample.output_tokens)
        rest = [
            other
            for other in samples
            if (other.prompt_tokens, other.output_tokens) != lengths or abs(other.sequences - sample.sequences) > _SAME
        ]
        beside = [other.sequences for other in rest if (other.prompt_tokens, other.output_tokens) == lengths]
        if beside and min(beside) < sample.sequences < max(beside):
            expected = Residuals(rest, metric, *lengths).at(np.array([sample.sequences]))[0]
            found.append((sample, float(getattr(sample, metric) - expected)))
    return found
