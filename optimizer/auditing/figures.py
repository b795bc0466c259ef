"""Judges figures of named quantities against the ledger: ``Each card stores 16.4 GB of weights``.

A figure belongs to the quantity that stands right behind it or is the last named before it. It is confirmed if any reading
gives it, and refuted only if it clearly belongs to a quantity and every reading of unit, "per", precision and strategy
gives another.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace

from optimizer.auditing.candidates import (
    BY_UNIT,
    FAIR,
    INHERITED,
    LEAVES_WITH,
    STRONG,
    WEAK,
    FigureReading,
    quantities_implied,
    quantities_named,
)
from optimizer.auditing.context import Context
from optimizer.auditing.facts import Situation
from optimizer.auditing.figure_roles import cards_behind, is_of_cards, is_operand, is_part_of_count
from optimizer.auditing.formula import UnknownName, value_of
from optimizer.auditing.kinds import DIVIDED_INTO, OF_A_KIND_OF_LAYER, UNDIVIDED, WINDOW
from optimizer.auditing.labels import claim
from optimizer.auditing.ledger import Reading, readings
from optimizer.auditing.lengths import counts_sequences, is_length
from optimizer.auditing.lexicon import Lexicon, Quantity
from optimizer.auditing.measures import Measure, shown
from optimizer.auditing.refutable import definite, is_result, refutable, relation_of
from optimizer.auditing.said_of import is_one_way
from optimizer.auditing.scopes import Scope, scope_of
from optimizer.auditing.sentences import Sentence
from optimizer.auditing.situations import About, about, without_compared
from optimizer.auditing.understood import understood
from optimizer.results.audit import Claim, Parsed


def judge_figures(sentence: Sentence, context: Context, lexicon: Lexicon, own: Situation) -> Iterator[Claim]:
    """Every figure of a sentence that names its quantity."""
    for measure in sentence.measures:
        if is_operand(sentence.text, measure):
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
    if measure.dimension == "bytes" and is_of_cards(sentence, measure):
        return None  # "four cards of 80 GB": what they are, whatever is said of them
    if _IS_A_PART.match(sentence.text[measure.end :]):
        return None  # "32,768 is a fifth of the window": what it is a part of stands behind it
    span = sentence.clause(measure.start)
    candidates = list(quantities_named(sentence, measure, span, lexicon))
    if not measure.dimension and is_part_of_count(sentence, measure) and "experts_per_token" in lexicon.quantities:
        chosen = lexicon.quantities["experts_per_token"]
        candidates = [replace(one, quantity=chosen) if one.quantity.id == "experts" else one for one in candidates]
    if counts_sequences(sentence, measure) or is_length(measure, own):
        candidates = [one for one in candidates if one.quantity.id != "context"]
    relative = [
        g for g in sentence.gpus if g.end <= measure.start and _WHICH.fullmatch(sentence.text[g.end : measure.start])
    ]
    sentence = without_compared(sentence, measure.end)
    meant = about(replace(sentence, gpus=tuple(relative[-1:])) if relative else sentence, span, context, own)
    if not meant.situations:
        return None
    scope = scope_of(sentence, measure, span)
    if measure.dimension == "bytes" and UNDIVIDED.search(sentence.text):
        scope = Scope(scope.ids - {"gpu"}, True, scope.loose)
    if is_one_way(sentence, measure):
        scope = replace(scope, ids=frozenset({"direction"}))
    if not measure.dimension and DIVIDED_INTO.match(sentence.text[measure.end :]):
        scope = replace(scope, ids=scope.ids - {"gpu"})
    if LEAVES_WITH.search(sentence.text[: measure.start]):
        candidates = [one for one in candidates if one.quantity.id != "memory_left"]
    if _WEIGHTS_BEHIND.match(sentence.text[measure.end :]):
        candidates = [one for one in candidates if one.quantity.id != "memory_left"]
    if not measure.dimension and _KEYS.search(sentence.text):
        candidates = [
            one
            for one in candidates
            if one.quantity.id not in ("heads", "attention_heads") or _QUERY.match(sentence.text[measure.end :])
        ]
    if not measure.dimension and _SHARED_BY_ONE.search(sentence.text) and "queries_per_kv_head" in lexicon.quantities:
        candidates = [one for one in candidates if one.quantity.id not in ("heads", "attention_heads")]
    if _OF_A_KIND.search(sentence.text):
        candidates = [one for one in candidates if one.quantity.id not in ("layers", "blocks")]
    seen = own.values.get("window", 0.0)
    if WINDOW.search(sentence.text[: measure.start]) or (seen and measure.says(seen)):
        candidates = [one for one in candidates if one.quantity.id != "context"]
    left = [one for one in candidates if one.quantity.id == "memory_left" and one.strength >= FAIR]
    candidates = left or candidates
    if candidates and candidates[0].strength == INHERITED and scope.ids:
        before = scope_of(sentence, sentence.measures[0], sentence.clause(sentence.measures[0].start))
        if scope.ids == {"gpu"}:
            scope = Scope(scope.ids | (before.ids & {"token", "sequence", "request"}), scope.total, scope.loose)
    candidates += quantities_implied(sentence, measure, scope, lexicon, context, candidates, meant)
    if OF_A_KIND_OF_LAYER.search(sentence.text):
        candidates = [one for one in candidates if not one.quantity.id.startswith(("kv_cache", "cache_of"))]
    if (
        measure.dimension == "bytes/s"
        and "gpu_rate" in lexicon.quantities
        and not candidates
        and _on_gpu(sentence, span)
        and _MOVES.search(sentence.text)
    ):
        candidates.append(FigureReading(lexicon.quantities["gpu_rate"], STRONG, None))
    if measure.dimension == "bytes" and _FIT_INTO.search(sentence.text[: measure.start]):
        candidates = [one for one in candidates if not one.quantity.id.startswith(_HELD)]
    if not measure.dimension and _LEADING_SECOND.match(sentence.text):
        candidates = [one for one in candidates if one.quantity.id not in ("prompt_tokens", "output_tokens")]
    if measure.dimension == "bytes" and _HOST_MEMORY.search(sentence.text[: measure.start]):
        candidates = [one for one in candidates if one.quantity.id == "host_memory"]
    if measure.dimension == "bytes" and measure.value <= WIDEST_NUMBER:
        candidates = [one for one in candidates if not one.quantity.id.startswith(("weights", "kv_cache", "parameter"))]
    if measure.dimension == "bytes" and cards_behind(sentence, measure):
        candidates = [one for one in candidates if one.quantity.id in ("gpu_memory", "total_memory")]
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
        if quantity.loose and not scope.ids and definite(sentence, measure, span, candidate):
            found = [one for one in found if not one.scope] or found
        relation = relation_of(sentence, measure)
        bounded = relation == "≤"
        above = measure.bounds_power and measure.value > max(one.high or one.value for one in found)
        if quantity.limit and bounded and not above:  # "draw at most 12 kW" holds of 11.2 kW as well
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
        by_unit = candidate.quantity.id in BY_UNIT and candidate.term is None and candidate.strength >= FAIR
        if found and (unexplained is None or candidate.strength > unexplained[0].strength or by_unit):
            unexplained = (candidate, found)
        elsewhere = not scope.ids and _holds_of_a_part(measure, quantity, meant, relation)
        if (
            refuted is None
            and not elsewhere
            and not is_result(sentence, measure, candidate.term)
            and refutable(sentence, measure, span, candidate, meant, scope, found, relation)
        ):
            refuted = _say(sentence, measure, quantity, _closest(found, measure, quantity), scope, relation, "refuted")
        last = (
            candidates.index(candidate) + 1 == len(candidates)
            or candidates[candidates.index(candidate) + 1].term is not candidate.term
        )
        if candidate.strength == STRONG and not quantity.weak and last:
            break
    if refuted is None and may_fall_back and unexplained is not None:
        candidate, found = unexplained
        elsewhere = not scope.ids and _holds_of_a_part(measure, candidate.quantity, meant, relation)
        elsewhere = elsewhere or is_result(sentence, measure, candidate.term)
        if not elsewhere and understood(sentence, measure, candidate, meant, scope, found):
            meant_one = _closest(found, measure, candidate.quantity)
            refuted = _say(sentence, measure, candidate.quantity, meant_one, scope, relation, "refuted")
    return refuted


def _closest(found: list[Reading], measure: Measure, quantity: Quantity) -> Reading:
    """The reading that a reason gives: the likeliest; of money and power, which are said of one and of all alike, the nearest."""
    if quantity.unit not in ("money/h", "W") or measure.value <= 0:
        return found[0]
    return min(found, key=lambda one: abs(math.log(one.value / measure.value)) if one.value > 0 else math.inf)


_IS_A_PART = re.compile(
    r"[\s`*]*(?:is|are|was|ist|sind|est|sont|makes?)\s(?:about |roughly |just |only |some |etwa |rund |environ |à peine )?(?:\w+ )?"
    r"(?:half|third|quarter|fifth|sixth|eighth|tenth|twice|double|thrice|Hälfte|Drittel|Viertel|Fünftel|Achtel|Zehntel|doppelt"
    r"|moitié|tiers|quart|cinquième|huitième|dixième|double)\b",
    re.IGNORECASE,
)
_FIT_INTO = re.compile(
    r"\b(?:fits?|goes|go|passen|passt|tient|tiennent|entrent?)\s(?:\w+\s)?(?:into|in|on|onto|within|auf|dans|sur)\s"
    r"(?:the\s|its\s|our\s|die\s|den\s|das\s|les\s|ces\s)?$",
    re.IGNORECASE,
)
"""``470 GB of weights fit into the 1,128 GB of eight cards``: what there is, and not what goes there."""
_HELD = ("weights", "checkpoint", "cache", "kv_cache", "memory_left")
_LEADING_SECOND = re.compile(
    r"\W*(?:per|every|each|in one|in a|pro|je|in jeder|chaque|par|en une)\s(?:second|Sekunde|seconde)\b", re.IGNORECASE
)
"""``Per second 6,000 prompt tokens are read and 1,000 tokens written``: rates, and no lengths."""
_HOST_MEMORY = re.compile(
    r"\b(?:host|main|system|server) (?:memory|RAM)\W{0,2}(?:\w+\W){0,2}$"
    r"|\b(?:Arbeitsspeicher|Hauptspeicher|mémoire (?:vive|centrale))\W{0,2}(?:\w+\W){0,2}$",
    re.IGNORECASE,
)
WIDEST_NUMBER = 8
"""Bytes of one number: "12 B weights at 2 bytes" says how they are stored."""
_PER_GPU = re.compile(r"\s*(?:\w+\s|€\s?|\$\s?)?(?:per|a|each|je|pro|par|/)\s?(?:GPU|card|Karte|carte)", re.IGNORECASE)

_WHICH = re.compile(r",?\s(?:which|that|whose|die|der|das|qui|dont)\s[^,.;:()\d]{0,40}", re.IGNORECASE)

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


def _holds_of_a_part(measure: Measure, quantity: Quantity, meant: About, relation: str) -> bool:
    """Whether a size is right of some part (a GPU, a stage, a replica), where the sentence says of none: then that one may be meant."""
    if quantity.unit != "bytes" or quantity.by_title:
        return False
    for situation in meant.situations:
        names = dict(situation.values)
        stated = (text for key, listed in quantity.values.items() if key != "total" for text in listed)
        for text in (one for one in stated if not one.startswith(("between ", "ledger("))):
            try:
                value = value_of(text, names)
            except (UnknownName, ZeroDivisionError, ValueError):
                continue
            if _holds(measure, Reading(value, None, (), ""), quantity, relation):
                return True
    return False


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


_WEIGHTS_BEHIND = re.compile(
    r"\s(?:of|an|von|de)\s(?:the\s|model\s)?(?:weights?|parameters?|Gewicht\w*|poids|paramètres)\b", re.IGNORECASE
)
"""``leaves 35 GB of weights on a card``: of what it is."""
_KEYS = re.compile(
    r"\b(?:keys? and values?|keys?/values?|Schlüssel und Werte\w*|clés et (?:les )?valeurs)\b", re.IGNORECASE
)
_QUERY = re.compile(
    r"[\s-](?:attention|query|Q|Query|Abfrage|Attention)\b|\stêtes (?:de requête|d'attention|Q)", re.IGNORECASE
)
_SHARED_BY_ONE = re.compile(
    r"\b(?:shares?|partag\w*|teilen)\s(?:sich\s)?(?:je\s)?(?:one|an?|each|the same|une?|chaque"
    r"|la même|einen?|denselben)\s(?:\w+[\s/-]){0,2}?"
    r"(?:KV|K/V|key|tête|Key)",
    re.IGNORECASE,
)
"""``eight query heads share one KV head``: a ratio, and no count of all."""
_OF_A_KIND = re.compile(
    r"\b(?:sliding|windowed|local|global|have experts|with experts|full[- ]attention|whole context|full context|entire context"
    r"|dense layers|MoE layers|sparse|linear"
    r"|gleitend\w*|ganzen Kontext|vollen Kontext|dichte\w* Schicht\w*|glissante?|tout le contexte"
    r"|contexte entier|couches denses)\b|\b(?:the )?first\s\w+\slayers",
    re.IGNORECASE,
)
"""Layers of one kind, of which there are fewer than layers in all; the scored core knows them."""


def _on_gpu(sentence: Sentence, span: tuple[int, int]) -> bool:
    """Whether one GPU is what a clause is about."""
    return any(span[0] <= g.start < span[1] for g in sentence.gpus) and not sentence.has("total", *span)


_MOVES = re.compile(
    r"\b(?:moves?|reads?|streams?|transfers?|pulls?|delivers?|offers?|liest|lesen|bewegt|überträgt|schafft|lit"
    r"|lisent|transfère|débite)\b",
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
