"""From a predicted latency to the range that measurements of a model nobody fitted on would fall into."""

from __future__ import annotations

import math
from dataclasses import dataclass

from optimizer.catalog.constants import LatencyMetric, intervals
from optimizer.facts.model import ModelFacts


@dataclass(frozen=True, slots=True)
class Interval:
    """Milliseconds: 80 % of measurements lie from ``p10`` to ``p90``, 90 % from ``p5`` to ``p95``."""

    p5: float
    p10: float
    p50: float
    p90: float
    p95: float


def prediction_interval(metric: LatencyMetric, predicted_ms: float, model: ModelFacts) -> Interval:
    """The interval around a prediction, from the errors on left-out models (``intervals`` in constants.yaml)."""
    errors = intervals().errors(metric, routed=model.experts > 0)
    return Interval(*(predicted_ms * math.exp(getattr(errors, name)) for name in Interval.__dataclass_fields__))
