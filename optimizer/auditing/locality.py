"""Judges where traffic goes and what stands idle: ``a replica spans both machines``, ``the second server stays idle``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from optimizer.auditing.claims import subject_claim, verdict_of
from optimizer.auditing.context import Context
from optimizer.auditing.facts import Degrees, Situation
from optimizer.auditing.sentences import Sentence
from optimizer.results.audit import Claim

_CROSSES = re.compile(
    r"\b(?:cross(?:es|ing)?|spans?|spanning|stretch(?:es)?|goes over|go over|runs? (?:over|across)|travels? (?:over|across)|leaves?|uses?"
    r"|loads?|überquer\w*|überspann\w*|verlässt|verlassen|läuft über|laufen über|geht über|gehen über|erstreck\w*|verteilt sich auf"
    r"|(?:sends?|moves?|pushes|push|ships?|carries|schickt|sendet|schicken|senden|envoie\w*)\b[^.;]{0,40}\b(?:across|over|through"
    r"|über|par|via|à travers)"
    r"|traverse\w*|s'étend|passe(?:nt)? par|quitte\w*|emprunte\w*)\b",
    re.IGNORECASE,
)
_BETWEEN = re.compile(
    r"\b(?:network|node boundar\w+|(?:both|two|several|different) (?:machines|nodes|servers|boxes|hosts)|between (?:the )?(?:machines"
    r"|nodes|servers|boxes|hosts)|inter-?node|InfiniBand|Ethernet|RoCE|(?:across|over) (?:machines|nodes|servers|boxes|hosts)"
    r"|Netz(?:werk)?|Knotengrenzen?|(?:beide|zwei|mehrere) (?:Rechner|Knoten|Server|Maschinen)|zwischen (?:den )?(?:Rechnern"
    r"|Knoten|Servern)"
    r"|réseau|(?:les )?deux (?:machines|nœuds|serveurs)|entre (?:les )?(?:machines|nœuds|serveurs))\b",
    re.IGNORECASE,
)
_INSIDE = re.compile(
    r"\b(?:stays?|remains?|kept|keeps?|lies?|bleib\w+|reste\w*|liegt|liegen)\b.{0,40}?\b(?:inside|within|in|on|innerhalb|im|in|auf"
    r"|à l'intérieur|dans|au sein)\b.{0,12}?\b(?:one|a|single|the same|each|ein\w*|selben|gleichen|un|une|le même|chaque)\b.{0,12}?"
    r"\b(?:node|machine|server|box|host|Knoten|Rechner|Maschine|Server|nœud|serveur)\b",
    re.IGNORECASE,
)
_TENSOR = re.compile(
    r"\b(?:TP[- ]?(?:group|Gruppe|traffic|Verkehr)|groupe TP|tensor[- ]parallel\w*|tensor parallelism|Tensorparallel\w*"
    r"|parallélisme tensoriel|all-?reduces?)\b",
    re.IGNORECASE,
)
_REPLICA = re.compile(
    r"\b(?:a|an|one|each|every|no|any|single|the|ein\w*|jede\w*|kein\w*|une?|chaque|aucune?|la)\s(?:\w+\s)?"
    r"(?:replica|instance|engine|copy|Replikat|Replik|Instanz|réplique)\b",
    re.IGNORECASE,
)
_IDLE = re.compile(
    r"\b(?:nicht (?:gebraucht|benötigt|genutzt|verwendet|belegt)|not (?:needed|used|in use)|idle|unused|unassigned|unallocated"
    r"|to spare|spare|free|in reserve|left over|leer|unbelegt|übrig|ungenutzt|frei"
    r"|in Reserve|brach|arbeitslos|inactive?s?|inoccupée?s?|ne servent pas|inutilisée?s?|non (?:utilisée?s?|attribuée?s?)|libres?"
    r"|en réserve)\b",
    re.IGNORECASE,
)
_NODE_IDLE = re.compile(
    r"\b(?:(?:the )?(?:second|third|last|other)|(?:der|die) (?:zweite|dritte|letzte|andere)|(?:le|la) (?:second|seconde|deuxième|troisième"
    r"|dernière?|autre)|(?:a|one) whole|an entire|ein ganzer)\s(?:node|machine|server|box|host|Knoten|Rechner|Maschine|Server"
    r"|nœud|serveur)\b",
    re.IGNORECASE,
)
_CARDS_IDLE = re.compile(
    r"\b(?P<count>no|none|all|one|two|three|four|five|six|eight|kein\w*|alle|ein\w*|zwei|drei|vier|acht|aucune?|une?|deux|trois|quatre|huit"
    r"|\d{1,4})\s(?:of the |der |des |more |other |further |weitere |autres )?(?:\w+\s)?(?:GPUs?|cards?|accelerators?|Karten?|cartes?)\b",
    re.IGNORECASE,
)
_NUMBER = {
    "no": 0, "none": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "eight": 8, "zwei": 2, "drei": 3, "vier": 4,
    "acht": 8, "deux": 2, "trois": 3, "quatre": 4, "huit": 8, "un": 1, "une": 1, "aucun": 0, "aucune": 0,
}  # fmt: skip
_DOUBT = re.compile(
    r"\b(?:at night|when|while|wait\w*|during|if|most of|time|load|off-peak|nachts|wenn|während|quand|pendant|si|fails?|failure"
    r"|fällt|ausfall"
    r"|could|would|might|könnte|würde|pourrait|prefill|decode|training|other than|except|only|nur|seulement|maintenance|queue)\b",
    re.IGNORECASE,
)


def judge_locality(sentence: Sentence, context: Context, own: Situation) -> Iterator[Claim]:
    """Claims about crossing nodes and about idle GPUs or nodes of the strategy that the sentence means."""
    degrees = _degrees(sentence, own)
    if degrees is None or not own.own_hardware or sentence.has("past") or sentence.statement.kind != "text":
        return
    yield from _exchanged(sentence, degrees)
    yield from _crossing(sentence, own, degrees)
    yield from _idle(sentence, own, degrees)


def _degrees(sentence: Sentence, own: Situation) -> Degrees | None:
    """The report's own strategy, changed by the degrees that the sentence names."""
    if own.degrees is None or len(sentence.strategies) > 1:
        return None
    named = sentence.strategies[0][2].as_dict if sentence.strategies else {}
    if set(named) - {"tp", "pp", "dp", "ep"}:
        return None
    base = own.degrees
    return Degrees(
        named.get("tp", base.tp), named.get("pp", base.pp), named.get("dp", base.dp), named.get("ep", base.ep)
    )


_COPIES = (
    r"(?:replicas|instances|copies|engines|pairs|Replikate|Repliken|Instanzen|Kopien|Paare|répliques|instances|paires)"
)
_EXCHANGED = re.compile(
    rf"\b(?:the|both|our|all|its|die|beiden?|unsere|alle|les|nos|toutes les)\s(?:\w+\s)?{_COPIES}\b[^.;:]{{0,30}}?"
    r"\b(?:swap|exchange|trade|pass|send|share|synchroni[sz]e|all-?reduce|tauschen|schicken|teilen|synchronisieren|échangent|s'échangent"
    r"|partagent|synchronisent)\b[^.;:]{0,30}?"
    r"\b(?:activations?|hidden states?|partial (?:sums|results)|Aktivierungen|Zwischenergebnisse|Teilsummen|activations"
    r"|états cachés)\b",
    re.IGNORECASE,
)
_INSIDE_ONE = re.compile(
    r"\b(?:(?:each|every|jede\w*|chaque)\b(?!\s(?:\w+\s)?(?:layer|block|step|token|Schicht|Schritt|Token|couche|pas|étape|jeton)\b)"
    r"|inside|within|internally|their (?:own )?(?:GPUs|cards|ranks)|innerhalb|intern|au sein"
    r"|en interne)\b",
    re.IGNORECASE,
)


def _exchanged(sentence: Sentence, degrees: Degrees) -> Iterator[Claim]:
    """``the two replicas exchange activations``: replicas are whole models; only experts may be spread over several."""
    found = _EXCHANGED.search(sentence.text)
    if not found or degrees.dp < 2 or degrees.ep > degrees.tp or _INSIDE_ONE.search(sentence.text):
        return
    denied = sentence.has("negation")
    reason = f"The {degrees.dp} replicas of {degrees.label} are whole models of their own and exchange nothing for a request."
    yield _claim(sentence, denied, reason, degrees.label, "exchange between replicas", "has not" if denied else "has")


def _crossing(sentence: Sentence, own: Situation, degrees: Degrees) -> Iterator[Claim]:
    text, hardware = sentence.text, own.problem.hardware
    if re.search(r"\b(?:if|could|might|wenn|könnte|si|pourrait)\b", text, re.IGNORECASE):
        return
    crossing = _CROSSES.search(text) if _BETWEEN.search(text) else None
    inside = _INSIDE.search(text)
    tensor, replica = _TENSOR.search(text), _REPLICA.search(text)
    if (
        bool(crossing) == bool(inside)
        or bool(tensor) == bool(replica)
        or any(m.dimension == "%" for m in sentence.measures)
    ):
        return
    gpus = degrees.tp if tensor else degrees.tp * degrees.pp
    crosses = gpus > hardware.gpus_per_node
    found = crossing or inside
    assert found is not None  # one of them is
    says = bool(crossing) != sentence.has("negation", *_between_commas(text, found))
    what = f"A {'TP group' if tensor else 'replica'} of {degrees.label} takes {gpus} GPUs, and a node has {hardware.gpus_per_node}"
    yield _claim(
        sentence, crosses == says, f"{what}: it {'spans nodes' if crosses else 'stays inside one'}.", degrees.label,
        "GPUs of a TP group" if tensor else "GPUs of a replica", ">" if says else "≤",
    )  # fmt: skip


def _between_commas(text: str, found: re.Match[str]) -> tuple[int, int]:
    """The part of a sentence around what is said, so that "never" in another part denies nothing here."""
    ends = [comma.start() for comma in re.finditer(r"[,;]\s", text)]
    start = max((end for end in ends if end <= found.start()), default=0)
    return start, min((end for end in ends if end >= found.end()), default=len(text))


_THERE_ARE = re.compile(
    r"\b(?:of|von|der|des|sur)\s(?:the\s|den\s|les\s|its\s)?\d+\s(?:free|freien|libres?)\b"
    r"|^\W*(?:free|freie|GPU libres)\s?(?:GPUs?|cards?|Karten)?\s?(?:of|there|von|:)",
    re.IGNORECASE,
)
"""``32 of 48 free GPUs``, ``Free GPUs of h100: 16``: those that may be used, and none that stay idle."""
_UNUSED = re.compile(
    r"\b(?:nicht|not|ne)\s(?:gebraucht|benötigt|genutzt|verwendet|belegt|needed|used|in use|servent pas)\b",
    re.IGNORECASE,
)
_REASON = re.compile(r"\b(?:since|because|as|da|weil|car|puisque|parce que)\s", re.IGNORECASE)


def _until_idle(text: str) -> str:
    """The sentence up to the end of the clause of what is idle; that clause alone, where it gives a reason."""
    idle = _IDLE.search(text)
    assert idle is not None
    end = re.search(r"[,;]", text[idle.end() :])
    text = text[: idle.end() + end.start()] if end else text
    clause = re.split(r"[,;]\s", text)[-1]
    return clause if _REASON.match(clause) else text


def _idle(sentence: Sentence, own: Situation, degrees: Degrees) -> Iterator[Claim]:
    text, hardware = sentence.text, own.problem.hardware
    if (
        not _IDLE.search(text)
        or _DOUBT.search(_until_idle(text))
        or any(m.dimension for m in sentence.measures)
        or sentence.strategies
    ):
        return
    if _THERE_ARE.search(text):
        return
    idle = hardware.gpus - degrees.gpus
    node, cards = _NODE_IDLE.search(text), _CARDS_IDLE.search(text)
    how = f"{degrees.label} uses {degrees.gpus} of {hardware.gpus} GPUs"
    if node and not sentence.has("negation"):
        yield _claim(sentence, idle >= hardware.gpus_per_node, f"{how}.", degrees.label, "idle GPUs", "≥")
    elif cards and not node and len(_CARDS_IDLE.findall(text)) == 1:
        word = cards["count"].lower()
        number = int(word) if word.isdigit() else 0 if word.startswith("kein") else _NUMBER.get(word)
        if number is None or (number and sentence.has("negation") and not _UNUSED.search(text)):
            return
        yield _claim(
            sentence,
            idle == number,
            f"{how}, so {idle} {'is' if idle == 1 else 'are'} idle.",
            degrees.label,
            "idle GPUs",
            "=",
        )


def _claim(sentence: Sentence, right: bool, reason: str, subject: str, quantity: str, relation: str) -> Claim:
    return subject_claim(sentence, verdict_of(right), reason, subject, quantity, relation)
