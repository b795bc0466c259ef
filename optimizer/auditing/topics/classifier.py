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
def _models() -> dict[str, tuple[list[str], dict[str, np.ndarray]]]:
    """Per unit the topics and each feature's weights for them."""
    with gzip.open(WEIGHTS, "rt", encoding="utf-8") as file:
        loaded = json.load(file)
    scale: float = loaded["scale"]
    return {
        unit: (one["topics"], {name: _row(listed, len(one["topics"])) * scale for name, listed in one["features"].items()})
        for unit, one in loaded["units"].items()
    }  # fmt: skip


def _row(listed: list[int], topics: int) -> np.ndarray:
    row = np.zeros(topics)
    row[listed[0::2]] = listed[1::2]
    return row


def topics_of(sentence: Sentence, measure: Measure) -> dict[str, float]:
    """The probability of each topic that a figure of this unit may belong to; nothing where its unit was never seen."""
    model = _models().get(measure.dimension)
    if model is None:
        return {}
    names, weights = model
    found = features_of(sentence, measure)
    scores = np.zeros(len(names))
    for name in found:
        row = weights.get(name)
        if row is not None:
            scores += row
    scores = np.exp(scores - scores.max())
    return dict(zip(names, (scores / scores.sum()).tolist(), strict=True))
