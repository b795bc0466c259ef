"""Figures that stand beside another one, by the names that formulas of the ledger use for them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from optimizer.auditing.carried import seconds_named
from optimizer.auditing.formula import UnknownName, value_of
from optimizer.auditing.ledger import gpu_counts, sequence_counts, token_counts
from optimizer.auditing.measures import Measure
from optimizer.auditing.sentences import Sentence

Local = dict[str, list[float]]
_BY_DIMENSION = {
    "bytes": "s_bytes", "bytes/s": "s_rate_bytes", "ms": "s_ms", "money/h": "s_money", "requests/s": "s_requests", "%": "s_percent",
    "W": "s_watt",
}  # fmt: skip
_COPIES = re.compile(
    r"[\s-](?:\w+\s)?(?:replicas?|copies|instances|engines|Replikate?n?|Instanzen|Kopien|répliques|instances)\b",
    re.IGNORECASE,
)
_LENGTH = re.compile(
    r"[\s-](?:\w+\s)?(?:tokens?|toks?|request|context|sequence|conversation|session|prompt|Anfrage|Kontext|Gespräch|requête|contexte)",
    re.IGNORECASE,
)
MOST = 96
"""Combinations of figures that one formula is tried for."""
_LOCAL = re.compile(r"\b[st]_\w+")


def local_figures(sentence: Sentence, measure: Measure, recent: tuple[Sentence, ...]) -> Local:
    """Figures of the sentence besides ``measure`` by kind; kinds that it does not have come from the sentences before."""
    found = _figures_of(sentence, measure)
    for earlier in reversed(recent):
        for name, values in _figures_of(earlier, None).items():
            if name not in found and name not in ("s_period", "s_hours", "s_percent", "s_cards", "s_replicas"):
                found[name] = values
    return found


def _figures_of(sentence: Sentence, measure: Measure | None) -> Local:
    found: Local = {}
    for other in sentence.measures:
        if other is measure:
            continue
        name = _BY_DIMENSION.get(other.dimension)
        if name:
            found.setdefault(name, []).extend(other.values[:2])
        elif not other.dimension and _COPIES.match(sentence.text[other.end :]):
            found.setdefault("s_replicas", []).append(other.value)
        elif other.unit in ("k", "K") and _LENGTH.match(sentence.text[other.end :]):
            found.setdefault("s_tokens", []).extend(other.values[:2])
    at = measure or _NO_FIGURE
    for name, values in (
        ("s_tokens", [*token_counts(sentence, at)]),
        ("s_sequences", [*sequence_counts(sentence, at)]),
        ("s_cards", [*gpu_counts(sentence, at)]),
        ("s_period", [*seconds_named(sentence)]),
    ):
        if values:
            found[name] = [*found.get(name, ()), *values]
    if "s_period" in found:
        found["s_hours"] = [one / 3600.0 for one in found["s_period"]]
    return found


_NO_FIGURE = Measure(-1, -1, "", "", "", "none", (0.0,), (0.0,), 0.0)


def values_with(text: str, names: dict[str, float], local: Local) -> Iterator[float]:
    """The values of a formula for every choice of the figures beside it; nothing where one of its names has none."""
    wanted = list(dict.fromkeys(_LOCAL.findall(text)))
    lists = [local.get("s_" + name[2:], []) for name in wanted]
    for chosen in itertools.islice(itertools.product(*lists), MOST):
        try:
            yield value_of(text, names | dict(zip(wanted, chosen, strict=True)))
        except (UnknownName, ZeroDivisionError):
            continue
