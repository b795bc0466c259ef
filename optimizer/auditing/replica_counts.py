"""Judges how many GPUs replicas take: ``two replicas of four cards use eight``, ``at TP2 the four GPUs would make two replicas``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.claims import subject_claim, verdict_of
from optimizer.auditing.context import Context
from optimizer.auditing.facts import Situation
from optimizer.auditing.number_words import NUMBER_WORD, count_of
from optimizer.auditing.sentences import Sentence
from optimizer.results.audit import Claim

_REPLICAS = r"(?:replicas?|instances?|copies|Replik(?:en|ate|aten)|Instanzen|Kopien|répliques?|copies)"
_CARDS = r"(?:GPUs?|cards?|accelerators?|Karten?|cartes?|accélérateurs?)"
_N_REPLICAS = re.compile(rf"\b(?P<n>\d{{1,3}}|{NUMBER_WORD})\s(?:\w+\s)?{_REPLICAS}\b", re.IGNORECASE)
_OF_CARDS = re.compile(
    rf"\W*(?:of|with|à|de|zu(?: je)?|mit(?: je)?|aus(?: je)?)\s(?P<m>\d{{1,3}}|{NUMBER_WORD})\s(?:\w+\s)?{_CARDS}\b",
    re.IGNORECASE,
)
_USE = re.compile(
    rf"\s(?:each\s|together\s|would\s|zusammen\s)?(?:uses?|takes?|occupy|occupies|needs?|fills?|requires?|belegen|brauchen|nutzen"
    rf"|benötigen|occupent|utilisent|demandent|prennent|mobilisent)\s(?:up\s|all\s)?(?P<k>\d{{1,4}}|{NUMBER_WORD})\s(?:\w+\s)?{_CARDS}\b",
    re.IGNORECASE,
)
_ROOM = re.compile(
    r"\b(?:fits?|make[s]?|runs?|gives?|yields?|host|room for|possible|ergäben|ergeben|passen|passten|möglich|Platz|tiendraient|tiennent"
    r"|logeraient|logent|donneraient|donnent|formeraient|possibles?)\b",
    re.IGNORECASE,
)
OTHER_HARDWARE = re.compile(
    r"\b(?:if we had|more|further|additional|another|third|second|next|new|later|extra|bought|weiter\w*|zusätzlich\w*|mehr|"
    r"dritte\w*|neue\w*"
    r"|später|supplémentaires?|plus de|nouve\w+|autre|together with|twice|double|doppelt\w*|deux fois|each|per|pro|je|par)\b",
    re.IGNORECASE,
)
_OF_EACH = re.compile(
    r"\s(?:per|on (?:each|every|one)|in each|each|je|pro|auf (?:jedem|einem)|par|sur chaque)\b", re.IGNORECASE
)
"""``eight cards per node``: a part of what they take."""
_ON_CARDS = re.compile(
    rf"\b(?:on|auf|sur)\s(?:the\s|den\s|les\s)?(?P<k>\d{{1,4}}|{NUMBER_WORD})\s(?:\w+\s)?{_CARDS}\b", re.IGNORECASE
)
_NODE = re.compile(r"\b(?:server|node|machine|box|host|Knoten|Rechner|Maschine|serveur|nœud)\b", re.IGNORECASE)


def judge_replica_counts(sentence: Sentence, own: Situation) -> Iterator[Claim]:
    """Replicas × GPUs of each, against the GPUs that they are said to use, or that there are."""
    found = list(_N_REPLICAS.finditer(sentence.text))
    if len(found) != 1 or sentence.models or sentence.has("past"):
        return
    number, behind = count_of(found[0]["n"]), sentence.text[found[0].end() :]
    of_cards = _OF_CARDS.match(behind)
    used = _USE.match(behind[of_cards.end() :]) if of_cards else None
    if of_cards and used:
        each, said = count_of(of_cards["m"]), count_of(used["k"])
        if not sentence.has("negation") and not _OF_EACH.match(behind[of_cards.end() + used.end() :]):
            reason = f"{number} replicas × {each} GPUs = {number * each} GPUs"
            right = said == number * each
            yield subject_claim(
                sentence, verdict_of(right), reason + ("." if right else f", not {said}."), "replicas", "GPUs of replicas",
                "=", f"{number * each}", used["k"],
            )  # fmt: skip
        return
    yield from _room(sentence, own, number, count_of(of_cards["m"]) if of_cards else _each_named(sentence))


_OCCUPIES = re.compile(
    rf"\W*(?:(?P<back>this|that|it|das|dies|es|cela|ceci)|(?:all (?:told|in all), )?(?:the|our|this|der|das|unser|le|notre)\s"
    rf"(?:whole\s)?(?:plan|project|layout|proposal|set-?up|deployment|arrangement|Plan|Vorschlag|Aufbau|Projekt|projet|déploiement))\s"
    rf"(?:needs?|takes?(?: up)?|uses?|occupies|ties up|requires?|keeps busy|braucht|belegt|benötigt|nutzt|occupe|utilise|nécessite|demande)"
    rf"\s(?P<n>\d{{1,4}}|{NUMBER_WORD})\s{_CARDS}(?:\s(?:in all|in total|altogether|insgesamt|au total|en tout))?\W*",
    re.IGNORECASE,
)
"""``This needs twelve cards.``"""


def judge_occupied(sentence: Sentence, context: Context, own: Situation) -> Iterator[Claim]:
    """How many GPUs the strategy takes that the sentence, or the one before it, is about."""
    found = _OCCUPIES.fullmatch(sentence.text)
    if found is None or own.degrees is None or not own.own_hardware or sentence.models or sentence.gpus:
        return
    if found["back"]:
        before = context.recent[-1] if context.recent else None
        if (
            before is None
            or before.has("hypothetical")
            or before.has("past")
            or before.statement.section != sentence.statement.section
        ):
            return
        said = {which: n for _, _, mention in before.strategies for which, n in mention.degrees}
        if "dp" not in said or any(getattr(own.degrees, which) != n for which, n in said.items()):
            return
    number, needed = count_of(found["n"]), own.degrees.gpus
    reason = f"{own.degrees.label} takes {needed} GPUs" + ("." if number == needed else f", not {number}.")
    yield subject_claim(
        sentence, verdict_of(number == needed), reason, "strategy", "GPUs in use", "=", f"{needed}", found["n"]
    )


def _room(sentence: Sentence, own: Situation, number: int, each: int | None) -> Iterator[Claim]:
    """``N replicas of M cards would fit``: against the GPUs of the problem, or of the one node that is spoken of."""
    if not each or not own.own_hardware or not _ROOM.search(sentence.text) or OTHER_HARDWARE.search(sentence.text):
        return
    hardware = own.problem.hardware
    total = hardware.gpus_per_node if _NODE.search(sentence.text) else hardware.gpus
    on = _ON_CARDS.search(sentence.text)
    if on and count_of(on["k"]) != total:
        return
    needed = number * each
    denied = sentence.has("negation")
    if (needed < total) or (denied and needed == total):
        return
    right = (needed > total) == denied
    how = f"{number} replicas of {each} GPUs take {needed}; there are {total}"
    yield subject_claim(sentence, verdict_of(right), how + ".", "replicas", "replicas", "≤", f"{total // each}")


def _each_named(sentence: Sentence) -> int | None:
    """GPUs of a replica of the one strategy that is named without its replicas: those of TP8 and PP2 together."""
    degrees: dict[str, int] = {}
    for _, _, mention in sentence.strategies:
        for which, value in mention.degrees:
            if degrees.setdefault(which, value) != value:
                return None
    return degrees["tp"] * degrees.get("pp", 1) if "tp" in degrees else None
