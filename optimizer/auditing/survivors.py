"""Judges what a failure leaves of the service as a share or in words: ``the loss of a card costs an eighth of the capacity``.

A GPU takes its whole replica with it, a node the replicas on it. So a share of the service is one of replicas, and a replica does
not go on with the cards that it has left.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.claims import subject_claim, verdict_of
from optimizer.auditing.context import Context
from optimizer.auditing.facts import Degrees, Situation
from optimizer.auditing.failed import FAILS, Failure, degrees_meant, failure_of
from optimizer.auditing.fractions import fractions_in
from optimizer.auditing.number_words import NUMBER_WORD, count_of
from optimizer.auditing.sentences import Sentence
from optimizer.auditing.stated_factors import ALL_LOST
from optimizer.results.audit import Claim

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


_CARDS = r"(?:GPUs?|cards?|accelerators?|Karten?|cartes?|accélérateurs?|[ABHL]\d{1,3}S?)"
_COPIES = r"(?:replicas?|instances?|copies|copy|engines?|pairs?|Replikate?n?|Instanz(?:en)?|Paare?|répliques?|paires?)"
_NUMBER = rf"(?:\d{{1,4}}|{NUMBER_WORD})"
_LEFT = re.compile(
    r"\b(?:left|remain\w*|surviv\w+|still|carr(?:y|ies) on|keeps? (?:on )?\w+ing|continues?|go(?:es)? on|works? on|runs? on"
    r"|serves? on|alive|in service"
    r"|bleib\w*|verbleib\w*|übrig\w*|laufen|läuft|arbeiten|rechnen|bedienen|weiter\w*|noch|reste\w*|continue\w*|tournent?|fonctionne\w*"
    r"|encore|disponibles?)\b",
    re.IGNORECASE,
)
_LOST = re.compile(
    r"\b(?:los(?:e|es|t|s|ing)|costs?|takes? (?:out|down|away)|takes?|brings? down|stops?|gone|missing|down|away|out|offline|disappear\w*"
    r"|fehl\w*|verlier\w*|kostet|stoppt|legt|reißt|nimmt|verloren|weg|aus|emporte|perd\w*|coûte|arrête|prive|manque\w*|perdue?s?|halv\w+)\b",
    re.IGNORECASE,
)
_ALL = {
    "all": 0,
    "alle": 0,
    "tous": 0,
    "toutes": 0,
    "both": 2,
    "beide": 2,
    "beiden": 2,
    "none": -1,
    "0": -1,
    "no": -1,
    "keine": -1,
    "aucune": -1,
}
_COUNTED = re.compile(
    rf"\b(?P<n>{_NUMBER}|all|none|no|both|alle|beiden?|keine?|tou(?:te)?s les|les deux|aucune?|an?|one|eine[srm]?|une?)"
    rf"(?:\s(?:(?:out )?of|von|der|des|sur)(?:\s(?:the|our|its|den|les|nos))?\s(?P<m>{_NUMBER}))?"
    rf"(?:\s(?!of|von|der|des)[^\W\d]\w*){{0,2}}?\s(?:(?P<copy>{_COPIES})|(?P<card>{_CARDS}))\b",
    re.IGNORECASE,
)
"""``15 of 16 GPUs``, ``both TP2 instances``, ``one replica``."""
_BARE_OF = re.compile(
    rf"\b(?P<n>{_NUMBER}|an?|eine[srm]?|une?)\s(?P<copy>{_COPIES})\s(?:out of|of|von|sur)\s(?:the\s)?(?P<m>{_NUMBER})\b",
    re.IGNORECASE,
)
"""``one replica of two``."""
_TITLED = re.compile(
    rf"^\W*(?P<copy>{_COPIES})\s(?:left|remaining|that remain|übrig|verbleibend|restantes?)\b[^|:]*(?:\|[^|]*)?:\s*(?P<n>{_NUMBER})"
    rf"(?:\s(?:of|out of|von|sur)\s(?P<m>{_NUMBER}))?\W*$",
    re.IGNORECASE,
)
"""A row ``Replicas left after a failure``, with one of its cells."""
_ALL_CARDS = re.compile(
    rf"\b(?:stops?|takes? (?:down|out)|brings? down|stoppt|legt|reißt|arrête|stoppe)\s(?:all|the other|alle|die anderen"
    rf"|tou(?:te)?s les|les)\s"
    rf"(?P<n>{_NUMBER})(?P<card>)(?!\s(?:\w+\s)?{_COPIES})",
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
    yield from _counts(sentence, failure, own)
    if _OTHER.search(sentence.text):
        return
    if (
        _ALL_STOPS.search(sentence.text)
        and _STOP.search(sentence.text)
        and not any(fractions_in(sentence.text))
        and not _negated(sentence, 0, len(sentence.text))
    ):
        if failure.left == 0 or failure.degrees.dp > 1:
            reason = f"What fails: {failure.words}."
            yield _say(sentence, failure.left == 0, reason, "replicas left", f"{failure.left}")
        return
    if _SERVICE.search(sentence.text):
        yield from _shares(sentence, failure)


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


def _polarity(sentence: Sentence, place: int, failure_words: tuple[tuple[int, int], ...]) -> str:
    """Whether a count or share is of what is "left" or "lost", by the nearest word for it that does not tell what fails."""
    found = [(m, "left") for m in _LEFT.finditer(sentence.text)] + [(m, "lost") for m in _LOST.finditer(sentence.text)]
    near = [
        (abs(m.start() - place), which)
        for m, which in found
        if not any(start <= m.start() < end for start, end in failure_words)
        and not re.search(r"[,;]\s", sentence.text[min(m.start(), place) : max(m.start(), place)])
    ]
    return min(near)[1] if near else ""


def _counts(sentence: Sentence, failure: Failure, own: Situation) -> Iterator[Claim]:
    """Replicas and cards that are said to be lost or left; a card takes its whole replica."""
    text = sentence.text
    found = (
        list(_TITLED.finditer(text))
        or list(_ALL_CARDS.finditer(text))
        or list(_BARE_OF.finditer(text))
        or list(_COUNTED.finditer(text))
    )
    for one in found:
        titled = one.re is _TITLED
        if (not titled and one.start() < failure.place[1] and failure.place[0] < one.end()) or _negated(
            sentence, one.start(), one.end()
        ):
            continue
        cards = "card" in one.groupdict() and one["card"] is not None
        if failure.part == "replica" and not cards:
            continue
        which = "left" if titled else _polarity(sentence, one.start(), failure.words_of_it)
        of_all = one.groupdict().get("m")
        each = failure.each if cards else 1
        total = failure.degrees.dp * each
        if not which or (of_all and count_of(of_all) not in (total, own.problem.hardware.gpus)):
            continue
        word = one["n"].lower().split()[0]
        said = 2 if one["n"].lower() == "les deux" else _ALL.get(word, count_of(word, 1))
        said = total if said == 0 else 0 if said == -1 else said
        right = (failure.left if which == "left" else failure.lost) * each
        if one.re is _ALL_CARDS and re.search(r"\b(?:other|anderen)\b", one.group()):
            right -= 1
        if said != right and not _surely(one, said, cards, failure, own):
            continue
        what = "GPUs" if cards else "replicas"
        reason = f"What fails: {failure.words}" + (f", {right} GPUs {which}" if cards else "")
        reason += "." if said == right else f", not {one['n']}."
        yield _say(sentence, said == right, reason, f"{what} {which}", f"{right}", one["n"])
        return


def _surely(one: re.Match[str], said: int, cards: bool, failure: Failure, own: Situation) -> bool:
    """Whether a count that does not fit cannot be of anything else: cards are all but the one that failed, or that one alone."""
    if cards:
        gpus = {failure.degrees.gpus, own.problem.hardware.gpus}
        return (
            failure.part == "card"
            and failure.each > 1
            and said in {1, *gpus, *(n - 1 for n in gpus)}
            and bool(one.groupdict().get("m") or said > 1 or re.match(r"one|single|1", one["n"], re.IGNORECASE))
        )
    if one.re is _TITLED:
        return True
    if said == failure.degrees.dp and not re.match(r"both|all|beide|alle|tou|les", one["n"], re.IGNORECASE):
        return False  # how many there are
    of_cards = failure.part == "card" and failure.each > 1 and said == failure.degrees.gpus - 1  # taken for replicas
    return said <= failure.degrees.dp or of_cards


def _shares(sentence: Sentence, failure: Failure) -> Iterator[Claim]:
    """``half of the capacity``: of the replicas lost or left."""
    left = failure.left / failure.degrees.dp
    for start, end, said, text in _shares_said(sentence):
        which = _polarity(sentence, start, failure.words_of_it)
        if _negated(sentence, max(0, start - 20), end):
            continue
        right = {"left": (left,), "lost": (1 - left,)}.get(which, (left, 1 - left))
        holds = any(abs(said - one) <= 0.02 for one in right)
        wrong = all(abs(said - one) > 0.03 for one in right)
        sure = which or left == 0 or any(abs(said - one) < 0.01 for one in _usual(failure))
        if not holds and not (wrong and sure):
            continue
        reason = f"What fails: {failure.words}" + ("." if holds else f", not {text}.")
        yield _say(sentence, holds, reason, "share after a failure", f"{100 * right[0]:.3g}%", text)
        return


def _usual(failure: Failure) -> set[float]:
    """Shares of cards, which people take for those of the service."""
    gpus = failure.degrees.gpus
    return {1 / gpus, 1 - 1 / gpus}


def _shares_said(sentence: Sentence) -> Iterator[tuple[int, int, float, str]]:
    """Shares that a sentence gives of the service, in words or percent: (start, end, share, as written)."""
    text = sentence.text
    for one in fractions_in(text):
        if _of_service(text, one.end):
            yield one.start, one.end, one.value, one.text
    for digits in _IN_DIGITS.finditer(text):
        if 0 < int(digits[1]) < int(digits[2]) and _of_service(text, digits.end()):
            yield digits.start(), digits.end(), int(digits[1]) / int(digits[2]), digits.group()
    for found in _HALVES.finditer(text):
        yield found.start(), found.end(), 0.5, found.group()
    for measure in sentence.measures:
        if measure.dimension != "%" or not 0 < measure.value < 100 or sentence.denies(measure) or measure.hedged:
            continue
        if _of_service(text, measure.end) or _SERVICE.search(text[: measure.start]):
            yield measure.start, measure.end, measure.value / 100, measure.text


_IN_DIGITS = re.compile(r"(?<![\d.,/])(\d{1,2})/(\d{1,2})(?![\d/])")
"""``7/8 of the capacity``."""
_HALVES = re.compile(
    r"\bhalv(?:es|ed|ing)\b(?=[^.;]{0,20}\b(?:capacity|throughput|performance)\b)|\bhalbiert\b", re.IGNORECASE
)


def _of_service(text: str, end: int) -> bool:
    behind = text[end : end + 45]
    return bool(_SERVICE.search(behind) or re.match(r"\s*(?:is|are|of it|davon|ist|geht|est|en)\b|\W*$", behind))


def _negated(sentence: Sentence, start: int, end: int) -> bool:
    denied = [t for t in sentence.terms_in(start, end, "negation") if not t.text.casefold().startswith("fehl")]
    return bool(denied) and not _RESTRICTS.search(sentence.text)


_RESTRICTS = re.compile(r"\b(?:nothing|nichts|ne\b[^.;]{0,30}\b(?:que|qu')|plus rien|no longer)", re.IGNORECASE)
"""Words of negation that say what a failure leaves; "ne … que" restricts and does not deny."""
