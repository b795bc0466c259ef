"""A strategy told without its names: ``four instances of two cards each``, ``each copy runs on two cards, so there are four copies``.

Taken only where a report never names a degree: so many cards are then tensor parallel, if they are of one node and nothing
speaks of a pipeline.
"""

from __future__ import annotations

import re
from dataclasses import replace

from optimizer.auditing.number_words import NUMBER_WORD, count_of
from optimizer.auditing.reading import Statement
from optimizer.auditing.strategies import GPU_NAME, RECOMMENDED, Proposed, hypothetical

_NUMBER = rf"(?:\d{{1,3}}|{NUMBER_WORD})"
_COPY = (
    r"(?:replicas?|copies|copy|instances?|engines?|Exemplare?n?s?|Instanz(?:en)?|Kopien?|Replikate?n?s?|Repliken?|répliques?|moteurs?"
    r"|copies?|exemplaires?)"
)
_CARD = rf"(?:GPUs?|cards?|accelerators?|devices|Karten?|Beschleunigern?|cartes?|accélérateurs?|{GPU_NAME}s?)"
_BESIDE = r"of|with|on|at|à|de|avec|zu|mit|auf|je|zu je|mit je|auf je|each on|each with"
_GROUPS = re.compile(
    rf"\b(?P<copies>{_NUMBER})\s(?:\w+\s)?{_COPY}(?:,?\s\(?(?:{_BESIDE})\s|,\s|\s\()(?:je\s)?(?P<cards>{_NUMBER})\s{_CARD}\b",
    re.IGNORECASE,
)
_EACH_ON = re.compile(
    rf"\b(?:each|every|an?|one|jede[rsnm]?|eine?|chaque|une?)\s(?:\w+\s)?{_COPY}\b[^.;\d]{{0,60}}?\b(?:over|across|on|onto|in|auf|über|sur|entre|occupies|takes|"
    r"uses|needs|spans|gets|belegt|braucht|bekommt|nutzt|umfasst|occupe|utilise|prend|reçoit)"
    rf"\s(?:(?:all|alle|toutes) )?(?:the |its |their |die |den |ihre |seine |deren |les |ses )?(?P<cards>{_NUMBER})(?:\s{_CARD}\b|\W)",
    re.IGNORECASE,
)
_PER_COPY = re.compile(rf"\b(?P<cards>{_NUMBER})\s{_CARD}\s(?:per|each|je|pro|par)\s{_COPY}\b", re.IGNORECASE)
_WAYS = re.compile(
    rf"\b(?P<copies>{_NUMBER})\s(?:\w+\s)?{_COPY}\b[^;]{{0,60}}?\b(?:(?:sharded|split|divided|cut)\s(?P<ways>{_NUMBER})[\s-]ways?"
    rf"|(?P<way>{_NUMBER})[\s-]way (?:tensor|sharded)|(?:aufgeteilt|geteilt|zerlegt) in (?P<teile>{_NUMBER}) Teile"
    rf"|(?:découpée?s?|partagée?s?) en (?P<parts>{_NUMBER})(?: parts)?)\b",
    re.IGNORECASE,
)
"""``two replicas, each sharded four ways``."""
_COUNT = re.compile(rf"\b(?P<copies>{_NUMBER})\s(?:\w+\s)?{_COPY}\b", re.IGNORECASE)
_PIPELINE = re.compile(r"\bpipelin|\bPP\d|\bstages?\b|Stufen?\b|étages?\b", re.IGNORECASE)

NO_PIPELINE = re.compile(
    r"\b(?:no|without|single|one|not|kein\w*|ohne|eine[rn]? (?:einzige[rn]?)?|pas de|sans|aucun\w*|un seul)\s(?:\w+\s)?"
    r"(?:pipelin\w*(?: parallelism)?|stages?|Stufe|étage)",
    re.IGNORECASE,
)
"""``no pipeline parallelism``, ``a single stage``: PP1 in words."""


def strategy_of_layout(statements: tuple[Statement, ...], gpus_per_node: int, gpus: int) -> Proposed | None:
    """The strategy that the first such line tells; None where none does, or where a pipeline is spoken of."""
    prose = [s for s in statements if s.readable]
    proposals = [
        replace(s, text=_WOULD.sub(" ", s.text)) for s in prose
    ]  # "each server would run …" of a letter that proposes
    return _first_layout(prose, gpus_per_node, gpus) or _first_layout(proposals, gpus_per_node, gpus)


_WOULD = re.compile(r"\b(?:would|würden?|sollen?|serai(?:t|ent)|tournerai(?:t|ent))\b", re.IGNORECASE)
_ON_EACH_NODE = re.compile(
    r"\b(?:each|every|jede[rms]?|chaque)\s(?:\w+\s)?(?:server|node|machine|host|box|Knoten|Rechner|Maschine|serveur|nœud)\b",
    re.IGNORECASE,
)


def _first_layout(prose: list[Statement], gpus_per_node: int, gpus: int) -> Proposed | None:
    if any(_PIPELINE.search(NO_PIPELINE.sub("", s.text)) for s in prose):
        return None
    for statement in prose:
        if hypothetical(statement) and not RECOMMENDED.search(statement.text):
            continue
        found = _GROUPS.search(statement.text) or _EACH_ON.search(statement.text) or _PER_COPY.search(statement.text)
        found = found or _WAYS.search(statement.text)
        if not found:
            continue
        cards = count_of(next(said for name, said in found.groupdict().items() if name != "copies" and said))
        counted = found if "copies" in found.groupdict() else _COUNT.search(statement.text)
        copies = count_of(counted["copies"]) if counted else gpus // max(1, cards)
        if counted and _ON_EACH_NODE.search(statement.text[: counted.start()]):
            copies *= max(1, gpus // gpus_per_node)
        if 1 <= cards <= gpus_per_node and copies >= 1 and cards * copies <= gpus:
            return Proposed(cards, 1, copies, 1, frozenset(("tp", "dp")), statement.line)
    return None
