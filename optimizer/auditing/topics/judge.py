"""Judges the figures that no named quantity explains by the topic that the words around them speak for.

A figure is confirmed where the topics that it probably belongs to give it. It is refuted where one topic is nearly certain, no topic that
is possible at all gives it in any situation, and nothing says that it is of something else.
"""

from __future__ import annotations

from collections.abc import Iterator

from optimizer.auditing.claims import ledger_claim
from optimizer.auditing.context import Context
from optimizer.auditing.facts import Situation
from optimizer.auditing.figure_roles import is_kind_of_card, not_taken
from optimizer.auditing.measures import Measure
from optimizer.auditing.refutable import relation_of
from optimizer.auditing.scored.local import local_figures
from optimizer.auditing.sentences import Sentence
from optimizer.auditing.situations import about, without_compared
from optimizer.auditing.topics.classifier import topics_of
from optimizer.auditing.topics.ledger import topics
from optimizer.auditing.topics.refutable import may_be_wrong
from optimizer.results.audit import Claim

PROBABLE = 0.5
"""Probability of the topics that give a figure, from which on it is confirmed."""
SURE = 0.72
"""Probability of all the topics whose values the facts give, from which on a figure that none of them gives is wrong."""
LEADING = 0.25
"""Least probability of the likeliest of them."""
SURE_OF_FEW = 0.85
"""The same for counts of up to three, which every sentence has for many reasons."""
POSSIBLE = 0.004
"""Probability of a topic that may be meant."""
CLEARLY_A_LIMIT = 0.8
"""Probability of a limit from which on a figure is no forecast that happens to be the same."""
LIKELY_FORECAST = 0.15
"""The same of a prediction, whose tolerance is wide."""


def judge_topics(sentence: Sentence, context: Context, own: Situation, taken: set[str]) -> Iterator[Claim]:
    """The figures of a sentence that are not ``taken`` (judged before, as written)."""
    recent = context.before(sentence)
    for measure in not_taken(sentence, taken):
        said = _judge(sentence, measure, context, own, recent)
        if said is not None:
            yield said


def _judge(
    sentence: Sentence, measure: Measure, context: Context, own: Situation, recent: tuple[Sentence, ...]
) -> Claim | None:
    probabilities = topics_of(sentence, measure)
    known = topics()
    possible = [
        (p, known[name]) for name, p in sorted(probabilities.items(), key=lambda pair: -pair[1]) if p >= POSSIBLE
    ]
    if not possible or (measure.word and measure.value == 1):
        return None
    local = local_figures(sentence, measure, recent)
    span = sentence.clause(measure.start)
    meant = about(without_compared(sentence, measure.end), span, context, own)
    worth = {
        t.id: tuple(t.worth(sentence, measure, meant, local, context))
        for _, t in possible
        if t.unit == measure.dimension
    }
    right = [(p, t) for p, t in possible if any(measure.says(v, t.near) for v in worth.get(t.id, ()))]
    if possible[0][1].id.startswith("limit_") and possible[0][0] >= CLEARLY_A_LIMIT:
        right = [(p, t) for p, t in right if not t.far or p >= LIKELY_FORECAST]
    if right:
        topic = right[0][1]
        said = relation_of(sentence, measure) == "=" or topic.limit
        if said and sum(p for p, _ in right) >= PROBABLE:
            return ledger_claim(
                sentence, measure, topic, next(v for v in worth[topic.id] if measure.says(v, topic.near)), True
            )
        return None
    wrong = [(p, t) for p, t in possible if worth.get(t.id) and t.refutes and all(one in local for one in t.beside)]
    few = not measure.dimension and measure.value <= 3
    if not wrong or sum(p for p, _ in wrong) < (SURE_OF_FEW if few else SURE) or wrong[0][0] < LEADING:
        return None
    first = wrong[0][1]
    if measure.dimension == "bytes" and is_kind_of_card(sentence, measure) and first.id != "gpu_memory":
        return None
    meanings = [t for p, t in possible if not t.far or p >= LIKELY_FORECAST]
    if any(not t.apart(measure, value) for t in meanings for value in worth.get(t.id, ())):
        return None
    if any(topic.may_be_between(measure, meant) for _, topic in possible):
        return None
    if not may_be_wrong(sentence, measure, first, meant):
        return None
    near = min(worth[first.id], key=lambda one: abs(one - measure.value))
    return ledger_claim(sentence, measure, first, near if first.unit in ("W", "money/h") else worth[first.id][0], False)
