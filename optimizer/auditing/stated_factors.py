"""Judges totals by the factors that their own sentence states: ``3 nodes × 4 cards, so 12 GPUs``, ``8 cards at 300 W each: 2.4 kW``.

What the sentence multiplies is the product it means: no other factors make such a total right.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.claims import figure_claim, subject_claim, verdict_of
from optimizer.auditing.facts import Situation
from optimizer.auditing.measures import Measure, shown
from optimizer.auditing.sentences import Sentence
from optimizer.results.audit import Claim

_CARDS = r"(?:GPUs?|cards?|boards?|accelerators?|Karten?|Grafikkarten?|Beschleuniger|cartes?|accélérateurs?)\b"
_NODES = r"(?:nodes?|servers?|machines?|hosts?|boxes|Knoten|Servern?|Rechnern?|Maschinen|nœuds?|serveurs?)\b"
_AT = re.compile(rf"[\s-]{_CARDS}\s?,?\s?(?:at|of|with|mit|zu|à|de)\s(?:je\s|jeweils\s)?", re.IGNORECASE)
_TOTAL = re.compile(
    r"(?:\s(?:each|apiece|a piece|per card|jeweils|je Karte|pro Karte|chacune?|par carte|pièce))?\s?"
    r"(?:[:=]|,?\s?(?:so|thus|hence|together|in total|that is|i\.e\.|makes?|give|are|come to|draw|take|use|consume|need|also|zusammen"
    r"|ergeben|sind|macht|machen|nehmen|ziehen|brauchen|verbrauchen|soit|donc|font|donnent|consomment|tirent|demandent)\b)"
    r"(?:\s(?:all|together|in|total|at|most|zusammen|insgesamt|höchstens|au|plus|ensemble|tout))*\s$",
    re.IGNORECASE,
)
_AT_PRICE = re.compile(
    rf"[\s-](?:\w+\s)?(?:{_CARDS}|replicas?|instances?|Replikate?|Instanzen|répliques?|[ABHL]\d{{1,3}}S?),?\s?(?:at|for"
    rf"|zu(?: je)?|à|mit)\s(?:USD|EUR|€|\$|£)?\s?",
    re.IGNORECASE,
)
_COST = re.compile(
    r"^[^\d,;]*\b(?:makes?|costs?|are|come to|amounts? to|total|ergeben|kosten|macht|machen|sind|font|coûtent|donnent"
    r"|reviennent)\b[^\d,;]*$",
    re.IGNORECASE,
)
"""``eight cards at 2 dollars make 16 dollars an hour``."""
_AT_MOST = re.compile(r"\b(?:at most|höchstens|au plus)\s$", re.IGNORECASE)
_MORE = re.compile(
    r"\b(?:plus (?:the|a)|fans?|hosts?|CPUs?|overhead|PUE|cooling|reserve|margin|headroom|idle|average|typical|including|incl"
    r"|with the (?:rest|servers?|nodes?)|Lüfter|Kühlung|Reserve|Netzteil\w*|inklusive|einschließlich|Schnitt|ventilateurs?"
    r"|refroidissement|marge|wall|suppl(?:y|ies)|PSUs?|loss(?:es)?|racks?|facility|Steckdose|Verlust\w*|prise|alimentations?|pertes|compris|moyenne)\b",
    re.IGNORECASE,
)
_TIMES = re.compile(rf"\s(?P<of>{_NODES})\s?(?:[×✕*x]|times|mal|fois|(?:of|with|mit je|zu je|à|de))\s?", re.IGNORECASE)
_SO_MANY = re.compile(
    rf"\s{_CARDS}\s?(?:each|apiece|jeweils|chacun)?\s?(?:[:=]|,?\s(?:so|thus|hence|that is|i\.e\.|makes?|also|macht|das sind|soit"
    r"|donc|ce qui fait)\b)(?:\s(?:we|there|wir|nous|on)\s(?:rent|have|get|buy|are|haben|mieten|avons|louons))?"
    r"(?:\s(?:in total|insgesamt|au total))?\s$",
    re.IGNORECASE,
)
_OF_CARDS = re.compile(
    rf"[\s-](?:\w+\s)?{_CARDS}(?=\s?(?:[,.;:)]|$|in total|altogether|in all|insgesamt|zusammen|au total|en tout))",
    re.IGNORECASE,
)


def judge_stated_factors(sentence: Sentence) -> Iterator[Claim]:
    """One claim for a total behind the two factors that the sentence gives for it."""
    if sentence.has("hypothetical") or sentence.has("negation"):
        return
    for count, each, total in zip(sentence.measures, sentence.measures[1:], sentence.measures[2:], strict=False):
        product = _product(sentence, count, each, total)
        if product is None:
            continue
        right = total.says(product, 0.012)
        expected = shown(product, total.dimension)
        reason = f"{count.text} × {each.text} = {expected}" + ("." if right else f", not {total.text}.")
        yield figure_claim(sentence, verdict_of(right), reason, total, expected, "stated factors")


def _product(sentence: Sentence, count: Measure, each: Measure, total: Measure) -> float | None:
    """What two factors make, where the third figure is said to be their product."""
    text = sentence.text
    if (
        count.dimension
        or count.hedged
        or each.hedged
        or total.hedged
        or re.search(r"[×*÷/+−-]\s?$", text[: count.start])
    ):
        return None
    between, behind = text[count.end : each.start], text[each.end : total.start]
    if each.dimension == total.dimension == "W":
        said = _TOTAL.search(behind)
        if _AT.fullmatch(between) and said and said.start() == 0 and not _MORE.search(text):
            return None if _AT_MOST.search(behind) and total.bounds_power else count.value * each.value
    if each.dimension == total.dimension == "money/h" and _AT_PRICE.fullmatch(between) and _COST.search(behind):
        values = [count.value * one for one in each.values]
        return next((one for one in values if total.says(one, 0.012)), values[0])
    counts = not (each.dimension or total.dimension or each.unit or total.unit)
    if counts and _TIMES.fullmatch(between) and _SO_MANY.fullmatch(behind) and _OF_CARDS.match(text[total.end :]):
        return count.value * each.value
    return None


RELATIONS = frozenset(
    {
        "stated factors",
        "replicas left",
        "replicas lost",
        "GPUs left",
        "GPUs lost",
        "layers of a kind",
        "share left",
        "share after a failure",
        "ratio",
        "share of each",
        "divisibility",
    }
)
"""Quantities that a sentence gives by a relation: that another quantity happens to have the figure does not make it right."""


def without_other_factors(sentence: Sentence, said: list[Claim]) -> list[Claim]:
    """The claims of a sentence without confirmations of what its own factors or its relation to something else contradict."""
    wrong = {one.stated for one in said if one.verdict == "refuted" and one.parsed and one.parsed.quantity in RELATIONS}
    if ALL_LOST.search(sentence.text):
        wrong |= {"both", "beide", "beider", "deux", "les deux"}  # that there are two does not make it right
    right = {
        one.stated for one in said if one.verdict == "confirmed" and one.parsed and one.parsed.quantity in RELATIONS
    }
    kept = [one for one in said if not (one.verdict == "confirmed" and one.stated in wrong)]
    kept = [one for one in kept if not (one.verdict == "refuted" and one.stated in right and one.stated)]
    return [one for one in kept if not _of_a_group(sentence, one)]


def _of_a_group(sentence: Sentence, claim: Claim) -> bool:
    """Whether a number of GPUs is that of a group which shares experts, and no size of the whole strategy."""
    if claim.parsed is None or claim.parsed.quantity not in ("gpus", "GPUs") or claim.parsed.value is None:
        return False
    sizes = {mention.as_dict.get("ep") for _, _, mention in sentence.strategies}
    return claim.parsed.value in sizes and bool(_EXPERTS.search(sentence.text))


_EXPERTS = re.compile(r"\b(?:experts?|Experten)\b", re.IGNORECASE)


def judge_all_lost(sentence: Sentence, own: Situation) -> Iterator[Claim]:
    """``keeps running with both nodes lost``: nothing runs where all that there is has failed."""
    lost = ALL_LOST.search(sentence.text)
    if lost is None or not own.own_hardware or sentence.has("negation") or sentence.has("hypothetical"):
        return
    if own.problem.hardware.nodes == 2 and not _NOTHING.search(sentence.text) and _RUNS.search(sentence.text):
        reason = "There are 2 nodes: with both of them lost nothing runs."
        yield subject_claim(sentence, "refuted", reason, "service", "nodes left", "=", "0", lost.group().split()[0])


ALL_LOST = re.compile(
    r"\b(?:both|beide|les deux)\s(?:nodes|servers|machines|hosts|Knoten|Server|Rechner|nœuds|serveurs|machines)\s(?:\w+\s)?"
    r"(?:lost|down|gone|dead|failing|offline|out|fail|ausfallen|ausgefallen|verloren|weg|perdus|perdues|en panne|hors service)\b"
    r"|\b(?:loss|failure|outage|Ausfall|Verlust|perte|panne)\s(?:of\s|von\s|des\s)?(?:both|beider|deux)\s"
    r"(?:nodes|servers|machines|hosts|Knoten|Server|Rechner|nœuds|serveurs|machines)\b",
    re.IGNORECASE,
)
_NOTHING = re.compile(
    r"\b(?:nothing|nobody|no \w+|neither|cannot|nichts|niemand|weder|kein\w*|rien|personne|aucune?"
    r"|backup|standby|(?:other|second|another) (?:site|region)|Ausweich\w*|Ersatz\w*|secours)\b",
    re.IGNORECASE,
)
_RUNS = re.compile(
    r"\b(?:keeps? (?:running|going|serving|working)|goes on|carries on|continues?|survives?|still (?:runs|works|serves|answers)|runs on"
    r"|(?:läuft|arbeitet)\b[^.;]{0,60}\bweiter|weiterläuft|übersteht|überlebt|continue|survit|fonctionne (?:encore|toujours)"
    r"|tourne (?:encore|toujours))\b",
    re.IGNORECASE,
)
