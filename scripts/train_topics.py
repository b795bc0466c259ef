"""Learns what a figure of a report is of from the sentences of scripts/topics: optimizer/auditing/data/topic_weights.json.gz.

    python scripts/train_topics.py [--check] [--held-out FILE]

A line of a corpus is ``topic<TAB>language<TAB>sentence`` with the figure in braces. For each unit one multinomial logistic
regression with L2 regularisation, over the features of ``auditing/topics/features.py``. ``--check`` says whether the stored weights are
those of the sentences; ``--held-out`` learns from the other files and says how well it tells that one's topics.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy.optimize import minimize
from scipy.sparse import csr_matrix

from optimizer.auditing.lexicon import DATA, lexicon
from optimizer.auditing.reading import Statement
from optimizer.auditing.sentences import sentences_of
from optimizer.auditing.topics.classifier import WEIGHTS
from optimizer.auditing.topics.features import features_of

CORPUS = Path(__file__).parent / "topics"
L2 = 0.3
"""Regularisation: a weight of 1 costs as much as this many sentences misread by one nat halved."""
LEAST_SEEN = 2
"""Sentences that a feature has to be in."""
SCALE = 0.05
"""Weights are stored as multiples of it."""


@dataclass(frozen=True)
class Example:
    """A figure of a sentence whose topic is known."""

    topic: str
    unit: str
    features: tuple[str, ...]
    text: str


def examples(path: Path) -> Iterator[Example]:
    """The figures of a corpus that the audit reads as figures at all."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.strip():
            continue
        topic, language, marked = line.split("\t")
        start, end = marked.index("{"), marked.index("}") - 1
        text = marked.replace("{", "").replace("}", "")
        cells = tuple(part.strip() for part in text.strip("| ").split(" | "))
        row = len(cells) == 2 and len(text) < 120
        if row:  # as the audit reads a row of two cells
            joined = f"{cells[0]}: {cells[1]}"
            start = joined.index(text[start:end]) if text[start:end] in joined else start
            end = start + len(marked[marked.index("{") + 1 : marked.index("}")])
            text = joined
        statement = Statement(1, text, text, "text", "")
        place = 0
        for sentence in sentences_of(statement, lexicon(), language):
            place = text.index(sentence.text, place)
            inside = [m for m in sentence.measures if place + m.start < end and start < place + m.end]
            if inside:
                one = inside[0]
                yield Example(topic, one.dimension, tuple(features_of(sentence, one)), text)
                break


def learnt(given: list[Example]) -> dict[str, tuple[list[str], list[str], np.ndarray]]:
    """Per unit the topics, the features, and weights [features, topics]."""
    by_unit: dict[str, list[Example]] = defaultdict(list)
    for one in given:
        by_unit[one.unit].append(one)
    return {unit: _fitted(listed) for unit, listed in sorted(by_unit.items()) if len({e.topic for e in listed}) > 1}


def _fitted(given: list[Example]) -> tuple[list[str], list[str], np.ndarray]:
    topics = sorted({one.topic for one in given})
    seen = Counter(name for one in given for name in one.features)
    names = sorted(name for name, count in seen.items() if count >= LEAST_SEEN)
    column = {name: i for i, name in enumerate(names)}
    rows = [(i, column[n]) for i, one in enumerate(given) for n in one.features if n in column]
    x = csr_matrix((np.ones(len(rows)), ([r for r, _ in rows], [c for _, c in rows])), (len(given), len(names)))
    y = np.array([topics.index(one.topic) for one in given])
    once = np.zeros((len(given), len(topics)))
    once[np.arange(len(given)), y] = 1.0
    free = np.array([name != "bias" for name in names], dtype=float)[:, None]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        w = flat.reshape(len(names), len(topics))
        z = x @ w
        z -= z.max(axis=1, keepdims=True)
        e = np.exp(z)
        p = e / e.sum(axis=1, keepdims=True)
        value = -np.log(p[np.arange(len(given)), y] + 1e-300).sum() + 0.5 * L2 * (free * w * w).sum()
        return value, (x.T @ (p - once) + L2 * free * w).ravel()

    found = minimize(loss, np.zeros(len(names) * len(topics)), jac=True, method="L-BFGS-B", options={"maxiter": 150})
    return topics, names, found.x.reshape(len(names), len(topics))


def stored(models: dict[str, tuple[list[str], list[str], np.ndarray]]) -> dict[str, Any]:
    """As the file has it: whole multiples of ``SCALE``, zeros left out."""
    units = {}
    for unit, (topics, names, weights) in models.items():
        whole = np.rint(weights / SCALE).astype(int)
        features = {}
        for name, row in zip(names, whole, strict=True):
            listed = [int(v) for j in np.flatnonzero(row) for v in (j, row[j])]
            if listed:
                features[name] = listed
        units[unit] = {"topics": topics, "features": features}
    return {"scale": SCALE, "units": units}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--held-out", type=Path)
    options = parser.parse_args()
    paths = sorted(CORPUS.glob("*.tsv"))
    if options.held_out:
        given = [e for p in paths if p.resolve() != options.held_out.resolve() for e in examples(p)]
        _held_out(learnt(given), list(examples(options.held_out)))
        return 0
    known = set(yaml.safe_load((DATA / "topics.yaml").read_text(encoding="utf-8")))
    given = [e for p in paths for e in examples(p)]
    unknown = sorted({e.topic for e in given} - known)
    if unknown:
        raise SystemExit(f"topics that data/topics.yaml does not have: {', '.join(unknown)}")
    text = json.dumps(stored(learnt(given)), separators=(",", ":"), ensure_ascii=False, sort_keys=True)
    if options.check:
        with gzip.open(WEIGHTS, "rt", encoding="utf-8") as file:
            same = file.read() == text
        print(
            "the stored weights are those of the sentences"
            if same
            else "the stored weights are not those of the sentences"
        )
        return 0 if same else 1
    WEIGHTS.write_bytes(gzip.compress(text.encode(), mtime=0))
    print(f"{len(given)} sentences, {WEIGHTS.stat().st_size} bytes")
    return 0


def _held_out(models: dict[str, tuple[list[str], list[str], np.ndarray]], given: list[Example]) -> None:
    totals: Counter[str] = Counter()
    confused: Counter[tuple[str, str]] = Counter()
    for one in given:
        if one.unit not in models:
            totals["no model"] += 1
            continue
        topics, names, weights = models[one.unit]
        index = {name: i for i, name in enumerate(names)}
        z = sum((weights[index[n]] for n in one.features if n in index), np.zeros(len(topics)))
        p = np.exp(z - z.max())
        p /= p.sum()
        best = int(p.argmax())
        right = topics[best] == one.topic
        totals["figures"] += 1
        totals["right"] += right
        for least in (0.5, 0.7, 0.8, 0.9, 0.95):
            totals[f"sure {least}"] += p[best] >= least
            totals[f"sure and right {least}"] += bool(p[best] >= least and right)
        if not right:
            confused[one.topic, topics[best]] += 1
    for name, count in totals.items():
        print(f"{name}: {count}")
    for (true, said), count in confused.most_common(40):
        print(f"  {count:3d} {true} told as {said}")


if __name__ == "__main__":
    sys.exit(main())
