"""What a bare number beside "context" may be instead of the longest context: a count of sequences, or a length of the workload."""

from __future__ import annotations

import re

from optimizer.auditing.facts import Situation
from optimizer.auditing.measures import Measure
from optimizer.auditing.sentences import Sentence

_SEQUENCES_COUNTED = re.compile(
    r"\s(?:\w+\s){0,2}?(?:sequences|requests|contexts|conversations|sessions|dialogues|chats|users|prompts|Sequenzen|Anfragen|Kontexten?"
    r"|Gesprächen?|Sitzungen|séquences|requêtes|contextes)\b(?! tokens?)",
    re.IGNORECASE,
)


def counts_sequences(sentence: Sentence, measure: Measure) -> bool:
    """``79 longest sequences``: how many, and not how long."""
    return not measure.dimension and bool(_SEQUENCES_COUNTED.match(sentence.text[measure.end :]))


def is_length(measure: Measure, own: Situation) -> bool:
    """Whether a number of tokens is a length of the workload: what a request brings is also called its context."""
    return not measure.dimension and any(
        measure.says(own.values[name]) for name in ("prompt", "output") if name in own.values
    )
