"""Whether a figure that no reading explains may be called wrong: never where something else may be meant."""

from __future__ import annotations

import re

from optimizer.auditing.candidates import BY_UNIT, FAIR, INHERITED, STRONG, FigureReading
from optimizer.auditing.context import OTHER_NETWORK
from optimizer.auditing.coverage import CARRIES
from optimizer.auditing.implied_units import speaks_of_money
from optimizer.auditing.ledger import Reading
from optimizer.auditing.lexicon import Quantity, Term
from optimizer.auditing.measures import Measure
from optimizer.auditing.scopes import Scope, scope_of
from optimizer.auditing.sentences import Sentence
from optimizer.auditing.situations import About


def is_money(sentence: Sentence, quantity: Quantity) -> bool:
    """Whether a figure "an hour" is certainly one of money, by its sentence or the headings above it."""
    return quantity.unit not in ("money/h", "money/request") or speaks_of_money(
        f"{sentence.statement.section} / {sentence.statement.text}"
    )


def parts_known(rivals: list[Measure], meant: About) -> bool:
    """Whether the sizes beside what is left are the memory and the weights that it is left of."""
    known = meant.situations[0].values if meant.situations else {}
    whole = [known[name] for name in ("nominal_memory", "memory", "weights_gpu", "weights") if name in known]
    return all(any(one.says(value, 0.03) for value in whole) for one in rivals)


def depends_on_strategy(quantity: Quantity) -> bool:
    """Whether a quantity is another one under another strategy."""
    return speaks_of_strategy(" ".join(sum(quantity.values.values(), ())))


def speaks_of_strategy(formulas: str) -> bool:
    """Whether some formula has another value under another strategy."""
    return bool(_OF_STRATEGY.search(formulas))


_OF_STRATEGY = re.compile(r"\b(?:tp|pp|dp|ep|gpus_used|weights_gpu|kv_token_gpu|kv_split)\b")


def after_weights(sentence: Sentence, measure: Measure, found: list[Reading]) -> bool:
    """Whether what is left is left by the weights: cache and activations may leave far less."""
    named = re.search(r"\b(?:weights?|model|Gewicht\w*|Modell|poids|modèle)\b", sentence.text)
    return bool(named) or measure.value >= 0.5 * min(one.value for one in found)


def relation_of(sentence: Sentence, measure: Measure) -> str:
    denied = sentence.denied_bound(measure)
    if denied:
        return denied
    for term in sentence.terms:
        if term.end <= measure.start and not re.sub(
            r"\b(?:the|of|a|some|about|full|der|den|de|les)\b", "", sentence.text[term.end : measure.start]
        ).strip(" ~≈("):
            if term.id("at_least"):
                return "≥"
            if term.id("at_most"):
                return "≤"
    return "="


_CALCULATED = re.compile(r"\d\s?(?:[^\d=≈,;]*\s)?[×÷·*/+−]\s?\(?\d[^=≈]*[=≈]\s*$")


def is_result(sentence: Sentence, measure: Measure, term: Term | None) -> bool:
    """Whether a figure is computed from what its name is of, or counts operations instead of their rate.

    ``32 query heads / 8 KV heads = 4``: the names are those of the operands.
    """
    if measure.dimension == "FLOP/s" and measure.text.endswith("FLOP"):
        return True
    calculated = _CALCULATED.search(sentence.text[: measure.start])
    return calculated is not None and (term is None or term.start < measure.start)


FEW = 13
"""Number words below this count some of what there is, and are not how many layers a model has."""


def refutable(
    sentence: Sentence, measure: Measure, span: tuple[int, int], candidate: FigureReading, meant: About, scope: Scope,
    found: list[Reading], relation: str,
) -> bool:  # fmt: skip
    quantity, term = candidate.quantity, candidate.term
    if quantity.unit in ("requests/s", "tokens/s") and CARRIES.search(sentence.text):
        return False  # what is carried, and not what arrives
    if quantity.id in ("layers", "blocks") and measure.word and measure.value < FEW:
        return False  # "ten layers see the whole context": some of them
    if (
        not is_money(sentence, quantity)
        or (quantity.id in BY_UNIT and term is None)
        or (quantity.by_title and quantity.weak)
    ):
        return False
    if quantity.id == "request_rate" and re.search(r"hour|day|minute|Stunde|Tag|heure|jour", measure.unit):
        return bool(
            not scope.ids
            and re.search(
                r"→|->|=|\b(?:that is|that makes|i\.e\.|hence|das sind|soit|cela fait)\b", sentence.text, re.IGNORECASE
            )
        )
    if quantity.unit in ("requests/s", "tokens/s") and POSSIBLE.search(sentence.text):
        return False
    others_stated = [m for m in sentence.measures if m is not measure and m.dimension in ("bytes", "%")]
    if quantity.id == "memory_left" and not parts_known(others_stated, meant):
        return False  # left of a share of the memory, beside what else is there
    if candidate.strength == INHERITED:
        if quantity.weak or not (scope.ids or (scope.total and "total" in quantity.values)) or scope.loose:
            return False
    elif candidate.strength < STRONG and not (candidate.strength == FAIR and quantity.unit and not quantity.weak):
        return False
    beyond = (
        quantity.id == "gpu_memory"
        and scope.ids == {"gpu"}
        and measure.value > BEYOND * max(one.high or one.value for one in found)
    )
    if quantity.weak and not (candidate.strength == STRONG and scope.ids and not scope.loose):
        return False
    if (
        quantity.possessed
        and not beyond
        and not POSSESSION.search(sentence.text[span[0] : measure.start + 1])
        and not _OF_DEVICE.search(sentence.text[: measure.start])
        and not (
            _LABEL_OF_MEMORY.fullmatch(sentence.text[: measure.start]) and _MACHINES.search(sentence.statement.section)
        )
    ):
        return False
    if quantity.loose and not definite(sentence, measure, span, candidate):
        return False
    if quantity.only_with and not (scope.ids & set(quantity.only_with) or found[0].condition):
        return False
    if quantity.counted and (measure.high > measure.value or not float(measure.value).is_integer()) and not scope.ids:
        return False
    if not sentence.firm:
        return False
    if quantity.unit == "" and measure.unit and measure.value < 1e3 and not quantity.near:
        return False
    if OTHER_NETWORK.search(sentence.text):
        return False
    if re.search(r"\b(?:of|der|des|sur|von)\s+(?:the\s|its\s|les\s|den\s)?$", sentence.text[: measure.start]) and any(
        0 < measure.start - m.end <= 14 for m in sentence.measures
    ):
        return False
    if re.match(
        r"\s+(?:of|von|der|des|sur|out of)\s+(?:its\s|the\s|their\s|den\s|les\s|ses\s)?\d", sentence.text[measure.end :]
    ) and not (scope.ids and found[0].scope):
        return False
    if term is not None and coordinated(sentence, term, measure):
        return False
    if sentence.has("past") or sentence.denies(measure):
        return False
    if quantity.id == "memory_left" and not after_weights(sentence, measure, found):
        return False
    own_fact = bool(sentence.gpus or sentence.models) and not depends_on_strategy(quantity) and not quantity.loose
    if sentence.has("hypothetical") and not (
        own_fact or (meant.named_strategy and not quantity.loose and not quantity.rest)
    ):
        return False
    if not measure.word and measure.value == 1 and quantity.unit == "":
        return False
    if measure.word and measure.value == 1:
        return False
    others = [
        t
        for t in sentence.terms_in(*span, "other")
        if (term is None or not (term.start <= t.start and t.end <= term.end))
        and not (quantity.counted and "memory_left" in t.ids("quantity"))
    ]
    if others and not quantity.rest:
        return False
    if re.search(r"(?:^|[^\w])(?:=|≈)\s*$", sentence.text[: measure.start]) and re.search(
        r"[=≈]\s*[^=≈\d]*\d", sentence.text[measure.end :]
    ):
        return False
    return not (relation != "=" and quantity.loose)


POSSIBLE = re.compile(
    r"\b(?:max|maximum|maximal\w*|peak|within (?:the |all )?limits?|capacity|highest|largest"
    r"|sustain\w*|manages?|could|can|at most|still|room|headroom"
    r"|höchst\w*|kann|könn\w*|schafft|verkraftet|trägt noch|pourrai\w*|peut|supporte\w*|encore)\b",
    re.IGNORECASE,
)
"""Beside a rate: it is what could be served, and no demand."""

_OF_DEVICE = re.compile(
    r"^\W*(?:HBM\w*|VRAM|GDDR\w*|graphics memory|Grafikspeicher|GPU memory capacity)\b[^:|\d]*[:|]\s*$", re.IGNORECASE
)
"""A label of device memory, which nobody uses for what is in it."""

_LABEL_OF_MEMORY = re.compile(
    r"\W*(?:memory|GPU memory|Speicher|GPU-Speicher|mémoire|mémoire GPU)\s(?:per|je|pro|par|of a|of each)\s(?:GPU|card|Karte"
    r"|carte)\s?[:|]\s?",
    re.IGNORECASE,
)

BEYOND = 1.1
"""Times a GPU's memory: nothing on it takes so much."""
_MACHINES = re.compile(
    r"\b(?:hardware|matériel|Ausstattung|machines?|servers?|serveurs?|GPUs?|infrastructure|Maschinen?|inventory)\b",
    re.IGNORECASE,
)
"""Headings of what there is, below which "memory per GPU" is a GPU's own."""

POSSESSION = re.compile(
    r"\b(?:has|have|had|having|offers?|provides?|gives?|give us|bring\w*|with|comes? with|features?|equipped|carr(?:y|ies)|capacity|hat"
    r"|haben|bietet|bieten|mit|verfügt|verfügen|besitzt|besitzen|stehen|steht|zur Verfügung|available|altogether|play with"
    r"|possède\w*|dispose\w*|offre\w*|avec|dotée?s?|embarque\w*|ont|capacité|(?:GPUs|cards|Karten|cartes) (?:of|zu je|à|de))\b[^,;]*$",
    re.IGNORECASE,
)

_TOTALS = re.compile(
    r"\b(?:there are|we have|we run|we use|total|in total|altogether|consists? of|available|number of|besteht"
    r"|bestehen|insgesamt|zusammen|verfügen|au total|en tout|dispose|comprend|hat|haben|uses? all|cluster of"
    r"|fleet of|installed)\b",
    re.IGNORECASE,
)

_COUNTED_PER: dict[str, tuple[set[str], ...]] = {"gpus": ({"replica"}, {"node"}), "replicas": ({"node"},)}
"""What parts are counted per, so that "each replica takes two cards" speaks of the whole of them."""

_TAKEN = re.compile(
    r"(?<=serveur )a\b|(?<=nœud )a\b|\b(?:carr(?:y|ies)|uses?|split|spread|sharded|sit|sits|stecken"
    r"|accommodates?|accueille|abrite|héberge|beherbergt|trägt|takes?|needs?|occup(?:y|ies)|spans?|consists? of|gets?"
    r"|comes? with|has|have|houses?|holds?|belegt|braucht|benötigt|besteht"
    r"|umfasst|bekommt|kommen|laufen|stehen|runs?|hosts?|serves?|fit|tournent|hat|enthält|occupe|nécessite|comprend|compte|contient|utilise|demande)\b",
    re.IGNORECASE,
)


def coordinated(sentence: Sentence, term: Term, measure: Measure) -> bool:
    """Whether a name is one of several that a figure is of together: ``input and output together are 2,900 tokens``."""
    if term.end > measure.start or not re.search(
        r"\b(?:together|combined|sum|total|zusammen|ensemble|insgesamt)\b", sentence.text, re.IGNORECASE
    ):
        return False
    if re.match(r"s?\s*(?:and|plus|und|et|\+|&)\s", sentence.text[term.end :]):
        return True
    return bool(
        re.search(
            r"(?:\band|\bplus|\bund|\bet|\+|&)\s+(?:the\s|its\s|die\s|der\s|la\s|le\s)?$", sentence.text[: term.start]
        )
    )


def definite(sentence: Sentence, measure: Measure, span: tuple[int, int], candidate: FigureReading) -> bool:
    """Whether a count of GPUs, nodes or replicas is of all of them: ``GPUs: 8``, ``8 GPUs in total``."""
    term, text = candidate.term, sentence.text
    if term is None:
        return False
    scope = scope_of(sentence, measure, span)
    if scope.ids and not scope.loose and scope.ids == {candidate.quantity.id.removesuffix("s")}:
        return False
    if (
        scope.ids in _COUNTED_PER.get(candidate.quantity.id, ())
        and not scope.loose
        and _TAKEN.search(text[span[0] : span[1]])
    ):
        return True
    if re.search(
        r"\b(?:each|every|per|of (?:the|its|our)|one of|je|pro|jede[rsnm]?|chaque|par|sur)\b",
        text[span[0] : span[1]],
        re.IGNORECASE,
    ):
        return False
    if term.end <= measure.start:
        before = text[: term.start]
        label = re.fullmatch(
            r"[\s*\-•]*(?:(?:total|number of|all|available|gesamt|anzahl(?: der)?|nombre (?:total )?de|count of)\s)*",
            before,
            re.IGNORECASE,
        )
        return bool(
            label
            and re.fullmatch(
                r"\s*(?:,?\s?all|count|total|in total|overall|altogether|in all|together|insgesamt|gesamt|zusammen|au total"
                r"|en tout|available|required|needed|used"
                r"|in use)?\s*(?:[:=|]\s*|(?<=\s))",
                text[term.end : measure.start],
                re.IGNORECASE,
            )
        )
    alone = re.fullmatch(r"\W*(?:[A-Z]\s*:\s*)?", text[: measure.start]) and re.match(
        r"\w*\s*(?:[,.;]|$)", text[term.end :]
    )
    return bool(alone or _TOTALS.search(text[span[0] : span[1]]))
