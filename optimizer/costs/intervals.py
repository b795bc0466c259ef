"""From a predicted latency to the range that a measurement would fall into.

Where runs like the answer were measured, their residuals give it. Where none was, nothing but physics does: the same
formulas with every constant at its best plausible value, and at its worst (``plausible`` in constants.yaml).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from optimizer.catalog.accuracy import Stratum, like
from optimizer.catalog.constants import constants, plausible_constants
from optimizer.costs.analytic import AnalyticCosts
from optimizer.costs.features import features_of
from optimizer.costs.shapes import Shape
from optimizer.facts.problem import Problem

Factors = tuple[float, float]
"""What a prediction is multiplied with for the 5th and the 95th percentile."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Factors for TPOT and TTFT, and where they come from."""

    tpot: Factors
    ttft: Factors
    stratum: Stratum | None
    """The measured runs; None: nothing like it was measured."""
    ttft_measured: bool

    def factors(self, metric: str) -> Factors:
        """By ``tpot`` or ``ttft``."""
        return self.tpot if metric == "tpot" else self.ttft


def interval_of(problem: Problem, shape: Shape, in_progress: int) -> Interval:
    """How far measurements may lie from the predictions for a replica shape.

    Args:
        problem: whose model, hardware, engine and lengths.
        shape: the layout.
        in_progress: sequences at the replica, for the range that physics allows.
    """
    formats = constants().formats[shape.weight_format]
    width = formats.expert if problem.model.experts else formats.linear
    stratum = like(features_of(problem.model, problem.hardware, shape, problem.engine, width))
    tpot, ttft = (stratum.tpot, stratum.ttft) if stratum else (None, None)
    if tpot is not None and ttft is not None:
        return Interval(_factors(tpot.p5, tpot.p95), _factors(ttft.p5, ttft.p95), stratum, True)
    wide_tpot, wide_ttft = _physics(problem, shape, in_progress)
    if tpot is not None:
        return Interval(_factors(tpot.p5, tpot.p95), wide_ttft, stratum, False)
    return Interval(wide_tpot, wide_ttft, None, False)


def _factors(low: float, high: float) -> Factors:
    return math.exp(low), math.exp(high)


def _physics(problem: Problem, shape: Shape, n: int) -> tuple[Factors, Factors]:
    """(TPOT, TTFT) with all constants at their best and at their worst, relative to the prediction."""
    tpot, first = [], []
    best, worst = plausible_constants()
    for values in (constants(), best, worst):
        service = AnalyticCosts(problem, [shape], values).service(n)
        tpot.append(float(service.tpot_ms[0, n - 1]))
        first.append(float(service.admission_ms[0, n - 1] + service.prefill_ms[0, n - 1]))
    return (tpot[1] / tpot[0], tpot[2] / tpot[0]), (first[1] / first[0], first[2] / first[0])
