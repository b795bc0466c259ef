"""Judges what a failure leaves of the service as a share or in words: ``the loss of a card costs an eighth of the capacity``.

A GPU takes its whole replica with it, a node the replicas on it. So a share of the service is one of replicas, and a replica does
not go on with the cards that it has left.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

from optimizer.auditing.claims import figure_claim, subject_claim, verdict_of
from optimizer.auditing.facts import Situation
from optimizer.auditing.number_words import NUMBER_WORD, count_of
from optimizer.auditing.sentences import Sentence
from optimizer.auditing.stated_factors import ALL_LOST
from optimizer.results.audit import Claim

_FAILS = re.compile(
    r"\b(?:los(?:e|es|ing|t|s)|fail\w*|gone|goes (?:down|away|dark)|drops? out|down|dies|dead|crash\w*|breaks? down|switched off"
    r"|powered off"
    r"|outage|without (?:one|a single)|missing|ausf[aä]ll\w*|ausfäll\w*|fällt\b.{0,40}\baus|Ausfall|Verlust|verlier\w+|abgeschaltet|stirbt"
    r"|kaputt|tombe\w*|perd\w*|perte|panne|arrêt\w*|éteint\w*|défaillance)\b",
    re.IGNORECASE,
)
_ONE = (
    r"(?:a|an|one|the|any one|any|every|each|single|a single|either|"
    r"ein\w*|eine einzelne|eines|der|die|des|un|une|une seule|d'une|d'un|la|le|du)"
)
_CARD = re.compile(
    rf"\b{_ONE}\s(?:\w+\s)?(?:GPU|card|accelerator|Karte|Grafikkarte|carte|accélérateur)\b", re.IGNORECASE
)
_NODE = re.compile(
    rf"\b{_ONE}\s(?:\w+\s)?(?:server|node|machine|host|box|workstation|chassis|Server|Servers|Knotens?|Rechners?|Maschine|serveur|nœud)\b",
    re.IGNORECASE,
)
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


def judge_survivors(sentence: Sentence, own: Situation) -> Iterator[Claim]:
    """Shares of the service that a failure takes or leaves; a replica that goes on with fewer cards; a service that stops."""
    degrees = own.degrees
    if degrees is None or not own.own_hardware or sentence.models or sentence.strategies or sentence.has("past"):
        return
    fails = _FAILS.search(sentence.text)
    if not fails or ALL_LOST.search(sentence.text):
        return
    each = degrees.tp * degrees.pp
    went_on = _GOES_ON.search(sentence.text) or _CONTINUES.search(sentence.text)
    if went_on and each > 1 and not _negated(sentence, went_on.start(), went_on.end()):
        said = went_on["n"].lower()
        number = count_of(said)
        if 0 < number < each:
            reason = f"A replica of {degrees.label} needs all of its {each} GPUs: with {number} it does not run."
            yield subject_claim(sentence, "refuted", reason, "replica", "GPUs of a replica", "=", f"{each}", said)
            return
    goes_on = _SERVICE_GOES_ON.search(sentence.text)
    if goes_on and degrees.dp == 1 and each > 1 and not _negated(sentence, goes_on.start(), goes_on.end()):
        said = goes_on["n"].lower()
        if count_of(said) == each - 1:
            reason = f"{degrees.label} is one replica over all of its {each} GPUs: without one of them nothing runs."
            yield subject_claim(sentence, "refuted", reason, "service", "GPUs of a replica", "=", f"{each}", said)
            return
    lost = _lost(sentence, own)
    if lost is None or _OTHER.search(sentence.text):
        return
    left = degrees.dp - lost
    count = f"{degrees.dp} replica{'s' if degrees.dp > 1 else ''}"
    what = f"it takes {lost} of {count} of {degrees.label}, {left} remain{'s' if left == 1 else ''}"
    if (
        _ALL_STOPS.search(sentence.text)
        and _STOP.search(sentence.text)
        and not _SHARE.search(sentence.text)
        and not _negated(sentence, 0, len(sentence.text))
    ):
        if left == 0 or degrees.dp > 1:
            yield subject_claim(
                sentence, verdict_of(left == 0), f"What fails: {what}.", "service", "replicas left", "=", f"{left}"
            )
        return
    yield from _shares(sentence, own, lost, what)


def _shares(sentence: Sentence, own: Situation, lost: int, what: str) -> Iterator[Claim]:
    """``half of the capacity``: of the replicas lost or left; any other share is of something else unless it is one of cards."""
    degrees = own.degrees
    assert degrees is not None
    if not _SERVICE.search(sentence.text):
        return
    right = {Fraction(lost, degrees.dp), 1 - Fraction(lost, degrees.dp)}
    hardware = own.problem.hardware
    of_cards = {
        Fraction(n, total)
        for total in (hardware.gpus, degrees.gpus, hardware.gpus_per_node, degrees.tp)
        for n in (1, total - 1)
    }
    of_nodes = {Fraction(n, hardware.nodes) for n in (1, hardware.nodes - 1)}
    for found in _SHARE.finditer(sentence.text):
        behind = sentence.text[found.end() : found.end() + 45]
        if not (_SERVICE.search(behind) or re.match(r"\s*(?:is|are|of it|davon|ist|geht|est|en)\b|\W*$", behind)):
            continue
        said = (found["n"] or "1").lower()
        count = count_of(said, 1)
        share = Fraction(count, _PARTS[found["part"].lower()])
        holds = share in right and 0 < share < 1
        wrong = 0 < share < 1 and (right == {Fraction(0), Fraction(1)} or share in of_cards | of_nodes)
        if (not holds and not wrong) or _negated(sentence, max(0, found.start() - 20), found.end()):
            continue
        shares = f"{lost} of {degrees.dp}"
        reason = f"What fails: {what}" + ("." if holds else f", not {found.group()}.")
        yield subject_claim(
            sentence, verdict_of(holds), reason, "service", "share after a failure", "=", shares, found.group()
        )
        return
    for measure in sentence.measures:
        if measure.dimension != "%" or not _SERVICE.search(sentence.text):
            continue
        shares_left = [100 * float(one) for one in right]
        if any(measure.says(one, 0.02) for one in shares_left) and 0 < measure.value < 100:
            yield figure_claim(
                sentence, "confirmed", f"What fails: {what}.", measure, f"{shares_left[0]:.3g}%", "share left"
            )


def _lost(sentence: Sentence, own: Situation) -> int | None:
    """Replicas that are lost; None where it does not say what fails, or it depends on the placement."""
    degrees, hardware = own.degrees, own.problem.hardware
    assert degrees is not None
    named = any(
        g.facts and sentence.text[: g.start].rstrip().lower().endswith(("one", "a", "an", "ein", "eine", "une"))
        for g in sentence.gpus
    )
    card, node = bool(_CARD.search(sentence.text)) or named, bool(_NODE.search(sentence.text))
    each = degrees.tp * degrees.pp
    if card and not node:
        return 1
    if not node or (card and not re.search(r"\b(?:server|node|Server|Knoten|serveur|nœud)\b", sentence.text[:60])):
        return None
    if hardware.nodes == 1:
        return degrees.dp
    if degrees.gpus != hardware.gpus:
        return None
    per_node = hardware.gpus_per_node
    if each <= per_node:
        return per_node // each if per_node % each == 0 else None
    return 1 if each % per_node == 0 else None


def _negated(sentence: Sentence, start: int, end: int) -> bool:
    denied = [t for t in sentence.terms_in(start, end, "negation") if not t.text.casefold().startswith("fehl")]
    return bool(denied) and not _RESTRICTS.search(sentence.text)


_RESTRICTS = re.compile(r"\b(?:nothing|nichts|ne\b[^.;]{0,30}\b(?:que|qu')|plus rien|no longer)", re.IGNORECASE)
"""Words of negation that say what a failure leaves; "ne … que" restricts and does not deny."""
