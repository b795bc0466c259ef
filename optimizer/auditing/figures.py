"""Judges figures of named quantities against the ledger: ``Each card stores 16.4 GB of weights``.

A figure belongs to the quantity that stands right behind it or is the last named before it. It is confirmed if any reading
gives it, and refuted only if it clearly belongs to a quantity and every reading of unit, "per", precision and strategy
gives another.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from optimizer.auditing.context import OTHER_NETWORK, Context
from optimizer.auditing.coverage import CAPACITY, explained, unknown_words
from optimizer.auditing.facts import Situation
from optimizer.auditing.implied_units import speaks_of_money
from optimizer.auditing.labels import claim
from optimizer.auditing.ledger import Reading, gpu_counts, readings
from optimizer.auditing.lexicon import Lexicon, Quantity, Term, afterwards, filler_words
from optimizer.auditing.measures import Measure, shown
from optimizer.auditing.scopes import Scope, scope_of
from optimizer.auditing.sentences import Sentence
from optimizer.auditing.situations import About, about
from optimizer.results.audit import Claim, Parsed

STRONG, INHERITED, FAIR, WEAK = 4, 3, 2, 1
"""How firmly a name is tied to a figure; INHERITED: named earlier in the sentence, and nothing new is named since."""
_OPERATOR_BEFORE = re.compile(r"(?:[×✕·*÷/+−^]|\b[xX]|(?<=[\d)])\s[-–]|\bminus|\bplus|\btimes|\bmal)\s*\(?$")
_OPERATOR_AFTER = re.compile(
    r"^[^\d=≈]{0,18}?(?:\)\s*)?\s?(?:[×✕*÷+^]|[xX](?=\s?\d)|(?<!\w)/(?=\s?\(?\d)|[−–-]\s\d|\bminus\b|\bplus\b|\btimes\b|\bdivided by\b)"
)
_LETTERS = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class FigureReading:
    """A quantity that a figure may be of, and how firmly it is tied to it."""

    quantity: Quantity
    strength: int
    term: Term | None


def judge_figures(sentence: Sentence, context: Context, lexicon: Lexicon, own: Situation) -> Iterator[Claim]:
    """Every figure of a sentence that names its quantity."""
    for measure in sentence.measures:
        if _is_operand(sentence.text, measure):
            continue
        said = _judge(sentence, measure, context, lexicon, own) or _derived(sentence, measure, context, own)
        if said is not None:
            yield said


def _derived(sentence: Sentence, measure: Measure, context: Context, own: Situation) -> Claim | None:
    """The same against the figures of the report that the product itself writes for the strategy."""
    titles = context.derived
    if not titles.index or not about(sentence, sentence.clause(measure.start), context, own).own:
        return None
    taken = [(m.start, m.end) for m in sentence.measures if not m.word or m.unit]
    named = titles.terms(sentence.text, taken)
    if not named:
        return None
    kept = [replace(t, meanings=tuple(m for m in t.meanings if m[0] != "quantity")) for t in sentence.terms]
    kept = [t for t in kept if t.meanings and not any(t.start < n.end and n.start < t.end for n in named)]
    terms = tuple(sorted([*kept, *named], key=lambda term: term.start))
    return _judge(replace(sentence, terms=terms), measure, context, titles, own)


def _is_operand(text: str, measure: Measure) -> bool:
    return bool(_OPERATOR_BEFORE.search(text[: measure.start]) or _OPERATOR_AFTER.match(text[measure.end :]))


def _judge(sentence: Sentence, measure: Measure, context: Context, lexicon: Lexicon, own: Situation) -> Claim | None:
    if not measure.dimension and any(
        m.dimension
        and re.fullmatch(
            r"\s+(?:out )?(?:of|von|der|sur|des)\s+(?:the |its |den |les )?", sentence.text[measure.end : m.start]
        )
        for m in sentence.measures
        if m.start > measure.end
    ):
        return None  # "656 of the 671 GB": its unit stands behind the other
    if measure.dimension == "bytes" and (
        _OF_CARD.search(sentence.text[: measure.start])
        or (
            sentence.has("fits")
            and any(
                re.fullmatch(r"s?\s(?:with|mit|de|of|à|zu)\s", sentence.text[g.end : measure.start])
                for g in sentence.gpus
            )
        )
    ):
        return None  # "four cards of 80 GB": what they are, whatever is said of them
    span = sentence.clause(measure.start)
    candidates = list(_candidates(sentence, measure, span, lexicon))
    relative = [
        g for g in sentence.gpus if g.end <= measure.start and _WHICH.fullmatch(sentence.text[g.end : measure.start])
    ]
    meant = about(replace(sentence, gpus=tuple(relative[-1:])) if relative else sentence, span, context, own)
    if not meant.situations:
        return None
    scope = scope_of(sentence, measure, span)
    if _LEAVES_WITH.search(sentence.text[: measure.start]):
        candidates = [one for one in candidates if one.quantity.id != "memory_left"]
    left = [one for one in candidates if one.quantity.id == "memory_left" and one.strength >= FAIR]
    candidates = left or candidates
    if candidates and candidates[0].strength == INHERITED and scope.ids:
        before = scope_of(sentence, sentence.measures[0], sentence.clause(sentence.measures[0].start))
        if scope.ids == {"gpu"}:
            scope = Scope(scope.ids | (before.ids & {"token", "sequence", "request"}), scope.total, scope.loose)
    candidates += _implied(sentence, measure, scope, lexicon, context, candidates, meant)
    if (
        measure.dimension == "bytes/s"
        and "gpu_rate" in lexicon.quantities
        and not candidates
        and _on_gpu(sentence, span)
        and _MOVES.search(sentence.text)
    ):
        candidates.append(FigureReading(lexicon.quantities["gpu_rate"], STRONG, None))
    refuted: Claim | None = None
    unexplained: tuple[FigureReading, list[Reading]] | None = None
    may_fall_back = True
    for candidate in candidates:
        quantity = candidate.quantity
        if quantity.id == "kv_cache" and candidate.term is not None and candidate.term.text.casefold() in _SEQUENCES:
            scope = replace(scope, ids=scope.ids | {"sequence"}) if scope.ids == {"gpu"} else scope
        if quantity.unit == "money/h" and not _PER_GPU.match(sentence.text[measure.end :]):
            scope = replace(scope, ids=scope.ids - {"gpu"})
        found = [
            reading
            for situation in meant.situations
            for reading in readings(quantity, situation, scope, sentence, measure, context)
        ]
        if not found:
            if candidate.strength == STRONG:
                return None
            continue
        if quantity.loose and not scope.ids and _definite(sentence, measure, span, candidate):
            found = [one for one in found if not one.scope] or found
        relation = _relation(sentence, measure)
        bounded = relation == "≤"
        if quantity.limit and bounded:
            relation = "="
        if (
            relation == "≤"
            and "gpu" not in scope.ids
            and not sentence.gpus
            and not any(t.id("objects") == "gpu" for t in sentence.terms)
        ):
            found = [one for one in found if "gpu" not in one.scope] or found
        inside = [one for one in found if one.vague and _holds(measure, one, quantity, relation)]
        found = [one for one in found if not one.vague]
        right = [one for one in found if _holds(measure, one, quantity, relation)]
        if inside and not right:
            continue
        if right and measure.value >= quantity.least:
            context.spoken_of = [] if quantity.by_title else [quantity.id]
            if relation != "=" and not any(_holds(measure, one, quantity, "=") for one in found):
                if candidate.strength > WEAK or unexplained is None or unexplained[0].strength == WEAK:
                    unexplained = None
                    may_fall_back = False
                continue
            return _say(sentence, measure, quantity, right[0], scope, relation, "confirmed")
        if (
            quantity.weak_unless_bound
            and not (bounded or _ADMITS.search(sentence.text))
            and candidate.term is not None
            and candidate.term.text.casefold() in _ADVERBS
        ):
            continue
        by_unit = candidate.quantity.id in _BY_UNIT and candidate.term is None and candidate.strength >= FAIR
        if found and (unexplained is None or candidate.strength > unexplained[0].strength or by_unit):
            unexplained = (candidate, found)
        if refuted is None and _refutable(sentence, measure, span, candidate, meant, scope, found, relation):
            refuted = _say(sentence, measure, quantity, found[0], scope, relation, "refuted")
        last = (
            candidates.index(candidate) + 1 == len(candidates)
            or candidates[candidates.index(candidate) + 1].term is not candidate.term
        )
        if candidate.strength == STRONG and not quantity.weak and last:
            break
    if refuted is None and may_fall_back and unexplained is not None:
        candidate, found = unexplained
        if _understood(sentence, measure, candidate, meant, scope, found):
            refuted = _say(sentence, measure, candidate.quantity, found[0], scope, relation, "refuted")
    return refuted


def _of_money(sentence: Sentence, quantity: Quantity) -> bool:
    """Whether a figure "an hour" is certainly one of money, by its sentence or the headings above it."""
    return quantity.unit != "money/h" or speaks_of_money(f"{sentence.statement.section} / {sentence.statement.text}")


def _understood(
    sentence: Sentence, measure: Measure, candidate: FigureReading, meant: About, scope: Scope, found: list[Reading]
) -> bool:
    """Whether a figure that no reading explains stands in a sentence of which every word is known."""
    quantity, term, text = candidate.quantity, candidate.term, sentence.text
    rivals = [m for m in sentence.measures if m is not measure and m.dimension == measure.dimension]
    if term is None:
        if quantity.id not in _BY_UNIT or candidate.strength < FAIR or measure.value < quantity.least:
            return False
        if quantity.unit == "bytes" and re.search(r"[×÷]|\d\s?[x*]\s?\d", text):
            return False  # a line of arithmetic: its result is of whatever it computes
        if rivals and quantity.id not in ("price", "request_rate", "weights_in_format"):
            return False
    else:
        gap = text[min(term.end, measure.end) : max(term.start, measure.start)]
        if (quantity.id != "price" and re.search(r"[,;]" if measure.dimension == "%" else r"[,;()]", gap)) or (
            quantity.id != "price" and any(abs(m.start - term.start) < abs(measure.start - term.start) for m in rivals)
        ):
            return False
    if not sentence.firm or quantity.by_title or quantity.id in _UNSURE or not _of_money(sentence, quantity):
        return False
    if _relation(sentence, measure) == "=" and re.search(
        r"\b(?:of|der|des|sur|von|de|above|over|below|than|als|que)\s+(?:the\s|its\s|les\s|den\s|its\s|ihrer\s|ses\s)?$",
        text[: measure.start],
    ):
        return False
    if sentence.has("past") or sentence.denies(measure) or OTHER_NETWORK.search(text):
        return False
    if re.match(r"\s(?:GPUs?|cards?|accelerators?|devices?|nodes?|Karten?|cartes?)\b", text[measure.end :]):
        return False  # "on 80 GB cards": what kind of card
    halves = quantity.id == "weights_in_format" and bool(sentence.strategies)
    leaves = bool(_LEAVES_WITH.search(text[: measure.start]))
    span = sentence.clause(measure.start)
    inside = sentence.terms_in(*span) if text[span[0] : span[0] + 1] == "(" else sentence.terms
    others = [
        t
        for t in inside
        if t.id("other")
        and not (halves and _PART.fullmatch(t.text))
        and not (leaves and "memory_left" in t.ids("quantity"))
    ]
    if others and quantity.id != "memory_left":
        return False
    if _IF.search(text) and not meant.named_strategy and _depends(quantity):
        return False
    if measure.high > measure.value or (not measure.dimension and (measure.word or quantity.loose)):
        return False
    if quantity.unit in ("tokens/s", "requests/s") and (
        (rivals and not re.search(r"day|hour|month|tag|stunde|monat|jour|heure|mois", measure.unit, re.IGNORECASE))
        or CAPACITY.search(text)
        or any(m.dimension in ("ms", "bytes") for m in sentence.measures)
    ):
        return False
    if quantity.possessed and not (scope.total or _POSSESSION.search(text[: measure.start + 1])):
        return False
    if quantity.id == "memory_left" and (
        not _after_weights(sentence, measure, found)
        or not _parts_known(rivals, meant)
        or any(m.dimension == "%" for m in sentence.measures)
    ):
        return False
    if quantity.unit == "%" and (sentence.gpus or "gpu" in scope.ids) and list(gpu_counts(sentence, measure)):
        return False
    if quantity.only_with and not (scope.ids & set(quantity.only_with) or found[0].condition):
        return False
    if sentence.has("target") and quantity.unit in ("", "%"):
        return False
    if quantity.unit == "" and measure.unit and measure.value < 1e3 and not quantity.near:
        return False
    allowed = 1 if candidate.strength >= FAIR and sentence.language != "de" else 0
    return len(unknown_words(sentence)) <= allowed and not explained(sentence, measure)


_COMES_WITH = re.compile(
    r"\b(?:comes? with|has|have|offers?|carr(?:y|ies)|provides?|gives? us|brings?(?: us)?|hat|haben|bietet|besitzt|verfügt über"
    r"|possède|dispose de"
    r"|offre|a|ont)\s+(?:a |only |just )?$",
    re.IGNORECASE,
)
_OF_THE_NAMED = re.compile(
    r"\b(?:RTX\s\w*\s?\d{4}|[ABHLTV]\d{1,4}S?|MI\d{3}X?)(?:\s(?:SXM\d?|PCIe|NVL|Ada))?s?,?\s(?:\(|with |at |mit |zu |à |de )?(?:je )?"
    r"\d+\s?(?:GB|Go|GiB)\s(?:each|apiece|chacune?|jeweils|per card|je Karte|par carte|pro Karte)\b",
    re.IGNORECASE,
)
"""``4x RTX 5090, 24 GB apiece``: the memory of each of the named cards."""
_IF = re.compile(
    r"\b(?:if|had (?:we|it)|were (?:we|it|one)|suppose|assuming|wenn|falls|hätten?|angenommen|si|supposons)\b",
    re.IGNORECASE,
)
_OUTPUT = re.compile(r"output|generated|decode|Ausgabe|sortie", re.IGNORECASE)
_PER_GPU = re.compile(r"\s*(?:\w+\s|€\s?|\$\s?)?(?:per|a|each|je|pro|par|/)\s?(?:GPU|card|Karte|carte)", re.IGNORECASE)
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
_BY_UNIT = frozenset(
    {
        "gpu_memory", "peak_compute", "price", "price_of_tokens", "weights_in_format", "cache_of_token", "cache_of_tokens", "output_rate",
        "prompt_rate", "request_rate",
    }
)  # fmt: skip
"""Quantities that a unit, a format or a "per token" tells without a name."""


def _parts_known(rivals: list[Measure], meant: About) -> bool:
    """Whether the sizes beside what is left are the memory and the weights that it is left of."""
    known = meant.situations[0].values if meant.situations else {}
    whole = [known[name] for name in ("nominal_memory", "memory", "weights_gpu", "weights") if name in known]
    return all(any(one.says(value, 0.03) for value in whole) for one in rivals)


def _depends(quantity: Quantity) -> bool:
    """Whether a quantity is another one under another strategy."""
    return bool(
        re.search(
            r"\b(?:tp|pp|dp|ep|gpus_used|weights_gpu|kv_token_gpu|kv_split)\b",
            " ".join(sum(quantity.values.values(), ())),
        )
    )


_UNSURE = frozenset(
    {
        "head_dim_said",
        "hidden_state_bytes",
        "request_tokens",
        "gpu_share",
        "blocks",
        "gpus",
        "nodes",
        "replicas",
        "stages",
    }
)


def _implied(
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
    elif measure.dimension == "money/million":
        sure = ["price_of_tokens"]
    elif measure.dimension in ("tokens/s", "requests/s"):
        said = (bool(_OUTPUT_SAID.search(sentence.text)), bool(_PROMPT_SAID.search(sentence.text)))
        if _OUTPUT.search(measure.unit) or (measure.dimension == "tokens/s" and said == (True, False)):
            sure = ["output_rate"]
        elif _PROMPT.search(measure.unit) or (measure.dimension == "tokens/s" and said == (False, True)):
            sure = ["prompt_rate"]
        elif re.search(r"day|hour|month|tag|stunde|monat|jour|heure|mois", measure.unit, re.IGNORECASE):
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
                    and (_is_a_share(measure, meant) or _LEAVES_WITH.search(sentence.text[: measure.start]))
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


def _after_weights(sentence: Sentence, measure: Measure, found: list[Reading]) -> bool:
    """Whether what is left is left by the weights: cache and activations may leave far less."""
    named = re.search(r"\b(?:weights?|model|Gewicht\w*|Modell|poids|modèle)\b", sentence.text)
    return bool(named) or measure.value >= 0.5 * min(one.value for one in found)


def _is_a_share(measure: Measure, meant: About) -> bool:
    """Whether a size is the weights divided by some degree: what else would it be, beside the name of a strategy?"""
    weights = meant.situations[0].values.get("weights", 0.0) if meant.situations else 0.0
    return any(measure.says(weights / degree, 0.02) for degree in (1, 2, 4, 8, 16, 32, 64))


def _candidates(
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
    noun = _noun(sentence, measure)
    if right is not None:
        gap = _stripped(sentence, measure.end, right.start, names_only=True)
        clear = not any(
            measure.end <= m.start < right.start and not re.search(r"\b(?:of|der|des|sur)\b", gap)
            for m in sentence.measures
        )
        words = len(re.findall(r"\w+", gap))
        if noun is not None and any(
            set(noun.ids("objects")) & set(lexicon.quantities[id].of) for id in right.ids("quantity")
        ):
            gap = gap[max(0, noun.end - measure.end) :]
        unknown = _unknown(gap)
        if any(lexicon.quantities[id].counted for id in right.ids("quantity")):
            unknown += sum(word.casefold() not in _BEFORE_COUNTED for word in _LETTERS.findall(gap))
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
        gap = _stripped(sentence, last.end, measure.start)
        if not between:
            unknown = _unknown(gap)
            if any(t.id("properties") for t in sentence.terms_in(last.end, measure.start)):
                unknown += 2
            if "," in gap and _LETTERS.search(gap):
                unknown += 2
            verb = unknown == 1 and not re.search(r"[A-ZÄÖÜ]", gap.strip()[:1]) and not re.search(r"[,;:(]", gap)
            if measure.dimension == "" and not measure.unit and noun is None and _counts_other(sentence, measure):
                unknown += 2
                verb = False
            ordered.append((STRONG if not unknown or verb else FAIR if unknown <= 1 else WEAK, last))
    for term in reversed(left):
        ordered.append((WEAK, term))
    for term in inside:
        ordered.append((WEAK, term))
    earlier = [t for t in fitting if t.end <= span[0]]
    allowed = 2 if _OF_WHICH.match(sentence.text[span[0] :]) else 0
    if earlier and not inside and _unknown(_stripped(sentence, span[0], span[1])) <= allowed:
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


_WHICH = re.compile(r",?\s(?:which|that|whose|die|der|das|qui|dont)\s[^,.;:()\d]{0,40}", re.IGNORECASE)
_OF_WHICH = re.compile(r"\W*(?:of (?:which|this|that)|davon|wovon|dont)\b", re.IGNORECASE)
_PART = re.compile(
    r"half|third|quarter|twice|double|halves|Hälfte|Viertel|Drittel|doppelt\w*|moitié|quart|tiers", re.IGNORECASE
)
_SEQUENCES = frozenset(
    (
        "context",
        "kontext",
        "contexte",
        "conversation",
        "sequence",
        "session",
        "dialogue",
        "unterhaltung",
        "gespräch",
        "sequenz",
        "séquence",
    )
)
"""Names of the cache that say whose it is: "a full context takes 2.5 GiB on each GPU"."""
_LEAVES_WITH = re.compile(r"\b(?:leaves?|left|laisse\w*)\b[^.;,]*\b(?:with|mit|avec)\b[^.;,]*$", re.IGNORECASE)
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


def _counts_other(sentence: Sentence, measure: Measure) -> bool:
    """Whether a word that is not known stands right behind a count: the 3 of "the MLP has 3 matrices"."""
    found = re.match(r"[\s-]([^\W\d_]{2,})", sentence.text[measure.end :])
    if not found or found[1].casefold() in afterwards():
        return False
    place = measure.end + 1
    return not any(t.start <= place < t.end for t in sentence.terms)


def _unknown(gap: str) -> int:
    """Words of a gap that carry a meaning of their own, so that the figure behind it may be of something else."""
    fillers = filler_words()
    return sum(word.casefold() not in fillers for word in _LETTERS.findall(gap))


def _noun(sentence: Sentence, measure: Measure) -> Term | None:
    """What a count counts, where the word stands right behind it: the 16 of "16 sequences" are no layers."""
    if measure.dimension or (measure.unit and measure.value >= 1e6):
        return None
    for term in sentence.terms:
        if term.start >= measure.end and term.id("objects"):
            gap = sentence.text[measure.end : term.start]
            if any(measure.end <= t.start < term.start and t.id("per") for t in sentence.terms):
                return None
            return term if len(gap.split()) <= 1 and not re.search(r"[,;:.()|/]", gap) else None
    return None


def _stripped(sentence: Sentence, start: int, end: int, *, names_only: bool = False) -> str:
    """A gap without what says per what and of which GPU, model or strategy."""
    text = list(sentence.text[start:end])
    spans = [(m.start, m.end) for m in sentence.measures if start <= m.start]
    spans += (
        []
        if names_only
        else [
            (t.start, t.end)
            for t in sentence.terms_in(start, end)
            if t.id("objects")
            or t.id("per")
            or t.id("articles")
            or t.id("total")
            or t.id("hedges")
            or t.id("precisions")
            or t.id("results")
            or t.id("at_least")
            or t.id("at_most")
        ]
    )
    for gpu in sentence.gpus:
        size = re.match(
            r"[\s-]*(?:SXM\d?|PCIe|NVL)?[\s-]*(?:de |mit |with )?\d+\s?(?:GB|Go)\b", sentence.text[gpu.end :]
        )
        spans.append((gpu.end, gpu.end + (size.end() if size else 0)))
    spans += [(n.start, n.end) for n in (*sentence.gpus, *sentence.models)] + [
        (a, b) for a, b, _ in sentence.strategies if a >= 0
    ]
    for a, b in spans:
        for place in range(max(a, start), min(b, end)):
            text[place - start] = " "
    return re.sub(r"\([^()]*\)", " ", "".join(text))


def _relation(sentence: Sentence, measure: Measure) -> str:
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


def _holds(measure: Measure, reading: Reading, quantity: Quantity, relation: str) -> bool:
    near = quantity.near if quantity.near or quantity.unit == "" else 0.006
    if measure.says(reading.value, near if not (measure.exact and not quantity.near) else 0.0):
        return True
    if reading.high is not None and any(
        reading.value * (1 - near) <= value <= reading.high * (1 + near) for value in measure.values
    ):
        return True
    if relation == "≥":
        return reading.value >= min(measure.values)
    if relation == "≤":
        return reading.value <= max(measure.values)
    return False


def _refutable(
    sentence: Sentence, measure: Measure, span: tuple[int, int], candidate: FigureReading, meant: About, scope: Scope,
    found: list[Reading], relation: str,
) -> bool:  # fmt: skip
    quantity, term = candidate.quantity, candidate.term
    if (
        not _of_money(sentence, quantity)
        or (quantity.id in _BY_UNIT and term is None)
        or (quantity.by_title and quantity.weak)
    ):
        return False
    if quantity.id == "request_rate" and re.search(r"hour|day|minute|Stunde|Tag|heure|jour", measure.unit):
        return bool(
            not scope.ids
            and re.search(
                r"\b(?:that is|that makes|i\.e\.|hence|das sind|soit|cela fait)\b", sentence.text, re.IGNORECASE
            )
        )
    others_stated = [m for m in sentence.measures if m is not measure and m.dimension in ("bytes", "%")]
    if quantity.id == "memory_left" and not _parts_known(others_stated, meant):
        return False  # left of a share of the memory, beside what else is there
    if candidate.strength == INHERITED:
        if quantity.weak or not (scope.ids or (scope.total and "total" in quantity.values)) or scope.loose:
            return False
    elif candidate.strength < STRONG and not (candidate.strength == FAIR and quantity.unit and not quantity.weak):
        return False
    if quantity.weak and not (candidate.strength == STRONG and scope.ids and not scope.loose):
        return False
    if (
        quantity.possessed
        and not _POSSESSION.search(sentence.text[span[0] : measure.start + 1])
        and not _OF_DEVICE.search(sentence.text[: measure.start])
        and not (
            _LABEL_OF_MEMORY.fullmatch(sentence.text[: measure.start]) and _MACHINES.search(sentence.statement.section)
        )
    ):
        return False
    if quantity.loose and not _definite(sentence, measure, span, candidate):
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
    if term is not None and _coordinated(sentence, term, measure):
        return False
    if sentence.has("past") or sentence.denies(measure):
        return False
    if quantity.id == "memory_left" and not _after_weights(sentence, measure, found):
        return False
    own_fact = bool(sentence.gpus or sentence.models) and not _depends(quantity) and not quantity.loose
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


_OF_CARD = re.compile(
    r"\d\s(?:GPUs|cards|accelerators|Karten|cartes|GPU)\s(?:of|with|zu je|à|de|mit je|mit)\s$|\b(?:two|three|four|five|six"
    r"|seven|eight|zwei|drei|vier"
    r"|acht|deux|trois|quatre|huit|single|one|une|eine)\s(?:GPUs?|cards?|accelerators?|Karten?|cartes?)\s(?:of|with|zu je|à"
    r"|de|mit je|mit)\s$",
    re.IGNORECASE,
)
_OF_DEVICE = re.compile(
    r"^\W*(?:HBM\w*|VRAM|GDDR\w*|graphics memory|Grafikspeicher|GPU memory capacity)\b[^:|\d]*[:|]\s*$", re.IGNORECASE
)
"""A label of device memory, which nobody uses for what is in it."""
_LABEL_OF_MEMORY = re.compile(
    r"\W*(?:memory|GPU memory|Speicher|GPU-Speicher|mémoire|mémoire GPU)\s(?:per|je|pro|par|of a|of each)\s(?:GPU|card|Karte"
    r"|carte)\s?[:|]\s?",
    re.IGNORECASE,
)
_MACHINES = re.compile(
    r"\b(?:hardware|matériel|Ausstattung|machines?|servers?|serveurs?|GPUs?|infrastructure|Maschinen?|inventory)\b",
    re.IGNORECASE,
)
"""Headings of what there is, below which "memory per GPU" is a GPU's own."""
_POSSESSION = re.compile(
    r"\b(?:has|have|had|having|offers?|provides?|gives?|give us|bring\w*|with|comes? with|features?|equipped|carr(?:y|ies)|capacity|hat"
    r"|haben|bietet|bieten|mit|verfügt|verfügen|besitzt|besitzen|stehen|steht|zur Verfügung|available|altogether|play with"
    r"|possède\w*|dispose\w*|offre\w*|avec|dotée?s?|embarque\w*|ont|capacité|(?:GPUs|cards|Karten|cartes) (?:of|zu je|à|de))\b[^,;]*$",
    re.IGNORECASE,
)


def _on_gpu(sentence: Sentence, span: tuple[int, int]) -> bool:
    """Whether one GPU is what a clause is about."""
    return any(span[0] <= g.start < span[1] for g in sentence.gpus) and not sentence.has("total", *span)


_MOVES = re.compile(
    r"\b(?:moves?|reads?|streams?|transfers?|pulls?|delivers?|offers?|liest|lesen|bewegt|überträgt|schafft|lit"
    r"|lisent|transfère|débite)\b",
    re.IGNORECASE,
)
_COMPARED = re.compile(
    r"\s*(?:points?\s)?(?:faster|more|higher|above|over|larger|bigger|less|below|under|lower|smaller|slower"
    r"|mehr|weniger|schneller|de plus|de moins|plus|moins)\b",
    re.IGNORECASE,
)
_ADVERBS = frozenset(
    (
        "at once",
        "at a time",
        "at the same time",
        "concurrently",
        "simultaneously",
        "gleichzeitig",
        "gleichzeitige",
        "gleichzeitigen",
        "zugleich",
        "en même temps",
        "simultanément",
        "simultanées",
    )
)
_ADMITS = re.compile(
    r"\b(?:admits?|accepts?|allows?|caps?|capped|limit(?:ed|s)?|may (?:run|hold|serve)|erlaubt|zulässig"
    r"|begrenzt|höchstens|maximal|admet|accepte|autorise|limitée?s?)\b",
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
    r"\b(?:accommodates?|accueille|abrite|héberge|beherbergt|trägt|takes?|needs?|occup(?:y|ies)|spans?|consists? of|gets?"
    r"|comes? with|has|have|houses?|holds?|belegt|braucht|benötigt|besteht"
    r"|umfasst|bekommt|kommen|laufen|stehen|runs?|hosts?|serves?|fit|tournent|hat|enthält|occupe|nécessite|comprend|compte|contient|utilise|demande)\b",
    re.IGNORECASE,
)


def _coordinated(sentence: Sentence, term: Term, measure: Measure) -> bool:
    """Whether a name is one of several that a figure is of together: ``input and output together are 2,900 tokens``."""
    if term.end > measure.start or not re.search(
        r"\b(?:together|combined|sum|total|zusammen|ensemble|insgesamt)\b", sentence.text, re.IGNORECASE
    ):
        return False
    return bool(
        re.search(
            r"(?:\band|\bplus|\bund|\bet|\+|&)\s+(?:the\s|its\s|die\s|der\s|la\s|le\s)?$", sentence.text[: term.start]
        )
    )


def _definite(sentence: Sentence, measure: Measure, span: tuple[int, int], candidate: FigureReading) -> bool:
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


def _say(
    sentence: Sentence, measure: Measure, quantity: Quantity, reading: Reading, scope: Scope, relation: str, verdict: str
) -> Claim:  # fmt: skip
    per = f" per {' and '.join(reading.scope)}" if reading.scope else ""
    expected = shown(reading.value, quantity.unit)
    value = f"{expected} to {shown(reading.high, quantity.unit)}" if reading.high else expected
    reason = f"{reading.subject}: {quantity.title}{per}{reading.condition} {'are' if quantity.title.endswith('s') else 'is'} {value}"
    if quantity.counted and not reading.high:
        title = quantity.title if value == "1" or quantity.title.endswith("s") else f"{quantity.title}s"
        reason = f"{reading.subject} has {value} {title}{per}{reading.condition}"
    reason += "." if verdict == "confirmed" else f", not {measure.text}."
    parsed = Parsed(
        reading.subject,
        quantity.id + ("/" + "/".join(reading.scope) if reading.scope else ""),
        measure.value,
        quantity.unit,
        relation,
    )
    return Claim(
        sentence.statement.line, claim(sentence.statement, "confirmed", "").text,
        "confirmed" if verdict == "confirmed" else "refuted", reason, measure.text, value, parsed,
    )  # fmt: skip
