"""Judges what a failure leaves of the service as a share or in words: ``the loss of a card costs an eighth of the capacity``.

A GPU takes its whole replica with it, a node the replicas on it. So a share of the service is one of replicas, and a replica does
not go on with the cards that it has left.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

from optimizer.auditing.claims import figure_claim, subject_claim, verdict_of
from optimizer.auditing.context import Context
from optimizer.auditing.facts import Degrees, Situation
from optimizer.auditing.failed import FAILS, Failure, degrees_meant, failure_of
from optimizer.auditing.number_words import NUMBER_WORD, count_of
from optimizer.auditing.sentences import Sentence
from optimizer.auditing.stated_factors import ALL_LOST
from optimizer.results.audit import Claim

_PARTS = {
    "half": 2, "halves": 2, "third": 3, "thirds": 3, "quarter": 4, "quarters": 4, "fifth": 5, "fifths": 5, "sixth": 6, "sixths": 6,
    "eighth": 8, "eighths": 8, "twelfth": 12, "sixteenth": 16, "sixteenths": 16, "hälfte": 2, "drittel": 3, "viertel": 4, "fünftel": 5,
    "sechstel": 6, "achtel": 8, "zwölftel": 12, "sechzehntel": 16, "moitié": 2, "tiers": 3, "quart": 4, "quarts": 4, "cinquième": 5,
    "cinquièmes": 5, "sixième": 6, "huitième": 8, "huitièmes": 8, "douzième": 12, "seizième": 16, "seizièmes": 16,
}  # fmt: skip
_SHARE = re.compile(
    rf"\b(?:(?P<n>\d{{1,2}}|a|an|one|un|une|ein\w*|{NUMBER_WORD})[\s-])?"
    rf"(?P<part>{'|'.join(sorted(_PARTS, key=len, reverse=True))})\b",
    re.IGNORECASE,
)
_SERVICE = re.compile(
    r"\b(?:capacity|throughput|performance|replicas|copies|instances|service|traffic|output|Kapazität|Durchsatz\w*|Leistung|Replikate"
    r"|Instanzen|Dienst\w*|capacité|débit|répliques|performances?|puissance)\b",
    re.IGNORECASE,
)
_OTHER = re.compile(
    r"\b(?:requirement|required|must|limit|latency|TTFT|TPOT|memory|cache|weights|cost|price|hours?|minutes|year|gefordert|verlangt|exig\w+"
    r"|requests/s|tokens/s|pipeline|stages?|spare|standby)\b",
    re.IGNORECASE,
)
_GOES_ON = re.compile(
    r"\b(?:replica|instance|copy|Replikat|Instanz|réplique)\b[^.;]{0,50}?\b(?:goes on|carries on|continues?|keeps (?:running|going|serving)"
    r"|runs? on|still (?:runs?|works?)|works? on|läuft|arbeitet|rechnet|macht weiter|continue|tourne|poursuit|fonctionne)\b[^.;]{0,40}?"
    r"\b(?:with|on|mit|auf|avec|sur)\s(?:the\s|its\s|only\s|den\s|seinen\s|nur\s|les\s|ses\s)?"
    r"(?:(?:other|remaining|verbleibenden|übrigen|restlichen|autres)\s)?(?P<n>\d{1,2}|[a-zäöüéè]+)\s(?:\w+\s)?"
    r"(?:GPUs?|cards?|accelerators|Karten|cartes)\b",
    re.IGNORECASE,
)
_CONTINUES = re.compile(
    r"\b(?:läuft|arbeitet|rechnet|macht)\s(?:\w+\s){0,3}?(?:Replikat|Instanz)\b[^.;]{0,30}?\bmit\s(?:\w+\s)?(?P<n>\d{1,2}"
    r"|[a-zäöü]+)\s(?:\w+\s)?"
    r"(?:GPUs|Karten)\s(?:\w+\s)?weiter\b"
)
_SERVICE_GOES_ON = re.compile(
    r"\b(?:service|system|everything|it|Dienst|Betrieb|System|alles|es|tout|il)\b[^.;]{0,30}?\b(?:on|with|auf|mit|sur|avec)\s"
    r"(?:the\s|only\s|den\s|nur\s|les\s)?(?P<rest>(?:other|remaining|verbleibenden|übrigen|restlichen|autres)\s)?(?P<n>\d{1,2}|[a-zäöüéè]+)(?(rest)\b|\s"
    r"(?:(?:others?|remaining|left|that remain|verbleibenden|übrigen|restlichen|anderen|autres|restants?|restantes?)\b"
    r"|(?:GPUs?|cards?|Karten|cartes)\b))",
    re.IGNORECASE,
)
"""``the service carries on with the other three``, of a single replica."""
_ALL_STOPS = re.compile(
    r"\b(?:everything|the (?:whole |entire )?service|all (?:of it|service)|nothing (?:is left|remains|runs|works)|alles|der (?:ganze "
    r"|gesamte )?Dienst"
    r"|nichts (?:mehr|bleibt|läuft)|tout|(?:le|tout le) service|plus rien)\b(?:[^.;]{0,40}?\b(?:stops?|stands still|is (?:down"
    r"|interrupted|offline)"
    r"|goes (?:down|offline)|down|interrupted|steht|still|ausfällt|unterbrochen|s'arrête|arrêté|interrompu|en panne|is left|remains"
    r"|runs|works"
    r"|bleibt|läuft))?|\b(?:interrompt|stops|interrupts|unterbricht|stoppt|arrête)\s(?:the|le|den|tout)\s(?:\w+\s)?(?:service|Dienst"
    r"|Betrieb)\b",
    re.IGNORECASE,
)
_STOP = re.compile(
    r"\b(?:stop\w*|still|down|interrupt\w*|offline|steht|unterbr\w+|stoppt|arrêt\w*|interrom\w+|nothing|nichts|plus rien)\b",
    re.IGNORECASE,
)


_CARDS = r"(?:GPUs?|cards?|accelerators?|Karten?|cartes?|accélérateurs?)"
_COPIES = r"(?:replicas?|instances?|copies|engines?|Replikate?n?|Instanzen|répliques?)"
_WORKS = (
    r"(?:carr(?:y|ies) on|keeps? (?:on )?\w+ing|continues?|goe?s? on|works? on|runs? on|still (?:runs?|works?|serves?)|surviv\w+"
    r"|serves? on|laufen|läuft|arbeiten|rechnen|bedienen|continuent?|tournent?|fonctionnent?|servent)"
)
_CARDS_WORK = re.compile(
    rf"\b(?P<n>\d{{1,4}}|{NUMBER_WORD})\s(?:(?:out )?(?:of|von|der|des|sur)\s(?:the\s|our\s|den\s|les\s)?(?:\d{{1,4}}|{NUMBER_WORD})\s)?"
    rf"(?:(?:other|remaining|verbleibenden|übrigen|anderen|autres|restantes?)\s)?{_CARDS}\s(?:\w+\s)?{_WORKS}\b",
    re.IGNORECASE,
)
"""``15 of 16 GPUs carry on``."""
_COPIES_LOST = re.compile(
    rf"\b(?P<n>both|all|\d{{1,3}}|{NUMBER_WORD}|alle|beide\w*|les deux|tou(?:te)?s les)\s(?:\w+[\s-]){{0,2}}?{_COPIES}\s"
    r"(?:\w+\s){0,2}?(?:lost|gone|down|stops?|dead|offline|unavailable|fails?|verloren|weg|aus|ausgefallen|perdue?s|hors service)\b",
    re.IGNORECASE,
)
"""``both instances are lost``."""
_COPIES_OF = re.compile(
    rf"\b(?P<n>\d{{1,3}}|{NUMBER_WORD}|an?|eines?|une?)\s(?:{_COPIES}\s)?(?:out of|of|von|sur)\s(?:the\s|our\s|den\s|les\s)?"
    rf"(?P<m>\d{{1,3}}|{NUMBER_WORD})\b(?:\s(?:\w+\s)?{_COPIES}\b)?",
    re.IGNORECASE,
)
"""``one replica of two``, ``three of the four replicas``: lost or left."""
_LEFT = re.compile(rf"\b(?:left|remain\w*|surviv\w+|still|bleib\w*|übrig\w*|reste\w*|{_WORKS[3:-1]})\b", re.IGNORECASE)


_STOPS_ALL = re.compile(
    rf"\b(?:stops?|takes? down|brings? down|takes? out|stoppt|legt|reißt|arrête|stoppe)\s(?:all|the other|alle|die anderen|tou(?:te)?s les"
    rf"|les)\s(?P<n>\d{{1,3}}|{NUMBER_WORD})\b",
    re.IGNORECASE,
)
"""``losing one card stops all four``."""


def judge_survivors(sentence: Sentence, context: Context, own: Situation) -> Iterator[Claim]:
    """What a failure takes or leaves: cards that go on, replicas, shares of the service, all of it."""
    if ALL_LOST.search(sentence.text):
        return
    failure = failure_of(sentence, own, context.prose)
    goes_on = _goes_on(sentence, degrees_meant(sentence, own)) if FAILS.search(sentence.text) else None
    if goes_on is not None:
        yield goes_on
        return
    if failure is None:
        return
    counted = _cards_working(sentence, failure, own) or _copies(sentence, failure)
    if counted is not None:
        yield counted
    if _OTHER.search(sentence.text):
        return
    if (
        _ALL_STOPS.search(sentence.text)
        and _STOP.search(sentence.text)
        and not _SHARE.search(sentence.text)
        and not _negated(sentence, 0, len(sentence.text))
    ):
        if failure.left == 0 or failure.degrees.dp > 1:
            reason = f"What fails: {failure.words}."
            yield _say(sentence, failure.left == 0, reason, "replicas left", f"{failure.left}")
        return
    if _SERVICE.search(sentence.text):
        yield from _shares(sentence, own, failure)


def _say(
    sentence: Sentence, right: bool, reason: str, quantity: str, expected: str, stated: str | None = None
) -> Claim:
    return subject_claim(sentence, verdict_of(right), reason, "service", quantity, "=", expected, stated)


def _goes_on(sentence: Sentence, degrees: Degrees | None) -> Claim | None:
    """A replica, or the service of a single one, that is said to go on with fewer cards than it needs."""
    each = degrees.tp * degrees.pp if degrees else 1
    if degrees is None or each == 1 or sentence.models or sentence.has("past"):
        return None
    found = _GOES_ON.search(sentence.text) or _CONTINUES.search(sentence.text)
    if found and 0 < count_of(found["n"]) < each and not _negated(sentence, found.start(), found.end()):
        reason = (
            f"A replica of {degrees.label} needs all of its {each} GPUs: with {count_of(found['n'])} it does not run."
        )
        return _say(sentence, False, reason, "GPUs of a replica", f"{each}", found["n"].lower())
    found = _SERVICE_GOES_ON.search(sentence.text)
    alone = found and degrees.dp == 1 and count_of(found["n"]) == each - 1
    if found and alone and not _negated(sentence, found.start(), found.end()):
        reason = f"{degrees.label} is one replica over all of its {each} GPUs: without one of them nothing runs."
        return _say(sentence, False, reason, "GPUs of a replica", f"{each}", found["n"].lower())
    return None


def _cards_working(sentence: Sentence, failure: Failure, own: Situation) -> Claim | None:
    """The cards that go on: those of the replicas that are left, and not all but the one that failed."""
    stops = _STOPS_ALL.search(sentence.text)
    if stops and failure.part == "card" and failure.each > 1:
        together = failure.each - bool(re.search(r"\b(?:other|anderen)\b", stops.group(), re.IGNORECASE))
        if count_of(stops["n"]) == together:
            reason = f"A replica of {failure.degrees.label} is {failure.each} GPUs, which stop together."
            return _say(sentence, True, reason, "GPUs lost", f"{failure.each}", stops["n"])
    found = _CARDS_WORK.search(sentence.text)
    if not found or failure.part != "card" or _negated(sentence, found.start(), found.end()):
        return None
    said, working = count_of(found["n"]), failure.left * failure.each
    if said != working and (failure.each == 1 or said not in (failure.degrees.gpus - 1, own.problem.hardware.gpus - 1)):
        return None
    reason = f"What fails: {failure.words}: {working} GPUs go on" + ("." if said == working else f", not {said}.")
    return _say(sentence, said == working, reason, "GPUs left", f"{working}", found["n"])


def _copies(sentence: Sentence, failure: Failure) -> Claim | None:
    """Replicas that are said to be lost or left, of all that there are."""
    degrees, text = failure.degrees, sentence.text
    found = _COPIES_LOST.search(text)
    if found and failure.part != "replica" and degrees.dp > 1 and not _negated(sentence, found.start(), found.end()):
        word = found["n"].lower()
        said = degrees.dp if word[:3] in ("all", "tou") else 2 if word == "les deux" else count_of(word)
        right = said == failure.lost
        reason = f"What fails: {failure.words}" + ("." if right else f", not {found['n']}.")
        return _say(sentence, right, reason, "replicas lost", f"{failure.lost}", found["n"])
    found = _COPIES_OF.search(text)
    if not found or not re.search(_COPIES, found.group()) or count_of(found["m"]) != degrees.dp:
        return None
    said = count_of(found["n"], 1)
    if said not in (failure.lost, failure.left) or _negated(sentence, found.start(), found.end()):
        return None
    right = failure.lost == failure.left or said == (failure.left if _LEFT.search(text) else failure.lost)
    reason = f"What fails: {failure.words}" + ("." if right else f", not {said}.")
    return _say(sentence, right, reason, "replicas left", f"{failure.left}", found["n"])


def _shares(sentence: Sentence, own: Situation, failure: Failure) -> Iterator[Claim]:
    """``half of the capacity``: of the replicas lost or left; any other share is of something else unless it is one of cards."""
    degrees, lost = failure.degrees, failure.lost
    right = {Fraction(lost, degrees.dp), 1 - Fraction(lost, degrees.dp)}
    hardware = own.problem.hardware
    of_cards = {
        Fraction(n, total)
        for total in (hardware.gpus, degrees.gpus, hardware.gpus_per_node, degrees.tp)
        for n in (1, total - 1)
        if total
    }
    of_nodes = {Fraction(n, hardware.nodes) for n in (1, hardware.nodes - 1)}
    for found in _SHARE.finditer(sentence.text):
        behind = sentence.text[found.end() : found.end() + 45]
        if not (_SERVICE.search(behind) or re.match(r"\s*(?:is|are|of it|davon|ist|geht|est|en)\b|\W*$", behind)):
            continue
        share = Fraction(count_of((found["n"] or "1").lower(), 1), _PARTS[found["part"].lower()])
        holds = share in right and 0 < share < 1
        wrong = 0 < share < 1 and (right == {Fraction(0), Fraction(1)} or share in of_cards | of_nodes)
        if (not holds and not wrong) or _negated(sentence, max(0, found.start() - 20), found.end()):
            continue
        reason = f"What fails: {failure.words}" + ("." if holds else f", not {found.group()}.")
        yield _say(sentence, holds, reason, "share after a failure", f"{lost} of {degrees.dp}", found.group())
        return
    for measure in sentence.measures:
        if measure.dimension != "%" or not 0 < measure.value < 100:
            continue
        shares = [100 * float(one) for one in right]
        holds = any(measure.says(one, 0.02) for one in shares)
        wrong = bool(_OF_SERVICE.match(sentence.text[measure.end :])) and any(
            measure.says(100 * float(one), 0.02) for one in of_cards | of_nodes
        )
        if not holds and (not wrong or sentence.denies(measure)):
            continue
        reason = f"What fails: {failure.words}" + ("." if holds else f", not {measure.text}.")
        said = verdict_of(holds)
        yield figure_claim(sentence, said, reason, measure, f"{shares[0]:.3g}%", "share left")


_OF_SERVICE = re.compile(
    r"\s?(?:of|der|des|du|de la|von)\s(?:the\s|our\s|its\s|unserer\s|unseres\s|notre\s)?(?:\w+\s)?"
    r"(?:capacity|throughput|performance|output|service|Kapazität|Durchsatz\w*|Leistung|capacité|débit|performances?|puissance)\b",
    re.IGNORECASE,
)


def _negated(sentence: Sentence, start: int, end: int) -> bool:
    denied = [t for t in sentence.terms_in(start, end, "negation") if not t.text.casefold().startswith("fehl")]
    return bool(denied) and not _RESTRICTS.search(sentence.text)


_RESTRICTS = re.compile(r"\b(?:nothing|nichts|ne\b[^.;]{0,30}\b(?:que|qu')|plus rien|no longer)", re.IGNORECASE)
"""Words of negation that say what a failure leaves; "ne … que" restricts and does not deny."""
