"""Whether a figure that no topic gives may be called wrong: never where its sentence may speak of something else."""

from __future__ import annotations

import re

from optimizer.auditing.context import OTHER_NETWORK
from optimizer.auditing.coverage import CAPACITY, CARRIES, explained
from optimizer.auditing.implied_units import speaks_of_money
from optimizer.auditing.kinds import OF_A_KIND_OF_LAYER, WAYS
from optimizer.auditing.measures import Measure
from optimizer.auditing.refutable import is_result, relation_of, speaks_of_strategy
from optimizer.auditing.scored.classes import Word, words_in
from optimizer.auditing.scored.judge import OFTEN_MEASURED, RECEIVED
from optimizer.auditing.scored.scores import is_beside
from optimizer.auditing.sentences import Sentence
from optimizer.auditing.situations import About
from optimizer.auditing.topics.ledger import Topic

_COMPARED = re.compile(
    r"\s*(?:points?\s)?(?:faster|more|higher|above|over(?! (?:all|the|its|our))|larger|bigger|less|below|under|lower|smaller|slower|better"
    r"|mehr|weniger|schneller|höher|niedriger|de plus|de moins|plus|moins|cheaper|günstiger)\b",
    re.IGNORECASE,
)
_OF_CARD = re.compile(
    r"\b(?:GPUs?|cards?|accelerators?|boards?|devices?|Karten?|cartes?)\s(?:of|with|at|zu je|zu|mit je|mit|de|à|avec)\s$",
    re.IGNORECASE,
)
"""Before a size: it says what card it is."""
_PART_OF_NAME = re.compile(r"\w-$")
_BESIDE_POWER = re.compile(
    r"\b(?:rest|remainder|other|others|else|fans?|cooling|hosts?|chassis|CPUs?|facility|included|idles?|idling|supply|PSUs?|PDUs?|feeds?|circuit"
    r"|breaker|wall|Steckdose|prise|Einspeis\w*|arrivée|Rest|Übrige\w*|Lüfter|Kühlung|Zuleitung|Netzteile?|Leerlauf|Sicherung|autres?|reste|disjoncteur|alimentation|repos|refroidissement)\b",
    re.IGNORECASE,
)
"""What else takes power, and what bounds it."""
_OF_SO_MANY = re.compile(r"\s?(?:of|out of|von|der|sur|de|aus)\s(?:the\s|its\s|their\s|den\s|les\s)?\d", re.IGNORECASE)
"""``37 of 671 billion``: a part, whose unit stands behind the whole."""
_OF_ITS = re.compile(
    r"(?:%|percent|quarter|half|third|fifth|Prozent|Viertel|Hälfte|Drittel|quart|moitié|tiers)\s(?:of|der|des|von|de|d'|ihrer|seiner)\s?"
    r"(?:its |the |an? |ihrer |seiner |les |ses |son |sa )?$",
    re.IGNORECASE,
)
"""``61% of its 24 GB``: what there is, of which a share is taken."""
_OTHER_ONES = re.compile(
    r"\b(?:the other|other|remaining|another|übrigen|anderen|restlichen|autres|restant\w*)\s$", re.IGNORECASE
)
_EITHER = re.compile(r"[^,]\s(?:or|oder|ou)\s$", re.IGNORECASE)
_OTHERS = re.compile(r"\s(?:others?|remaining|übrigen|anderen|restlichen|autres|restant\w*|left)\b", re.IGNORECASE)
_OTHER_PERCENTILE = re.compile(r"\b[Pp]9[05]\b|\b9[05]\.")
_CARDS = re.compile(r"\s(?:GPUs?|cards?|Karten?|cartes?|accelerators?|Beschleuniger|accélérateurs?)\b", re.IGNORECASE)
_TOO_BIG = re.compile(
    r"\b(?:too (?:big|large|much|heavy)|enough|at least|zu (?:groß|viel|schwer)|genug|mindestens|trop (?:gros\w*|lourd\w*)|au moins)\b",
    re.IGNORECASE,
)
_SPREAD_OVER = re.compile(r"\d\s[^,.;\d]+\s(?:over|across|on|auf|über|sur)\s$", re.IGNORECASE)
"""``64 query heads over 8 KV heads``: no bound."""
_FORMAT = re.compile(r"\b(?:FP8|INT8|FP4|INT4|NVFP4|MXFP4|AWQ|GPTQ|[48][- ]?[Bb]its?|E4M3|W4A16|W8A8)\b", re.IGNORECASE)
_OF_FORMAT = ("weights", "kv_", "memory_left")
_MEASURED = re.compile(
    r"\b(?:measur|observ|benchmark|trial|rehears|test|gemess|messung|mesur|pilot|essai|vendor|publish)\w*",
    re.IGNORECASE,
)
_SEQUENCES = re.compile(
    r"\s(?:\w+\s)?(?:sequences|requests|conversations|sessions|Sequenzen|Anfragen|Sitzungen|séquences|requêtes)\b",
    re.IGNORECASE,
)
_OF_SEQUENCES = ("in_flight", "requests_period", "replicas_left")
_HIDES = {
    "all_reduce_bytes": {"foreign"},
    "all_reduces_token": {"foreign"},
    "all_reduces_layer": {"foreign"},
    "transfer_time": {"foreign"},
}
"""Topics that words tell which say elsewhere that the ledger does not have a figure."""


def may_be_wrong(sentence: Sentence, measure: Measure, topic: Topic, meant: About) -> bool:
    """Whether nothing speaks for another meaning of a figure that nothing explains."""
    text = sentence.text
    if not meant.situations or measure.high > measure.value or OTHER_NETWORK.search(text):
        return False
    if sentence.has("past") or sentence.denies(measure) or not sentence.firm or sentence.statement.kind == "heading":
        return False
    if measure.dimension.startswith("money") and not speaks_of_money(f"{sentence.statement.section} / {text}"):
        return False
    over = not measure.dimension and _SPREAD_OVER.search(text[: measure.start])
    if (relation_of(sentence, measure) != "=" and not topic.limit and not over) or _COMPARED.match(text[measure.end :]):
        return False
    formulas = " ".join(topic.values)
    if any(one.degrees is None for one in meant.situations) and speaks_of_strategy(formulas):
        return False
    if sentence.has("hypothetical") and not (meant.named_strategy and speaks_of_strategy(formulas)):
        return False
    if (
        any(
            m.dimension == measure.dimension and m.near(measure.value, 0.03)
            for m in sentence.measures
            if m is not measure
        )
        and measure.dimension
    ):
        return False  # one figure in two units, whatever it is of
    before = text[: measure.start]
    if any(one.search(before) for one in (_OF_CARD, _PART_OF_NAME, _OTHER_ONES, _EITHER)) or any(
        one.match(text[measure.end :]) for one in (_OF_SO_MANY, _OTHERS, WAYS)
    ):
        return False
    if not measure.dimension and not float(measure.value).is_integer() and topic.id != "prompt_to_output":
        return False
    if _CARDS.match(text[measure.end :]) and not topic.id.startswith(("gpus", "tp", "replicas")):
        return False  # it counts cards, whatever else the sentence is about
    if topic.id in ("gpus", "gpus_used", "gpus_per_node") and (sentence.has("fits") or _TOO_BIG.search(text)):
        return False  # how many cards would hold something
    if _OF_ITS.search(before) and topic.id not in ("gpu_memory", "node_memory", "total_memory"):
        return False
    words = words_in(text, [(g.start, g.end, "card") for g in sentence.gpus])
    start, end = sentence.clause(measure.start)
    limits = topic.id.startswith(("limit_", "pred_"))
    if measure.value > topic.most or (limits and _OTHER_PERCENTILE.search(text)):
        return False
    near = [word for word in words if not limits or start <= word.start < end]
    if topic.told and not any(word.classes & topic.told for word in near):
        return False
    if limits and not any(word.classes & {"first", "further", "token"} for word in words):
        return False
    if _SEQUENCES.match(text[measure.end :]) and not measure.dimension and topic.id not in _OF_SEQUENCES:
        return False
    if _of_something_else(sentence, measure, topic, words):
        return False
    if measure.dimension in ("tokens/s", "requests/s"):
        if (CARRIES.search(text) or CAPACITY.search(text)) and not RECEIVED.search(text):
            return False  # what could be served, and not what is asked for
        if not re.search(r"/|[^\W\d]{3}", measure.text):
            return False  # its unit is one that the rest of the sentence gives it
    if is_result(sentence, measure, None):
        return False
    if (
        measure.dimension == "bytes"
        and _FORMAT.search(text)
        and not meant.named_precision
        and topic.id.startswith(_OF_FORMAT)
    ):
        return False  # "with an FP8 checkpoint it shrinks to 8 GB"
    if topic.id in ("layers", "context") and measure.word:
        return False  # "ten layers see the whole context": some of them
    if measure.bounds_power and relation_of(sentence, measure) == "≤":
        return False  # "at most 12 kW" holds of 11.2 kW as well
    if topic.id == "weights_share" and not any(word.classes & {"card", "memory"} for word in words):
        return False  # "share of the parameters in the experts"
    if measure.dimension == "W" and _BESIDE_POWER.search(text[slice(*sentence.clause(measure.start))]):
        return False
    if topic.id.startswith("kv_") and OF_A_KIND_OF_LAYER.search(text):
        return False  # a part of the cache, which has layers of another kind too
    if re.search(r"[=≈]\s*$", text[: measure.start]) and re.search(r"\d\s*[×x*·/÷+−]\s*\d|\D[×÷]\D", text):
        return False  # the result of a calculation that is written out
    return not explained(sentence, measure)


def _of_something_else(sentence: Sentence, measure: Measure, topic: Topic, words: list[Word]) -> bool:
    """Whether words say that a figure is of what the ledger does not have, of a changed situation, or measured."""
    start, end = sentence.clause(measure.start)
    clause = {name for word in words if start <= word.start < end for name in word.classes}
    if topic.id.startswith("kv_"):
        clause = {name for word in words for name in word.classes}
    if "foreign" in clause - _HIDES.get(topic.id, set()):
        return True
    if any(is_beside(sentence, measure, word) for word in words if "altered" in word.classes):
        return True
    if topic.far:
        return bool(
            _MEASURED.search(sentence.text)
        )  # "we expect", "forecast" and "estimated" speak of what is predicted
    return "measured" in {name for word in words for name in word.classes} and measure.dimension in OFTEN_MEASURED
