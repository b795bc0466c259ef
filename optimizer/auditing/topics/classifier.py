"""Which topic a figure belongs to, by a linear model over the words around it: one for each unit, with a probability for each topic.

The weights are learnt from sentences that people might write (``scripts/topics``), by ``scripts/train_topics.py``.
"""

from __future__ import annotations

import gzip
import json
from functools import cache

import numpy as np

from optimizer.auditing.lexicon import DATA
from optimizer.auditing.measures import Measure
from optimizer.auditing.sentences import Sentence
from optimizer.auditing.topics.features import features_of

WEIGHTS = DATA / "topic_weights.json.gz"


@cache
def _models() -> tuple[float, dict[str, tuple[list[str], dict[str, list[int]]]]]:
    """The unit of the weights, and per unit of figures the topics and each feature's weights: place and value by turns."""
    with gzip.open(WEIGHTS, "rt", encoding="utf-8") as file:
        loaded = json.load(file)
    return loaded["scale"], {unit: (one["topics"], one["features"]) for unit, one in loaded["units"].items()}


def topics_of(sentence: Sentence, measure: Measure) -> dict[str, float]:
    """The probability of each topic that a figure of this unit may belong to; nothing where its unit was never seen."""
    scale, models = _models()
    if measure.dimension not in models:
        return {}
    names, weights = models[measure.dimension]
    scores = np.zeros(len(names))
    for name in features_of(sentence, measure):
        row = weights.get(name, [])
        scores[row[0::2]] += np.multiply(row[1::2], scale)
    scores = np.exp(scores - scores.max())
    return dict(zip(names, (scores / scores.sum()).tolist(), strict=True))
