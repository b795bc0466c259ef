"""What a figure of a sentence may be of: the quantities named beside it, or told by its unit, and how firmly each is tied to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from optimizer.auditing.context import Context
from optimizer.auditing.gaps import LETTERS, counts_other, noun_behind, stripped_gap, unknown_in
from optimizer.auditing.lexicon import Lexicon, Quantity, Term
from optimizer.auditing.measures import Measure
from optimizer.auditing.scopes import Scope
from optimizer.auditing.sentences import Sentence
from optimizer.auditing.situations import About

STRONG, INHERITED, FAIR, WEAK = 4, 3, 2, 1
"""How firmly a name is tied to a figure; INHERITED: named earlier in the sentence, and nothing new is named since."""


@dataclass(frozen=True, slots=True)
class FigureReading:
    """A quantity that a figure may be of, and how firmly it is tied to it."""

    quantity: Quantity
    strength: int
    term: Term | None


_COMES_WITH = re.compile(
    r"\b(?:comes? with|has|have|offers?|carr(?:y|ies)|provides?|gives? us|brings?(?: us)?|hat|haben|bietet|besitzt|verfügt über"
    r"|possède|dispose de"
    r"|offre|a|ont)\s+(?:a |only |just )?$",
    re.IGNORECASE,
)

_OF_THE_NAMED = re.compile(
    r"\b(?:RTX\s\w*\s?\d{4}|[ABHLTV]\d{1,4}S?|MI\d{3}X?)(?:\s(?:SXM\d?|PCIe|NVL|Ada))?s?,?\s(?:cards? |GPUs? |Karten |cartes )?"
    r"(?:\(|with |of |at |mit |zu |à |de )?(?:je )?"
    r"\d+\s?(?:GB|Go|GiB)\s(?:each|apiece|chacune?|jeweils|per card|je Karte|par carte|pro Karte)\b",
    re.IGNORECASE,
)
"""``4x RTX 5090, 24 GB apiece``: the memory of each of the named cards."""

_OUTPUT = re.compile(r"output|generated|decode|Ausgabe|sortie", re.IGNORECASE)

_SEVERAL = re.compile(
    r"\b(?:replicas|copies|both|Replikate|beide|Kopien|répliques|copies|altogether|zusammen|insgesamt|au total)\b",
    re.IGNORECASE,
)

_OUTPUT_SAID = re.compile(
    r"\b(?:answers?|replies|outputs?|out(?=\W*$)|generate[sd]?|writes?|entsteh\w*|erzeugt|Antworten|Ausgabe\w*|réponses|sorties?)\b",
    re.IGNORECASE,
)

_PROMPT_SAID = re.compile(
    r"\b(?:prompts?|inputs?|prompted|in(?=\W*$)|ingested|eingelesen|Eingabe\w*|entrées?|invites?)\b", re.IGNORECASE
)

_PROMPT = re.compile(r"prompt|input|Eingabe|entrée", re.IGNORECASE)

BY_UNIT = frozenset(
    {
        "total_memory", "gpu_memory", "peak_compute",
        "price", "price_of_tokens", "price_of_request", "weights_in_format", "cache_of_token", "cache_of_tokens", "output_rate",
        "prompt_rate", "request_rate",
    }
)  # fmt: skip
"""Quantities that a unit, a format or a "per token" tells without a name."""


_HAVE = re.compile(
    r"\b(?:have|has|makes?|gives?|there (?:is|are)|haben|stehen|verfügen|sind|disposons"
    r"|avons|dispose|font|fait)\b",
    re.IGNORECASE,
)


_OF_A_PART = re.compile(
    r"^\W*(?:so |that is |also |soit )?(?:per|each|every|je|pro|par|jedes|chaque)\s(?:replica|instance|Replikat|Instanz|réplique)\b"
    r"[^\d,;.]{0,40}$",
    re.IGNORECASE,
)
"""``per replica: 2 requests/s``: what arrives at each of them."""


def quantities_implied(
    sentence: Sentence, measure: Measure, scope: Scope, lexicon: Lexicon, context: Context, known: list[FigureReading],
    meant: About,
) -> Iterator[FigureReading]:  # fmt: skip
    """What a figure may be of that names nothing: told by its unit, or the quantity spoken of before (to confirm it only)."""
    if "peak_compute" not in lexicon.quantities:
        return
    sure: list[str] = []
    ids: list[str] = []
    named_precision = meant.named_precision
    weak = all(one.strength == WEAK for one in known)
    only_weights = all(one.quantity.id in ("weights", "parameters") for one in known)
    counted = any(
        not m.dimension and re.match(r"[\s-]*(?:tokens?|toks?|jetons?|Token)\b", sentence.text[m.end :])
        for m in sentence.measures
    )
    if measure.dimension == "FLOP/s":
        sure = ["peak_compute"]
    elif measure.dimension == "money/h":
        sure = ["price"]
    elif measure.dimension == "money/request":
        sure = ["price_of_request"]
    elif measure.dimension == "money/million":
        sure = ["price_of_tokens"]
    elif measure.dimension in ("tokens/s", "requests/s"):
        said = (bool(_OUTPUT_SAID.search(sentence.text)), bool(_PROMPT_SAID.search(sentence.text)))
        if _OUTPUT.search(measure.unit) or (measure.dimension == "tokens/s" and said == (True, False)):
            sure = ["output_rate"]
        elif _PROMPT.search(measure.unit) or (measure.dimension == "tokens/s" and said == (False, True)):
            sure = ["prompt_rate"]
        elif re.search(r"day|hour|month|tag|stunde|monat|jour|heure|mois", measure.unit, re.IGNORECASE) or (
            measure.dimension == "requests/s" and _OF_A_PART.search(sentence.text[: measure.start])
        ):
            sure = ["request_rate"]
        ids = [id for id, one in lexicon.quantities.items() if one.unit == measure.dimension]
    elif measure.dimension == "bytes":
        if "parameter" in scope.ids and measure.value <= 8:
            sure = ["bytes_per_parameter"]
        elif "token" in scope.ids and not known and not scope.loose and measure.value < 1e8:
            sure = ["cache_of_token"]
        elif counted and not known:
            sure = ["cache_of_tokens"]
        elif (named_precision and only_weights and not _SEVERAL.search(sentence.text)) or (
            not known
            and (meant.named_strategy or sentence.strategies)
            and (
                (
                    "gpu" in scope.ids
                    and (_is_a_share(measure, meant) or LEAVES_WITH.search(sentence.text[: measure.start]))
                )
                or (context.spoken_of == ["weights"] and measure.value >= 1e9)
            )
        ):
            sure = ["weights_in_format"]
        if scope.ids or named_precision:
            ids = [
                id for id in context.spoken_of if id in lexicon.quantities and lexicon.quantities[id].unit == "bytes"
            ]
            ids += ["weights"] if named_precision else []
        elif not known and context.spoken_of == ["gpu_memory"] and scope.total and _HAVE.search(sentence.text):
            sure = ["total_memory"]
        elif not known:
            ids = ["total_memory", "gpu_memory"]
    bare = measure.dimension == "bytes" and not known and not sure and (sentence.gpus or "gpu" in scope.ids)
    if bare and (
        _COMES_WITH.search(sentence.text[: measure.start]) or _OF_THE_NAMED.search(sentence.text[: measure.end + 24])
    ):
        sure = ["gpu_memory"]
    for id in (*sure, *ids):
        if all(one.quantity.id != id for one in known):
            yield FigureReading(lexicon.quantities[id], FAIR if id in sure and (only_weights or weak) else WEAK, None)


def _is_a_share(measure: Measure, meant: About) -> bool:
    """Whether a size is the weights divided by some degree: what else would it be, beside the name of a strategy?"""
    weights = meant.situations[0].values.get("weights", 0.0) if meant.situations else 0.0
    return any(measure.says(weights / degree, 0.02) for degree in (1, 2, 4, 8, 16, 32, 64))


def quantities_named(
    sentence: Sentence, measure: Measure, span: tuple[int, int], lexicon: Lexicon
) -> Iterator[FigureReading]:
    seen: set[str] = set()
    fitting = [
        t for t in sentence.terms if any(lexicon.quantities[id].unit == measure.dimension for id in t.ids("quantity"))
    ]
    fitting = [t for t in fitting if not (t.id("objects") and _PER.search(sentence.text[: t.start]))]
    inside = [t for t in fitting if span[0] <= t.start and t.end <= span[1]]
    right = next((t for t in inside if t.start >= measure.end), None)
    left = [t for t in inside if t.end <= measure.start + 1]
    ordered: list[tuple[int, Term]] = []
    noun = noun_behind(sentence, measure)
    if right is not None:
        gap = stripped_gap(sentence, measure.end, right.start, names_only=True)
        clear = not any(
            measure.end <= m.start < right.start and not re.search(r"\b(?:of|der|des|sur)\b", gap)
            for m in sentence.measures
        )
        words = len(re.findall(r"\w+", gap))
        if noun is not None and any(
            set(noun.ids("objects")) & set(lexicon.quantities[id].of) for id in right.ids("quantity")
        ):
            gap = gap[max(0, noun.end - measure.end) :]
        unknown = unknown_in(gap)
        if any(lexicon.quantities[id].counted for id in right.ids("quantity")):
            unknown += sum(word.casefold() not in _BEFORE_COUNTED for word in LETTERS.findall(gap))
        if clear and not re.search(r"[,;:(]", gap) and (not unknown or words <= 2):
            ordered.append((FAIR if words > 3 or unknown else STRONG, right))
    if left:
        last = left[-1]
        between = [
            m for m in sentence.measures
            if last.end <= m.start < measure.start and not any(
                lexicon.quantities[id].per_tokens or lexicon.quantities[id].per_gpus for id in last.ids("quantity")
            )
        ]  # fmt: skip
        gap = stripped_gap(sentence, last.end, measure.start)
        if not between:
            unknown = unknown_in(gap)
            if any(t.id("properties") for t in sentence.terms_in(last.end, measure.start)):
                unknown += 2
            if "," in gap and LETTERS.search(gap):
                unknown += 2
            verb = unknown == 1 and not re.search(r"[A-ZÄÖÜ]", gap.strip()[:1]) and not re.search(r"[,;:(]", gap)
            if measure.dimension == "" and not measure.unit and noun is None and counts_other(sentence, measure):
                unknown += 2
                verb = False
            ordered.append((STRONG if not unknown or verb else FAIR if unknown <= 1 else WEAK, last))
    for term in reversed(left):
        ordered.append((WEAK, term))
    for term in inside:
        ordered.append((WEAK, term))
    earlier = [t for t in fitting if t.end <= span[0]]
    allowed = 2 if _OF_WHICH.match(sentence.text[span[0] :]) else 0
    if earlier and not inside and unknown_in(stripped_gap(sentence, span[0], span[1])) <= allowed:
        ordered.append((INHERITED, earlier[-1]))
    for term in reversed(earlier):
        ordered.append((WEAK, term))
    if sorted(ordered[:2], key=lambda one: -one[0]) != ordered[:2]:
        ordered[:2] = sorted(ordered[:2], key=lambda one: -one[0])
    for strength, term in ordered:
        for id in term.ids("quantity"):
            quantity = lexicon.quantities[id]
            if id in seen or quantity.unit != measure.dimension:
                continue
            if measure.dimension == "" and measure.unit == "" and quantity.least > measure.value:
                continue
            if quantity.needs and not re.search(rf"\b(?:{quantity.needs})", sentence.text, re.IGNORECASE):
                continue
            if quantity.counted and _WIDTH.match(sentence.text[measure.end :]):
                continue  # "8 KV heads of 128 dimensions": no count of heads
            if measure.dimension == "%" and _COMPARED.match(sentence.text[measure.end :]):
                continue
            if (
                noun is not None
                and noun is not term
                and not (noun.start <= term.start and term.end <= noun.end)
                and not set(noun.ids("objects")) & set(quantity.of)
            ):
                continue
            if measure.word and not quantity.counted and not quantity.rest and not measure.dimension:
                continue
            if (
                quantity.counted
                and term.end <= measure.start
                and not sentence.text[term.end : measure.start].strip(" *_`")
                and not (_PLURAL.search(term.text) and not sentence.text[: term.start].strip(" *-•"))
            ):
                continue  # an index ("layer 5"); "layers 28" at the beginning of a line is a value
            seen.add(id)
            yield FigureReading(quantity, WEAK if quantity.weak and strength < STRONG else strength, term)


_WIDTH = re.compile(r"[\s-]?(?:dimensions?|dims?|dimensional|wide|channels|Dimensionen|breit)\b", re.IGNORECASE)

_OF_WHICH = re.compile(r"\W*(?:of (?:which|this|that)|davon|wovon|dont)\b", re.IGNORECASE)

LEAVES_WITH = re.compile(r"\b(?:leaves?|left|laisse\w*)\b[^.;,]*\b(?:with|mit|avec)\b[^.;,]*$", re.IGNORECASE)
"""``leaves each GPU with 35 GB``: what it gets, not what is free."""

_PLURAL = re.compile(r"(?:s|en|er|n)$")

_PER = re.compile(
    r"(?:\b(?:per|each|every|je|pro|par|chaque|jede[rsnm]?|of an?|on an?|of each|on each|eines|einer|d'une?)\s|/\s?)$",
    re.IGNORECASE,
)
"""Before a noun these make it what a figure is per, and not what is counted."""

_BEFORE_COUNTED = frozenset(
    (
        "of",
        "the",
        "its",
        "our",
        "their",
        "different",
        "distinct",
        "identical",
        "such",
        "der",
        "die",
        "das",
        "den",
        "les",
        "des",
        "de",
        "d",
    )
)

_COMPARED = re.compile(
    r"\s*(?:points?\s)?(?:faster|more|higher|above|over|larger|bigger|less|below|under|lower|smaller|slower"
    r"|mehr|weniger|schneller|de plus|de moins|plus|moins)\b",
    re.IGNORECASE,
)
