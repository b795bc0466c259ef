"""Which words of a sentence are known: a figure that nothing explains is wrong only where its sentence is understood.

A sentence about something that the ledger does not have (a buffer, a data set, another service) has words that no list knows;
its figures are left alone. Where every word is known, a figure that equals no reading of any quantity named is an error.
"""

from __future__ import annotations

import re

from optimizer.auditing.lexicon import common_words, filler_words
from optimizer.auditing.measures import Measure
from optimizer.auditing.sentences import Sentence

_WORD = re.compile(r"[^\W\d_]{2,}")
CAPACITY = re.compile(
    r"\b(?:capacity|peak|maximum|sustains?|deliver\w*|throughput|up to|reach\w*|achiev\w*|measured|observed|benchmark\w*|can|could|capable"
    r"|max|within|limits?|saturat\w*|emits?|produces?|writes?|generates?|yields?|runs?|complete\w*|exceed\w*|target|slots|sequences|prefill"
    r"|decode|batch|at most|ceiling|headroom|liefert|liefern|erreicht|schafft|gemessen|maximal"
    r"|Durchsatz|kann|Sequenzen|Ziel|erzeugt|produziert|schreibt|fournit|atteint|débit|mesuré\w*|maximum|lot|peut|séquences"
    r"|cible|produi\w+|donne|délivre)\b",
    re.IGNORECASE,
)
"""What a service can do or did, beside which a rate is not the demand."""

CARRIES = re.compile(
    r"\b(?:max(?:imum|imal\w*)?|survivors?|remaining|other|left|lost|los(?:e|s|ing|ses)|fail\w*|manages?|managed|handles?|carr(?:y|ies|ied)"
    r"|absorbs?|sustain\w*|within (?:the |all |every )?limits?|capacity|could|can|gone|down|dead|alone|room|up to|most"
    r"|übrig\w*|verbleib\w*|bleib\w*|trägt|tragen|bewältig\w*|schaff\w*|Ausfall\w*|fällt|Kapazität\w*|höchst\w*|maximal\w*|allein"
    r"|supporte\w*|encaiss\w*|soutien\w*|restant\w*|capacité|perte|panne|seule?)\b",
    re.IGNORECASE,
)
"""What a service carries, or what is left of it after a failure, beside which a rate is not the demand."""


def unknown_words(sentence: Sentence, start: int = 0, end: int | None = None) -> list[str]:
    """Words of a span that no list, name or figure accounts for."""
    end = len(sentence.text) if end is None else end
    taken = [(m.start, m.end) for m in sentence.measures]
    taken += [(t.start, t.end) for t in sentence.terms]
    taken += [(n.start, n.end) for n in (*sentence.gpus, *sentence.models)]
    taken += [(a, b) for a, b, _ in sentence.strategies if a >= 0]
    known = filler_words() | common_words()
    german = sentence.language == "de"
    return [
        match.group()
        for match in _WORD.finditer(sentence.text, start, end)
        if match.group().casefold() not in known
        and not (german and (match.group()[0].islower() or not sentence.text[: match.start()].strip(" *-•|")))
        # Only nouns name a topic in German, and they have capitals, as the first word of a sentence has.
        and not any(a <= match.start() < b for a, b in taken)
    ]


def explained(sentence: Sentence, measure: Measure) -> bool:
    """Whether other figures of the sentence give this one by a sum, difference, product or quotient of two."""
    others = [m for m in sentence.measures if m is not measure and m.value]
    for i, a in enumerate(others):
        for b in others[i + 1 :]:
            for x, y in ((a.value, b.value), (b.value, a.value)):
                if any(measure.near(value, 0.01) for value in (x + y, x - y, x * y, x / y)):
                    return True
    return False
