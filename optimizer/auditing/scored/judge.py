"""Judges the figures that no named quantity explains, by the entry of the ledger that their surroundings speak for.

A figure is confirmed where it equals the entry that the words around it speak for most. It is refuted where it equals none of
the entries that they might mean, in any situation, nor any small calculation over the figures beside it, and where
nothing says that it is of something which the ledger does not have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from optimizer.auditing.claims import ledger_claim
from optimizer.auditing.context import OTHER_NETWORK, Context
from optimizer.auditing.coverage import CARRIES, explained
from optimizer.auditing.facts import Situation
from optimizer.auditing.figure_roles import is_kind_of_card, not_taken
from optimizer.auditing.formula import UnknownName, value_of
from optimizer.auditing.kinds import OF_A_KIND_OF_LAYER, WAYS, WINDOW
from optimizer.auditing.lengths import is_length
from optimizer.auditing.measures import Measure
from optimizer.auditing.refutable import relation_of, speaks_of_strategy
from optimizer.auditing.scopes import Scope, scope_of
from optimizer.auditing.scored.classes import words_in
from optimizer.auditing.scored.entries import LedgerEntry, by_unit
from optimizer.auditing.scored.local import Local, local_figures, values_with
from optimizer.auditing.scored.scores import Surroundings, is_beside, score
from optimizer.auditing.sentences import Sentence
from optimizer.auditing.situations import About, about, without_compared
from optimizer.results.audit import Claim

ENOUGH = 2.0
"""Score from which on words say what a figure is of."""
POSSIBLE_PREDICTION = 0.6
"""Of the best score: a prediction, of which there are many, is meant only from there on."""
APART = 0.06
"""Relative: nearer figures are not called wrong, whatever the digits; 0.15 where "about" or a round number word stands before."""


@dataclass(frozen=True, slots=True)
class Meant:
    """An entry that a figure may be of, with its score and the values that it may have."""

    entry: LedgerEntry
    score: float
    values: tuple[float, ...]


def judge_scored(sentence: Sentence, context: Context, own: Situation, taken: set[str]) -> Iterator[Claim]:
    """The figures of a sentence that are not ``taken`` (judged before, as written)."""
    recent = context.before(sentence)
    for measure in not_taken(sentence, taken):
        said = _judge(sentence, measure, context, own, recent)
        if said is not None:
            yield said
    context.recent.append(sentence)


_BACK = re.compile(
    r"^\W*(?:that|this|it|its|which|these|they|those|so|hence|thus|therefore|each|das|dies|es|damit|davon|somit|also|daher|sie|cela|ce"
    r"|elle|elles|ils?|donc|soit|chacune?)\b",
    re.IGNORECASE,
)


_PER_SECOND = re.compile(
    r"\b(?:per|a|every|each|pro|je|jede|in der|par|chaque)\s(?:second|Sekunde|seconde)\b", re.IGNORECASE
)


_PER_ONE = re.compile(
    r"\b(?:one|an?|each|per|every|je|pro|jede[rnms]?|eine[nm]?|une?|chaque|par)\s(?:\w+[\s/-]){0,2}?(?:keys?|kv|k/v|clés?)",
    re.IGNORECASE,
)
"""``eight query heads share one KV head``, ``4 query heads per KV head``."""
_BOUND = re.compile(
    r"\b(?:at most|no more than|up to|maximum|höchstens|maximal|bis zu|au plus|au maximum|jusqu'à|limit\w*|capp?ed)\b",
    re.IGNORECASE,
)
_OF_SIZE = re.compile(r"(?:,?\s(?:of|with|at|de|à|avec|zu|zu je|mit|mit je)\s|\s\()$", re.IGNORECASE)


def _of_cards(sentence: Sentence, measure: Measure, around: Surroundings) -> bool:
    """``four accelerators of 256 GB``: the size belongs to what stands before it."""
    before = [w for w in around.words if w.end <= measure.start]
    gap = sentence.text[before[-1].end : measure.start] if before else ""
    return bool(before and before[-1].classes & {"card", "host"} and _OF_SIZE.fullmatch(gap))


def surroundings_of(sentence: Sentence, recent: tuple[Sentence, ...], local: Local) -> Surroundings:
    """The classified words around the figures of a sentence, and those that go before it."""
    named = [(g.start, g.end, "card") for g in sentence.gpus] + [(m.start, m.end, "model") for m in sentence.models]
    words = tuple(words_in(sentence.text, named))
    before = sentence.statement.section.split(" / ")[-1]
    if recent and (sentence.statement.line - recent[-1].statement.line <= 1 or _BACK.match(sentence.text)):
        before += " " + recent[-1].text
    earlier = frozenset(name for word in words_in(before) for name in word.classes)
    flags = frozenset(local) | ({"hypothetical"} if sentence.has("hypothetical") else frozenset())
    if _PER_ONE.search(sentence.text):
        flags |= {"per one"}
    if _BOUND.search(sentence.text):
        flags |= {"bound"}
    if _PER_SECOND.search(sentence.text):
        flags |= {"per second"}
    flags |= {"strategy"} if sentence.strategies else frozenset()
    return Surroundings(words, earlier, flags)


def _judge(
    sentence: Sentence, measure: Measure, context: Context, own: Situation, recent: tuple[Sentence, ...]
) -> Claim | None:
    listed = by_unit(measure.dimension)
    if not listed or (measure.word and measure.value == 1) or _UNIT_OF_MANY.search(sentence.text[: measure.start]):
        return None
    local = local_figures(sentence, measure, recent)
    around = surroundings_of(sentence, recent, local)
    scored = [(one, score(one, sentence, measure, around)) for one in listed]
    best = max(points for _, points in scored)
    if best < ENOUGH:
        return None
    span = sentence.clause(measure.start)
    sentence = without_compared(sentence, measure.end)
    meant = about(sentence, span, context, own)
    scope = scope_of(sentence, measure, span)
    precisions = tuple(id for term in sentence.terms if (id := term.id("precisions")))
    possible = [
        Meant(one, points, values)
        for one, points in sorted(scored, key=lambda pair: -pair[1])
        if points > 0 and (values := tuple(_values(one, meant, scope, local, context, precisions)))
    ]
    if measure.dimension == "bytes" and (is_kind_of_card(sentence, measure) or _of_cards(sentence, measure, around)):
        possible = [one for one in possible if one.entry.id == "gpu_memory"]
    if not possible:
        return None
    first = next((one for one in possible if not one.entry.confirms_only), possible[0])
    best_wrong = max((points for one, points in scored if not one.confirms_only), default=best)
    right = [one for one in possible if any(measure.says(value, one.entry.near) for value in one.values)]
    right = [one for one in right if not one.entry.predicted or one.score >= POSSIBLE_PREDICTION * first.score]
    if right:
        value = next(v for v in right[0].values if measure.says(v, right[0].entry.near))
        if right[0].score >= max(ENOUGH, 0.8 * best) and (
            relation_of(sentence, measure) == "=" or right[0].entry.limit
        ):
            return ledger_claim(sentence, measure, right[0].entry, value, True)
        return None
    if first.score < max(best_wrong, ENOUGH) or first.entry.confirms_only:
        return None
    apart = 0.15 if measure.hedged or measure.word else APART if measure.dimension else 0.0
    meanings = [one for one in possible if not one.entry.predicted or one.score >= POSSIBLE_PREDICTION * first.score]
    if any(measure.near(value, apart) for one in meanings for value in one.values):
        return None
    if _between(measure, first.entry, meant):
        return None
    if measure.bounds_power and relation_of(sentence, measure) == "≤" and measure.value > max(first.values):
        return None  # "at most 12 kW" holds of 11.2 kW as well
    if not may_be_wrong(sentence, measure, first.entry, meant, scope, around, span):
        return None
    near = min(first.values, key=lambda one: abs(one - measure.value))
    value = near if measure.dimension in ("W", "money/h") else first.values[0]
    return ledger_claim(sentence, measure, first.entry, value, False)


def _between(measure: Measure, entry: LedgerEntry, meant: About) -> bool:
    """Whether a figure lies where it may be right in some situation."""
    for situation in meant.situations if entry.between else ():
        try:
            low, high = (value_of(one, situation.values) for one in entry.between)
        except UnknownName:
            return True
        if any(low <= value <= high * (1 + entry.near) for value in measure.values):
            return True
    return False


_PEAKS = ("bf16", "fp16", "fp8", "int8", "fp4")


def _values(
    entry: LedgerEntry, meant: About, scope: Scope, local: Local, context: Context, precisions: tuple[str, ...] = ()
) -> Iterator[float]:
    """Every value that an entry may have: those of what the figure is said per first, in the number formats that are named."""
    known = {name for key in entry.values for name in key.split()}
    stated = scope.ids & known
    for situation in meant.situations:
        if entry.unless and entry.unless in situation.holds:
            continue
        names = dict(situation.values)
        if entry.predicted and situation.own:
            names |= context.predicted
        peaks = [names[f"peak_{one}"] for one in precisions or _PEAKS if f"peak_{one}" in names]
        # Those of what it is said per come first, and are what a reason gives; the others may explain it.
        exact = {"direction"} & scope.ids & known
        ordered = sorted(entry.values.items(), key=lambda pair: set(pair[0].split()) != stated)
        for key, listed in ordered:
            if exact and not exact <= set(key.split()):
                continue
            for text in listed:
                if text.startswith("between "):
                    low, high = text.removeprefix("between ").split(" and ")
                    texts = [low, high]
                else:
                    texts = [text]
                for one in texts:
                    if entry.id == "peak_compute":
                        for peak in peaks:
                            yield from values_with(one, names | {"peak": peak}, local)
                    elif not one.startswith("ledger("):
                        yield from values_with(one, names, local)


_UNIT_OF_MANY = re.compile(r"\b(?:per|pro|par|je|jede|every)\s(?:a |one )?$", re.IGNORECASE)
"""``per thousand requests``: what another figure is per."""
_PART_OF = re.compile(
    r"(?:\d\S*\s?(?:(?:[A-Za-z]{1,6}|%)\s)?|\b(?:left|spare|free|frei|übrig|libres?)\s)"
    r"(?:out of|of|von|der|des|ihrer|ihres|seiner|seines|unserer|sur|de|aus)\s(?:the |its |their |our |den |die |les |ses |what )?$",
    re.IGNORECASE,
)
_COMPARED = re.compile(
    r"\s*(?:points?\s)?(?:faster|more|higher|above|over|larger|bigger|less|below|under|lower|smaller|slower|better|mehr|weniger|schneller|höher"
    r"|niedriger|de plus|de moins|plus|moins|cheaper|günstiger)\b",
    re.IGNORECASE,
)
OFTEN_MEASURED = frozenset({"ms", "tokens/s", "requests/s", "%"})


def may_be_wrong(
    sentence: Sentence, measure: Measure, entry: LedgerEntry, meant: About, scope: Scope, around: Surroundings, span: tuple[int, int]
) -> bool:  # fmt: skip
    """Whether nothing speaks for another meaning of a figure that nothing explains."""
    text = sentence.text
    if not meant.situations or measure.high > measure.value or OTHER_NETWORK.search(text):
        return False
    if sentence.has("past") or sentence.denies(measure):
        return False
    if entry.id == "request_tokens" and any(is_length(measure, one) for one in meant.situations):
        return False  # of the prompt or of the answer alone, although "in all" stands beside it
    if entry.id == "context" and WINDOW.search(text[: measure.start]):
        return False
    if measure.dimension == "bytes" and entry.id.startswith("cache_of_token") and OF_A_KIND_OF_LAYER.search(text):
        return False
    if entry.id in ("layers", "context") and measure.word:
        return False  # "ten layers see the whole context": some of them
    if (
        (relation_of(sentence, measure) != "=" and not entry.limit)
        or _COMPARED.match(text[measure.end :])
        or _PART_OF.search(text[: measure.start])
        or WAYS.match(text[measure.end :])
    ):
        return False
    formulas = " ".join(formula for listed in entry.values.values() for formula in listed)
    if any(one.degrees is None for one in meant.situations) and speaks_of_strategy(formulas):
        return False
    if sentence.has("hypothetical") and speaks_of_strategy(formulas) and not meant.named_strategy:
        return False
    clause = {name for word in around.words if span[0] <= word.start < span[1] for name in word.classes}
    if "foreign" in clause or any(is_beside(sentence, measure, w) for w in around.words if "altered" in w.classes):
        return False
    possible = around.classes if RECEIVED.search(text) else around.classes | around.earlier
    carried = "capacity" in possible or (CARRIES.search(text) and not RECEIVED.search(text))
    if (measure.dimension in ("tokens/s", "requests/s") or entry.id.startswith("request_rate")) and carried:
        return False  # what could be served, and not what is asked for
    if re.search(r"[=≈]\s*$", text[: measure.start]) and re.search(r"\d\s*[×x*/÷+−]\s*\d|\D[×÷]\D", text):
        return False  # the result of a calculation that is written out
    if measure.dimension == "FLOP/s" and measure.text.endswith("FLOP"):
        return False  # a number of operations, and no rate
    if measure.dimension in ("tokens/s", "requests/s") and not re.search(r"/|[^\W\d]{3}", measure.text):
        return False  # its unit is one that the rest of the sentence gives it
    if "measured" in around.classes and measure.dimension in OFTEN_MEASURED:
        return False
    if not sentence.firm and not _column_of_values(sentence, around):
        return False
    return not explained(sentence, measure)


RECEIVED = re.compile(
    r"\b(?:receiv\w*|gets?|sees?|arriv\w*|comes? in|reach\w* us|erhält|bekommt|entf[aä]ll\w*|kommen an|reçoit|reçoivent|arriv\w*)\b",
    re.IGNORECASE,
)
"""Rates of what comes in are a demand, whatever the sentence before speaks of."""


def _column_of_values(sentence: Sentence, around: Surroundings) -> bool:
    """Whether the heading of a column says nothing that would make its figures other ones (a target, a measurement, a source)."""
    start = sentence.text.find(" | ")
    end = sentence.text.find(":", start)
    if start < 0 or end < 0 or any(start < m.start < end for m in sentence.measures):
        return False
    if any(w.classes & {"measured", "foreign", "altered", "left"} for w in around.words if start < w.start < end):
        return False
    kinds = ("target", "achieved", "past", "other", "met", "missed", "negation")
    return not any(sentence.has(kind, start, end) for kind in kinds)
